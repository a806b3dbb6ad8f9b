"""Blurring and halving of feature maps by the binomial filter 1 3 3 1 in both axes (StyleGAN2; Zhang 2019).

1 3 3 1 over 8 is three times the mean of two neighbours, so a blur is three small mean filters.
"""

from torch import Tensor
from torch.nn import functional as F

TAPS = (1, 3, 3, 1)


def blur(x: Tensor, padding: int) -> Tensor:
    """[B, C, H, W] => [B, C, H + 2 padding - 3, ...]: zeros around it, then the filter."""
    return _mean2(_mean2(_mean2(F.pad(x, [padding] * 4))))


def halve(x: Tensor) -> Tensor:
    """[B, C, H, W] => [B, C, H // 2, W // 2]: blurred around the middle of each 2 x 2 pixels, zeros outside."""
    return F.avg_pool2d(_mean2(_mean2(F.pad(x, [1] * 4))), 2, 2)


def _mean2(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, 1)
