"""`g3d convert --to gaussians`: any scene that is seen from somewhere becomes splats that draw the same pictures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import g3d, refused
from g3d.conversion.views import drawn_views, psnr
from g3d.progress import SILENT
from g3d.render import render_scene
from g3d.scenes.scene import Gaussians, Scene, World
from g3d.scenes.scene_file import load_scene, save_scene
from g3d.storage import artifacts
from toy_scenes import gaussians, image_field, occupancy, radiance, triplane, two_branches

SMALL = ("--num", 400, "--views", 24, "--size", 24, "--steps", 300)


KINDS: dict[
    str, tuple[Scene, float]
] = {  # and the dB of held-out views that it must reach, from so few pixels and steps
    "two_branches": (two_branches(), 30),  # the mean picture has 21.9
    "triplane": (triplane(24), 24),  # 21.2
    "fog": (radiance(24), 21),  # 17.9
    "occupancy": (occupancy(24), 18.5),  # 15.7
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_becomes_gaussians_that_draw_it(kind: str, tmp_path: Path) -> None:
    scene, least = KINDS[kind]
    file, out = tmp_path / "a.safetensors", tmp_path / "g.safetensors"
    digest = save_scene(file, scene, item="the item")
    result = g3d("convert", file, *SMALL, "--out", out, "--json")
    assert result.code == 0, result.err
    head, found = artifacts.header(out), load_scene(out)
    assert isinstance(found, Gaussians) and 1 <= found.means.shape[1] <= 400
    assert head.parents == {"scene": digest} and head.config["item"] == "the item" and head.seed == 0
    assert found.world == scene.world  # cameras, background, bounds: what draws the one draws the other
    said = result.json["scenes"]["a"]
    assert said == head.config["fitted"] and said["gaussians"] == found.means.shape[1]
    assert f"a: {said['psnr_held_out']:.2f} dB of 20 held-out views" in result.err
    assert not isinstance(scene, Gaussians)
    true = drawn_views(scene, 20, 24, 0, "held-out views", SILENT)  # as `render` draws them
    drawn = torch.cat([render_scene(found, true.cameras[v]).rgb for v in range(20)])
    assert psnr(drawn, true.rgb) == pytest.approx(said["psnr_held_out"], abs=0.006)
    assert said["psnr_held_out"] >= least


@pytest.mark.slow
def test_it_stands_on_any_background(tmp_path: Path) -> None:
    """Gaussians must not stand in for the background: drawn on red, they agree with the scene drawn on red."""
    scene = two_branches()
    save_scene(tmp_path / "a.safetensors", scene)
    assert g3d("convert", tmp_path / "a.safetensors", *SMALL, "--out", tmp_path / "g.safetensors").code == 0
    red = replace(scene.world, background=(1.0, 0.0, 0.0))
    found = load_scene(tmp_path / "g.safetensors")
    assert isinstance(found, Gaussians)
    true = drawn_views(replace(scene, world=red), 6, 24, 0, "held-out views", SILENT)
    drawn = torch.cat([render_scene(replace(found, world=red), true.cameras[v]).rgb for v in range(6)])
    assert psnr(drawn, true.rgb) > 27


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    for name in ("000000", "000001"):
        save_scene(scenes / f"{name}.safetensors", two_branches())
    words = ("convert", scenes, "--num", 100, "--views", 4, "--size", 12, "--steps", 40)
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert g3d(*words, "--seed", seed, "--out", tmp_path / out).code == 0
    first, again, other = ((tmp_path / out / "000001.safetensors").read_bytes() for out in "abc")
    assert first == again and first != other
    assert (tmp_path / "a" / "000000.safetensors").read_bytes() == first  # of the same scene, whatever comes before


def test_what_comes_out_goes_on(tmp_path: Path) -> None:
    """To a splat file, to pictures."""
    save_scene(tmp_path / "a.safetensors", two_branches())
    assert g3d("convert", tmp_path / "a.safetensors", *SMALL[:-1], 20, "--out", tmp_path / "g").code == 0
    assert g3d("export-ply", tmp_path / "g", "--as", "splats", "--out", tmp_path / "p").code == 0
    assert (tmp_path / "p" / "a.ply").is_file()
    assert g3d("render", tmp_path / "g", "--cameras", "orbit:2", "--out", tmp_path / "i").code == 0


def test_refusals(tmp_path: Path) -> None:
    files: dict[str, Scene] = {
        "picture": image_field(), "splats": gaussians(), "blind": replace(radiance(), world=World()), "fine": radiance(),
        "nothing": replace(radiance(), weights={"a": (torch.zeros(1, 4, 3), torch.zeros(1, 4))}),
    }  # fmt: skip
    for name, scene in files.items():
        save_scene(tmp_path / f"{name}.safetensors", scene)
    out = ("--out", tmp_path / "out")
    refused(g3d("convert", tmp_path / "picture.safetensors", *out), "image field", "nothing to fit")
    refused(g3d("convert", tmp_path / "splats.safetensors", *out), "holds 3D Gaussians already")
    refused(g3d("convert", tmp_path / "blind.safetensors", *out), "records no cameras")
    fine = tmp_path / "fine.safetensors"
    refused(g3d("convert", fine, "--to", "gausians", *out), "did you mean 'gaussians'")
    for option, value in (("--num", 0), ("--views", 0), ("--size", 10), ("--steps", 0), ("--num", 10**9)):
        refused(g3d("convert", fine, option, value, *out), f"{option} is {value}; it must lie between")
    for name in ("one", "two"):
        save_scene(tmp_path / "several" / f"{name}.safetensors", radiance())
    refused(g3d("convert", tmp_path / "several", "--out", tmp_path / "x.safetensors"), "is one file", "holds 2 scenes")
    refused(g3d("convert", tmp_path / "none", *out), "does not exist")
    few = ("--views", 2, "--size", 12, "--steps", 1)
    empty = g3d("convert", tmp_path / "nothing.safetensors", *few, *out)
    refused(replace(empty, err=empty.err.splitlines()[-1]), "nothing of it is seen")
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_would_be_done(tmp_path: Path) -> None:
    save_scene(tmp_path / "a.safetensors", radiance())
    shown = g3d("convert", tmp_path / "a.safetensors", "--num", 7, "--out", tmp_path / "g", "--dry-run")
    assert json.loads(shown.out)["num"] == 7 and not (tmp_path / "g").exists()
