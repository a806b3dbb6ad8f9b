"""How close two images of the same thing are: PSNR.

Letters: N images; the further axes (H, W, channels) are free.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

Pixels = NDArray[np.uint8] | NDArray[np.floating]


@dataclass(frozen=True)
class Psnr:
    """The two figures that papers both call PSNR. They differ: by Jensen the first is never below the second."""

    mean_of_db: float  # each image in dB, then the mean; inf as soon as one image is exact
    db_of_mean_mse: float  # the mean squared error of all images, then in dB


def psnr(true: Pixels, test: Pixels) -> Psnr:
    """PSNR over N images: uint8 in 0..255 or floats in [0, 1], peak 1."""
    mse = mse_per_image(true, test)
    return Psnr(float(_db(mse).mean()), float(_db(mse.mean(keepdims=True))[0]))


def mse_per_image(true: Pixels, test: Pixels) -> NDArray[np.float64]:
    """Mean squared error of each image [N], of values in [0, 1]."""
    if true.shape != test.shape:
        raise G3dError(
            f"images of shapes {list(true.shape)} and {list(test.shape)} cannot be compared; make them one size"
        )
    if len(true) == 0:
        raise G3dError("there are no images to compare; give one pair or more")
    error = _unit(true) - _unit(test)
    result: NDArray[np.float64] = (error * error).reshape(len(error), -1).mean(axis=1)
    return result


def _unit(pixels: Pixels) -> NDArray[np.float64]:
    """0..255 as uint8, or floats in [0, 1] => float64 in [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float64) / 255
    assert np.issubdtype(pixels.dtype, np.floating), f"pixels are uint8 or float, not {pixels.dtype}"
    assert pixels.min() > -0.01 and pixels.max() < 1.01, "float pixels lie in [0, 1]"
    return pixels.astype(np.float64)


def _db(mse: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        result: NDArray[np.float64] = -10 * np.log10(mse)
    return result
