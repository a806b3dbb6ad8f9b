"""`g3d sample`: sample i depends on (seed, i) alone; --render writes the very pictures of the two-command way."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import latents
from g3d.latents import Latents, LatentSpace, Part
from g3d.priors import prior
from g3d.scenes.scene_file import load_scene
from g3d.steps import fit_prior, render, sample
from g3d.storage import artifacts


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    assert found
    return found


def test_a_sample_does_not_depend_on_its_company(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "picked"
    sample.run(sample.Options(pipeline.model, pipeline.prior, out, seeds="2,0", device="cpu"))
    assert sorted(p.name for p in out.glob("[!.]*")) == ["000000.safetensors", "000002.safetensors"]
    for name in ("000000", "000002"):
        a, b = load_scene(out / f"{name}.safetensors"), load_scene(pipeline.scenes / f"{name}.safetensors")
        for layer, (weight, bias) in a.weights.items():  # type: ignore[union-attr]
            assert (weight - b.weights[layer][0]).abs().max() < 1e-5  # type: ignore[union-attr]
            assert (bias - b.weights[layer][1]).abs().max() < 1e-5  # type: ignore[union-attr]


def test_a_scene_records_where_it_comes_from(pipeline: Pipeline) -> None:
    head = artifacts.header(pipeline.scenes / "000001.safetensors")
    assert head.parents["model"] == artifacts.header(pipeline.model / "model.safetensors").digest
    assert head.parents["prior"] == artifacts.header(pipeline.prior / "prior.safetensors").digest
    assert head.config["world"]["camera_prior"]["radius_world"] == 2.6


def test_render_at_once_writes_the_very_files_of_the_two_command_way(pipeline: Pipeline, tmp_path: Path) -> None:
    for cameras in ("prior", "orbit:2"):
        how = render.Drawing(cameras=cameras, size=16, masks=True, depth=True)
        one, two = tmp_path / f"one {cameras}", tmp_path / f"two {cameras}"
        options = sample.Options(pipeline.model, pipeline.prior, None, num=3, images=one, drawing=how, device="cpu")
        written = sample.run(options)
        render.run(render.Options(pipeline.scenes, two, how, device="cpu"))
        assert contents(one) == contents(two)
        assert written["written"] == [str(one)] and written["views"] == (3 if cameras == "prior" else 6)


def test_diffusion_prior_end_to_end(pipeline: Pipeline, tmp_path: Path) -> None:
    small = ["width=16", "blocks=1", "epochs=8", "batch=2", "time_steps=20"]
    fit_prior.run(fit_prior.Options(pipeline.model, tmp_path / "p", "diffusion", small, device="cpu"))
    for sampler, steps in (("ddpm", 0), ("ddim", 7)):
        words = ["--set", f"ddim_steps={steps}", "--num", 2, "--device", "cpu"]
        result = g3d("sample", pipeline.model, "--prior", tmp_path / "p", *words, "--out", tmp_path / sampler)
        assert result.code == 0, result.err
        assert result.out.split() == [str(tmp_path / sampler)]
    ddpm, ddim = (load_scene(tmp_path / s / "000000.safetensors") for s in ("ddpm", "ddim"))
    assert (ddpm.weights["0"][0] - ddim.weights["0"][0]).abs().max() > 0  # type: ignore[union-attr]


class Told:
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, int, dict[str, Any]]] = []

    def log(self, line: str) -> None: ...
    def start(self, label: str, total: int) -> None: ...
    def update(self, done: int, total: int, **figures: Any) -> None:
        self.updates.append((done, total, figures))


def test_the_steps_of_a_prior_are_told_batch_by_batch(pipeline: Pipeline, tmp_path: Path) -> None:
    small = ["width=16", "blocks=1", "epochs=1", "batch=2", "time_steps=4"]
    fit_prior.run(fit_prior.Options(pipeline.model, tmp_path / "p", "diffusion", small, device="cpu"))
    for ddim, steps in ((0, 4), (3, 3)):
        told, out = Told(), tmp_path / f"{ddim}.safetensors"
        how = sample.Options(
            pipeline.model, tmp_path / "p", num=3, latents=out, batch=2, settings=[f"ddim_steps={ddim}"], device="cpu"
        )
        sample.run(how, told)
        of_batch = [{"step": f"{i}/{steps}"} for i in range(1, steps + 1)]
        wanted = [*((0, 3, one) for one in of_batch), (2, 3, {}), *((2, 3, one) for one in of_batch), (3, 3, {})]
        assert told.updates == wanted


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["sample", pipeline.model]
    out = ["--out", tmp_path / "s"]
    refused(g3d(*base, "--num", 2, *out), "fit one with g3d fit-prior")
    base += ["--prior", pipeline.prior]
    refused(g3d(*base, *out), "either --num N or --seeds")
    refused(g3d(*base, "--num", 2, "--seeds", "0-1", *out), "either --num N or --seeds")
    refused(g3d(*base, "--num", 0, *out), "at least 1")
    refused(g3d(*base, "--seeds", "3-1", *out), "3-1", "0-9,12")
    refused(g3d(*base, "--num", 2), "nothing to write")
    refused(g3d(*base, "--num", 2, *out, "--set", "temprature=2"), "did you mean 'temperature'")
    refused(g3d(*base, "--num", 2, *out, "--cameras", "orbit"), "--cameras", "add --render")
    refused(g3d(*base, "--num", 2, *out, "--depth"), "--depth", "add --render")
    refused(g3d(*base, "--num", 2, "--out", pipeline.model), "--out")
    refused(g3d("sample", pipeline.prior, "--prior", pipeline.prior, "--num", 2, *out), "holds no model.safetensors")
    refused(g3d("sample", pipeline.model, "--prior", pipeline.model, "--num", 2, *out), "holds no prior.safetensors")
    refused(g3d(*base, "--num", 2, "--render", tmp_path / "i", "--cameras", "orbti"), "did you mean 'orbit'")
    assert not list(tmp_path.iterdir())


def test_outputs_that_lie_in_each_other_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 1]
    z = tmp_path / "z"
    for render_to, more in ((z, []), (z / "i", []), (tmp_path / "i", ["--sheet", z / "s.png"])):
        for dry in ([], ["--dry-run"]):
            refused(g3d(*base, "--out", z, "--render", render_to, *more, *dry), "lie in each other")
    assert not list(tmp_path.iterdir())


def test_dry_run_refuses_what_a_run_refuses(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--dry-run"]
    refused(g3d(*base, "--num", 1), "nothing to write")
    refused(g3d(*base, "--num", 1, "--render", tmp_path / "i", "--cameras", "foo"), "unknown")
    found = g3d(*base, "--seeds", "0-4", "--out", tmp_path / "s").json
    assert found["samples"] == 5 and found["render"] is None and found["out"] == str(tmp_path / "s")
    refused(
        g3d("decode", pipeline.model, pipeline.model, "--items", 99, "--out", tmp_path / "s", "--dry-run"),
        "no item '99'",
    )


def test_the_seed_of_a_scene_is_the_seed_it_was_drawn_with(pipeline: Pipeline, tmp_path: Path) -> None:
    sample.run(sample.Options(pipeline.model, pipeline.prior, tmp_path / "s", num=1, seed=7, device="cpu"))
    assert artifacts.header(tmp_path / "s" / "000000.safetensors").seed == 7


def test_a_prior_of_another_space_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    import torch

    tensors = {"mean": torch.zeros(5), "directions": torch.eye(5)}
    about = {"kind": "gaussian", "settings": {}, "latent_space": {"space": "w", "shape": [5]}}
    artifacts.write(tmp_path / "prior.safetensors", "prior", tensors, about)
    result = g3d("sample", pipeline.model, "--prior", tmp_path, "--num", 2, "--out", tmp_path / "s")
    refused(result, "live in w [5]", "phi [8]", "prior of this model")


@pytest.fixture(scope="module")
def of_tokens(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says that its latents are tokens (enough to draw latents, not scenes), and a prior on such, by class."""
    root = tmp_path_factory.mktemp("tokens")
    space = LatentSpace("tokens", {"tokens": Part((4,), 5)})
    tokens = torch.randint(5, (24, 4), generator=torch.Generator().manual_seed(0))
    found = Latents(space, {"tokens": tokens}, [str(i) for i in range(24)], torch.arange(24) % 3)
    latents.write(root / "l.safetensors", found)
    fit_prior.run(
        fit_prior.Options(root / "l.safetensors", root / "prior", "autoregressive", device="cpu", preset="smoke")
    )
    model = artifacts.read(pipeline.model / "model.safetensors", "model")
    about = {**model.config, "latent_space": space.as_json()}
    artifacts.write(root / "model" / "model.safetensors", "model", model.values, about)
    return root


def test_tokens_by_class_and_what_may_be_drawn(of_tokens: Path, tmp_path: Path) -> None:
    base = ["sample", of_tokens / "model", "--prior", of_tokens / "prior", "--num", 7, "--device", "cpu"]

    def drawn(name: str, *words: object) -> Latents:
        done = g3d(*base, *words, "--latents", tmp_path / name)
        assert done.code == 0, done.err
        return latents.read(latents.check(tmp_path / name))

    asked = drawn("asked", "--class", "2,0")
    assert asked.classes is not None and asked.classes.tolist() == [2, 0, 2, 0, 2, 0, 2]
    free, small = drawn("free"), drawn("small", "--batch", 2)
    assert free.classes is not None and torch.equal(free.tensors["tokens"], small.tensors["tokens"])
    assert len(free.tensors["tokens"].unique(dim=0)) > 3
    still = drawn("still", "--temperature", 0, "--class", 1)
    assert len(still.tensors["tokens"].unique(dim=0)) == 1
    one = drawn("one", "--top-k", 1, "--top-p", 0.5, "--class", 1)
    assert torch.equal(one.tensors["tokens"], still.tensors["tokens"])
    dry = g3d(
        *base, "--latents", tmp_path / "d", "--top-k", 3, "--top-p", 0.9, "--set", "temperature=0.7", "--dry-run"
    ).json
    assert dry["settings"] == {"temperature": 0.7, "top_k": 3, "top_p": 0.9}


def test_classes_by_name(of_tokens: Path, tmp_path: Path) -> None:
    """Names go from the latents into the prior, and on into what is drawn; the prior knows those of its classes alone."""
    names = ["cat", "tabby, old", "2", "unseen"]
    known = latents.read(latents.check(of_tokens / "l.safetensors"))
    latents.write(tmp_path / "l.safetensors", replace(known, about={"class_names": names}))
    how = ("--kind", "autoregressive", "--preset", "smoke", "--device", "cpu", "--out", tmp_path / "prior")
    assert g3d("fit-prior", tmp_path / "l.safetensors", *how).code == 0
    base = ["sample", of_tokens / "model", "--prior", tmp_path / "prior", "--num", 4, "--device", "cpu", "--latents"]
    for text, wanted in (("cat", [0] * 4), ("2,cat", [2, 0, 2, 0]), ("tabby, old", [1] * 4), ("cat,1-2", [0, 1, 2, 0])):
        done = g3d(*base, tmp_path / text, "--class", text)
        assert done.code == 0 and f"classes: {wanted[0]} ({names[wanted[0]]})" in done.err
        found = latents.read(latents.check(tmp_path / text))
        assert found.classes is not None and found.classes.tolist() == wanted and found.about["class_names"] == names
    listed = "choose --class from cat, tabby, old, 2, or by number from 0-2"
    refused(g3d(*base, tmp_path / "no", "--class", "cta"), "no class 'cta' (did you mean 'cat'?)", listed)
    refused(g3d(*base, tmp_path / "no", "--class", "cat,unseen"), "no class 'unseen'", listed)
    refused(g3d(*base, tmp_path / "no", "--class", "3"), "knows 3 classes, not 3")
    base[3] = of_tokens / "prior"  # without names
    refused(g3d(*base, tmp_path / "no", "--class", "cat"), "'cat' is not a list of classes")
    other = replace(
        known, names=[f"other {i}" for i in range(24)], about={"class_names": [*names[:2], "dog", "unseen"]}
    )
    latents.write(tmp_path / "o.safetensors", other)
    refused(
        g3d("fit-prior", tmp_path / "o.safetensors", tmp_path / "l.safetensors", *how, "--overwrite"),
        "names its classes",
    )
    latents.write(tmp_path / "o.safetensors", replace(other, about={"class_names": "cat"}))
    refused(g3d("fit-prior", tmp_path / "o.safetensors", *how, "--overwrite"), "'class_names' is cat")


def test_refusals_of_tokens(of_tokens: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["sample", of_tokens / "model", "--prior", of_tokens / "prior", "--num", 7, "--latents", tmp_path / "l"]
    refused(g3d(*base, "--top-k", 6), "top_k is 6", "knows 5 tokens")
    refused(g3d(*base, "--top-k", -1), "at least 0")
    refused(g3d(*base, "--top-p", 0), "top_p is 0", "above 0 and at most 1")
    refused(g3d(*base, "--top-p", 1.5), "top_p", "at most 1")
    refused(g3d(*base, "--temperature", -1), "temperature", "at least 0")
    refused(g3d(*base, "--class", 3), "knows 3 classes", "0-2")
    refused(g3d(*base, "--truncation", 0.5), "no setting 'truncation'")
    gauss = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 2, "--out", tmp_path / "s"]
    for word, name in (("--top-k", "top_k"), ("--top-p", "top_p")):
        refused(g3d(*gauss, word, 1), f"the gaussian prior has no setting '{name}'")
    assert g3d(*gauss, "--temperature", 0, "--dry-run").json["settings"] == {"temperature": 0.0}
    assert not list(tmp_path.iterdir())


def test_each_latent_is_drawn_once(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with --latents beside the scenes; in batches of the asked size."""
    drawn: list[int] = []

    def counting(kind: str) -> Any:
        known = prior(kind)

        def sampled(loaded: Any, numbers: Any, *words: Any) -> Any:
            drawn.extend(numbers)
            assert len(numbers) <= 3
            return known.sample(loaded, numbers, *words)

        return replace(known, sample=sampled)

    monkeypatch.setattr(sample, "prior", counting)
    places = ["--out", tmp_path / "s", "--render", tmp_path / "r", "--latents", tmp_path / "l.safetensors"]
    assert g3d("sample", pipeline.model, "--prior", pipeline.prior, "--num", 7, "--batch", 3, *places).code == 0
    assert drawn == list(range(7)) and len(latents.check(tmp_path / "l.safetensors").names) == 7
    few = ["--out", tmp_path / "f", "--device", "cpu"]
    assert g3d("decode", pipeline.model, tmp_path / "l.safetensors", "--batch", 2, *few).code == 0
    for name in ("000000.safetensors", "000006.safetensors"):
        one, other = (artifacts.read(tmp_path / part / name, "scene").values for part in ("s", "f"))
        assert all(torch.allclose(value, other[key], atol=1e-6) for key, value in one.items())
    refused(
        g3d("decode", pipeline.model, tmp_path / "l.safetensors", "--batch", 0, "--out", tmp_path / "z"), "--batch is 0"
    )
    refused(
        g3d("sample", pipeline.model, "--prior", pipeline.prior, "--num", 1, "--class", 3, *few, "--overwrite"),
        "no classes",
    )


def test_latents_of_a_killed_run_do_not_block_the_same_command(pipeline: Pipeline, tmp_path: Path) -> None:
    """They are written when all is drawn, just before the folder appears; a kill between both left the latents alone."""
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 2, "--device", "cpu"]
    words = [*base, "--latents", tmp_path / "l.safetensors", "--render", tmp_path / "i"]
    assert g3d(*words).code == 0
    before = (tmp_path / "l.safetensors").read_bytes()
    refused(g3d(*words), "exists")
    shutil.rmtree(tmp_path / "i")
    assert g3d(*words).code == 0
    assert (tmp_path / "l.safetensors").read_bytes() == before and (tmp_path / "i" / "000001.png").is_file()
    shutil.rmtree(tmp_path / "i")
    for other in (["--seed", 1], ["--set", "truncation=0.5"], ["--num", 3]):  # other latents are nobody's leftovers
        done = g3d(*words, *other)
        assert (done.code == 2 and "l.safetensors' exists" in done.err) or "truncation" in done.err, done.err
        assert (tmp_path / "l.safetensors").read_bytes() == before and not (tmp_path / "i").exists()
    refused(g3d(*base, "--latents", tmp_path / "l.safetensors"), "exists")  # no folder: they are all that it makes


@pytest.mark.parametrize("command", ["export-ply", "report", "eval-recon", "prepare-data"])
def test_commands_of_one_process_under_torchrun(
    command: str, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0 does it, the others do nothing and end well."""
    out = tmp_path / "out"
    words = {
        "export-ply": ["export-ply", pipeline.scenes, "--resolution", 6, "--level", 0.097, "--out", out],
        "report": ["report", pipeline.model, "--out", f"{out}.html"],
        "eval-recon": ["eval-recon", pipeline.data, pipeline.data, "--out", f"{out}.json"],
        "prepare-data": ["prepare-data", "procedural", "cars", "--num", 1, "--views", 1, "--size", 8, "--out", out],
    }[command]  # fmt: skip
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        done = g3d(*words)
        assert done.code == 0, done.err
        assert bool(done.out) == (rank == "0") and bool(list(tmp_path.iterdir())) == (rank == "0")
