"""Figures of disparity from sums along rays, by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from g3d.errors import G3dError
from g3d.evaluation.disparity import Sums, figures, inverse_of, read_sums
from g3d.storage import artifacts

D = torch.tensor([[0.2, 0.6], [0.6, 0.2]])


def sums(spread: float = 0.0, weight: float = 1.0, disparity: torch.Tensor = D) -> Sums:
    """Rays whose samples have these means and this variance."""
    ones = torch.full_like(disparity, weight)
    return Sums(weight * disparity, weight * (disparity**2 + spread), ones, 0.5, 10.0)


@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (-7.0, 3.0), (1e-4, 5.0)])
def test_right_geometry_in_any_units(unit: float, shift: float) -> None:
    """The truth is stretched to 0..1 over a range of 0.4, so s* = 2.5, but for the ridge beside the variance 0.04."""
    true = (D.numpy() * abs(unit) + shift).astype(np.float64)
    found = figures(sums(), true if unit > 0 else -true)
    sign = 1 if unit > 0 else -1
    assert found["disparity_accuracy"] == pytest.approx(0 if unit > 0 else 4, abs=1e-4)
    wanted = sign * 2.5 * 0.04 / (0.04 + 1e-5)
    assert found["disparity_scale_pointwise"] == pytest.approx(wanted, rel=1e-4)
    assert found["disparity_scale_accumulated"] == pytest.approx(wanted, rel=1e-4)


def test_samples_that_spread_along_the_ray_have_a_smaller_pointwise_scale() -> None:
    """Their variance 0.01 beside that of the means, 0.04: 2.5 * 0.04 / 0.05. The mean map does not see it."""
    found = figures(sums(spread=0.01), D.numpy())
    assert found["disparity_scale_pointwise"] == pytest.approx(2.0, rel=1e-3)
    assert found["disparity_scale_accumulated"] == pytest.approx(2.5, rel=1e-3)
    thin = figures(sums(weight=0.5), D.numpy())  # half of each ray sees nothing: the mean map is half as high
    assert thin["disparity_scale_pointwise"] == pytest.approx(2.5, rel=2e-3)
    assert thin["disparity_scale_accumulated"] == pytest.approx(5.0, rel=2e-3)


def test_flat_maps_are_uncorrelated() -> None:
    flat = torch.full_like(D, 0.3)
    assert figures(sums(disparity=flat), D.numpy())["disparity_accuracy"] == 2
    assert figures(sums(), flat.numpy())["disparity_accuracy"] == 2
    assert abs(figures(sums(disparity=flat), D.numpy())["disparity_scale_pointwise"]) < 1e-2


def test_against_a_solver_of_least_squares() -> None:
    """Rays of several samples: s* of numpy's solver on all of them, weighted."""
    stream = np.random.default_rng(0)
    w, d, true = stream.random((12, 5)) / 5, stream.random((12, 5)), stream.random((3, 4))
    maps = [torch.tensor(v.sum(1).reshape(3, 4), dtype=torch.float32) for v in (w * d, w * d * d, w)]
    found = figures(Sums(*maps, 0.5, 10.0), true.astype(np.float32))
    wanted = ((true - true.min()) / np.ptp(true)).reshape(-1, 1).repeat(5, 1)
    design = np.stack([d.ravel(), np.ones(60)], 1) * np.sqrt(w.ravel())[:, None]
    scale = np.linalg.lstsq(design, wanted.ravel() * np.sqrt(w.ravel()), rcond=None)[0][0]
    assert found["disparity_scale_pointwise"] == pytest.approx(scale, abs=1e-3)
    correlation = np.corrcoef((w * d).sum(1), true.ravel())[0, 1]
    assert found["disparity_accuracy"] == pytest.approx(2 * (1 - correlation), abs=1e-5)


def test_counted_pixels_alone() -> None:
    """Outside of the mask anything may be; inside the range of the truth is that of the mask."""
    wide = torch.cat([D, torch.tensor([[0.9, 0.0]])])
    true = np.concatenate([D.numpy(), [[-50, 80]]]).astype(np.float32)
    counted = np.array([[1, 1], [1, 1], [0, 0]], bool)
    assert figures(sums(disparity=wide), true, counted) == pytest.approx(figures(sums(), D.numpy()))
    assert figures(sums(disparity=wide), true, counted & False) == {}


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(
        G3dError, match=r"disparity of 'x' is 2 x 2, what it is compared with 5 x 4; draw with --size 5"
    ):
        figures(sums(), np.zeros((4, 5), np.float32), where="x")
    ends = {"near_world": 0.5, "far_world": 10.0}
    maps = {"first": D, "second": D, "weight": D}
    artifacts.write(tmp_path / "a", "disparity", {**maps, "first": D / 0}, ends)
    with pytest.raises(G3dError, match=r"a' has numbers that are not finite"):
        read_sums(tmp_path / "a")
    artifacts.write(tmp_path / "b", "disparity", maps, {**ends, "near_world": "0"})
    with pytest.raises(G3dError, match="0 < near < far"):
        read_sums(tmp_path / "b")
    assert inverse_of(np.array([[0, 2.0]], np.float32)).tolist() == [[0, 0.5]]
