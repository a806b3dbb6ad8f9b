"""`g3d fit-prior`: kinds, resume, refusals."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline, g3d, refused, unchecked
from g3d import latents
from g3d.errors import G3dError, Interrupted
from g3d.latents import Latents, LatentSpace, Part
from g3d.priors import diffusion
from g3d.steps import fit_prior
from g3d.storage import artifacts

SMALL = ["width=16", "blocks=1", "epochs=8", "batch=2", "time_steps=20"]


def test_a_diffusion_prior_is_the_same_every_time(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in "ab":
        fit_prior.run(fit_prior.Options(pipeline.model, tmp_path / name, "diffusion", SMALL, device="cpu"))
    assert (tmp_path / "a/prior.safetensors").read_bytes() == (tmp_path / "b/prior.safetensors").read_bytes()
    file = artifacts.read(tmp_path / "a/prior.safetensors", "prior")
    latents = artifacts.read(pipeline.model / "latents.safetensors", "latents")
    assert file.parents == {"latents": latents.digest}
    assert file.config["latent_space"] == {"space": "phi", "shape": [8]}
    torch.testing.assert_close(file.values["mean"], latents.values["codes"].mean(dim=0))


def test_an_interrupted_diffusion_prior_resumes_to_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    """Stopped by a signal in the middle of the loop, as a batch scheduler does."""
    settings = [*SMALL, "epochs=40"]
    whole, cut = (
        fit_prior.Options(pipeline.model, tmp_path / name, "diffusion", settings, device="cpu") for name in ("w", "c")
    )
    fit_prior.run(whole)

    class Stops:
        def log(self, line: str) -> None: ...
        def start(self, label: str, total: int) -> None: ...
        def update(self, done: int, total: int, **figures: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"stopped by a signal at step \d+ of 80; go on with --resume") as stopped:
        fit_prior.run(cut, Stops())
    assert stopped.value.exit_code == 130
    assert 0 < artifacts.header(tmp_path / "c" / "state.safetensors").config["step"] < 80
    fit_prior.run(replace(cut, resume=True))
    for name in ("prior.safetensors", "state.safetensors"):
        assert (tmp_path / "w" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    tensors = artifacts.header(tmp_path / "w" / "state.safetensors").tensors
    assert {name.split(".")[0] for name in tensors} == {"network", "optimiser", "run"}  # as states always had


def test_the_gaussian_has_the_mean_and_covariance_of_the_codes(pipeline: Pipeline) -> None:
    codes = artifacts.read(pipeline.model / "latents.safetensors", "latents").values["codes"].double()
    values = artifacts.read(pipeline.prior / "prior.safetensors", "prior").values
    torch.testing.assert_close(values["mean"].double(), codes.mean(dim=0), rtol=1e-5, atol=1e-7)
    found = values["directions"].double().T @ values["directions"].double()
    torch.testing.assert_close(found, torch.cov(codes.T), rtol=1e-4, atol=1e-9)


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "p"
    refused(g3d("fit-prior", pipeline.model, "--kind", "difusion", "--out", out), "did you mean 'diffusion'")
    refused(
        g3d("fit-prior", pipeline.scenes, "--out", out), "holds no latents.safetensors", "such as g3d encode writes"
    )
    refused(g3d("fit-prior", pipeline.model / "model.safetensors", "--out", out), "holds model", "latents")
    refused(g3d("fit-prior", pipeline.model, "--out", out, "--set", "widht=4"), "did you mean 'width'")
    refused(g3d("fit-prior", pipeline.model, "--out", out, "--device", "gpu"), "allowed are auto, cpu")
    assert not out.exists()


@pytest.mark.parametrize(("count", "words"), [(1, "at least 2 latents"), (3, "not finite")])
def test_codes_that_no_prior_can_be_fitted_to(tmp_path: Path, count: int, words: str) -> None:
    codes = torch.randn(count, 4)
    codes[0, 0] = float("nan") if count > 1 else 0.0
    names = [str(i) for i in range(count)]
    with unchecked():
        artifacts.write(tmp_path / "l.safetensors", "latents", {"codes": codes}, {"space": "phi", "names": names})
    for kind in ("gaussian", "diffusion"):
        with pytest.raises(G3dError, match=words):
            fit_prior.run(fit_prior.Options(tmp_path / "l.safetensors", tmp_path / kind, kind, device="cpu"))


def test_tokens_need_another_kind_of_prior(tmp_path: Path) -> None:
    space = LatentSpace("tokens", {"tokens": Part((4,), 5)})
    latents.write(tmp_path / "l.safetensors", space.zeros(3))
    with pytest.raises(G3dError, match=r"holds tokens, .* the prior gaussian cannot be fitted to"):
        fit_prior.run(fit_prior.Options(tmp_path / "l.safetensors", tmp_path / "p", "gaussian", device="cpu"))


def tokens(path: Path, count: int = 24, vocabulary: int = 5, classes: bool = False) -> Path:
    """Latents of four tokens each."""
    space = LatentSpace("tokens", {"tokens": Part((4,), vocabulary)})
    found = {"tokens": torch.randint(vocabulary, (count, 4), generator=torch.Generator().manual_seed(0))}
    kinds = torch.arange(count) % 3 if classes else None
    latents.write(path, Latents(space, found, [str(i) for i in range(count)], kinds))
    return path


def test_several_files_are_fitted_as_one(tmp_path: Path) -> None:
    """As when a large dataset is encoded in parts; what does not belong together is refused."""
    space = LatentSpace.codes("phi", 3)
    codes = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    for name, rows in (("a", slice(0, 5)), ("b", slice(5, 12)), ("all", slice(0, 12))):
        count = len(codes[rows])
        latents.write(
            tmp_path / f"{name}.safetensors", Latents(space, {"codes": codes[rows]}, [str(i) for i in range(count)])
        )
    a, b, whole = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "all"))
    words = ["--kind", "gaussian", "--device", "cpu", "--out"]
    assert g3d("fit-prior", a, b, *words, tmp_path / "parts").code == 0
    assert g3d("fit-prior", whole, *words, tmp_path / "whole").code == 0
    parts, once = (artifacts.read(tmp_path / n / "prior.safetensors", "prior") for n in ("parts", "whole"))
    assert all(torch.equal(parts.values[name], once.values[name]) for name in once.values)
    assert set(parts.parents) == {"latents", "latents 2"}
    refused(g3d("fit-prior", a, a, *words, tmp_path / "p"), "given twice")
    latents.write(tmp_path / "w.safetensors", LatentSpace.codes("w", 3).zeros(4))
    refused(
        g3d("fit-prior", a, tmp_path / "w.safetensors", *words, tmp_path / "p"),
        "lives in w [3]",
        "latents of one model",
    )
    one, other = tokens(tmp_path / "t.safetensors"), tokens(tmp_path / "c.safetensors", classes=True)
    refused(g3d("fit-prior", one, other, "--kind", "autoregressive", "--out", tmp_path / "p"), "the class of its items")


def test_presets_of_a_kind(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["fit-prior", tokens(tmp_path / "l.safetensors"), "--kind", "autoregressive", "--out", tmp_path / "p"]
    dry = g3d(*words, "--preset", "smoke", "--set", "steps=7", "--dry-run").json
    assert (dry["preset"], dry["settings"]["width"], dry["settings"]["steps"]) == ("smoke", 32, 7)
    assert g3d(*words, "--dry-run").json["settings"]["width"] == 1536
    refused(g3d(*words, "--preset", "smok"), "did you mean 'smoke'", "vim-base")
    refused(
        g3d("fit-prior", pipeline.model, "--preset", "smoke", "--out", tmp_path / "p"),
        "diffusion has no preset 'smoke'",
        "presets: paper",
    )
    assert not (tmp_path / "p").exists()


def test_a_diffusion_prior_is_as_wide_as_its_codes_are_worth(pipeline: Pipeline, tmp_path: Path) -> None:
    space = {size: LatentSpace("z", {"codes": Part((size,))}) for size in (64, 65, 512, 4096)}
    wanted = {
        (64, 300): 512,
        (512, 300): 512,
        (64, 10_000): 512,
        (65, 10_000): 1024,
        (512, 30_000): 4096,
        (4096, 10**6): 4096,
    }
    assert {key: diffusion.suited(space[key[0]], key[1]).width for key in wanted} == wanted
    words = ["fit-prior", pipeline.model, "--out", tmp_path / "p", "--dry-run"]
    assert g3d(*words).json["settings"]["width"] == 512
    assert g3d(*words, "--preset", "paper").json["settings"]["width"] == 4096
    assert g3d(*words, "--set", "width=48").json["settings"]["width"] == 48


def test_figures_of_an_autoregressive_prior_are_returned_and_kept(tmp_path: Path) -> None:
    words = ["fit-prior", tokens(tmp_path / "l.safetensors"), "--kind", "autoregressive", "--preset", "smoke"]
    done = g3d(*words, "--device", "cpu", "--out", tmp_path / "p", "--json")
    assert done.code == 0, done.err
    figures = json.loads((tmp_path / "p/metrics.json").read_text())
    assert {k: done.json[k] for k in figures} == figures and done.json["written"][1].endswith("metrics.json")
    bits = {f"held_out_{n}" for n in ("bits_per_token", "unigram_bits", "position_bits", "bigram_bits")}
    assert bits <= figures.keys() and all(1 < figures[name] < 4 for name in bits)
    assert g3d("info", tmp_path / "p", "--json").json["run"]["figures"] == figures


def test_what_an_autoregressive_prior_is_not_fitted_to(pipeline: Pipeline, tmp_path: Path) -> None:
    one, out = tokens(tmp_path / "one.safetensors", 1), tmp_path / "p"
    words = ["--kind", "autoregressive", "--preset", "smoke", "--device", "cpu", "--out", out]
    refused(g3d("fit-prior", pipeline.model, *words), "holds numbers, not tokens", "use another --kind")
    refused(g3d("fit-prior", one, *words), "at least 2 latents, found 1")
    refused(g3d("fit-prior", one, *words, "--set", "dropout=1"), "at most 0.99")
    refused(g3d("fit-prior", one, *words, "--set", "lr=1e-6"), "lr_end is 0.0003, above lr 1e-06")
    space = LatentSpace("tokens", {"tokens": Part((4,), 5)})
    bad = Latents(space, {"tokens": torch.full((3, 4), 5)}, list("abc"))
    latents.write(tmp_path / "bad.safetensors", bad)
    refused(g3d("fit-prior", tmp_path / "bad.safetensors", *words), "no whole numbers below 5")
    odd = replace(bad, tensors={"tokens": torch.zeros(3, 4, dtype=torch.int64)}, classes=torch.tensor([0, -1, 1]))
    latents.write(tmp_path / "odd.safetensors", odd)
    refused(g3d("fit-prior", tmp_path / "odd.safetensors", *words), "a class -1", "0 or more")
    assert not out.exists()
