"""Losses of rays against double loops in float64, by hand, and by finite differences."""

import math
from itertools import pairwise

import pytest
import torch
from g3d.losses.rays import bound, distortion, interlevel
from g3d.render.volume import resample
from torch import Tensor

F64 = torch.float64


def edges_of(*shape: int, seed: int) -> Tensor:
    """Uneven, from 0 to 1."""
    steps = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) + 0.02
    places = torch.cat([torch.zeros(*shape[:-1], 1, dtype=F64), steps.cumsum(dim=-1)], dim=-1)
    return places / places[..., -1:]


def weights(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) ** 3 / shape[-1]


def test_distortion_against_the_double_sum() -> None:
    w, s = weights(2, 3, 9, seed=0), edges_of(2, 3, 9, seed=1)
    found = distortion(w, s)
    assert found.shape == (2, 3)
    for b in range(2):
        for r in range(3):
            middle = [(x + y) / 2 for x, y in pairwise(s[b, r].tolist())]
            width = [y - x for x, y in pairwise(s[b, r].tolist())]
            v = w[b, r].tolist()
            total = sum(v[i] * v[j] * abs(middle[i] - middle[j]) for i in range(9) for j in range(9))
            total += sum(v[i] ** 2 * width[i] for i in range(9)) / 3
            assert float(found[b, r]) == pytest.approx(total, abs=1e-15)


def test_distortion_is_the_integral_of_the_paper() -> None:
    """Eq. 14 of the piecewise constant density, by 40,000 points: one interval of all weight gives a third of its width."""
    w, s = weights(6, seed=2), edges_of(6, seed=3)
    u = (torch.arange(40000, dtype=F64) + 0.5) / 40000
    at = torch.searchsorted(s, u, right=True) - 1
    mass = (w / s.diff())[at] / 40000
    moments = mass.cumsum(0) - mass, (mass * u).cumsum(0) - mass * u
    integral = 2 * (mass * (u * moments[0] - moments[1])).sum()
    assert float(distortion(w, s)) == pytest.approx(float(integral), rel=1e-3)
    alone = torch.tensor([0.0, 1, 0], dtype=F64), torch.tensor([0.0, 0.2, 0.5, 1], dtype=F64)
    assert float(distortion(*alone)) == pytest.approx(0.1)


def slow_bound(s: list[float], edges: list[float], w: list[float]) -> list[float]:
    return [sum(x for x, (c, d) in zip(w, pairwise(edges), strict=True) if c < b and a < d) for a, b in pairwise(s)]


def test_the_bound_against_the_double_loop() -> None:
    s, places, w = edges_of(2, 3, 8, seed=4), edges_of(2, 3, 5, seed=5), weights(2, 3, 5, seed=6)
    s[0, 0, 3:6] = places[0, 0, 1:4]  # edges that meet, and intervals that only touch
    s[0, 0] = s[0, 0].sort().values
    found = bound(s, places, w)
    for b in range(2):
        for r in range(3):
            wanted = slow_bound(s[b, r].tolist(), places[b, r].tolist(), w[b, r].tolist())
            assert found[b, r].tolist() == pytest.approx(wanted, abs=1e-15)


def test_intervals_without_width_have_a_bound() -> None:
    places, w = torch.tensor([0.0, 0.5, 1.0], dtype=F64), torch.tensor([0.3, 0.7], dtype=F64)
    s = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0, 1.0], dtype=F64)
    assert bound(s, places, w).tolist() == pytest.approx([0.3, 0.3, 0.7, 0.7, 0.7])


def test_interlevel_against_loops() -> None:
    w, s, v, places = (
        weights(2, 7, seed=7),
        edges_of(2, 7, seed=8),
        weights(2, 4, seed=9) * 0.3,
        edges_of(2, 4, seed=10),
    )
    found = interlevel(w, s, v, places)
    for r in range(2):
        bounds = slow_bound(s[r].tolist(), places[r].tolist(), v[r].tolist())
        total = sum(max(0, x - y) ** 2 / x for x, y in zip(w[r].tolist(), bounds, strict=True))
        assert total > 0.01 and float(found[r]) == pytest.approx(total, abs=1e-12)


def test_a_proposal_that_says_the_same_costs_nothing() -> None:
    """Also seen through resampled edges: what is drawn between them cannot exceed what covers it."""
    w, s = weights(3, 16, seed=11), edges_of(3, 16, seed=12)
    assert float(interlevel(w, s, w, s).max()) < 1e-25
    finer = resample(s[:, None], w[:, None], 40)[:, 0]
    parts = torch.zeros(3, 40, dtype=F64)
    for r in range(3):
        for i, (a, b) in enumerate(pairwise(finer[r].tolist())):
            for x, (c, d) in zip(w[r].tolist(), pairwise(s[r].tolist()), strict=True):
                parts[r, i] += x * max(0.0, min(b, d) - max(a, c)) / (d - c)
    assert float(interlevel(parts, finer, w, s).max()) < 1e-20


def test_an_interval_without_weight_is_no_trouble() -> None:
    w, s = torch.zeros(4), torch.linspace(0, 1, 5)
    v = torch.full((4,), -0.1, requires_grad=True)  # a bound below 0 cannot be, but must not divide by zero
    value = interlevel(w, s, v, s)
    (slope,) = torch.autograd.grad(value, v)
    assert math.isfinite(value.item()) and bool(torch.isfinite(slope).all())


def test_gradients_by_finite_differences_and_who_has_none() -> None:
    w, s, v, places = (
        weights(2, 7, seed=7),
        edges_of(2, 7, seed=8),
        weights(2, 4, seed=9) * 0.3,
        edges_of(2, 4, seed=10),
    )
    for tensor in (w, s, v, places):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(distortion, (w, s))
    assert torch.autograd.gradcheck(lambda x: interlevel(w, s, x, places), (v,))
    slopes = torch.autograd.grad(interlevel(w, s, v, places).sum(), (w, s, v, places), allow_unused=True)
    assert [slope is None for slope in slopes] == [True, True, False, True]
    assert float(slopes[2].abs().max()) > 0.1
