"""The parts of the fit: the start, the optimiser, what a held-out figure is."""

import pytest
import torch
from g3d.conversion.fit import RATES, Adam
from g3d.conversion.views import drawn_views, psnr, surface_points
from g3d.progress import SILENT
from toy_scenes import occupancy


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
