"""`g3d eval-consistency`: figures of held-out views, the mask, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.cameras import CameraPrior
from g3d.evaluation import surface
from g3d.images import write_image
from g3d.scenes.scene import World
from g3d.scenes.scene_file import save_scene
from toy_scenes import gaussians

QUICK = ["--cameras", "spiral:10", "--size", 12, "--steps", 15]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Gaussians with a third behind them that belongs to a background."""
    out = tmp_path_factory.mktemp("consistency")
    scene = gaussians()
    count = scene.means.shape[1]
    flag = torch.zeros(1, count, dtype=torch.uint8)
    flag[0, -1] = 1
    world = World(camera_prior=CameraPrior(3.0, 45.0, 32, 32))
    save_scene(out / "000000.safetensors", replace(scene, background=flag, world=world))
    save_scene(out / "000001.safetensors", replace(scene, world=world))
    return out


@pytest.mark.slow
def test_figures_of_held_out_views(scenes: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "c.json", tmp_path / "c.jsonl"
    done = g3d("eval-consistency", scenes, *QUICK, "--out", out, "--per-item", lines)
    assert done.code == 0, done.err
    found = json.loads(out.read_text())
    assert found["scenes"] == 2 and "VolSDF" in found["surface"] and found["psnr_db"] > 5 and 0 < found["ssim"] <= 1
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["scene"] for row in rows] == ["000000", "000001"] and rows[0]["psnr_db"] != rows[1]["psnr_db"]
    assert found["psnr_db"] == pytest.approx(sum(row["psnr_db"] for row in rows) / 2, abs=1e-3)
    masked = g3d("eval-consistency", scenes, *QUICK, "--num", 1, "--mask", "object", "--json").json
    assert masked["mask"] == "object" and masked["scenes"] == 1 and masked["psnr_db"] < rows[0]["psnr_db"]


def test_masks_of_a_folder_say_where_views_are_judged(scenes: Path, tmp_path: Path) -> None:
    """As table 2 of GSGAN has masks of faces: here the left half of each view; and which views are which is said."""
    quick = ["--cameras", "spiral:6", "--size", 12, "--steps", 3, "--hold-out", 3, "--json"]
    half = np.zeros((12, 12), np.uint8)
    half[:, :6] = 255
    for scene in ("000000", "000001"):
        (tmp_path / "masks" / scene).mkdir(parents=True)
        for view in range(6):
            write_image(tmp_path / "masks" / scene / f"{view:06d}.png", half)
    words = ["eval-consistency", scenes, *quick]
    masked, whole = g3d(*words, "--mask", tmp_path / "masks"), g3d(*words)
    assert masked.code == 0, masked.err
    assert masked.json["psnr_db"] != whole.json["psnr_db"] and "fitted views (GSGAN's table 2)" in masked.json["judged"]
    one = g3d("eval-consistency", scenes / "000000.safetensors", *quick, "--mask", tmp_path / "masks" / "000000")
    assert one.code == 0, one.err
    refused(g3d(*words, "--mask", tmp_path / "masks" / "000000"), "000001.png", "does not exist")
    write_image(tmp_path / "masks" / "000000" / "000001.png", half[:8])
    refused(g3d(*words, "--mask", tmp_path / "masks"), "12 x 8 pixels", "12 x 12")


@pytest.mark.slow
def test_a_longer_fit_explains_more(scenes: Path) -> None:
    base = ["eval-consistency", scenes, "--num", 1, "--cameras", "spiral:10", "--size", 12, "--json"]
    short, long = (g3d(*base, "--steps", n).json for n in (1, 60))
    assert long["fitted_psnr_db"] > short["fitted_psnr_db"] + 1


def test_refusals(scenes: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("eval-consistency", scenes, "--cameras", "spiral:3"), "3 views", "spiral:40")
    refused(g3d("eval-consistency", scenes, "--mask", "objects"), "did you mean 'object'")
    refused(g3d("eval-consistency", scenes, "--hold-out", 1), "at least 2")
    refused(g3d("eval-consistency", scenes, "--num", 0), "at least 1")
    refused(g3d("eval-consistency", scenes, "--cameras", f"dataset:{pipeline.data}"), "1 views of a scene")
    refused(g3d("eval-consistency", tmp_path / "none"), "none")
    refused(g3d("eval-consistency", scenes, "--out", tmp_path), "is a folder")


def test_masks_are_looked_for_before_the_fit(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*words: object) -> None:
        raise AssertionError("it takes minutes, and a mask is not there")

    monkeypatch.setattr(surface, "fit_surface", never)
    (tmp_path / "masks").mkdir()
    done = g3d("eval-consistency", scenes / "000000.safetensors", *QUICK, "--mask", tmp_path / "masks")
    refused(done, "masks", "does not exist")
