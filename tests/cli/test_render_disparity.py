"""`--disparity` of `render`, and of `sample` and `decode` with `--render`: one file a picture, and the same pictures."""

from dataclasses import replace
from pathlib import Path

import torch
from commands import Pipeline, g3d, refused
from g3d.scenes.scene_file import load_scene, save_scene
from g3d.storage import artifacts
from toy_scenes import gaussians, image_field, occupancy, radiance, triplane


def test_files_beside_the_pictures(tmp_path: Path) -> None:
    """Flat where scenes have one view each, a folder a scene where they have several; near and far are the scene's."""
    (tmp_path / "s").mkdir()
    for name, scene in (("000000", radiance()), ("000007", triplane())):
        save_scene(tmp_path / "s" / f"{name}.safetensors", replace(scene, world=replace(scene.world, near_world=0.5)))
    base = ["render", tmp_path / "s", "--device", "cpu", "--alpha"]
    assert g3d(*base, "--out", tmp_path / "plain").code == 0
    assert g3d(*base, "--disparity", "--out", tmp_path / "flat").code == 0
    assert g3d(*base, "--disparity", "--cameras", "orbit:2", "--out", tmp_path / "each").code == 0
    for picture in (tmp_path / "plain").rglob("[!.]*.*"):
        assert (tmp_path / "flat" / picture.relative_to(tmp_path / "plain")).read_bytes() == picture.read_bytes()
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/**/disparity/*"))
    assert found == [
        *(f"each/{scene}/disparity/00000{view}.safetensors" for scene in ("000000", "000007") for view in (0, 1)),
        "flat/disparity/000000.safetensors", "flat/disparity/000007.safetensors",
    ]  # fmt: skip
    file = artifacts.read(tmp_path / "flat" / "disparity" / "000007.safetensors", "disparity")
    assert file.config == {"near_world": 0.5, "far_world": 10.0}
    assert {name: tuple(value.shape) for name, value in file.values.items()} == dict.fromkeys(
        ("first", "second", "weight"), (8, 8)
    )
    centre = {name: float(value[4, 4]) for name, value in file.values.items()}
    assert 0 < centre["second"] < centre["first"] < centre["weight"] <= 1


def test_sample_and_decode_write_what_render_writes(pipeline: Pipeline, tmp_path: Path) -> None:
    how = ["--size", 8, "--device", "cpu", "--disparity"]
    assert g3d("render", pipeline.scenes, *how, "--out", tmp_path / "r").code == 0
    words = ["--prior", pipeline.prior, "--num", 3, "--render", tmp_path / "s"]
    assert g3d("sample", pipeline.model, *words, *how).code == 0
    assert g3d("decode", pipeline.model, pipeline.model, "--items", 0, "--render", tmp_path / "d", *how).code == 0
    for i in range(3):
        ours, theirs = (tmp_path / side / "disparity" / f"{i:06d}.safetensors" for side in ("r", "s"))
        assert ours.read_bytes() == theirs.read_bytes()
    first = artifacts.read(tmp_path / "d" / "disparity" / "000000.safetensors", "disparity").values["first"]
    assert first.shape == (8, 8) and torch.isfinite(first).all()


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    for scene, words in ((gaussians(), "Gaussians"), (occupancy(), "occupancy"), (image_field(), "--disparity")):
        save_scene(tmp_path / "x.safetensors", scene)
        for dry in ([], ["--dry-run"]):
            done = g3d("render", tmp_path / "x.safetensors", "--disparity", "--out", tmp_path / "i", *dry)
            refused(done, words, "leave --disparity out")
    scene = load_scene(pipeline.scenes / "000000.safetensors")
    save_scene(tmp_path / "x.safetensors", replace(scene, world=replace(scene.world, near_world=0.0)))
    refused(g3d("render", tmp_path / "x.safetensors", "--disparity", "--out", tmp_path / "i"), "must be above 0")
    words = ["decode", pipeline.model, pipeline.model, "--items", 0, "--out", tmp_path / "s", "--disparity"]
    refused(g3d(*words), "--disparity", "add --render")
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
