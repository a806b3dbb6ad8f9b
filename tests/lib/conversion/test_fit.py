"""The parts of the fit: the start, the optimiser, what a held-out figure is."""

from dataclasses import replace

import pytest
import torch
from g3d.conversion.fit import RATES, Adam
from g3d.conversion.start import start_points
from g3d.conversion.views import drawn_views, psnr, surface_points
from g3d.progress import SILENT
from toy_scenes import occupancy, triplane


def test_the_start_lies_on_the_surface() -> None:
    """Occupied below y = 0 within the box: what is seen from above the horizon is the plane y = 0, and the box's sides."""
    views = drawn_views(occupancy(), 6, 32, 0, "views", SILENT)
    points = surface_points(views, 500, 0)
    x, y, z = points.means.unbind(1)
    top = y.abs() < 0.05
    side = ((x.abs() - 1).abs() < 0.05) | ((z.abs() - 1).abs() < 0.05)
    assert bool((top | side).all()) and int(top.sum()) > 50
    assert 2 < points.depth_world < 4
    again = surface_points(views, 500, 0)
    assert torch.equal(again.means, points.means)
    assert not torch.equal(surface_points(views, 500, 1).means, points.means)


def test_half_of_the_start_is_export_plys() -> None:
    """Also below, where no camera looks; of unbounded space, and of what has no surface, all is what pictures show."""
    scene = occupancy()
    views = drawn_views(scene, 4, 24, 0, "views", SILENT)
    points, seen = start_points(scene, views, 401, 0), surface_points(views, 201, 0)
    assert points.means.shape == points.rgb.shape == (401, 3) and points.depth_world == seen.depth_world
    assert torch.equal(points.means[200:], seen.means) and torch.equal(points.rgb[200:], seen.rgb)
    meshed = points.means[:200]
    on_box = ((meshed.abs() - 1).abs() < 0.02).any(dim=1)
    assert bool(((meshed[:, 1].abs() < 0.02) | on_box).all())
    below = int(((meshed[:, 1] + 1).abs() < 0.02).sum())
    assert 30 < below < 70  # a quarter of the area: top and bottom 4 each, four sides 2 each
    assert torch.allclose(points.rgb[:200], torch.tensor(0.65))
    endless = replace(triplane(24), contraction="sphere", scale=2.0)
    thin = replace(triplane(24), nerf=((torch.zeros(1, 4, 2), torch.tensor([[9.0, -9, 9, -2]])),))
    for other in (endless, thin):
        views = drawn_views(other, 3, 16, 0, "views", SILENT)
        assert torch.equal(start_points(other, views, 50, 0).means, surface_points(views, 50, 0).means)


def test_adam_is_torchs_and_rows_keep_their_history() -> None:
    g = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(5, 3, generator=g).requires_grad_(), torch.empty(0)
    theirs = ours.detach().clone().requires_grad_()
    reference = torch.optim.Adam([theirs], lr=RATES["sh"], eps=1e-15)
    adam = Adam({"sh": ours})
    for _ in range(4):
        grad = torch.randn(5, 3, generator=g)
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        adam.step({"sh": ours}, RATES)
        reference.step()
    torch.testing.assert_close(ours, theirs)
    adam.keep(torch.tensor([3, 1, -1]))
    fewer = ours.detach()[[3, 1, 1]].clone().requires_grad_()
    grad = torch.randn(3, 3, generator=g)
    fewer.grad = grad.clone()
    theirs.grad = torch.zeros(5, 3)
    theirs.grad[3], theirs.grad[1] = grad[0], grad[1]
    adam.step({"sh": fewer}, RATES)
    reference.step()
    torch.testing.assert_close(fewer[:2], theirs[[3, 1]])


def test_psnr_by_hand() -> None:
    """One view off by 0.1 everywhere (20 dB), one by 0.01 (40 dB): their mean."""
    true = torch.full((2, 4, 4, 3), 0.5)
    drawn = true + torch.tensor([0.1, 0.01])[:, None, None, None]
    assert psnr(drawn, true) == pytest.approx(30, abs=1e-3)
