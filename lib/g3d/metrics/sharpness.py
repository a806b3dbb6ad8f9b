"""How much detail a picture has: the energy of its gradient, beside that of the true one. Blur has less, noise more, whatever
PSNR says: a mean of sharp pictures has the best PSNR of all and no detail.

Letters: H rows, W columns.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def gradient_energy(picture: NDArray[np.uint8], mask: Mask | None = None) -> float:
    """Sum of squared forward differences across and down of [H, W, 3] in [0, 1]; each counts where both of its pixels do."""
    values = picture.astype(np.float64) / 255
    counts = np.ones(values.shape[:2], bool) if mask is None else mask
    across, down = np.diff(values, axis=1), np.diff(values, axis=0)
    total = np.square(across)[counts[:, 1:] & counts[:, :-1]].sum() + np.square(down)[counts[1:] & counts[:-1]].sum()
    return float(total)


def eroded(mask: Mask, pixels: int) -> Mask:
    """The pixels whose square neighbourhood of `pixels` to each side lies in the mask; beyond the picture nothing does."""
    inside = mask
    for axis in (0, 1):
        padded = np.pad(inside, [(pixels, pixels) if a == axis else (0, 0) for a in (0, 1)])
        shifts = [np.take(padded, np.arange(k, k + inside.shape[axis]), axis) for k in range(2 * pixels + 1)]
        inside = np.logical_and.reduce(shifts)
    return inside
