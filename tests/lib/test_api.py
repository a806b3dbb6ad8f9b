"""g3d from Python: what it gives is what the commands write."""

import math
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
