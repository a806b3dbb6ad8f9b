"""Pictures resampled along a matrix, differentiable as often as one likes: resampling is linear in the picture.

Beyond its border a picture is mirrored, the border pixel twice. Between pixels it is read from a copy of twice the size
(Karras et al. 2020, appendix B.2), made and undone by a filter, so that a warp neither blurs nor aliases much. The filter
is Lanczos' of 3 lobes: symmetric, where the paper's wavelet filter sym6 puts the picture a third of a pixel off.

Letters: B pictures, C channels, H W their sides.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_EDGE = 8  # pixels of mirrored border that the filters may read


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Pictures [B, C, H, W] read at `matrix` [B, 3, 3] times the place of each output pixel (pixels, the middle at 0)."""
    height, width = images.shape[-2:]
    fine = _doubled(_bordered(images, _EDGE))  # [B, C, 2 (H + 16), 2 (W + 16)]
    places = _places(2 * height + 10, 2 * width + 10, 0.5, images)  # 12 taps a pixel, 2 apart
    x, y = _moved(places, matrix)
    # in pixels of `fine`, whose first pixel lies at -(W / 2 + EDGE) + 1/4
    x = (_mirrored(x, width) + width / 2 + _EDGE - 0.25) * 2
    y = (_mirrored(y, height) + height / 2 + _EDGE - 0.25) * 2
    return _halved(sample(fine, x, y))


def warp_whole(images: Tensor, matrix: Tensor) -> Tensor:
    """The same for matrices that put pixels on pixels: exact, nothing is filtered."""
    height, width = images.shape[-2:]
    x, y = _moved(_places(height, width, 1.0, images), matrix)
    column = (_mirrored(x, width) + width / 2 - 0.5).round().long().clamp(0, width - 1)
    row = (_mirrored(y, height) + height / 2 - 0.5).round().long().clamp(0, height - 1)
    index = (row * width + column).flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def sample(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values at x, y [B, h, w] (pixels, 0 at the middle of the first one; the border's beyond it)."""
    height, width = images.shape[-2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    found: Tensor = _Sample.apply(images, grid)
    return found


class _Sample(torch.autograd.Function):
    """grid_sample at a fixed grid. Torch differentiates it once; here its gradient is the transposed map, whose gradient is
    grid_sample again."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Transposed.apply(slopes[0], grid, ctx.shape), None


class _Transposed(torch.autograd.Function):
    """What each pixel gives to all samples: the transpose of `_Sample`."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        like = slope.new_empty(1).expand(shape)  # only its shape is read
        back = torch.ops.aten.grid_sampler_2d_backward
        found: Tensor = back(slope, like, grid, 0, 1, False, [True, False])[0]
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(slopes[0], grid), None, None


def _places(height: int, width: int, spacing: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y [height, width] of points `spacing` apart around 0."""
    x = (torch.arange(width, device=like.device) - (width - 1) / 2) * spacing
    y = (torch.arange(height, device=like.device) - (height - 1) / 2) * spacing
    return x.expand(height, width), y[:, None].expand(height, width)


def _moved(places: tuple[Tensor, Tensor], matrix: Tensor) -> tuple[Tensor, Tensor]:
    """[h, w] each => [B, h, w] each, by matrices [B, 3, 3]."""
    x, y = places
    m = matrix[:, :, :, None, None]
    return m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2], m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]


def _mirrored(x: Tensor, width: int) -> Tensor:
    """Places folded back into [-width / 2, width / 2] as a mirrored picture repeats."""
    period = torch.remainder(x + width / 2, 2 * width)
    return torch.minimum(period, 2 * width - period) - width / 2


def _bordered(images: Tensor, edge: int) -> Tensor:
    """`edge` mirrored pixels around, the border pixel twice."""
    for dim in (2, 3):
        size = images.shape[dim]
        at = torch.arange(-edge, size + edge, device=images.device)
        period = at.remainder(2 * size)
        images = images.index_select(dim, torch.minimum(period, 2 * size - 1 - period))
    return images


def _doubled(x: Tensor) -> Tensor:
    """[B, C, H, W] => [B, C, 2 H, 2 W], pixels at -1/4 and +1/4 of the old ones; a border of 3 is darker than it should be."""
    for dim in (2, 3):
        offsets = torch.arange(-3, 3, dtype=x.dtype, device=x.device) + 0.25  # of the six pixels around -1/4
        before, after = lanczos(offsets), lanczos(offsets.flip(0))
        x = torch.stack([_filtered(x, before, dim, 3), _filtered(x, after, dim, 2)], dim=dim + 1).flatten(dim, dim + 1)
    return x


def _halved(x: Tensor) -> Tensor:
    """[B, C, 2 H + 10, ...] => [B, C, H, ...]: the filter, then every second value."""
    taps = lanczos((torch.arange(12, dtype=x.dtype, device=x.device) - 5.5) / 2)
    for dim in (2, 3):
        x = _correlated(x, taps, dim, stride=2)
    return x


def lanczos(distance: Tensor) -> Tensor:
    """Lanczos' window of 3 lobes at distances in pixels, scaled to the sum 1."""
    taps = torch.sinc(distance) * torch.sinc(distance / 3)
    return taps / taps.sum()


def _filtered(x: Tensor, taps: Tensor, dim: int, before: int) -> Tensor:
    """Six taps along an axis, `before` zeros in front and the rest behind: as long as x."""
    pad = [before, 5 - before]
    return _correlated(F.pad(x, [*pad, 0, 0] if dim == 3 else [0, 0, *pad]), taps, dim, stride=1)


def _correlated(x: Tensor, taps: Tensor, dim: int, stride: int) -> Tensor:
    channels = x.shape[1]
    if dim == 3:
        return F.conv2d(x, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, stride), groups=channels)
    return F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(stride, 1), groups=channels)
