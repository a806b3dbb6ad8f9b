"""How close two images of the same thing are: MSE, L1, PSNR, SSIM, MS-SSIM, LPIPS, the perceptual distance.

What a mask does: MSE, L1 and PSNR count its pixels alone. The map of SSIM is averaged over its pixels (their windows reach
beyond it); so is that of each scale of MS-SSIM, with the mask halved along. LPIPS and the perceptual distance have no
pixels: beyond the mask the true picture is put into the other one, and the figure is that of the whole picture.

Letters: N images; the further axes (H, W, channels) are free. In `compare`: H rows, W columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.errors import G3dError
from g3d.images import U8
from g3d.losses import paired, perceptual

Pixels = NDArray[np.uint8] | NDArray[np.floating]
Distance = Callable[[Tensor, Tensor], Tensor]  # pictures [1, 3, H, W] in [0, 1], twice => [1]


@dataclass(frozen=True)
class How:
    """What is measured, and how. `ms_ssim_scales`: None for Wang's five where the picture is large enough, else nothing;
    `perceptual`, likewise, is of pictures that are large enough."""

    borders: str = "valid"
    ms_ssim_scales: int | None = None
    lpips: Distance | None = None
    perceptual: Distance | None = None
    device: str | torch.device = "cpu"


def compare(true: U8, test: U8, mask: NDArray[np.bool_] | None = None, how: How | None = None) -> dict[str, float]:
    """The figures of one pair of pictures [H, W, 3], under their names; `mask` [H, W] holds one pixel or more."""
    how = how or How()
    mse = mse_per_image(true[None], test[None]) if mask is None else mse_per_image(true[mask][None], test[mask][None])
    error = np.abs(true.astype(np.float64) - test)[... if mask is None else mask]
    found = {"mse": float(mse[0]), "l1": float(error.mean() / 255), "psnr_db": float(_db(mse)[0])}
    a, b = (torch.tensor(x).to(how.device).permute(2, 0, 1)[None].double() / 255 for x in (true, test))
    weight = None if mask is None else torch.from_numpy(mask).to(a)[None, None]
    found["ssim"] = _inside(float(paired.ssim(a, b, how.borders, weight)[0]), "SSIM", "--ssim-borders reflect")
    scales = how.ms_ssim_scales or len(paired.SCALE_EXPONENTS)
    if how.ms_ssim_scales is not None:
        value = float(paired.ms_ssim(a, b, scales, weight)[0])
        found["ms_ssim"] = _inside(value, "MS-SSIM", "fewer --ms-ssim-scales")
    elif min(true.shape[:2]) >= paired.least_px(scales):
        value = float(paired.ms_ssim(a, b, scales, weight)[0])
        found |= {"ms_ssim": value} if np.isfinite(value) else {}
    mixed = b if weight is None else torch.where(weight > 0, b, a)
    large = min(true.shape[:2]) >= perceptual.LEAST_PX
    for name, distance in (("lpips", how.lpips), (perceptual.NAME, how.perceptual if large else None)):
        if distance is not None:
            with torch.inference_mode():
                found[name] = float(distance(a.float(), mixed.float()).reshape(-1)[0])
    return found


def _inside(value: float, name: str, instead: str) -> float:
    if np.isnan(value):
        raise G3dError(
            f"the mask has no pixel whose window of {name} lies inside the picture; give {instead}, or a larger mask"
        )
    return value


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float | int | None]:
    """Mean and standard deviation (divided by N) of each figure of N rows; None where one is infinite, and how many are.

    PSNR comes twice: the mean of the decibels, and the decibels of the mean squared error."""
    result: dict[str, float | int | None] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = np.array([row[name] for row in rows if name in row], np.float64)
        finite = bool(np.isfinite(values).all())
        result |= {
            name: float(values.mean()) if finite else None,
            f"{name}_std": float(values.std()) if finite else None,
        }
        if len(values) < len(rows):
            result[f"{name}_n"] = len(values)
    if "mse" in result:
        mean_mse = np.array([row["mse"] for row in rows]).mean(keepdims=True)
        overall = float(_db(mean_mse)[0])
        result["psnr_of_mean_mse_db"] = overall if np.isfinite(overall) else None
        result["exact_pairs"] = sum(row["mse"] == 0 for row in rows)
    return result


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
