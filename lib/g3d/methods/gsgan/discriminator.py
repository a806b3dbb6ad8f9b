"""The discriminator: StyleGAN2's, with a branch that tells the camera, and a network that encodes the camera's numbers alike.

Letters: B pictures, H their side, E numbers of a pose embedding.
"""

import torch
from torch import Tensor, nn

from g3d.methods.gsgan.config import CAMERA_NUMBERS, Config
from g3d.nets import discriminator
from g3d.nets.equalised import Linear


class PoseDiscriminator(nn.Module):
    """Pictures [B, 3, H, H] in [-1, 1] => logits [B], pose embeddings [B, E]."""

    def __init__(self, resolution: int, config: Config, generator: torch.Generator | None = None):
        super().__init__()
        self.real = discriminator.Discriminator(
            resolution, channel_base=config.d_channel_base, channel_max=config.d_channel_max, generator=generator
        )
        last = self.real.linear.weight.shape[0]
        sides = discriminator.block_sides(resolution)
        side = resolution >> len(sides)
        before = min(round(config.d_channel_base / sides[-1]), config.d_channel_max) if sides else 0
        self.pose_block = discriminator.ResidualBlock(before, last, generator) if sides else None
        self.pose = nn.Sequential(
            Linear(last * side * side, last, "lrelu", generator=generator),
            Linear(last, config.pose_dim, generator=generator),
        )
        self.camera = nn.Sequential(
            Linear(CAMERA_NUMBERS, last, "lrelu", generator=generator),
            Linear(last, config.pose_dim, generator=generator),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, pose = self.look(images)
        return self.real.head(features), pose

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, C, h, h] that `real.head` makes logits of, comparing pictures; pose embeddings [B, E]."""
        if self.pose_block is None:
            shared = self.real.trunk(images)
            return shared, self.pose(shared.flatten(1))
        shared = self.real.trunk(images, -1)
        return self.real.blocks[-1](shared), self.pose(self.pose_block(shared).flatten(1))
