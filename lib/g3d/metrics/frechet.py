"""The Fréchet distance between two sets of features, each taken as a Gaussian (Heusel et al. 2017, eq. 6).

    d² = |m1 - m2|² + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)

The trace of the last root is the sum of the singular values of S1^1/2 S2^1/2. Both square roots come from eigenvalues
of symmetric matrices in float64, so nothing becomes complex and fewer features than dimensions (singular covariances)
are no special case. `scipy.linalg.sqrtm` of the unsymmetric product, which is common elsewhere, needs an epsilon there.
Eigenvalues of the symmetric product S1^1/2 S2 S1^1/2 would do too, but they square the range: the root of their
rounding error is 1e-8 of the largest in every empty direction, where singular values err by 1e-16.

Letters: N items, D feature dimensions, R rank.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

F64 = NDArray[np.float64]
_ROWS = 8192  # features turned to float64 at a time


@dataclass(frozen=True)
class Moments:
    """Mean and covariance (divided by N - 1) of N features."""

    mean: F64  # [D]
    covariance: F64  # [D, D]
    count: int


def moments(features: NDArray[np.floating]) -> Moments:
    """Mean and covariance of features [N, D], in float64 whatever their dtype."""
    count, dimensions = features.shape
    if count < 2:
        raise G3dError(f"a covariance needs 2 images or more, found {count}; give more images")
    if not np.isfinite(features).all():
        raise G3dError("the extractor gave features that are not finite; give other --weights")
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimensions, dimensions))
    for start in range(0, count, _ROWS):
        centred = features[start : start + _ROWS].astype(np.float64) - mean  # [rows, D]
        covariance += centred.T @ centred
    return Moments(mean, covariance / (count - 1), count)


def frechet_distance(first: Moments, second: Moments) -> float:
    """d² of the formula above; never less than 0, and exactly 0 for the very same moments, whose distance needs no roots."""
    if first.mean.shape != second.mean.shape:
        raise G3dError(
            f"features of {len(first.mean)} and {len(second.mean)} dimensions have no distance; use one extractor"
        )
    if np.array_equal(first.mean, second.mean) and np.array_equal(first.covariance, second.covariance):
        return 0.0
    offset = first.mean - second.mean
    cross = np.linalg.svd(_root(first.covariance).T @ _root(second.covariance), compute_uv=False)  # [R]
    value = offset @ offset + np.trace(first.covariance) + np.trace(second.covariance) - 2 * cross.sum()
    return max(float(value), 0.0)


def _root(covariance: F64) -> F64:
    """F [D, R] with F Fᵀ = covariance; directions whose variance is only rounding error are left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    root: F64 = vectors[:, kept] * np.sqrt(values[kept])
    return root
