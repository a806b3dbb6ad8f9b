"""Rays through pixel centres, and boxes, against brute force."""

import math
from dataclasses import replace

import pytest
import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.render.rays import camera_rays, clip_to_box, pixel_directions
from torch import Tensor

LOW, HIGH = torch.tensor([-1.0, -0.5, -2.0]), torch.tensor([1.0, 0.5, 0.25])


def uneven(views: int = 1) -> Cameras:
    """Cameras with unequal focal lengths and a centre off the middle."""
    base = CameraPrior(radius_world=3.0, fov_deg=50, width=5, height=4, target=(0.2, 0.1, 0)).sample(0, range(views))
    return replace(base, intrinsics=torch.tensor([7.0, 6.0, 2.2, 1.7]).repeat(views, 1))


def test_rays_project_back_to_pixel_centres_and_t_is_camera_z() -> None:
    camera = uneven()
    origin, directions = camera_rays(camera)
    w2c = torch.linalg.inv(camera.c2w[0].double())
    fx, fy, cx, cy = camera.intrinsics[0].double().tolist()
    assert directions.shape == (20, 3)
    for row in range(4):
        for column in range(5):
            for t in (0.5, 3.0):
                point = origin.double() + t * directions[row * 5 + column].double()
                x, y, z, _ = (w2c @ torch.cat([point, torch.ones(1, dtype=torch.float64)])).tolist()
                assert (fx * x / z + cx, fy * y / z + cy, z) == pytest.approx((column + 0.5, row + 0.5, t), abs=1e-5)


def test_chosen_pixels_are_those_of_the_whole_picture() -> None:
    cameras = uneven(3)
    pixels = torch.tensor([[0, 7, 19], [3, 3, 4], [18, 1, 0]])
    batch = pixel_directions(cameras.intrinsics, cameras.c2w, pixels, 5)
    for v in range(3):
        torch.testing.assert_close(batch[v], camera_rays(cameras[v])[1][pixels[v]])
        torch.testing.assert_close(batch[v], camera_rays(cameras[v], pixels[v])[1])


def brute(origin: Tensor, direction: Tensor, near: float, far: float) -> tuple[float, float] | None:
    """First and last of many t in [near, far] whose point lies in the box."""
    t = torch.linspace(near, far, 20001, dtype=torch.float64)
    points = origin.double() + t[:, None] * direction.double()
    inside = ((points >= LOW) & (points <= HIGH)).all(dim=1)
    return (float(t[inside][0]), float(t[inside][-1])) if inside.any() else None


def test_boxes_against_brute_force() -> None:
    g = torch.Generator().manual_seed(0)
    origins = torch.randn(300, 3, generator=g) * 1.5
    directions = torch.randn(300, 3, generator=g)
    directions[::5, 0] = 0.0  # parallel to two faces
    directions[1::10, :2] = 0.0  # along an edge
    directions[2::10] *= torch.tensor([1e-9, 1.0, 1.0])
    near, far = 0.1, 4.0
    start, end = clip_to_box(origins, directions, LOW, HIGH, near, far)
    step, kinds = (far - near) / 20000, {"hit": 0, "miss": 0, "inside": 0}
    for i in range(300):
        wanted = brute(origins[i], directions[i], near, far)
        if wanted is None:
            assert end[i] - start[i] < 2 * step, i
            kinds["miss"] += 1
        else:
            assert (float(start[i]), float(end[i])) == pytest.approx(wanted, abs=2 * step), i
            kinds["inside" if wanted[0] == near else "hit"] += 1
    assert min(kinds.values()) > 10, kinds


@pytest.mark.parametrize(
    ("origin", "direction", "wanted"),
    [
        ((-3.0, 0, 0), (1.0, 0, 0), (2.0, 4.0)),
        ((3.0, 0, 0), (-2.0, 0, 0), (1.0, 2.0)),
        ((0.0, 0, 0), (0, 0, 1.0), (0.1, 0.25)),  # starts inside
        ((0.0, 0, 0), (0, 0, -1.0), (0.1, 2.0)),
        ((0.0, 0, 3), (0, 0, 1.0), None),  # the box is behind
        ((0.0, 0.6, -5), (0, 0, 1.0), None),  # passes beside, parallel to four faces
        ((0.0, 0.4, -5), (0, 0, 1.0), (3.0, 5.25)),
        ((0.0, 0, -20), (0, 0, 1.0), None),  # beyond far
        ((0.0, 0, -9), (0, 0, 1.0), (7.0, 9.25)),
        ((0.0, 0, -9.5), (0, 0, 1.0), (7.5, 9.5)),  # cut by far
    ],
)
def test_boxes_with_pencil_and_paper(
    origin: tuple[float, ...], direction: tuple[float, ...], wanted: tuple[float, float] | None
) -> None:
    start, end = clip_to_box(torch.tensor([origin]), torch.tensor([direction]), LOW, HIGH, 0.1, 9.5)
    if wanted is None:
        assert start >= end
    else:
        assert (float(start), float(end)) == pytest.approx(wanted, abs=1e-5)


def test_unbounded_is_near_to_far() -> None:
    start, end = clip_to_box(torch.zeros(2, 3), torch.ones(2, 3), LOW, HIGH, 0.25, 7.0, unbounded=True)
    assert start.tolist() == [0.25, 0.25] and end.tolist() == [7.0, 7.0]


def test_a_direction_has_camera_z_one() -> None:
    _, directions = camera_rays(uneven())
    forward = uneven().c2w[0, :3, 2]
    torch.testing.assert_close(directions @ forward, torch.ones(20), atol=1e-5, rtol=0)
    corner = math.sqrt(1 + ((0.5 - 2.2) / 7) ** 2 + ((0.5 - 1.7) / 6) ** 2)
    assert float(directions[0].norm()) == pytest.approx(corner, abs=1e-6)
