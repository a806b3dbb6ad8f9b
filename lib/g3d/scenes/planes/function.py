"""The kernels as one differentiable function of torch. Import it only where planes are read on a CPU.

Letters: B scenes, P points, C channels, H, W of a plane.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from g3d.kernels import threads
from g3d.scenes.planes import Frame
from g3d.scenes.planes.kernels import gather, scatter, slopes

Array = NDArray[Any]


def lookup(planes: Tensor, points: Tensor, frame: Frame) -> Tensor:
    """Features [B, P, C] of planes [B, 3, H, W, C] (contiguous) at world points [B, P, 3], float32 on a CPU."""
    found: Tensor = _Lookup.apply(planes, points, frame)
    return found


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, points: Tensor, frame: Frame) -> Tensor:
        (scenes, each, _), (_, _, height, width, channels) = points.shape, planes.shape
        out = torch.empty(scenes, each, channels)
        shape, how = (each, height, width), (frame.sphere, numbers_of(frame))
        arrays = [_rows(t) for t in (planes, points, out)]
        _in_shares(scenes * each, lambda start, stop: gather(start, stop, *arrays, shape, *how))
        ctx.save_for_backward(points, planes if ctx.needs_input_grad[1] else None)
        ctx.shape, ctx.how = planes.shape, how
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        points, planes = ctx.saved_tensors
        shape = (points.shape[1], *ctx.shape[2:4])
        rows, of_planes, of_points = (_rows(grad), _rows(points)), None, None
        if ctx.needs_input_grad[0]:
            of_planes = torch.zeros(ctx.shape)
            parts, into = threads.count(), _rows(of_planes)
            owners = np.arange(shape[1]) % parts
            threads.share(lambda part: scatter(part, owners, *rows, into, shape, *ctx.how), parts)
        if planes is not None:
            of_points = torch.empty(points.shape)
            arrays = (_rows(planes), *rows, _rows(of_points))
            _in_shares(len(arrays[1]), lambda start, stop: slopes(start, stop, *arrays, shape, *ctx.how))
        return of_planes, of_points, None


def numbers_of(frame: Frame) -> Array:
    """low, high - low, scale, 1 / extent."""
    low, high = np.array(frame.low, np.float32), np.array(frame.high, np.float32)
    return np.array([*low, *(high - low), frame.scale, *(1 / e for e in frame.extent)], np.float32)


def _in_shares(count: int, task: Any) -> None:
    """task(start, stop) for as many even shares of `count` as there are threads."""
    parts = threads.count()
    threads.share(lambda part: task(count * part // parts, count * (part + 1) // parts), parts)


def _rows(tensor: Tensor) -> Array:
    found: Array = tensor.detach().contiguous().view(-1, tensor.shape[-1]).numpy()
    return found
