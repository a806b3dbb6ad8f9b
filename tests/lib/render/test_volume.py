"""The volume integral against closed forms and slow float64 loops."""

import bisect
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from g3d.render.volume import (
    End,
    Query,
    Rays,
    Round,
    Sampling,
    edges,
    heaviest,
    normalised,
    render_rays,
    resample,
    weights_of,
)
from torch import Tensor

F64 = torch.float64
BLUE = torch.tensor([0.1, 0.2, 0.9], dtype=F64)
RED = torch.tensor([0.8, 0.3, 0.1], dtype=F64)


def constant(sigma: float) -> Query:
    def query(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return RED.expand_as(points), torch.full(points.shape[:2], sigma, dtype=F64)

    return query


def blob(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    """A Gaussian of density, of integral 3 along the z axis through its middle at z = 2."""
    density = 3 / (0.3 * math.sqrt(2 * math.pi)) * torch.exp(-0.5 * ((points[..., 2] - 2) / 0.3) ** 2)
    return RED.expand_as(points), density


def cast(query: Query, sampling: Sampling, direction: tuple[float, ...] = (0.0, 0.0, 1.0), **more: Any) -> Rays:
    """One ray from the origin, from camera z 1 to 3, over blue."""
    d = torch.tensor(direction, dtype=F64).view(1, 1, 3)
    t = torch.ones(1, 1, dtype=F64)
    return render_rays(query, torch.zeros(1, 1, 3, dtype=F64), d, t, 3 * t, sampling, BLUE, **more)


def test_weights_against_a_loop() -> None:
    g = torch.Generator().manual_seed(0)
    density = torch.rand(2, 3, 9, generator=g, dtype=F64) * 4
    density[0, 0, 3:5] = 0
    width = torch.rand(2, 3, 9, generator=g, dtype=F64)
    norm = 1 + torch.rand(2, 3, generator=g, dtype=F64)
    density[1, :, 8] = 0
    ends: tuple[End, ...] = ("finite", "infinite", "opaque")
    for end in ends:
        weights, alpha = weights_of(density, width, norm, end)
        for b in range(2):
            for r in range(3):
                through, total = 1.0, 0.0
                for i in range(9):
                    length = 1e10 if end == "infinite" and i == 8 else float(width[b, r, i] * norm[b, r])
                    a = 1 - math.exp(-float(density[b, r, i]) * length) if end != "opaque" or i < 8 else 1
                    assert float(weights[b, r, i]) == pytest.approx(through * a, abs=1e-12)
                    total += through * a
                    through *= 1 - a
                assert float(alpha[b, r]) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("samples", [1, 2, 7, 64])
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.8, 30.0])
def test_a_slab_of_constant_density_is_exact(samples: int, sigma: float) -> None:
    """Whatever the number of samples: alpha = 1 - exp(-sigma L) along a slanting ray of world length L = 2 |d|."""
    direction = (0.5, -0.25, 1.0)
    length = 2 * math.sqrt(0.25 + 0.0625 + 1)
    found = cast(constant(sigma), Sampling(samples), direction)
    alpha = 1 - math.exp(-sigma * length)
    assert float(found.alpha) == pytest.approx(alpha, abs=1e-12)
    torch.testing.assert_close(found.rgb[0, 0], alpha * RED + (1 - alpha) * BLUE)
    edge = [1 + 2 * i / samples for i in range(samples + 1)]
    norm = length / 2
    shares = [math.exp(-sigma * norm * (a - 1)) - math.exp(-sigma * norm * (b - 1)) for a, b in pairwise(edge)]
    mean = sum(w * (a + b) / 2 for w, (a, b) in zip(shares, pairwise(edge), strict=True))
    assert float(found.depth) == pytest.approx(mean / alpha if sigma else 0.0, abs=1e-9)


def test_depth_of_a_slab_converges_to_the_integral() -> None:
    """E[t] = 1 + 1/sigma - L exp(-sigma L) / (1 - exp(-sigma L)) for a slab that starts at t = 1, of length L = 2."""
    wanted = 1 + 1 / 1.5 - 2 * math.exp(-3) / (1 - math.exp(-3))
    errors = [abs(float(cast(constant(1.5), Sampling(n)).depth) - wanted) for n in (8, 16, 32)]
    assert errors[2] < 1e-3 and 3.5 < errors[0] / errors[1] < 4.5 and 3.5 < errors[1] / errors[2] < 4.5


def test_a_blob_converges_to_its_closed_form() -> None:
    """alpha = 1 - exp(-integral), and the integral from 1 to 3 is 3 erf(1 / (0.3 sqrt 2))."""
    wanted = 1 - math.exp(-3 * math.erf(1 / (0.3 * math.sqrt(2))))
    errors = [abs(float(cast(blob, Sampling(n)).alpha) - wanted) for n in (4, 8, 64)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-5


def test_an_opaque_end_leaves_nothing_of_the_background() -> None:
    for sigma in (0.0, 1e-30, 1e-4, 0.1, 50.0):
        found = cast(constant(sigma), Sampling(5, end="opaque"))
        assert float(found.alpha) == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(found.rgb[0, 0], RED)
    assert float(cast(constant(1e-4), Sampling(5, end="opaque")).depth) == pytest.approx(2.8, abs=1e-3)


def test_an_endless_interval_is_opaque_where_there_is_any_density() -> None:
    """The very same bits as the opaque one from 1e-8 on; where there is none, the background."""
    density = torch.logspace(-8, 3, 40).view(1, 5, 8)
    width, norm = torch.rand(1, 5, 8, generator=torch.Generator().manual_seed(1)), torch.ones(1, 5)
    both = [weights_of(density, width, norm, end) for end in ("infinite", "opaque")]
    assert torch.equal(both[0][0], both[1][0]) and torch.equal(both[0][1], both[1][1])
    assert float(cast(constant(0.0), Sampling(5, end="infinite")).alpha) == 0


def test_an_opaque_end_kills_no_gradient() -> None:
    """The last density moves nothing; those before it move the last weight, and the last colour is seen."""
    density = torch.full((1, 1, 4), 0.2, dtype=F64, requires_grad=True)
    weights, _ = weights_of(density, torch.ones(1, 1, 4, dtype=F64), torch.ones(1, 1, dtype=F64), "opaque")
    (slope,) = torch.autograd.grad(weights[0, 0, 3], density)
    assert slope[0, 0].tolist() == pytest.approx([-math.exp(-0.6)] * 3 + [0])
    rgb = torch.full((1, 4, 3), 0.5, dtype=F64, requires_grad=True)
    found = cast(lambda p, _: (rgb, torch.zeros(1, 4, dtype=F64)), Sampling(4, end="opaque"))
    assert float(torch.autograd.grad(found.rgb.sum(), rgb)[0][0, 3].sum()) == pytest.approx(3)


def test_empty_space_shows_the_background_at_depth_zero() -> None:
    found = cast(constant(0.0), Sampling(8))
    assert float(found.alpha) == 0 and float(found.depth) == 0 and torch.equal(found.rgb[0, 0], BLUE)


def test_points_and_directions_that_the_field_is_asked() -> None:
    asked: list[Tensor] = []

    def query(points: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        asked.extend([points, along])
        return RED.expand_as(points), torch.ones(points.shape[:2], dtype=F64)

    origins = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]], dtype=F64)
    directions = torch.tensor([[[0.0, 0, 1], [0.6, 0, 1]], [[0, 1, 1], [1, 1, 1]]], dtype=F64)
    near, far = torch.tensor([[1.0, 2], [3, 4]], dtype=F64), torch.tensor([[2.0, 4], [5, 9]], dtype=F64)
    render_rays(query, origins, directions, near, far, Sampling(4), BLUE)
    points, along = (v.view(2, 2, 4, 3) for v in asked)
    for b in range(2):
        for r in range(2):
            for s in range(4):
                t = float(near[b, r]) + (s + 0.5) / 4 * float(far[b, r] - near[b, r])
                torch.testing.assert_close(points[b, r, s], origins[b, r] + t * directions[b, r])
                torch.testing.assert_close(along[b, r, s], directions[b, r] / directions[b, r].norm())


def test_jitter_places_samples_and_is_unbiased() -> None:
    """Optical depth by one jittered sample for each of 4 intervals: its mean over 20,000 rays is the integral."""
    rays, samples = 20000, 4
    jitter = torch.rand(1, rays, samples, generator=torch.Generator().manual_seed(0), dtype=F64)
    one = torch.ones(1, rays, dtype=F64)
    d = torch.tensor([0.0, 0, 1], dtype=F64).expand(1, rays, 3)
    found = render_rays(
        blob, torch.zeros(1, rays, 3, dtype=F64), d, one, 3 * one, Sampling(samples), BLUE, jitter=jitter
    )
    depth = -torch.log1p(-found.alpha)
    wanted = 3 * math.erf(1 / (0.3 * math.sqrt(2)))
    assert abs(float(depth.mean()) - wanted) < 4 * float(depth.std()) / rays**0.5
    assert float(depth.std()) > 0.1
    middle = cast(blob, Sampling(samples), jitter=torch.full((1, 1, samples), 0.5, dtype=F64))
    assert torch.equal(middle.alpha, cast(blob, Sampling(samples)).alpha)


def test_spacing_in_disparity() -> None:
    near, far = torch.tensor([[0.5, 1.0]], dtype=F64), torch.tensor([[8.0, 2.0]], dtype=F64)
    found = edges(near, far, 3, "disparity")
    assert found[0, 0].tolist() == pytest.approx([0.5, 1 / (2 - 1.875 / 3), 1 / (2 - 2 * 1.875 / 3), 8.0])
    assert found[0, 1].tolist() == pytest.approx([1, 1.2, 1.5, 2])
    assert edges(near, far, 3, "world")[0, 0].tolist() == pytest.approx([0.5, 3, 5.5, 8])


@pytest.mark.parametrize("spacing", ["world", "disparity"])
def test_normalised_is_the_inverse_of_the_edges(spacing: str) -> None:
    near, far = torch.tensor([[0.5, 1.0]], dtype=F64), torch.tensor([[8.0, 2.0]], dtype=F64)
    s = normalised(edges(near, far, 7, spacing), near, far, spacing)
    torch.testing.assert_close(s, (torch.arange(8, dtype=F64) / 7).expand(1, 2, 8))
    assert float(normalised(2 * torch.ones(1, 1, 1), torch.ones(1, 1), 4 * torch.ones(1, 1), spacing)) == pytest.approx(
        {"world": 1 / 3, "disparity": 2 / 3}[spacing]
    )


def test_what_losses_are_given_is_what_was_drawn() -> None:
    jitter = torch.full((1, 1, 6), 0.25, dtype=F64)
    found = cast(blob, Sampling(6), jitter=jitter)
    torch.testing.assert_close(found.t_edges[0, 0], 1 + torch.arange(7, dtype=F64) / 3)
    torch.testing.assert_close(found.t, found.t_edges[..., :-1] + 0.25 / 3)
    torch.testing.assert_close(found.weights.sum(dim=-1), found.alpha)
    torch.testing.assert_close((found.weights * found.t).sum(dim=-1) / found.alpha, found.depth)
    assert found.rounds == ()


@pytest.mark.parametrize("end", ["finite", "infinite", "opaque"])
def test_a_round_ends_as_the_last_one_and_teaches_the_proposal(end: End) -> None:
    """Where both ask the same field at the same places, both have the same weights; the places have no gradient."""
    level = torch.tensor(0.3, dtype=F64, requires_grad=True)
    sampling = Sampling(6, proposal_samples=6, end=end)
    found = cast(constant(0.3), sampling, proposal=lambda p: level.expand(p.shape[:2]))
    (first,) = found.rounds
    assert isinstance(first, Round) and first.t_edges.shape == (1, 1, 7)
    same = cast(constant(0.3), Sampling(6, end=end))
    torch.testing.assert_close(first.weights.detach(), same.weights)
    torch.testing.assert_close(first.t_edges, same.t_edges)
    assert not (found.t_edges.requires_grad or found.t.requires_grad or found.weights.requires_grad)
    (slope,) = torch.autograd.grad(first.weights[0, 0, 0], level)
    assert float(slope) == pytest.approx(math.exp(-0.1) / 3)  # of 1 - exp(-level / 3)


def test_the_middle_of_the_heaviest_interval() -> None:
    """Two sheets, the thin one in front: the mean lies between them, the heaviest behind."""

    def sheets(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        cell = ((points[..., 2] - 1) * 4).long()
        return RED.expand_as(points), torch.where(cell == 1, 1.0, torch.where(cell == 6, 50.0, 0.0)).to(F64)

    found = cast(sheets, Sampling(8))
    assert float(heaviest(found)) == pytest.approx(1 + 6.5 / 4)
    assert 1.5 < float(found.depth) < 2.5
    shaken = cast(sheets, Sampling(8), jitter=torch.full((1, 1, 8), 0.9, dtype=F64))
    assert float(heaviest(shaken)) == pytest.approx(1 + 6.5 / 4)  # of the interval, not of the sample
    assert float(heaviest(cast(constant(0.0), Sampling(8)))) == 0


def slow_resample(t: list[float], weights: list[float], count: int) -> list[float]:
    total, cdf = sum(weights), [0.0]
    for w in weights:
        cdf.append(cdf[-1] + w / total)
    found = []
    for k in range(count + 1):
        u = k / count
        i = min(max(bisect.bisect_right(cdf, u), 1), len(weights))
        share = (u - cdf[i - 1]) / max(cdf[i] - cdf[i - 1], 1e-9)
        found.append(t[i - 1] + (t[i] - t[i - 1]) * min(max(share, 0.0), 1.0))
    return found


def test_resampling_against_a_slow_inverse() -> None:
    g = torch.Generator().manual_seed(3)
    t = torch.rand(2, 3, 9, generator=g, dtype=F64).cumsum(dim=-1)
    weights = torch.rand(2, 3, 8, generator=g, dtype=F64) ** 4
    weights[0, 1] = 0  # nothing found: even
    weights[1, 2, :7] = 0  # all in the last interval
    found = resample(t, weights, 6)
    assert found.shape == (2, 3, 7)
    for b in range(2):
        for r in range(3):
            wanted = slow_resample(t[b, r].tolist(), [w + 1e-5 for w in weights[b, r].tolist()], 6)
            assert found[b, r].tolist() == pytest.approx(wanted, abs=1e-9)
    assert (found.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(found[..., 0], t[..., 0])
    torch.testing.assert_close(found[..., -1], t[..., -1])


def test_resampling_with_pencil_and_paper() -> None:
    """Three quarters of the weight in [1, 2]: the two inner edges of three shares lie at 1 + 1/9 and 1 + 5/9."""
    t, weights = torch.tensor([[[0.0, 1, 2, 3]]], dtype=F64), torch.tensor([[[1.0, 6, 1]]], dtype=F64)
    assert resample(t, weights, 2)[0, 0].tolist() == pytest.approx([0, 1.5, 3], abs=1e-4)
    assert resample(t, weights, 4)[0, 0].tolist() == pytest.approx([0, 1 + 1 / 6, 1.5, 2 - 1 / 6, 3], abs=1e-4)


def test_a_proposal_gathers_the_samples_where_the_density_is() -> None:
    """A blob 0.02 wide at 2.013 among 16 samples over [1, 3]; its expected depth by quadrature is 1.99792."""

    def thin(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        density = 3 / (0.02 * math.sqrt(2 * math.pi)) * torch.exp(-0.5 * ((points[..., 2] - 2.013) / 0.02) ** 2)
        return RED.expand_as(points), density

    wanted = 1 - math.exp(-3)
    errors = [abs(float(cast(thin, Sampling(n)).alpha) - wanted) for n in (8, 16)]
    assert min(errors) > 0.5  # even samples miss it
    for samples, error in ((8, 0.15), (16, 0.075), (32, 0.0375)):  # the long last interval falls as 1 / samples
        guided = cast(thin, Sampling(samples, proposal_samples=200), proposal=lambda p: thin(p, p)[1])
        assert abs(float(guided.alpha) - wanted) < error
        assert float(guided.depth) == pytest.approx(1.99792, abs=1e-3)


def test_gradients_of_the_integral() -> None:
    t = torch.ones(1, 2, dtype=F64)
    d = torch.tensor([[[0.1, 0.2, 1.0], [0, 0, 1]]], dtype=F64)

    def run(density: Tensor, rgb: Tensor) -> tuple[Tensor, ...]:
        return render_rays(lambda p, _: (rgb, density), d * 0, d, t, 3 * t, Sampling(5), BLUE)[:4]

    g = torch.Generator().manual_seed(5)
    density = torch.rand(1, 10, generator=g, dtype=F64, requires_grad=True)
    rgb = torch.rand(1, 10, 3, generator=g, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (density, rgb))
