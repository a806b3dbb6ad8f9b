"""The Fréchet distance against closed forms, scipy and a brute force in float64."""

import numpy as np
import pytest
import scipy.linalg
from g3d.errors import G3dError
from g3d.metrics.frechet import Moments, frechet_distance, moments


def _features(count: int, dimensions: int, seed: int, scale: float = 1.0) -> np.ndarray:
    stream = np.random.default_rng(seed)
    mixing = stream.normal(size=(dimensions, dimensions))
    return (stream.normal(size=(count, dimensions)) @ mixing * scale + stream.normal(size=dimensions)).astype(
        np.float32
    )


@pytest.mark.parametrize(("count", "dimensions"), [(300, 16), (10, 64), (2, 5)])
def test_identical_sets_are_at_distance_zero(count: int, dimensions: int) -> None:
    found = moments(_features(count, dimensions, 0))
    assert frechet_distance(found, found) == 0  # the very same moments, exactly
    other = moments(_features(count, dimensions, 0)[::-1].copy())  # the same set in another order: up to rounding
    assert 0 <= frechet_distance(found, other) < 1e-9 * np.trace(found.covariance)


def test_moments_are_numpys() -> None:
    features = _features(20_000, 7, 1)  # more rows than are turned to float64 at a time
    found = moments(features)
    np.testing.assert_allclose(found.mean, features.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-10)
    assert found.count == 20_000


def test_closed_form_of_diagonal_gaussians() -> None:
    # (m1 - m2)² + (s1 - s2)² in each dimension: (1-4)² + (3-1)², (2-2)² + (0-2)²
    first = Moments(np.array([1.0, 2.0]), np.diag([9.0, 0.0]), 10)
    second = Moments(np.array([4.0, 2.0]), np.diag([1.0, 4.0]), 10)
    assert frechet_distance(first, second) == pytest.approx(9 + 4 + 0 + 4, abs=1e-12)


def test_symmetric_and_shifted() -> None:
    first, second = moments(_features(100, 8, 2)), moments(_features(100, 8, 3))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-12)
    moved = Moments(first.mean + 0.5, first.covariance, first.count)
    assert frechet_distance(first, moved) == pytest.approx(8 * 0.25, abs=1e-9)


def test_agrees_with_sqrtm_of_scipy() -> None:
    first, second = moments(_features(500, 24, 4)), moments(_features(400, 24, 5, scale=0.3))
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    offset = first.mean - second.mean
    reference = offset @ offset + np.trace(first.covariance + second.covariance - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(reference, rel=1e-8)


def test_fewer_images_than_dimensions() -> None:
    """The trace of the root is the sum of the singular values of A Bᵀ, A and B centred and over sqrt(N-1)."""
    a, b = (_features(n, 50, seed).astype(np.float64) for n, seed in ((12, 6), (9, 7)))
    ca, cb = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    nuclear = np.linalg.svd(ca @ cb.T, compute_uv=False).sum()
    reference = ((a.mean(0) - b.mean(0)) ** 2).sum() + (ca**2).sum() + (cb**2).sum() - 2 * nuclear
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(reference, rel=1e-9)


def test_refusals_are_sentences() -> None:
    with pytest.raises(G3dError, match="needs 2 images or more, found 1"):
        moments(np.zeros((1, 4), np.float32))
    with pytest.raises(G3dError, match="not finite"):
        moments(np.array([[0.0, np.nan], [1.0, 2.0]], np.float32))
    with pytest.raises(G3dError, match="4 and 5 dimensions"):
        frechet_distance(moments(_features(6, 4, 0)), moments(_features(6, 5, 0)))
