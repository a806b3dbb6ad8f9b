"""The mean distance of pairs: of all, of drawn ones, and where it is known."""

import numpy as np
import pytest
from g3d.metrics.diversity import diversity
from scipy.spatial.distance import pdist


def test_all_pairs_of_few() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    value, pairs = diversity(x, seed=0)
    assert pairs == 780 and value == pytest.approx(pdist(x.astype(np.float64)).mean(), rel=1e-12)
    assert diversity(x, seed=1)[0] == value


def test_drawn_pairs_of_many() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    (value, pairs), again, other = (diversity(x, seed) for seed in (0, 0, 1))
    assert pairs == 10_000 and again == (value, pairs) and other[0] != value
    assert value == pytest.approx(pdist(x).mean(), rel=0.02)


def test_mode_collapse_shows() -> None:
    assert diversity(np.ones((300, 4), np.float32), seed=0) == (0.0, 10_000)
    two = np.repeat([[0.0, 0.0], [3.0, 4.0]], 2, 0).astype(np.float32)  # of 6 pairs, 4 at distance 5
    assert diversity(two, seed=0) == (pytest.approx(5 * 4 / 6), 6)
