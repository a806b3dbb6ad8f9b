"""`g3d eval-geometry --region picture`: what `render --disparity` writes, against known inverse depth or an estimator."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.scenes.scene_file import save_scene
from torch import Tensor
from walls import FAR, NEAR, PRIOR, inverse_depth, wall

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]
SIZE, WALLS = 12, ((-0.5, 0.4), (0.5, -0.7))
SIZED = replace(PRIOR, width=SIZE, height=SIZE)


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data`: a picture of each wall with its inverse depth, in units of its own; `drawn`: as `render` draws them."""
    root = tmp_path_factory.mktemp("walls")
    (root / "scenes").mkdir()
    (root / "maps").mkdir()
    for i, (z, tilt) in enumerate(WALLS):
        scene = wall(z, tilt)
        scene = replace(scene, world=replace(scene.world, camera_prior=SIZED))
        save_scene(root / "scenes" / f"{i:06d}.safetensors", scene)
        images.write_image(root / "pictures" / f"{i}.png", np.full((SIZE, SIZE, 3), 90 * i, np.uint8))
        np.save(root / "maps" / f"{i:06d}.npy", 7 * inverse_depth(z, tilt, SIZE) - 3)
    for words in (
        ["prepare-data", "--workers", 1, "images", root / "pictures", "--size", SIZE, "--out", root / "plain"],
        ["prepare-data", "--workers", 1, "depth", root / "plain", "--files", root / "maps", "--out", root / "data"],
        ["render", root / "scenes", "--alpha", "--disparity", "--device", "cpu", "--out", root / "drawn"],
    ):
        done = g3d(*words)
        assert done.code == 0, done.err
    return root


@pytest.mark.slow
def test_walls_of_known_depth(walls: Path, tmp_path: Path) -> None:
    """Accuracy 0; s* is 1 over the range of D of each, for nothing spreads along the rays."""
    scales = []
    for z, tilt in WALLS:
        D = (inverse_depth(z, tilt, SIZE).astype(np.float64) - 1 / FAR) / (1 / NEAR - 1 / FAR)
        scales.append(D.var() / (D.var() + 1e-5) / np.ptp(D))
    words = ["--region", "picture", "--per-item", tmp_path / "i.jsonl", "--json"]
    done = g3d("eval-geometry", walls / "drawn", walls / "data", *words)
    assert done.code == 0, done.err
    found = done.json
    assert found["n"] == 2 and found["disparity_accuracy"] < 1e-3
    assert found["disparity_scale_pointwise"] == pytest.approx(np.mean(scales), rel=0.02)
    assert found["disparity_scale_accumulated"] == pytest.approx(np.mean(scales), rel=0.02)
    assert found["disparity"] == "sums along rays against true inverse depth, in the whole picture"
    assert (found["disparity_near_world"], found["disparity_far_world"]) == (NEAR, FAR)
    assert found["region"] == "picture" and "cloudy_share" not in found and "depth" not in found
    lines = [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert [line["disparity_scale_pointwise"] for line in lines] == pytest.approx(scales, rel=0.02)


def test_in_the_mask_they_stand_beside_the_others(walls: Path, tmp_path: Path) -> None:
    """The left half is the object; without a truth, the masks that were drawn (all of the picture) count for an estimator."""
    masked = tmp_path / "true"
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, : SIZE // 2] = 255
    for i, (z, tilt) in enumerate(WALLS):
        images.write_image(masked / f"{i:06d}.png", np.zeros((SIZE, SIZE, 3), np.uint8))
        images.write_image(masked / "masks" / f"{i:06d}.png", mask)
        images.write_image(
            masked / "depth" / f"{i:06d}.png", (1e4 / inverse_depth(z, tilt, SIZE) + 0.5).astype(np.uint16)
        )
    (masked / "depth" / "depth.json").write_text(json.dumps({"depth_scale": 1e-4, "what": "camera z"}))
    found = g3d("eval-geometry", walls / "drawn", masked, "--json").json
    assert found["disparity_accuracy"] < 1e-2 and found["cloudy_rays"] == 0
    scales = []
    for z, tilt in WALLS:
        D = inverse_depth(z, tilt, SIZE)[:, : SIZE // 2].astype(np.float64) / (1 / NEAR - 1 / FAR)
        scales.append(D.var() / (D.var() + 1e-5) / np.ptp(D))
    assert found["disparity_scale_pointwise"] == pytest.approx(np.mean(scales), rel=0.03)
    assert found["disparity"].endswith("in the true mask") and found["region"] == "mask"
    plain = g3d("eval-geometry", walls / "drawn", "--json").json
    assert plain["cloudy_rays"] == 0 and "region" not in plain and "disparity_accuracy" not in plain


class Red(torch.nn.Module):
    """Sees the red of a picture as inverse depth."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


def test_an_estimator_judges_pictures_without_a_truth(walls: Path, tmp_path: Path) -> None:
    """The walls are drawn again, red by their inverse depth in one picture and against it in the other."""
    import shutil

    torch.jit.script(Red()).save(str(tmp_path / "red.pt"))
    shutil.copytree(walls / "drawn", tmp_path / "drawn")
    for i, (z, tilt) in enumerate(WALLS):
        near = inverse_depth(z, tilt, SIZE)
        red = 255 * (near - near.min()) / np.ptp(near)
        red = red if i == 0 else 255 - red
        images.write_image(tmp_path / "drawn" / f"{i:06d}.png", np.repeat(red[..., None], 3, 2).astype(np.uint8))
    base = ["eval-geometry", tmp_path / "drawn", "--estimator", tmp_path / "red.pt", "--estimator-size", SIZE]
    refused(g3d(*base, "--region", "picture"), "red.pt", "--trust")
    for region in ("picture", "mask"):
        done = g3d(*base, "--region", region, "--trust", "--per-item", tmp_path / "i", "--overwrite", "--json")
        assert done.code == 0, done.err
        lines = [json.loads(line) for line in (tmp_path / "i").read_text().splitlines()]
        assert [line["disparity_accuracy"] for line in lines] == pytest.approx([0, 4], abs=0.01)
        assert lines[0]["disparity_scale_pointwise"] > 1 and lines[1]["disparity_scale_pointwise"] < -1
        assert "an estimator's inverse depth of the pictures" in done.json["disparity"]
        assert done.json["estimator"].endswith("red.pt") and done.json["estimator_size"] == SIZE


def test_pictures_of_one_camera_against_posed_views(pipeline: Pipeline, walls: Path, tmp_path: Path) -> None:
    """Scenes with a camera of their own for every picture: pairs differ in their cameras, which must be said."""
    base = ["--split", "test", "--json"]
    scene = wall(0.0, 0.3)
    scene = replace(scene, world=replace(scene.world, camera_prior=replace(PRIOR, width=24, height=24)))
    (tmp_path / "scenes").mkdir()
    for i in range(8):
        save_scene(tmp_path / "scenes" / f"{i:06d}.safetensors", scene)
    assert g3d("render", tmp_path / "scenes", "--disparity", "--out", tmp_path / "d").code == 0
    words = ["eval-geometry", tmp_path / "d", pipeline.data, "--region", "picture", *base]
    refused(g3d(*words), "other cameras", "--any-camera")
    found = g3d(*words, "--any-camera").json
    assert found["n"] == 8 and 0 < found["disparity_accuracy"] < 4 and found["naming"] == "number = file"
    refused(g3d("eval-recon", pipeline.data, tmp_path / "d", *base), "other cameras", "--any-camera")
    assert g3d("eval-recon", pipeline.data, tmp_path / "d", *base, "--any-camera").json["n"] == 8


def test_refusals(walls: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    drawn, data = walls / "drawn", walls / "data"
    picture = ["--region", "picture"]
    for words, said in (
        ([drawn, *picture], "give a dataset with inverse depth, or an --estimator"),
        ([drawn, walls / "plain", *picture], "have no inverse depth"),
        ([walls / "plain", data, *picture], "render --disparity"),
        ([drawn, data, *picture, "--near", 1, "--far", 2], "leave them out"),
        ([drawn, data, "--estimator", data / "dataset.json"], "both say what is true"),
        ([drawn, data, *picture, "--trust"], "--trust is for an --estimator"),
        ([drawn, data, "--region", "pictures"], "did you mean 'picture'"),
        ([drawn, *picture, "--estimator", tmp_path / "gone.pt"], "does not exist"),
    ):  # fmt: skip
        refused(g3d("eval-geometry", *words), said)
