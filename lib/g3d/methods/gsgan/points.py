"""Learnable points before they are learnt.

Letters: N points.
"""

import torch
from torch import Tensor


def unit_points(count: int, generator: torch.Generator, half: bool = False) -> Tensor:
    """N normal points [N, 3], each scaled to a mean square of 1 (length sqrt(3)). `half`: all are put behind, z < 0."""
    points = torch.randn(count, 3, generator=generator)
    points = points * points.square().mean(dim=1, keepdim=True).rsqrt()
    if half:
        points[:, 2] = -points[:, 2].abs()
    return points
