"""transforms.json in each dialect: the same rays, pictures, masks and depth again; what cannot be read refused by its frame."""

import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import made_with_modules
from g3d import images
from g3d.cameras import read_transforms
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.scenes.scene_file import save_scene
from g3d.sources import Request, transforms
from g3d.sources.posed.undistort import Lens, distorted
from g3d.steps import render
from g3d.steps.prepare_data import Options, run
from posed_scene import (
    FROM_Y_UP,
    Scene,
    alike,
    check_points,
    colour_of,
    scene,
    trace,
    write_nerf_synthetic,
    write_nerfstudio,
    write_ngp,
)
from toy_scenes import gaussians

OWN = scene(7)  # intrinsics a view, off the middle
SHARED = alike(OWN)


def _prepare(source: Path, out: Path, **options: Any) -> Any:
    run(Options("transforms", str(source), out, workers=1, **options))
    return open_dataset(out)


def _check_same(data: Any, made: Scene, views: range = range(7)) -> None:
    """The same rays in our world, the same pictures, and the way back to the file's world."""
    c2w = data.cameras.c2w.double().numpy()
    np.testing.assert_allclose(c2w, made.c2w, atol=1e-6)
    np.testing.assert_allclose(data.cameras.intrinsics.numpy(), made.k, atol=1e-4)
    assert (data.pictures(views) == made.rgb).all()
    back = np.array(data.info["world"]["world_to_source"])
    np.testing.assert_allclose(back @ c2w, FROM_Y_UP @ made.c2w, atol=1e-6)
    np.testing.assert_allclose(back @ np.array(data.info["world"]["source_to_world"]), np.eye(4), atol=1e-12)
    check_points(data.pictures(views), c2w, data.cameras.intrinsics.double().numpy())


def test_nerf_synthetic(tmp_path: Path) -> None:
    data = _prepare(write_nerf_synthetic(tmp_path / "in", SHARED, test_from=5), tmp_path / "out")
    _check_same(data, SHARED)
    assert data.view_split.tolist() == [0] * 5 + [1] * 2 and data.object_names == ["in"]
    assert (data.mask(3) == SHARED.alpha[3]).all()
    prior = data.camera_prior
    assert prior.distribution == "area" and prior.radius_world == pytest.approx(3) and prior.target == (0, 0, 0)
    assert data.bounds[1][0] == pytest.approx(3 * math.sin(math.atan(24 / SHARED.k[0, 0])), abs=1e-5)
    black = _prepare(tmp_path / "in", tmp_path / "black", background="black").pictures([2])[0]
    assert (black[SHARED.alpha[2] == 0] == 0).all()
    assert (black[SHARED.alpha[2] == 255] == SHARED.rgb[2][SHARED.alpha[2] == 255]).all()


def test_instant_ngp(tmp_path: Path) -> None:
    _check_same(_prepare(write_ngp(tmp_path / "in", SHARED), tmp_path / "out"), SHARED)
    file = _prepare(tmp_path / "in" / "transforms.json", tmp_path / "again")
    assert file.info["digest"] == open_dataset(tmp_path / "out").info["digest"]


def test_nerfstudio(tmp_path: Path) -> None:
    data = _prepare(write_nerfstudio(tmp_path / "in", OWN), tmp_path / "out")
    _check_same(data, OWN)
    assert data.info["depth_scale"] == 1e-3 and data.info["objects"][0]["applied_transform"][1] == [0, 0, 1, 0]
    for view in (0, 4):
        np.testing.assert_allclose(data.depth_world(view), OWN.depth_world[view], atol=0.5e-3 + 1e-6)
        assert (data.mask(view) == OWN.alpha[view]).all()
    listed = [f"images/frame_{i + 1:05d}.png" for i in range(7)]
    write_nerfstudio(
        tmp_path / "split", OWN, train_filenames=listed[:4], val_filenames=listed[4:], test_filenames=listed[4:]
    )
    assert _prepare(tmp_path / "split", tmp_path / "s").view_split.tolist() == [0] * 4 + [1] * 3


def test_scenes_with_depths_of_several_scales_get_one(tmp_path: Path) -> None:
    for name, units in (("a", 1e-3), ("b", 4e-3)):
        write_nerfstudio(tmp_path / "in" / name, OWN, units, depth_unit_scale_factor=units)
    data = _prepare(tmp_path / "in", tmp_path / "out")
    assert data.info["depth_scale"] == 4e-3 and data.object_names == ["a", "b"]
    for view in (2, 9):
        np.testing.assert_allclose(data.depth_world(view), OWN.depth_world[2], atol=2.5e-3 + 1e-6)


def test_a_point_is_found_by_its_depth_in_another_view(tmp_path: Path) -> None:
    """Picture, depth and camera of view 0 make points in the world; view 1 shows them in their colours. Cropped and resized."""
    wide = scene(6, 72, 48)
    data = _prepare(write_nerfstudio(tmp_path / "in", wide), tmp_path / "out", size=32)
    assert data.pictures([0]).shape == (1, 32, 32, 3)
    c2w, k = data.cameras.c2w.double().numpy(), data.cameras.intrinsics.double().numpy()
    rows, columns = np.nonzero(data.mask(0) == 255)
    z = data.depth_world(0)[rows, columns].astype(float)
    local = np.stack([(columns + 0.5 - k[0, 2]) / k[0, 0] * z, (rows + 0.5 - k[0, 3]) / k[0, 1] * z, z], -1)
    points = local @ c2w[0, :3, :3].T + c2w[0, :3, 3]
    shown = data.pictures([0])[0][rows, columns] / 255
    assert len(points) > 100 and np.median(np.abs(shown - colour_of(points)).max(1)) < 0.03
    x, y, depth = ((points - c2w[1, :3, 3]) @ c2w[1, :3, :3]).T
    u, v = (k[1, 0] * x / depth + k[1, 2]).astype(int), (k[1, 1] * y / depth + k[1, 3]).astype(int)
    visible = np.abs(data.depth_world(1)[v.clip(0, 31), u.clip(0, 31)] - depth) < 0.05
    assert visible.sum() > 40
    there = data.pictures([1])[0][v[visible], u[visible]] / 255
    assert np.median(np.abs(there - shown[visible]).max(1)) < 0.04


def test_what_our_own_render_wrote(tmp_path: Path) -> None:
    for name in ("000000", "000001"):
        save_scene(tmp_path / "scenes" / f"{name}.safetensors", gaussians(24, 0.5))
    how = render.Drawing("orbit:5", size=24, masks=True, depth=True)
    render.run(render.Options(tmp_path / "scenes", tmp_path / "views", how, "cpu"))
    data = _prepare(tmp_path / "views", tmp_path / "out")
    one = tmp_path / "views" / "000001"
    assert data.object_names == ["000000", "000001"] and data.info["world"]["source_up_is"] == "said by the files"
    np.testing.assert_array_equal(data.cameras.c2w[5:].numpy(), read_transforms(one / "transforms.json").c2w.numpy())
    assert (data.pictures([7])[0] == images.read_image(one / "000002.png")).all()
    assert (data.mask(7) == images.read_grey(one / "masks" / "000002.png")).all() and data.mask(7).max() > 0
    scale = json.loads((one / "depth" / "depth.json").read_text())["depth_scale"]
    np.testing.assert_allclose(data.depth_world(7), images.read_grey(one / "depth" / "000002.png") * scale, rtol=1e-5)
    assert "depth" not in {o["name"] for o in data.info["objects"]} and data.camera_prior.radius_world == pytest.approx(
        3
    )


def test_scenes_of_one_view_side_by_side(tmp_path: Path) -> None:
    for name, shift in (("000000", 0.5), ("000004", 0.9)):
        save_scene(tmp_path / "scenes" / f"{name}.safetensors", gaussians(24, shift))
    render.run(
        render.Options(tmp_path / "scenes", tmp_path / "views", render.Drawing("prior", size=16, depth=True), "cpu")
    )
    data = _prepare(tmp_path / "views", tmp_path / "out")
    assert len(_prepare(tmp_path / "views", tmp_path / "one", group="file").object_names) == 1
    assert data.object_names == ["views/000000", "views/000004"] and data.view_object.tolist() == [0, 1]
    scales = json.loads((tmp_path / "views" / "depth" / "depth.json").read_text())
    found = images.read_grey(tmp_path / "views" / "depth" / "000004.png").astype(float)
    scale = scales.get("depth_scales", {}).get("000004.png") or scales["depth_scale"]
    np.testing.assert_allclose(data.depth_world(1), found * scale, atol=data.info["depth_scale"])


def _through(lens: Lens, made: Scene) -> Scene:
    """The scene as the lens shows it: each pixel's ray is where the lens bends it from, found by iteration."""
    pictures = []
    for pose, k in zip(made.c2w, made.k, strict=True):
        width, height = made.size
        u, v = np.meshgrid((np.arange(width) + 0.5 - k[2]) / k[0], (np.arange(height) + 0.5 - k[3]) / k[1])
        x, y = u.copy(), v.copy()
        for _ in range(50):
            bent_x, bent_y = distorted(lens, x, y)
            x, y = x + u - bent_x, y + v - bent_y
        z, points = trace(pose, x, y)
        rgb = np.where(np.isfinite(z)[..., None], colour_of(points), 1.0)
        pictures.append(np.rint(rgb * 255).astype(np.uint8))
    return Scene(made.c2w, made.k, np.stack(pictures), made.alpha, made.depth_world)


def test_lens_distortion_is_taken_out(tmp_path: Path) -> None:
    """A wide view from near, so that the lens matters: after it is taken out, points lie on their colours."""
    near = alike(scene(7, radius=2.0))
    bent = _through(Lens((0.5, 0.2), (), 0.02, -0.02), near)
    write_ngp(tmp_path / "in", bent, k1=0.5, k2=0.2, p1=0.02, p2=-0.02)
    data = _prepare(tmp_path / "in", tmp_path / "out")
    c2w, k = data.cameras.c2w.double().numpy(), data.cameras.intrinsics.double().numpy()
    check_points(data.pictures(range(7)), c2w, k, margin_px=2.5, border_px=7)
    with pytest.raises(AssertionError):  # what was given: pixels away
        check_points(bent.rgb, near.c2w, near.k, margin_px=2.5, border_px=7)
    difference = np.abs(data.pictures(range(7)).astype(int) - near.rgb).max(-1)
    assert (difference > 40).mean() < 0.03 and data.mask(0)[0, 0] == 0 and data.mask(0)[24, 24] == 255
    assert (data.pictures([0])[0, 0, 0] == 255).all()


def test_the_tiny_nerf_synthetic_sample(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "transforms_tiny"
    if not root.is_dir():
        pytest.skip(f"'{root}' is not there")
    data = _prepare(root, tmp_path / "out")
    assert data.pictures([0, 1]).shape == (2, 50, 50, 3) and data.view_split.tolist() == [0, 1]
    assert data.cameras.intrinsics[0].tolist() == pytest.approx([69.444, 69.444, 25, 25], abs=1e-2)
    eye = data.cameras.c2w[:, :3, 3].numpy()
    np.testing.assert_allclose(eye[0], [-0.053798, 1.208082, -3.845470], atol=1e-5)  # (x, z, -y) of the file
    assert data.info["licence"].startswith("LICENSE: ") and data.camera_prior.radius_world == pytest.approx(
        4.0311, abs=1e-3
    )


def test_mixed_sizes_need_a_size(tmp_path: Path) -> None:
    folder = write_ngp(tmp_path / "in", alike(scene(3, 16, 16)))
    images.write_image(folder / "images" / "0001.png", alike(scene(3, 32, 32)).rgb[1])
    with pytest.raises(G3dError, match=r"0001\.png' has the size 32x32, '.*0000\.png' 16x16; give --size"):
        _prepare(folder, tmp_path / "out")
    assert _prepare(folder, tmp_path / "out", size=16).cameras.intrinsics[:, 2].tolist() == [8, 8, 8]


def test_mirrored_copies(tmp_path: Path) -> None:
    data = _prepare(write_ngp(tmp_path / "in", SHARED), tmp_path / "out", mirror=True)
    assert len(data.object_names) == 2 and len(data.view_object) == 14
    assert (data.pictures([9])[0] == SHARED.rgb[2][:, ::-1]).all()
    np.testing.assert_allclose(data.cameras.c2w[9, :3, 3].numpy(), SHARED.c2w[2, :3, 3] * [-1, 1, 1], atol=1e-6)


def _frame(**change: Any) -> Any:
    def apply(data: dict[str, Any]) -> None:
        data["frames"][1] |= change

    return apply


def _head(**change: Any) -> Any:
    return lambda data: data.update(change)


def _pose(row: int, column: int, value: float) -> Any:
    def apply(data: dict[str, Any]) -> None:
        data["frames"][1]["transform_matrix"][row][column] = value

    return apply


def _mirrored(data: dict[str, Any]) -> None:
    for row in data["frames"][1]["transform_matrix"][:3]:
        row[0] *= -1


BAD = {
    "NaN": (_pose(0, 3, math.nan), "frame 1 of .* has numbers that are not finite"),
    "left-handed": (_mirrored, "frame 1 of .* is left-handed"),
    "singular": (_frame(transform_matrix=[[0.0] * 4] * 3 + [[0, 0, 0, 1.0]]), "frame 1 of .* is singular"),
    "scale": (_pose(0, 0, 3.0), "frame 1 of .* (scales or shears|is left-handed)"),
    "3x4": (_frame(transform_matrix=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]), "frame 1 of .* has the size 3x4; wanted is 4x4"),
    "no matrix": (lambda data: data["frames"][1].pop("transform_matrix"), "transform_matrix"),
    "no frames": (_head(frames=[]), "has no frames"),
    "frames are words": (_head(frames=["a"]), "is not a transforms.json that can be read"),
    "focal": (_frame(fl_x=-3.0), "frame 1 of .* focal lengths"),
    "no focal": (lambda data: [data.pop(n) for n in ("fl_x", "camera_angle_x")], "camera_angle_x"),
    "panorama": (_head(camera_model="EQUIRECTANGULAR"), "camera model EQUIRECTANGULAR"),
    "mask absent": (_frame(mask_path="masks/gone.png"), "has no mask, other pictures of"),
    "form": (_frame(w=48, h=16), r"0001\.png' has the size 16x16, what its camera is for 48x16"),
    "up": (_head(world_up="sideways"), "world_up 'sideways'; it is one of x, y"),
    "depth scale": (_frame(depth_file_path="d.png", depth_unit_scale_factor=0), "has the scale 0"),
}  # fmt: skip


OF_A_FRAME = ("NaN", "left-handed", "singular", "scale", "3x4", "focal", "form", "depth scale")


@pytest.mark.parametrize("kind", BAD)
def test_bad_scenes_are_refused_by_their_frame_or_skipped(tmp_path: Path, kind: str) -> None:
    change, words = BAD[kind]
    for name in ("bad", "good"):
        write_ngp(tmp_path / "in" / name, alike(scene(2, 16, 16)))
    file = tmp_path / "in" / "bad" / "transforms.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    for source in (file, file.parent, tmp_path / "in"):
        with pytest.raises(G3dError, match=words):
            _prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    kept = _prepare(tmp_path / "in", tmp_path / "out", skip_bad=True)
    if kind in OF_A_FRAME:  # the frame goes, the scene stays
        assert (
            kept.object_names == ["bad", "good"] and len(kept.views(0)) == 1 and not kept.info["provenance"]["skipped"]
        )
    else:
        assert kept.object_names == ["good"] and len(kept.info["provenance"]["skipped"]) == 1


def test_workers_need_no_torch_and_give_the_same_bytes(tmp_path: Path) -> None:
    """Items go to other processes, which import what they name."""
    folder = write_nerfstudio(tmp_path / "in", alike(scene(2, 16, 16)), k1=0.1)
    item = transforms.collect(Request(str(folder), transforms.Options())).items[0]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there, modules = pool.submit(made_with_modules, item.make).result()
    here = item.make()
    assert [view.files() for view in there.views] == [view.files() for view in here.views]
    np.testing.assert_array_equal(there.columns["c2w"], here.columns["c2w"])
    assert "g3d.sources.transforms" in modules and "torch" not in modules


def test_listings_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(G3dError, match=r"holds no transforms\.json"):
        _prepare(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "transforms.json").write_text('{"frames": [')
    with pytest.raises(G3dError, match=r"transforms\.json' is not valid JSON"):
        _prepare(tmp_path / "in", tmp_path / "out")
    with pytest.raises(G3dError, match="--group is 'folder'; it is one of auto, file, none"):
        _prepare(tmp_path / "in", tmp_path / "out", group="folder")
    folder = write_ngp(tmp_path / "cut", alike(scene(2, 16, 16)))
    picture = folder / "images" / "0001.png"
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(G3dError, match=r"0001\.png"):
        _prepare(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
