"""How right the disparity of drawn scenes is, from the sums that `render --disparity` writes (VQ3D, Sargent et al. 2023).

* `disparity_accuracy` (section 4): the mean map and the true inverse depth, each standardised over the picture; their mean
  squared difference, 2 (1 - correlation). A flat map counts as uncorrelated, 2.
* `disparity_scale_pointwise` (s* of eq. 1, table 3): that of the alignment of all samples of all rays, with their weights.
* `disparity_scale_accumulated`: that of the alignment of the mean maps. It grows without bound where these are nearly flat.

Inverse depth is known up to scale and shift: the true one is stretched to 0..1 in each picture. What a ray leaves of its weight
counts as far.

Letters: H rows, W columns, R counted pixels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.errors import G3dError
from g3d.losses import alignment
from g3d.metrics.depth import min_max
from g3d.storage import artifacts


@dataclass(frozen=True)
class Sums:
    """Of the samples of each pixel's ray, weights W and inverse depth D, 1 at near and 0 at far: sums [H, W] of W D (`first`), of
    W D^2 (`second`) and of W (`weight`)."""

    first: Tensor
    second: Tensor
    weight: Tensor
    near_world: float
    far_world: float


def read_sums(path: Path) -> Sums:
    """What `render --disparity` wrote of one picture."""
    file = artifacts.read(path, "disparity", role="the disparity")
    maps = {name: values.float() for name, values in file.values.items()}
    if not all(bool(values.isfinite().all()) for values in maps.values()):
        raise G3dError(f"the disparity '{path}' has numbers that are not finite; draw it again")
    near, far = file.config["near_world"], file.config["far_world"]
    if not (isinstance(near, int | float) and isinstance(far, int | float) and 0 < near < far):
        raise G3dError(
            f"the disparity '{path}' is of near {near} and far {far}; wanted is 0 < near < far; draw it again"
        )
    return Sums(maps["first"], maps["second"], maps["weight"], near, far)


def figures(
    sums: Sums, inverse_depth: NDArray[np.float32], counted: NDArray[np.bool_] | None = None, where: str = "a picture"
) -> dict[str, float]:
    """The figures of one picture against its true `inverse_depth` [H, W], in any units, of all pixels or those `counted` [H, W];
    none where no pixel is. `where` names the picture in messages."""
    sizes = [tuple(found.shape) for found in (sums.first, inverse_depth, counted) if found is not None]
    if len(set(sizes)) > 1:
        (h, w), (true_h, true_w) = sizes[0], next(size for size in sizes if size != sizes[0])
        raise G3dError(
            f"the disparity of '{where}' is {w} x {h}, what it is compared with {true_w} x {true_h}; draw with --size {true_w}"
        )
    pixels: Any = np.flatnonzero(np.ones(sizes[0]) if counted is None else counted)
    if not len(pixels):
        return {}
    first, second, weight = (m.flatten()[None, pixels] for m in (sums.first, sums.second, sums.weight))  # [1, R]
    wanted = torch.from_numpy(min_max(inverse_depth.astype(np.float64).ravel()[pixels])).float()[None]
    return {
        "disparity_accuracy": float(alignment.accuracy(first, wanted)),
        "disparity_scale_pointwise": float(alignment.aligned(weight, first, second, wanted).scale),
        "disparity_scale_accumulated": float(
            alignment.aligned(torch.ones_like(first), first, first.square(), wanted).scale
        ),
    }


def inverse_of(depth_world: NDArray[np.float32]) -> NDArray[np.float32]:
    """Camera z [H, W] => inverse depth; 0, infinitely far, where nothing was hit."""
    return np.divide(1, depth_world, out=np.zeros_like(depth_world), where=depth_world > 0)
