"""First hits of an occupancy field, against a sphere written down as a network.

sin^2 v = (1 - cos 2v) / 2, so a layer of cosines sums to a function of x, y, z whose level sets are, near the middle,
close to spheres; exactly: occupancy = sigmoid(k (sum_i cos(x_i) - c)). Its surface along a ray is found by bisection.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from g3d.cameras import CameraPrior
from g3d.render.occupancy import BASE_COLOUR, STEPS, first_hit
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import MlpField, World

PRIOR = CameraPrior(4.0, 40.0, 15, 15, default_azimuth_deg=0, default_elevation_deg=0)
LEVEL = 3 - 0.5 * 0.8**2  # sum of cosines = LEVEL is close to the sphere of radius 0.8
BACK = (0.1, 0.2, 0.3)


def field(sharpness: float = 4.0, sign: float = 1.0) -> MlpField:
    """cos x + cos y + cos z - LEVEL, times sharpness, through a sigmoid."""
    weight = torch.eye(3)[None]
    network = Network(
        (Layer("waves", ("x",), Activation("sin", offset=math.pi / 2)), Layer("out", ("waves",), Activation("linear"))),
        {"occupancy": Output("out", 0, 1, Activation("sigmoid"))},
        {"x": Encoding()},
    )
    out = (torch.full((1, 1, 3), sharpness * sign), torch.full((1, 1), -sharpness * sign * LEVEL))
    world = World(((-1.0,) * 3, (1.0,) * 3), near_world=1.0, far_world=8.0, background=BACK)
    return MlpField({"waves": (weight, torch.zeros(1, 3)), "out": out}, network, world, "occupancy")


def hit_by_bisection(origin: list[float], direction: list[float]) -> float | None:
    """t of the first point with sum cos = LEVEL inside the box."""

    def value(t: float) -> float:
        return sum(math.cos(o + t * d) for o, d in zip(origin, direction, strict=True)) - LEVEL

    def inside_box(t: float) -> bool:
        return all(abs(o + t * d) <= 1 for o, d in zip(origin, direction, strict=True))

    ts = [1 + 7 * i / 2000 for i in range(2001)]
    for a, b in pairwise(ts):
        if inside_box(a) and inside_box(b) and value(b) > 0:
            for _ in range(60):
                middle = (a + b) / 2
                a, b = (a, middle) if value(middle) > 0 else (middle, b)
            return a
    return None


def test_depth_and_silhouette_of_a_ball() -> None:
    camera = PRIOR.default()
    rgb, alpha, depth = first_hit(field(), camera, BACK)
    focal = float(camera.intrinsics[0, 0])
    hits = 0
    for row in range(15):
        for column in range(15):
            direction = [(column - 7) / focal, -(row - 7) / focal, -1.0]
            wanted = hit_by_bisection([0, 0, 4.0], direction)
            if wanted is None:
                assert alpha[0, row, column] == 0 and depth[0, row, column] == 0
                assert rgb[0, row, column].tolist() == pytest.approx(BACK)
            else:
                hits += 1
                assert alpha[0, row, column] == 1
                assert float(depth[0, row, column]) == pytest.approx(wanted, abs=2e-3)
    assert 40 < hits < 200
    straight = math.acos(LEVEL - 2)  # along the axis: cos z = LEVEL - 2
    assert float(depth[0, 7, 7]) == pytest.approx(4 - straight, abs=1e-3)


def test_the_middle_faces_the_light_and_the_rim_turns_away() -> None:
    rgb, alpha, _ = first_hit(field(), PRIOR.default(), BACK)
    assert rgb[0, 7, 7].tolist() == pytest.approx(list(BASE_COLOUR), abs=1e-3)
    row = rgb[0, 7][alpha[0, 7] == 1][:, 0]
    assert len(row) > 6 and row.argmax() == len(row) // 2
    assert float(row[0]) < 0.8 * float(row.max()) and float(row[0]) == pytest.approx(float(row[-1]), abs=1e-3)


def test_depth_is_camera_z_from_every_side() -> None:
    cameras = replace(PRIOR, default_elevation_deg=0).orbit(4)
    _, _, depth = first_hit(field(), cameras, BACK)
    straight = 4 - math.acos(LEVEL - 2)
    assert depth[:, 7, 7].tolist() == pytest.approx([straight] * 4, abs=1e-3)


def test_a_surface_cut_by_the_box_is_seen_at_the_box() -> None:
    """Occupied everywhere outside the ball: the first hit is the face of the box."""
    _, alpha, depth = first_hit(field(sign=-1.0), PRIOR.default(), BACK)
    assert alpha[0, 7, 7] == 1 and float(depth[0, 7, 7]) == pytest.approx(3.0, abs=1e-5)


def test_an_empty_field_shows_the_background() -> None:
    empty = field()
    empty.weights["out"][1].fill_(-99.0)
    rgb, alpha, depth = first_hit(empty, PRIOR.default(), BACK)
    assert float(alpha.max()) == 0 and float(depth.max()) == 0
    torch.testing.assert_close(rgb, torch.tensor(BACK).expand_as(rgb))


def test_a_sharp_field_is_found_to_a_step() -> None:
    depth = first_hit(field(sharpness=4000.0), PRIOR.default(), BACK)[2]
    assert float(depth[0, 7, 7]) == pytest.approx(4 - math.acos(LEVEL - 2), abs=2 / (STEPS - 1))
