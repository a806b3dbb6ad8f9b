"""How right depth is: its error in world units, its likeness after standardising, the scale that fits it best.

* RMSE of camera z, world units (INFAMOUS-NeRF, table 7: in the mask).
* Depth accuracy (VQ3D, section 4): both maps standardised per picture, then their mean squared error. It is 2 (1 - r) with the
  correlation r: 0 for maps that differ by scale and shift, 2 for unrelated ones, 4 for opposite ones.
* Disparity scale s* (VQ3D, eqs. 1-2): s* and t* of least squares, so that s* D + t* is nearest to the true inverse depth. Right
  geometry has s* = 1, a flat one with noise less; s* < 0 is turned inside out.

A pixel counts where both pictures have depth (more than 0) and where the mask, if there is one, is the object.

Letters: H rows, W columns, n counted pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DepthFigures:
    """The figures of one picture. `missing`: share of the pixels with true depth that have none in the one to judge."""

    rmse_world: float
    accuracy: float  # of camera z
    accuracy_inverse: float  # of inverse depth
    pixels: int
    missing: float


@dataclass(frozen=True)
class Fit:
    """true = scale * predicted + shift, by least squares."""

    scale: float
    shift: float


def compare_depth(true_world: Map, test_world: Map, mask: Mask | None, where: str) -> DepthFigures | None:
    """The figures of a pair of maps [H, W] of camera z; None where they share no pixel. `where` names the pair."""
    sizes = [list(found.shape) for found in (true_world, test_world, mask) if found is not None]
    if any(size != sizes[0] for size in sizes):
        raise G3dError(
            f"the depth maps (and mask) of '{where}' have sizes {', '.join(map(str, sizes))}; make them one size"
        )
    wanted = (true_world > 0) if mask is None else (true_world > 0) & mask
    both = wanted & (test_world > 0)
    if not both.any():
        return None
    true, test = true_world[both].astype(np.float64), test_world[both].astype(np.float64)
    rmse = float(np.sqrt(np.mean((true - test) ** 2)))
    missing = 1 - float(both.sum() / wanted.sum())
    return DepthFigures(rmse, depth_accuracy(true, test), depth_accuracy(1 / true, 1 / test), int(both.sum()), missing)


def depth_accuracy(true: Map, test: Map) -> float:
    """Mean squared difference of two maps [n], each shifted and scaled to mean 0 and deviation 1; a flat map becomes 0."""
    return float(np.mean((_standardised(true) - _standardised(test)) ** 2))


def fit_disparity(predicted: Map, true: Map, weight: Map | None = None, ridge: float = 1e-12) -> Fit | None:
    """s*, t* for inverse depths [n]; None where the predicted map is flat. VQ3D, eq. 2, in float64."""
    D, d = predicted.astype(np.float64), true.astype(np.float64)
    W = np.ones_like(D) if weight is None else weight.astype(np.float64)
    A, B, C = float((W * D * D).sum()), float((W * D).sum()), float(W.sum())
    E, F = float((W * D * d).sum()), float((W * d).sum())
    determinant = A * C - B * B
    if not determinant > ridge * A * C:  # C² times the variance of D, beside the mean square
        return None
    return Fit((C * E - B * F) / determinant, (A * F - B * E) / determinant)


def normalised_disparity(inverse: Map, near_world: float, far_world: float) -> Map:
    """Inverse depth => 1 at `near_world`, 0 at `far_world`. VQ3D, section 3.2."""
    return (inverse - 1 / far_world) / (1 / near_world - 1 / far_world)


def min_max(values: Map) -> Map:
    """[n] shifted and scaled to 0..1; a flat map becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _standardised(values: Map) -> Map:
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    deviation = float(np.sqrt(np.mean(centred**2)))
    rounding = 1e-9 * max(float(np.abs(values).max()), 1e-30)  # what is left of a constant after subtracting its mean
    return centred / deviation if deviation > rounding else np.zeros_like(centred)
