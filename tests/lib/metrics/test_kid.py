"""The kernel distance against sums written out, clean-fid's, and distributions whose distance is known."""

import cleanfid.fid
import numpy as np
import pytest
import torch
from g3d.metrics.kid import kernel_distance, squared_mmd


def _normal(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, dimensions)) + shift).astype(np.float32)


def test_sums_written_out() -> None:
    x, y = _normal(5, 3, 0).astype(np.float64), _normal(5, 3, 1, 0.5).astype(np.float64)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((np.dot(a, b) / 3 + 1) ** 3)

    within = sum(k(s[i], s[j]) for s in (x, y) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    across = sum(k(a, b) for a in x for b in y) / 25
    assert squared_mmd(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(within - 2 * across, rel=1e-12)


def test_clean_fid_finds_the_same_in_whole_sets() -> None:
    real, fake = _normal(60, 8, 0), _normal(60, 8, 1, 0.3)
    found = kernel_distance(real, fake, seed=0)
    reference = cleanfid.fid.kernel_distance(real.astype(np.float64), fake.astype(np.float64), num_subsets=1)
    assert found.mean == pytest.approx(reference, rel=1e-9)
    assert (found.std, found.subsets, found.subset_size) == (0.0, 1, 60)


def test_known_distance_of_two_points() -> None:
    """All reals at a, all fakes at b: MMD² = k(a, a) + k(b, b) - 2 k(a, b), whatever the subsets are."""
    real, fake = np.tile([[1.0, 0.0]], (30, 1)).astype(np.float32), np.tile([[0.0, 2.0]], (40, 1)).astype(np.float32)
    found = kernel_distance(real, fake, seed=0, subsets=3, subset_size=10)
    assert found.mean == pytest.approx(1.5**3 + 3**3 - 2, rel=1e-12) and found.std == pytest.approx(0, abs=1e-12)


def test_equal_distributions_are_near_zero_on_both_sides() -> None:
    """Unbiased: over seeds the mean is within its error of 0, and single values are negative about as often as not."""
    values = np.array([squared_mmd(*(torch.from_numpy(_normal(100, 6, s)).double() for s in (2 * i, 2 * i + 1)))
                       for i in range(80)])  # fmt: skip
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert 20 < (values < 0).sum() < 70
    biased = values.mean() + 2 * 3.0 / 100  # what the diagonal would add: twice E k(x, x) / m and more
    assert biased > 3 * values.std() / np.sqrt(len(values))


def test_subsets_are_drawn_by_seed() -> None:
    real, fake = _normal(300, 4, 0), _normal(200, 4, 1, 0.4)
    first, again, other = (kernel_distance(real, fake, seed, subsets=10, subset_size=50) for seed in (0, 0, 1))
    assert first == again and first.mean != other.mean
    assert first.subset_size == 50 and first.std > 0
    whole = squared_mmd(torch.from_numpy(real[:200]).double(), torch.from_numpy(fake).double())
    assert first.mean == pytest.approx(whole, rel=0.5)
