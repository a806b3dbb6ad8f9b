"""Alignment of depth up to scale and shift: against least squares in float64, and gradients by finite differences."""

from collections.abc import Callable

import pytest
import torch
from g3d.losses import alignment
from g3d.losses.laplace import logit_laplace
from torch import Tensor


def rays(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [2, 9, 5] that sum to one, disparities in [0, 1], wanted depths [2, 9]."""
    g = torch.Generator().manual_seed(seed)
    weights = torch.rand(2, 9, 5, generator=g).softmax(dim=2)
    disparity = torch.rand(2, 9, 5, generator=g).sort(dim=2, descending=True).values
    return weights, disparity, torch.rand(2, 9, generator=g)


def least_squares(weights: Tensor, disparity: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """s and t [2] of the weighted problem, picture by picture, without a ridge."""
    found = []
    for w, d, y in zip(weights.double(), disparity.double(), wanted.double(), strict=True):
        root = w.flatten().sqrt()
        a = torch.stack([root * d.flatten(), root], dim=1)
        found.append(
            torch.linalg.lstsq(a, (root * y.unsqueeze(1).expand_as(d).flatten()).unsqueeze(1)).solution.squeeze(1)
        )
    return torch.stack(found).unbind(dim=1)  # type: ignore[return-value]


@pytest.mark.parametrize("ends", [False, True])
def test_scale_and_shift_are_those_of_least_squares(ends: bool) -> None:
    weights, disparity, wanted = rays()
    if ends:  # weights of a ray need not sum to one
        weights = weights * torch.linspace(0.1, 1, 9).unsqueeze(1)
    found, (s, t) = alignment.pointwise(weights, disparity, wanted), least_squares(weights, disparity, wanted)
    torch.testing.assert_close(found.scale.double(), s, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(found.shift.double(), t, atol=2e-3, rtol=2e-3)
    error = (s[:, None, None] * disparity + t[:, None, None] - wanted.unsqueeze(2)).square()
    torch.testing.assert_close(found.residual.double(), (weights * error).sum(dim=2).mean(dim=1), atol=1e-5, rtol=1e-4)


def test_the_accumulated_map_is_aligned_as_a_picture_is() -> None:
    weights, disparity, wanted = rays(1)
    mean = (weights * disparity).sum(dim=2)
    found = alignment.accumulated(weights, disparity, wanted)
    s, _ = least_squares(torch.ones(2, 9, 1), mean.unsqueeze(2), wanted)
    torch.testing.assert_close(found.scale.double(), s, atol=2e-2, rtol=2e-2)
    assert (found.residual <= alignment.pointwise(weights, disparity, wanted).residual + 1e-5).all()


def test_one_heavy_sample_a_ray_at_the_depth_costs_nothing() -> None:
    """eq. 2 is smallest where all weight lies at one place, which is the depth up to scale and shift."""
    wanted = torch.rand(1, 30)
    place = (wanted - 0.3) / 0.8
    weights = torch.tensor([0.0, 1.0, 0.0]).expand(1, 30, 3)
    disparity = torch.stack([place + 0.2, place, place - 0.4], dim=2)
    found = alignment.pointwise(weights, disparity, wanted)
    assert float(found.residual) < 1e-6 and float(found.scale) == pytest.approx(0.8, abs=2e-3)
    assert float(alignment.accuracy(disparity[..., 1], wanted)) < 1e-6


@pytest.mark.parametrize("which", [lambda a: a.scale, lambda a: a.residual])
def test_gradients(which: Callable[[alignment.Alignment], Tensor]) -> None:
    """The scale's has all of its gradient through the alignment; in double precision, by finite differences."""
    weights, disparity, wanted = rays(2)

    def value(w: Tensor) -> Tensor:
        first, second = (w * disparity).sum(dim=2), (w * disparity.square()).sum(dim=2)
        return which(alignment.aligned(w.sum(dim=2), first, second, wanted.double())).sum()

    w = weights.double().requires_grad_()
    (found,) = torch.autograd.grad(value(w), w)
    for place in ((0, 0, 0), (1, 4, 2), (0, 8, 4)):
        step = torch.zeros_like(w)
        step[place] = 1e-6
        slope = (value(w.detach() + step) - value(w.detach() - step)) / 2e-6
        assert float(found[place]) == pytest.approx(float(slope), rel=1e-4, abs=1e-9)


def test_the_scale_may_be_small_or_backward_at_a_cost() -> None:
    found = alignment.scale_loss(torch.tensor([-0.5, 0.0, 0.7, 1.0, 3.0]), 0.25)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0, 0.0, 0.0, 0.5]))


def test_accuracy_is_two_minus_twice_the_correlation() -> None:
    x, y = torch.randn(2, 3, 400, generator=torch.Generator().manual_seed(3))
    wanted = [2 * (1 - float(torch.corrcoef(torch.stack([a, b]))[0, 1])) for a, b in zip(x, y, strict=True)]
    torch.testing.assert_close(alignment.accuracy(x, y), torch.tensor(wanted), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alignment.accuracy(x, 5 - 3 * x), torch.full((3,), 4.0))
    torch.testing.assert_close(alignment.accuracy(torch.ones(3, 400), y), torch.full((3,), 2.0))  # flat


def test_logit_laplace_by_hand() -> None:
    found = logit_laplace(torch.tensor([0.5, 1.0, 1.001]), torch.tensor([0.0, 1.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor([2.1972246, 0.0, 0.0089288]), atol=1e-5, rtol=1e-4)
