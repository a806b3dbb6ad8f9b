"""Sums of inverse depth along rays, against float64 by brute force and by hand."""

import math
from dataclasses import replace

import pytest
import torch
from g3d import render
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.render import FieldSettings, render_scene, render_with_disparity
from g3d.scenes.scene import Scene
from toy_scenes import gaussians, image_field, occupancy, radiance, triplane
from walls import FAR, NEAR, PRIOR, wall


def inverse(t: float) -> float:
    return (1 / t - 1 / FAR) / (1 / NEAR - 1 / FAR)


@pytest.mark.parametrize("z", [-1.0, 0.25])
def test_a_wall_at_a_known_depth(z: float) -> None:
    """The camera stands at z = 3 and looks along -z, so the wall's camera z is 3 - z in every pixel."""
    drawn, sums = render_with_disparity(wall(z), PRIOR.default())
    torch.testing.assert_close(drawn.alpha, torch.ones(1, 5, 7))
    torch.testing.assert_close(sums.first, torch.full((1, 5, 7), inverse(3 - z)), atol=2e-3, rtol=0)
    torch.testing.assert_close(sums.second, torch.full((1, 5, 7), inverse(3 - z) ** 2), atol=2e-3, rtol=0)


def test_fog_by_brute_force_in_float64() -> None:
    """Red fog of density 5 in the box: 8 intervals a ray, weights and D of each by hand."""
    scene = replace(radiance(), world=replace(radiance().world, near_world=NEAR, far_world=FAR))
    drawn, sums = render_with_disparity(scene, PRIOR.default())
    focal = 0.5 * 7 / math.tan(math.radians(22.5))
    for row, column in ((2, 3), (1, 2), (3, 5)):
        norm = math.sqrt(1 + ((column - 3) ** 2 + (row - 2) ** 2) / focal**2)
        slopes = abs(column - 3) / focal, abs(row - 2) / focal
        enter, leave = 2.0, min([4.0, *(1 / s for s in slopes if s)])  # the box's front and back, or a side
        width, through, first, second, weight = (leave - enter) / 8, 1.0, 0.0, 0.0, 0.0
        for k in range(8):
            w = through * (1 - math.exp(-5 * width * norm))
            D = inverse(enter + (k + 0.5) * width)
            first, second, weight = first + w * D, second + w * D * D, weight + w
            through -= w
        found = [float(values[0, row, column]) for values in (sums.first, sums.second, drawn.alpha)]
        assert found == pytest.approx([first, second, weight], abs=1e-6)
    wide, missed = render_with_disparity(scene, replace(PRIOR, fov_deg=90.0).default())
    assert float(missed.first[0, 0, 0]) == float(wide.alpha[0, 0, 0]) == 0  # the corner's ray misses the box


@pytest.mark.parametrize("scene", [radiance(), triplane(), wall(0.0)], ids=["field", "triplane", "wall"])
def test_the_picture_is_the_same_to_the_bit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = CameraPrior(3.0, 45.0, 7, 5).orbit(2)
    plain = render_scene(scene, cameras)
    drawn, sums = render_with_disparity(scene, cameras)
    assert all(torch.equal(a, b) for a, b in zip(plain, drawn, strict=True))
    assert sums.first.shape == sums.second.shape == (2, 5, 7) and float(sums.first.max()) > 0
    assert bool((sums.second <= sums.first + 1e-6).all()) and bool((sums.first <= drawn.alpha + 1e-6).all())
    monkeypatch.setattr(render, "POINTS_PER_CHUNK", 40)
    few = render_with_disparity(scene, cameras)[1]
    torch.testing.assert_close(few.first, sums.first, atol=1e-6, rtol=0)


def test_skipping_empty_space_loses_nothing() -> None:
    field = wall(0.25)
    found = [
        render_with_disparity(field, PRIOR.default(), FieldSettings(samples=64, skip_empty=how))[1].first
        for how in ("on", "off")
    ]
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_other_scenes_are_refused() -> None:
    for scene, words in (
        (gaussians(), "this scene is Gaussians"), (occupancy(), "signal occupancy"), (image_field(), "signal image"),
        (replace(radiance(), world=replace(radiance().world, near_world=0.0)), "lies at 0; it must be above 0"),
    ):  # fmt: skip
        with pytest.raises(G3dError, match=words):
            render_with_disparity(scene, PRIOR.default())
