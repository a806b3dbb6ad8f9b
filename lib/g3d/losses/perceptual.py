"""How alike two pictures look: the distance of their features in EfficientNet-lite0, at five resolutions, differentiable.

LPIPS's form (Zhang et al. 2018, eq. 1) without learnt weights of channels: features of length 1 at each place, squared
distance, mean over places, sum over layers. It is another network and carries no judgements of people, so it is not LPIPS and
its figures are not comparable with those of LPIPS.

Letters: B pictures, C channels, H rows, W columns, h w those of a layer.
"""

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.losses.lpips import unit_length
from g3d.nets.efficientnet import SHA256 as SHA256
from g3d.nets.efficientnet import EfficientNet

NAME = "perceptual_efficientnet"
LEAST_PX = 16  # a side: below, the deeper layers see a pixel or two


def perceptual_distance(a: Tensor, b: Tensor, network: EfficientNet) -> Tensor:
    """Distances [B] of pictures [B, 3, H, W] in [0, 1], at the size they have: 0 for equal ones, at most 4 a layer."""
    if min(a.shape[-2:]) < LEAST_PX:
        raise G3dError(
            f"the perceptual distance needs {LEAST_PX} pixels a side, found {a.shape[-1]} x {a.shape[-2]}; give larger pictures"
        )
    both = network.stages(255 * torch.cat([a, b]))  # [2 B, C, h, w] of each layer
    parts = [(x - y).square().sum(dim=1).mean(dim=(1, 2)) for x, y in (unit_length(layer).chunk(2) for layer in both)]
    return torch.stack(parts).sum(dim=0)
