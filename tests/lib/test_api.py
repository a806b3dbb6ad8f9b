"""g3d from Python: what it gives is what the commands write."""

import math
import shutil
from pathlib import Path

import g3d
import pytest
import torch
from commands import Pipeline
from commands import g3d as command
from g3d import api, images, latents
from g3d.errors import G3dError
from g3d.methods.mnif.config import Config
from g3d.scenes.scene import tensors_of
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts
from g3d.storage.kept import Kept


def test_samples_are_those_of_the_command(pipeline: Pipeline, tmp_path: Path) -> None:
    model = g3d.load(pipeline.model, prior=pipeline.prior, device="cpu")
    assert model.method == "mnif" and isinstance(model.config, Config) and model.config.width == 16
    made = model.sample(3)
    assert len(made) == 3
    for scene in made:
        file = load_scene(pipeline.scenes / f"{scene.index:06d}.safetensors")
        for name, value in tensors_of(file).items():
            assert torch.equal(scene.tensors[name], value[0])
    made[1].save(tmp_path / "one.safetensors")
    assert torch.equal(api.scene(tmp_path / "one.safetensors").tensors["layer.0.bias"], made[1].tensors["layer.0.bias"])
    other = model.sample(1, seed=1)[0]
    assert not torch.equal(other.tensors["layer.0.bias"], made[0].tensors["layer.0.bias"])


def test_pictures_are_those_of_the_command(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = api.scene(pipeline.scenes / "000001.safetensors", device="cpu")
    words = [
        "render",
        pipeline.scenes / "000001.safetensors",
        "--cameras",
        "orbit:3",
        "--size",
        16,
        "--set",
        "samples=8",
    ]
    assert command(*words, "--out", tmp_path / "i", "--device", "cpu").code == 0
    drawn = scene.render("orbit:3", size=16, settings={"samples": 8})
    assert drawn.rgb.shape == (3, 16, 16, 3) and drawn.depth.shape == (3, 16, 16)
    prior = scene.scene.world.camera_prior
    assert prior is not None
    again = scene.render(prior.orbit(3).resized(16, 16), settings={"samples": 8})
    assert torch.equal(again.rgb, drawn.rgb)
    for view in range(3):
        written = images.read_image(tmp_path / "i" / f"{view:06d}.png")
        assert (images.to_u8(drawn.rgb[view].numpy()) == written).all()


def test_encode_and_decode_fit_together(pipeline: Pipeline, tmp_path: Path) -> None:
    model = g3d.load(pipeline.model, device="cpu")
    out = tmp_path / "l.safetensors"
    words = ["encode", pipeline.model, "--data", pipeline.data, "--num", 2, "--set", "steps=3", "--device", "cpu"]
    assert command(*words, "--out", out).code == 0
    found = model.encode(pipeline.data, num=2, settings={"steps": 3})
    assert latents.same(found, latents.read(latents.check(out))) and len(found.names) == 2
    scenes = model.decode(found)
    assert [scene.item for scene in scenes] == list(found.names)
    view = scenes[0].render(f"dataset:{pipeline.data}:test", size=8)
    assert view.rgb.shape == (2, 8, 8, 3)  # the item's own test views


def test_files_are_read_once_and_again_when_they_have_changed(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = tmp_path / "run", []
    shutil.copytree(pipeline.model, run)
    whole = artifacts.read
    monkeypatch.setattr(
        artifacts, "read", lambda path, *a, **k: (read.append(Path(path).name), whole(path, *a, **k))[1]
    )
    model = g3d.load(run, prior=pipeline.prior, device="cpu")
    first, codes = model.sample(2), model.encode(pipeline.data, num=2, settings={"steps": 3})
    decoded = model.decode(codes)
    assert [read.count(f"{name}.safetensors") for name in ("model", "prior")] == [1, 1]
    for value in (value for made in (*first, *decoded) for value in made.tensors.values()):
        value.detach().fill_(7)  # a scene is the caller's own, whatever it shares with what made it
    again = g3d.load(run, prior=pipeline.prior, device="cpu")
    for one, other in zip(
        [*model.sample(2), *model.decode(codes)], [*again.sample(2), *again.decode(codes)], strict=True
    ):
        assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    before, kept = model.sample(1)[0].tensors, whole(run / "model.safetensors", "model")
    artifacts.write(run / "model.safetensors", "model", {n: v * 2 for n, v in kept.values.items()}, kept.config)
    changed = g3d.load(run, prior=pipeline.prior, device="cpu").sample(1)[0].tensors
    after = model.sample(1)[0].tensors
    assert all(torch.equal(value, changed[name]) for name, value in after.items())
    assert not all(torch.equal(value, before[name]) for name, value in after.items())


def test_what_cannot_be_copied_is_read_again(tmp_path: Path) -> None:
    artifacts.write(tmp_path / "a.safetensors", "latents", {"codes": torch.zeros(1, 2)}, {"space": "z", "names": ["a"]})
    head, kept, made = artifacts.header(tmp_path / "a.safetensors"), Kept(), []

    def read() -> object:
        made.append(open(tmp_path / "a.safetensors", "rb"))  # noqa: PTH123, SIM115
        return made[-1]

    assert [kept.get(head, "cpu", read) for _ in range(2)] == made and len(made) == 2
    for file in made:
        file.close()
    first = kept.get(head, "cpu", lambda: torch.zeros(2))
    first.fill_(7)
    assert kept.get(head, "cpu", read).tolist() == [0, 0] and len(made) == 2


def test_mistakes_end_in_the_sentences_of_the_commands(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="does not exist"):
        g3d.load(tmp_path / "nothing")
    model = g3d.load(pipeline.model, device="cpu")
    with pytest.raises(G3dError, match="draws its latents from a prior"):
        model.sample(1)
    with pytest.raises(G3dError, match="has no setting 'stepz'"):
        model.encode(pipeline.data, settings={"stepz": 1})
    with pytest.raises(G3dError, match="only an image field"):
        api.scene(pipeline.scenes / "000000.safetensors").picture()
    with pytest.raises(G3dError, match="are unknown"):
        api.scene(pipeline.scenes / "000000.safetensors").render("orbitt:3")


def test_any_artifact_is_read_without_its_kind(pipeline: Pipeline) -> None:
    for path, kind in (
        (pipeline.model / "model.safetensors", "model"),
        (pipeline.prior / "prior.safetensors", "prior"),
        (pipeline.scenes / "000000.safetensors", "scene/mlp_field"),
        (pipeline.data / "cameras.safetensors", "cameras"),
    ):
        file = artifacts.read(path)
        assert file.kind == kind
        assert sum(value.numel() for value in file.values.values()) == sum(
            math.prod(shape) for _, shape in file.tensors.values()
        )
    with pytest.raises(G3dError, match=r"is a folder; give a file$"):
        artifacts.read(pipeline.model)
