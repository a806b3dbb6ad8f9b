"""What three feature planes (XY, XZ, YZ) say at points: the mean of their bilinear features.

A plane's first axis runs along its columns, its second along its rows, both upward: row 0 of XY is the lowest y. Pictures
have the highest y there, so who makes XY as a picture turns it over (`flip(-2)`) before it becomes a scene's.

Numba kernels read the planes on a CPU (`function.py`), torch's `grid_sample` does elsewhere; what differs is the rounding of
places in single precision (1e-5 of a feature on small planes).

Letters: B scenes, P points, C channels, H, W of a plane.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.errors import require_module

Corner = tuple[float, float, float]
FEW = 4096  # points below which `grid_sample` answers: a small scene is not worth compiling for


@dataclass(frozen=True)
class Frame:
    """Where a world point lies on the planes: by the box `low` to `high`, or by the `sphere` contraction of the world times
    `scale`; both give [-1, 1], of which the planes hold the middle, `extent` to both sides of each axis."""

    low: Corner
    high: Corner
    sphere: bool = False
    scale: float = 1.0
    extent: Corner = (1.0, 1.0, 1.0)

    def place(self, points: Tensor) -> Tensor:
        """World points [..., 3] => [-1, 1] from border to border of the planes; beyond it borders go on."""

        def vector(corner: Corner) -> Tensor:
            return torch.tensor(corner, dtype=points.dtype, device=points.device)

        if self.sphere:  # mip-NeRF 360, eq. 10; into [-1, 1]
            points = points if self.scale == 1 else points * self.scale
            norm = points.norm(dim=-1, keepdim=True).clamp(min=1e-9)
            x = torch.where(norm <= 1, points, (2 - 1 / norm) * points / norm) / 2
        else:
            low = vector(self.low)
            x = (points - low) / (vector(self.high) - low) * 2 - 1
        return (
            x if self.extent == (1, 1, 1) else x * vector((1 / self.extent[0], 1 / self.extent[1], 1 / self.extent[2]))
        )


def features(planes: Tensor, points: Tensor, frame: Frame) -> Tensor:
    """[B, P, C] of planes [B, 3, C, H, W] at world points [B, P, 3]; differentiable in both.

    The kernels want memory as `channels_last` has it, and copy planes of another order at every call."""
    count = points.shape[0] * points.shape[1]
    on_cpu = planes.device.type == "cpu" and planes.dtype == points.dtype == torch.float32
    if count < FEW or not on_cpu or torch.compiler.is_compiling():
        return sampled(planes, points, frame)
    require_module("numba", "reading feature planes on the CPU", "pip install numba")
    from g3d.scenes.planes.function import lookup

    return lookup(planes.permute(0, 1, 3, 4, 2).contiguous(), points, frame)


def channels_last(planes: Tensor) -> Tensor:
    """The same planes [B, 3, C, H, W] with the channels of a cell side by side in memory; differentiable."""
    return planes.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


def sampled(planes: Tensor, points: Tensor, frame: Frame) -> Tensor:
    """`features` by torch alone: what kernels are measured against, on any device and in any precision."""
    x = frame.place(points)
    pairs = torch.stack([x[..., [0, 1]], x[..., [0, 2]], x[..., [1, 2]]], dim=1)  # [B, 3, P, 2]
    found = F.grid_sample(
        planes.flatten(0, 1), pairs.flatten(0, 1).unsqueeze(1), align_corners=False, padding_mode="border"
    )
    mean: Tensor = found.squeeze(2).unflatten(0, (-1, 3)).mean(dim=1)  # [B, C, P]
    return mean.transpose(1, 2)
