"""The one camera convention, checked with pencil and paper, and where cameras stand."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.cameras import (
    DISTORTION,
    CameraPrior,
    Cameras,
    focal_from_fov,
    from_transforms,
    look_at,
    read_transforms,
    to_transforms,
    write_transforms,
)
from g3d.errors import G3dError
from torch import Tensor

PRIOR = CameraPrior(radius_world=2.0, fov_deg=90.0, width=8, height=4)


def project(cameras: Cameras, point: tuple[float, float, float], view: int = 0) -> tuple[float, float, float]:
    """(x, y, z): pixel coordinates and depth of a world point."""
    world = torch.tensor([*point, 1.0], dtype=torch.float64)
    x, y, z, _ = (torch.linalg.inv(cameras.c2w[view].double()) @ world).tolist()
    fx, fy, cx, cy = cameras.intrinsics[view].double().tolist()
    return fx * x / z + cx, fy * y / z + cy, z


def angles_deg(cameras: Cameras, target: tuple[float, ...] = (0, 0, 0)) -> tuple[Tensor, Tensor, Tensor]:
    """azimuth around +y from +z, elevation, radius of where the cameras stand."""
    d = cameras.c2w[:, :3, 3].double() - torch.tensor(target, dtype=torch.float64)
    radius = d.norm(dim=1)
    azimuth = torch.rad2deg(torch.atan2(d[:, 0], d[:, 2])) % 360
    return azimuth, torch.rad2deg(torch.asin((d[:, 1] / radius).clamp(-1, 1))), radius


def test_a_camera_on_the_z_axis_with_pencil_and_paper() -> None:
    """At (0, 0, 2), 90 degrees wide, 8 x 4 pixels: fx = fy = 4, the centre is (4, 2), one unit at distance 2 is 2 pixels."""
    camera = replace(PRIOR, default_azimuth_deg=0, default_elevation_deg=0).default()
    assert camera.intrinsics[0].tolist() == pytest.approx([4, 4, 4, 2])
    assert camera.c2w[0].flatten().tolist() == pytest.approx([1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2, 0, 0, 0, 1])
    assert project(camera, (0, 0, 0)) == pytest.approx((4, 2, 2))
    assert project(camera, (1, 0, 0)) == pytest.approx((6, 2, 2))  # world +x is right in the picture
    assert project(camera, (0, 1, 0)) == pytest.approx((4, 0, 2))  # world +y is up, pixel y runs down
    assert project(camera, (0, 0, 1)) == pytest.approx((4, 2, 1))  # nearer: depth is along z
    assert project(camera, (1, 0, 1)) == pytest.approx((8, 2, 1))  # 45 degrees: the right border


def test_azimuth_turns_around_y_from_z_to_x() -> None:
    camera = replace(PRIOR, default_azimuth_deg=90, default_elevation_deg=0).default()
    assert camera.c2w[0, :3, 3].tolist() == pytest.approx([2, 0, 0], abs=1e-6)
    assert project(camera, (0, 0, -1)) == pytest.approx((6, 2, 2), abs=1e-5)  # from +x, -z lies to the right
    above = replace(PRIOR, default_azimuth_deg=0, default_elevation_deg=30, target=(1.0, 2.0, 3.0)).default()
    assert above.c2w[0, :3, 3].tolist() == pytest.approx([1, 2 + 1, 3 + math.sqrt(3)])
    assert project(above, (1, 2, 3)) == pytest.approx((4, 2, 2), abs=1e-5)


def test_look_at_is_a_proper_rotation_that_keeps_up_upward() -> None:
    draw = torch.Generator().manual_seed(0)
    eye = torch.randn(200, 3, generator=draw, dtype=torch.float64) * 3
    target = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    c2w = look_at(eye, target)
    rotation = c2w[:, :3, :3]
    eye3 = torch.eye(3, dtype=torch.float64).expand(200, 3, 3)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), eye3, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(200, dtype=torch.float64))
    forward = (target - eye) / (target - eye).norm(dim=1, keepdim=True)
    torch.testing.assert_close(rotation[:, :, 2], forward)
    assert rotation[:, 1, 0].abs().max() < 1e-12  # right is horizontal
    assert (rotation[:, 1, 1] < 0).all()  # down points down
    assert torch.equal(c2w[:, 3], torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(200, 4))


@pytest.mark.parametrize(("height", "down_z"), [(2.0, 1.0), (-2.0, -1.0)])
def test_straight_down_and_straight_up(height: float, down_z: float) -> None:
    c2w = look_at(torch.tensor([[0.0, height, 0.0]], dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    wanted = [[1.0, 0, 0], [0, 0, -math.copysign(1, height)], [0, down_z, 0]]
    torch.testing.assert_close(c2w[0, :3, :3], torch.tensor(wanted, dtype=torch.float64))
    assert torch.linalg.det(c2w[0, :3, :3]) == pytest.approx(1)


def test_orbit() -> None:
    cameras = PRIOR.orbit(8, elevation_deg=10)
    azimuth, elevation, radius = angles_deg(cameras)
    assert azimuth.tolist() == pytest.approx([(35 + 45 * i) % 360 for i in range(8)], abs=1e-3)
    assert elevation.tolist() == pytest.approx([10] * 8, abs=1e-4) and radius.tolist() == pytest.approx([2] * 8)
    assert angles_deg(PRIOR.orbit(3))[1].tolist() == pytest.approx([20] * 3, abs=1e-4)


def test_spiral_covers_the_band_evenly_in_height() -> None:
    cameras = replace(PRIOR, elevation_deg=(10.0, 80.0)).spiral(50)
    azimuth, elevation, _ = angles_deg(cameras)
    height = torch.sin(torch.deg2rad(elevation))
    low, high = math.sin(math.radians(10)), math.sin(math.radians(75))
    wanted = low + (torch.arange(50, dtype=torch.float64) + 0.5) / 50 * (high - low)
    torch.testing.assert_close(height, wanted, atol=1e-5, rtol=0)
    assert len({round(a, 2) for a in azimuth.tolist()}) == 50
    narrow = replace(PRIOR, elevation_deg=(20.0, 22.0)).spiral(3)  # narrower than the 5 degrees
    assert angles_deg(narrow)[1].tolist() == pytest.approx([20] * 3, abs=1e-4)


def test_grid_goes_row_by_row_from_high_to_low() -> None:
    azimuth, elevation, _ = angles_deg(PRIOR.grid(2, 4))
    assert elevation.tolist() == pytest.approx([85] * 4 + [0] * 4, abs=1e-3)
    assert azimuth.tolist() == pytest.approx([35, 125, 215, 305] * 2, abs=1e-2)
    front = replace(PRIOR, azimuth_deg=(10.0, 50.0), elevation_deg=(5.0, 25.0)).grid(3, 3)
    azimuth, elevation, _ = angles_deg(front)
    assert elevation.tolist() == pytest.approx([25] * 3 + [15] * 3 + [5] * 3, abs=1e-3)
    assert azimuth.tolist() == pytest.approx([10, 30, 50] * 3, abs=1e-3)


def test_a_sample_of_the_prior_is_its_own_whatever_the_batch() -> None:
    together, alone = PRIOR.sample(4, [0, 7, 3]), PRIOR.sample(4, [7])
    assert torch.equal(together.c2w[1], alone.c2w[0]) and len(together) == 3
    assert not torch.equal(PRIOR.sample(5, [7]).c2w, alone.c2w)


@pytest.mark.parametrize("distribution", ["area", "uniform", "normal"])
def test_the_distributions_of_the_prior(distribution: Any) -> None:
    """3000 cameras; a mean of n values of spread s is within 4 s / sqrt(n) of its expectation."""
    azimuth_deg, elevation_deg = (
        ((140.0, 160.0), (20.0, 40.0)) if distribution == "normal" else ((40.0, 100.0), (10.0, 60.0))
    )
    prior = replace(PRIOR, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, distribution=distribution)
    n = 3000
    azimuth, elevation, radius = angles_deg(prior.sample(0, range(n)))
    assert radius.sub(2).abs().max() < 1e-5
    if distribution == "normal":
        for angle, mean in ((azimuth, 150), (elevation, 30)):
            assert abs(float(angle.mean()) - mean) < 4 * 10 / n**0.5 and abs(float(angle.std()) - 10) < 4 * 10 / n**0.5
            assert 0.64 < float(((angle - mean).abs() < 10).double().mean()) < 0.72  # 68.3 % within one deviation
        return
    assert azimuth.min() >= 40 - 1e-3 and azimuth.max() <= 100 + 1e-3
    assert elevation.min() >= 10 - 1e-3 and elevation.max() <= 60 + 1e-3
    even = torch.sin(torch.deg2rad(elevation)) if distribution == "area" else elevation
    low, high = (math.sin(math.radians(10)), math.sin(math.radians(60))) if distribution == "area" else (10, 60)
    share = ((even - low) / (high - low)).sort().values
    # Kolmogorov-Smirnov: the largest gap to an even spread is below 1.95 / sqrt(n) with 99.9 %
    assert (share - torch.linspace(0, 1, n, dtype=torch.float64)).abs().max() < 1.95 / n**0.5


def test_the_prior_as_json() -> None:
    prior = replace(PRIOR, target=(1.0, 0.0, 0.0), distribution="uniform")
    assert CameraPrior.from_json(json.loads(json.dumps(prior.as_json())), "a file") == prior


@pytest.mark.parametrize(
    "changes",
    [{"colour": 1}, {"radius_world": "x"}, {"radius_world": 0}, {"fov_deg": 180}, {"width": 0}, {"target": [0, 0]},
     {"azimuth_deg": 5}, {"elevation_deg": [1, 2, 3]}, {"distribution": "gauss"}, {"fov_deg": None}],
)  # fmt: skip
def test_a_damaged_prior_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(G3dError, match=r"the camera prior of scenes/a"):
        CameraPrior.from_json({**PRIOR.as_json(), **changes}, "scenes/a")
    with pytest.raises(G3dError, match=r"fov_deg"):
        CameraPrior.from_json({"radius_world": 1.0}, "scenes/a")


def test_selections_and_sizes() -> None:
    cameras = PRIOR.orbit(5)
    assert torch.equal(cameras[2].c2w, cameras.c2w[2:3]) and len(cameras[1:4]) == 3
    assert torch.equal(cameras[[4, 0]].c2w, cameras.c2w[[4, 0]])
    double = cameras.resized(16, 12)  # twice as wide, three times as high
    assert (double.width, double.height) == (16, 12)
    assert double.intrinsics[0].tolist() == pytest.approx([8, 12, 8, 6])
    x, y, z = project(cameras, (0.3, 0.2, 0.1))
    assert project(double, (0.3, 0.2, 0.1)) == pytest.approx((2 * x, 3 * y, z))
    assert focal_from_fov(90, 100) == pytest.approx(50)


def test_transforms_json_round_trip(tmp_path: Path) -> None:
    base = replace(PRIOR, target=(0.5, 0.0, -1.0)).sample(1, range(6))
    k = torch.tensor([5.0, 6.0, 3.5, 2.25]) + torch.arange(6)[:, None]
    cameras = replace(base, intrinsics=k)
    write_transforms(tmp_path / "transforms.json", cameras, [f"{i}.png" for i in range(6)])
    found = read_transforms(tmp_path / "transforms.json")
    torch.testing.assert_close(found.c2w, cameras.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.intrinsics, cameras.intrinsics, atol=1e-6, rtol=0)
    assert (found.width, found.height) == (8, 4)


def test_what_other_tools_read_in_our_transforms_json() -> None:
    """OpenGL: a camera on the z axis that looks at the origin is a translation without a rotation."""
    data = to_transforms(replace(PRIOR, default_azimuth_deg=0, default_elevation_deg=0).default(), ["a.png"])
    flat = [v for row in data["frames"][0]["transform_matrix"] for v in row]
    assert flat == pytest.approx([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1])
    assert data["camera_angle_x"] == pytest.approx(math.pi / 2) and (data["w"], data["h"]) == (8, 4)


def nerf_synthetic(**changes: Any) -> dict[str, Any]:
    matrix = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]]
    frame = {"file_path": "./train/r_0", "transform_matrix": matrix}
    return {"camera_angle_x": math.pi / 2, "w": 100, "h": 80, "frames": [frame], **changes}


def test_camera_angle_x_alone_as_in_nerf_synthetic() -> None:
    cameras = from_transforms(nerf_synthetic(), "t.json")
    assert cameras.intrinsics[0].tolist() == pytest.approx([50, 50, 50, 40])
    assert project(cameras, (0.5, 0, 0)) == pytest.approx((50, 40, 4))
    assert project(cameras, (1.5, 1, 0)) == pytest.approx((50 + 12.5, 40 - 12.5, 4))


def test_the_tiny_nerf_synthetic_sample(shared_data: Path) -> None:
    path = shared_data / "transforms_tiny" / "transforms_train.json"
    if not path.is_file():
        pytest.skip(f"'{path}' is not there")
    data = json.loads(path.read_text())
    cameras = from_transforms({**data, "w": 800, "h": 800}, str(path))
    assert len(cameras) == len(data["frames"]) > 0
    assert cameras.intrinsics[0, 0] == pytest.approx(1111.111, abs=1e-2)  # the focal length known of this data set
    radius = cameras.c2w[:, :3, 3].norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, 4.0311), atol=1e-3, rtol=0)
    for view in range(len(cameras)):  # every camera looks at the origin
        x, y, z = project(cameras, (0, 0, 0), view)
        assert (x, y, z) == pytest.approx((400, 400, 4.0311), abs=0.5)


def changed(row: int, column: int, value: float) -> dict[str, Any]:
    data = nerf_synthetic()
    data["frames"][0]["transform_matrix"][row][column] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(0, 0, -1), "not a rotation"),  # a mirror
        (changed(0, 0, 2), "not a rotation"),  # a scale
        (changed(0, 1, 0.5), "not a rotation"),  # a shear: determinant 1
        (changed(0, 3, math.nan), "not a rotation"),
        (changed(0, 0, math.inf), "not a rotation"),
        (nerf_synthetic(frames=[{"transform_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}]), r"shape \[3, 3\].*\[4, 4\]"),
        (nerf_synthetic(frames=[{"transform_matrix": [[1, 0], [0]]}]), "transform_matrix"),
        (nerf_synthetic(frames=[{"file_path": "a"}]), "transform_matrix"),
        (nerf_synthetic(frames=[]), "frames"),
        (nerf_synthetic(frames=None), "frames"),
        (nerf_synthetic(frames=["a"]), "frames"),
        (nerf_synthetic(w=0), "'w' and 'h'"),
        (nerf_synthetic(w="wide"), "wide"),
        (nerf_synthetic(w=math.inf), "transforms.json"),
        ({k: v for k, v in nerf_synthetic().items() if k != "w"}, "'w' and 'h'"),
        ({k: v for k, v in nerf_synthetic().items() if k != "camera_angle_x"}, "camera_angle_x"),
        (nerf_synthetic(camera_angle_x=0), "camera_angle_x"),
        (nerf_synthetic(camera_angle_x="x"), "camera_angle_x"),
        (nerf_synthetic(fl_x=-3.0), "above 0"),
        (nerf_synthetic(fl_x=0), "above 0"),
        (nerf_synthetic(fl_x="3"), "fl_x"),
        (nerf_synthetic(fl_x=3.0, fl_y=0), "above 0"),
        (nerf_synthetic(fl_x=math.nan), "finite"),
        (nerf_synthetic(cx=None), "fl_x"),
        ([], "transforms.json"),
    ],
)
def test_poses_and_intrinsics_that_are_refused(data: Any, words: str) -> None:
    with pytest.raises(G3dError, match=f"'views/t.json'.*{words}|{words}.*'views/t.json'"):
        from_transforms(data, "views/t.json")


def test_a_pose_is_refused_by_its_frame() -> None:
    data = nerf_synthetic()
    data["frames"] = data["frames"] + [changed(2, 2, 9)["frames"][0]]
    with pytest.raises(G3dError, match="frame 1 of"):
        from_transforms(data, "t.json")


@pytest.mark.parametrize(
    ("change", "words"), [({"k1": 0.1}, "lens distortion (k1)"), ({"w": 9}, "use one size"), ({"p2": -1e-4}, "(p2)")]
)
def test_frames_that_these_cameras_cannot_express_are_refused(change: dict[str, float], words: str) -> None:
    prior = CameraPrior(radius_world=2.0, fov_deg=40.0, width=8, height=6)
    data = to_transforms(prior.orbit(2), ["a.png", "b.png"])
    data["frames"][1] |= change
    with pytest.raises(G3dError, match=re.escape(words)):
        from_transforms(data, "t.json")
    data["frames"][1] |= {"k1": 0.0, "p2": 0.0, "w": 8}
    assert len(from_transforms(data, "t.json")) == 2


def test_our_files_say_that_y_is_up_and_a_vertical_angle_is_a_focal_length() -> None:
    data = to_transforms(PRIOR.orbit(1), ["a.png"])
    assert data["world_up"] == "y"
    tall = nerf_synthetic(camera_angle_y=2 * math.atan(40 / 25))
    assert from_transforms(tall, "t.json").intrinsics[0].tolist() == pytest.approx([50, 25, 50, 40])
    assert from_transforms({**tall, "fl_y": 30.0}, "t.json").intrinsics[0, 1] == 30


def test_every_term_of_lens_distortion_is_refused() -> None:
    for name in DISTORTION:
        with pytest.raises(G3dError, match=rf"lens distortion \({name}\)"):
            from_transforms(nerf_synthetic(**{name: 0.1}), "t.json")
