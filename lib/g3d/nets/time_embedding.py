"""A time or noise level as many numbers: sines and cosines (Vaswani et al. 2017; Ho et al. 2020).

Letters: N samples.
"""

import math

import torch
from torch import Tensor


def time_embedding(t: Tensor, width: int) -> Tensor:
    """[N] => [N, width], sines and cosines of frequencies 1 to 1e-4."""
    half = (width + 1) // 2
    frequency = torch.exp(-math.log(1e4) * torch.arange(half, device=t.device) / max(half, 1))
    angle = t.float().unsqueeze(1) * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)[:, :width]
