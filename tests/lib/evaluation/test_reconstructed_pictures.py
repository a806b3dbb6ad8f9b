"""Items that are pictures: walls of known depth, one a picture, as their default camera sees them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import g3d
from g3d import images
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.evaluation.reconstruction import Fitted, reconstruct
from g3d.latents import Latents, LatentSpace
from g3d.scenes.scene import Scene
from toy_scenes import gaussians, image_field
from walls import FAR, NEAR, PRIOR, inverse_depth, wall

pytestmark = pytest.mark.slow

SIZE, WALLS = 12, ((-0.5, 0.4), (0.5, -0.7), (0.0, 0.2))
SPACE = LatentSpace.codes("z", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pictures of one colour; the inverse depth of the third is that of its wall, upside down."""
    root = tmp_path_factory.mktemp("walls")
    (root / "maps").mkdir()
    for i, (z, tilt) in enumerate(WALLS):
        images.write_image(root / "pictures" / f"{i}.png", np.full((SIZE, SIZE, 3), [204, 102, 51], np.uint8))
        np.save(root / "maps" / f"{i:06d}.npy", inverse_depth(z, tilt, SIZE) * (1 if i < 2 else -1))
    how = ["--workers", 1, "--size", SIZE]
    assert g3d("prepare-data", "images", root / "pictures", *how, "--out", root / "plain").code == 0
    words = ["prepare-data", "--workers", 1, "depth", root / "plain", "--files", root / "maps", "--out", root / "data"]
    assert g3d(*words).code == 0
    return open_dataset(root / "data")


def decode(latents: Latents) -> Scene:
    """The wall that the code describes."""
    z, tilt = latents.tensors["codes"][0].tolist()
    scene = wall(z, tilt)
    return replace(scene, world=replace(scene.world, camera_prior=replace(PRIOR, width=SIZE, height=SIZE)))


def fitted(data: Dataset, rows: list[int], held_out: bool = False) -> Fitted:
    items = [data.view_items("all")[row] for row in rows]
    codes = torch.tensor([WALLS[row] for row in rows])
    return Fitted(items, Latents(SPACE, {"codes": codes}, [item.name for item in items]), held_out)


def test_figures_of_disparity_beside_psnr(data: Dataset) -> None:
    """Accuracy 0, and s* is 1 over the range of D of each wall; that of a truth turned inside out is 4, and s* negative."""
    scales = []
    for z, tilt in WALLS[:2]:
        D = inverse_depth(z, tilt, SIZE).astype(np.float64) / (1 / NEAR - 1 / FAR)
        scales.append(D.var() / (D.var() + 1e-5) / np.ptp(D))
    found = reconstruct(decode, fitted(data, [0, 1]), data, 0, 100)
    assert found.figures["psnr_of_mean_mse_db"] is None or found.figures["psnr_of_mean_mse_db"] > 40
    assert found.figures["disparity_accuracy"] < 1e-3
    for name in ("disparity_scale_pointwise", "disparity_scale_accumulated"):
        assert found.figures[name] == pytest.approx(np.mean(scales), rel=0.02)
    assert [len(row) for row in found.rows] == [2, 2, 2]  # true, drawn, disparity
    first = found.rows[2][0].astype(int)
    assert first.shape == (SIZE, SIZE, 3) and first.min() == 0 and first.max() == 255
    assert bool((np.diff(first[4, :, 0]) < 0).all())  # nearer to the left
    worse = reconstruct(decode, fitted(data, [2], held_out=True), data, 0, 100).figures
    assert worse["disparity_accuracy_held_out"] == pytest.approx(4, abs=1e-3)
    assert worse["disparity_scale_pointwise_held_out"] < -1 and "psnr_held_out_db" in worse
    assert not {"disparity_accuracy", "psnr_db"} & set(worse)


def test_without_inverse_depth_or_rays_there_are_none(data: Dataset) -> None:
    plain = open_dataset(data.path.parent / "plain")
    found = reconstruct(decode, fitted(plain, [0, 1]), plain, 0, 100)
    assert set(found.figures) == {"psnr_db", "psnr_of_mean_mse_db"} and len(found.rows) == 2
    for scene in (gaussians(), image_field()):
        found = reconstruct(lambda latents, scene=scene: scene, fitted(data, [0, 1]), data, 0, 100)
        assert set(found.figures) == {"psnr_db", "psnr_of_mean_mse_db"} and len(found.rows) == 2


def test_the_same_as_render_and_eval_geometry(data: Dataset, tmp_path: Path) -> None:
    """The pictures are those of `render`, to the bit, and their figures those of eval-geometry."""
    from g3d.scenes.scene_file import save_scene

    (tmp_path / "s").mkdir()
    for i in range(3):
        save_scene(tmp_path / "s" / f"{i:06d}.safetensors", decode(fitted(data, [i]).latents))
    assert g3d("render", tmp_path / "s", "--disparity", "--out", tmp_path / "d", "--device", "cpu").code == 0
    ours = reconstruct(decode, fitted(data, [0, 1, 2]), data, 0, 100)
    for i in range(3):
        assert (images.read_image(tmp_path / "d" / f"{i:06d}.png") == ours.rows[1][i]).all()
    theirs = g3d("eval-geometry", tmp_path / "d", data.path, "--region", "picture", "--json").json
    for name in ("disparity_accuracy", "disparity_scale_pointwise", "disparity_scale_accumulated"):
        assert ours.figures[name] == pytest.approx(theirs[name], abs=1e-4)
