"""Two pictures of the same thing, compared: SSIM, MS-SSIM, DSSIM, the L1 distance of gradients. All differentiable.

SSIM: Wang, Bovik, Sheikh and Simoncelli 2004, with their 11 x 11 Gaussian window of 1.5 pixels, of each colour channel, then
the mean over channels. MS-SSIM: Wang, Simoncelli and Bovik 2003, their five scales and exponents. Values lie in [0, 1].

What lies beyond the border of a picture has no one answer, so it is named:

* `valid`: only windows that lie inside count. Wang's own, and the mean that scikit-image returns.
* `reflect`: pixels are mirrored, the border pixel twice; every pixel counts. scikit-image's full map.
* `zero`: black beyond the border; every pixel counts. What the code of Gaussian splatting papers does.

Letters: B pictures, C channels, H rows, W columns, h w of the map (H - 10, W - 10 for `valid`).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.errors import G3dError

BORDERS = ("valid", "reflect", "zero")
WINDOW_PX, SIGMA_PX = 11, 1.5
PAD_PX = WINDOW_PX // 2
SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang 2003, section 3.2
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)², (K2 L)² of eq. 6, L = 1


def ssim_map(a: Tensor, b: Tensor, borders: str = "valid") -> Tensor:
    """SSIM around each pixel [B, C, h, w] of pictures [B, C, H, W] in [0, 1]. Wang 2004, eq. 13."""
    luminance, contrast = _maps(a, b, borders)
    return luminance * contrast


def ssim(a: Tensor, b: Tensor, borders: str = "valid", weight: Tensor | None = None) -> Tensor:
    """Mean SSIM [B]; with `weight` [B, 1, H, W] the mean of the map over it."""
    return _mean(ssim_map(a, b, borders), _cropped(weight, borders))


def dssim(a: Tensor, b: Tensor, borders: str = "valid") -> Tensor:
    """(1 - SSIM) / 2, [B]: 0 for equal pictures. INFAMOUS-NeRF, eq. 11."""
    return (1 - ssim(a, b, borders)) / 2


def ms_ssim(a: Tensor, b: Tensor, scales: int = len(SCALE_EXPONENTS), weight: Tensor | None = None) -> Tensor:
    """MS-SSIM [B] by `valid` windows: contrast and structure of each scale, luminance of the last. Wang 2003, eq. 7.

    With fewer than five scales the exponents of the finest ones are scaled to the sum 1, and it is another figure: say so.
    A scale is half the one before, by the mean of 2 x 2 pixels (an odd side repeats its last row or column). Negative
    structure counts as 0. `weight` [B, 1, H, W] is halved along with the pictures."""
    check_scales(a.shape[-2], a.shape[-1], scales)
    whole = sum(SCALE_EXPONENTS[:scales]) if scales < len(SCALE_EXPONENTS) else 1.0  # the five, as published: 1.0001
    exponents = torch.tensor(SCALE_EXPONENTS[:scales], dtype=a.dtype, device=a.device) / whole
    result = torch.ones(a.shape[:2], dtype=a.dtype, device=a.device)  # [B, C]
    for scale, exponent in enumerate(exponents):
        luminance, contrast = _maps(a, b, "valid")
        found = luminance * contrast if scale == scales - 1 else contrast
        result = result * _powered(_channel_mean(found, _cropped(weight, "valid")), exponent)
        if scale < scales - 1:
            a, b = _halved(a), _halved(b)
            weight = None if weight is None else _halved(weight)
    return result.mean(dim=1)


def least_px(scales: int) -> int:
    """The smallest side that so many scales need: 161 for five."""
    return (WINDOW_PX - 1) * (1 << (scales - 1)) + 1


def check_scales(height: int, width: int, scales: int) -> None:
    """Refuse scales that the pictures are too small for."""
    if not 1 <= scales <= len(SCALE_EXPONENTS):
        raise G3dError(f"MS-SSIM of {scales} scales does not exist; give 1 to {len(SCALE_EXPONENTS)}")
    if min(height, width) < least_px(scales):
        most = max((s for s in range(1, scales) if min(height, width) >= least_px(s)), default=0)
        hint = f"give --ms-ssim-scales {most}, or larger pictures" if most else "give larger pictures"
        raise G3dError(
            f"MS-SSIM of {scales} scales needs {least_px(scales)} pixels a side, found {width} x {height}; {hint}"
        )


def gradient_loss(a: Tensor, b: Tensor, pixels: int | None = None) -> Tensor:
    """L1 of the difference of forward differences [B]. INFAMOUS-NeRF, eq. 12: over C times `pixels`, all H W if None."""
    difference = a - b
    across = (difference[..., 1:] - difference[..., :-1]).abs().sum(dim=(1, 2, 3))
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().sum(dim=(1, 2, 3))
    return (across + down) / (a.shape[1] * (pixels or a.shape[-2] * a.shape[-1]))


def _maps(a: Tensor, b: Tensor, borders: str) -> tuple[Tensor, Tensor]:
    """Luminance l, and contrast times structure c s, each [B, C, h, w]: SSIM is their product. Wang 2004, eqs. 6, 9, 10."""
    if a.shape != b.shape:
        raise G3dError(f"pictures of shapes {list(a.shape)} and {list(b.shape)} cannot be compared; make them one size")
    check_borders(a.shape[-2], a.shape[-1], borders)
    blurred = _blur(torch.cat([a, b, a * a, b * b, a * b], dim=1), borders)  # one pass for the five
    mean_a, mean_b, square_a, square_b, product = blurred.chunk(5, dim=1)
    both = mean_a * mean_b
    variances = (square_a - mean_a * mean_a) + (square_b - mean_b * mean_b)  # of the window, divided by its sum, 1
    luminance = (2 * both + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    return luminance, (2 * (product - both) + _C2) / (variances + _C2)


def check_borders(height: int, width: int, borders: str) -> None:
    """Refuse borders that do not exist, or that the pictures are too small for."""
    if borders not in BORDERS:
        raise G3dError(f"the SSIM borders '{borders}' are unknown; allowed are {', '.join(BORDERS)}")
    least = {"valid": WINDOW_PX, "reflect": PAD_PX, "zero": 1}[borders]
    if min(height, width) < least:
        raise G3dError(
            f"SSIM with the borders '{borders}' needs {least} pixels a side, found {width} x {height}; "
            "give --ssim-borders zero, or larger pictures"
        )


def _blur(x: Tensor, borders: str) -> Tensor:
    """Each channel of [B, K, H, W] with the window, along one axis and then the other."""
    if borders == "reflect":
        x = _mirrored(_mirrored(x, 2), 3)
    elif borders == "zero":
        x = F.pad(x, (PAD_PX,) * 4)
    kernel = _window(x.dtype, x.device)
    return _by_sums(x, kernel) if x.device.type == "cpu" else _by_convolution(x, kernel)


def _by_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    channels = x.shape[1]
    x = F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)


def _by_sums(x: Tensor, kernel: Tensor) -> Tensor:
    """The same as a sum of shifted pictures: a third of the time of a convolution on a processor."""
    for axis in (2, 3):
        length = x.shape[axis] - (WINDOW_PX - 1)
        total = x.narrow(axis, 0, length) * float(kernel[0])
        for shift, share in enumerate(kernel.tolist()[1:], 1):
            total = total.add_(x.narrow(axis, shift, length), alpha=share)
        x = total
    return x


@lru_cache(maxsize=8)
def _window(dtype: torch.dtype, device: torch.device) -> Tensor:
    offset = torch.arange(WINDOW_PX, dtype=torch.float64) - PAD_PX
    kernel = torch.exp(-(offset**2) / (2 * SIGMA_PX**2))
    return (kernel / kernel.sum()).to(dtype).to(device)


def _mirrored(x: Tensor, axis: int) -> Tensor:
    """`PAD_PX` more on both ends of an axis: c b a | a b c d | d c b."""
    start, end = x.narrow(axis, 0, PAD_PX).flip(axis), x.narrow(axis, x.shape[axis] - PAD_PX, PAD_PX).flip(axis)
    return torch.cat([start, x, end], dim=axis)


def _cropped(weight: Tensor | None, borders: str) -> Tensor | None:
    """The part of a weight [B, 1, H, W] that the map covers."""
    if weight is None or borders != "valid":
        return weight
    return weight[..., PAD_PX:-PAD_PX, PAD_PX:-PAD_PX]


def _mean(found: Tensor, weight: Tensor | None) -> Tensor:
    return _channel_mean(found, weight).mean(dim=1)


def _channel_mean(found: Tensor, weight: Tensor | None) -> Tensor:
    """[B, C, h, w] => [B, C]; NaN where the weight is 0 everywhere."""
    if weight is None:
        return found.mean(dim=(2, 3))
    return (found * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))


def _powered(x: Tensor, exponent: Tensor) -> Tensor:
    """x to a power, 0 for x < 0; its gradient stays finite at 0, where that of a root does not."""
    return torch.where(x > 0, x.clamp(min=1e-8) ** exponent, 0 * x)


def _halved(x: Tensor) -> Tensor:
    odd = (0, x.shape[-1] % 2, 0, x.shape[-2] % 2)
    return F.avg_pool2d(F.pad(x, odd, mode="replicate") if any(odd) else x, 2)
