"""The mapping network of StyleGAN2: z, and a condition where there is one, => w; its running mean, and truncation to it.

Letters: B samples, Z, C and W numbers of a latent, of a condition and of a style.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from g3d.nets.equalised import Linear


class Mapping(nn.Module):
    """z [B, Z], condition [B, C] => w [B, W]. Both inputs are scaled to a mean square of 1."""

    w_mean: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        layers: int,
        *,
        condition_dim: int = 0,
        lr_multiplier: float = 0.01,
        mean_decay: float = 0.998,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.mean_decay = mean_decay
        self.condition = Linear(condition_dim, w_dim, generator=generator) if condition_dim else None
        sizes = [z_dim + (w_dim if condition_dim else 0), *[w_dim] * layers]
        self.layers = nn.ModuleList(
            Linear(a, b, "lrelu", lr_multiplier=lr_multiplier, generator=generator) for a, b in pairwise(sizes)
        )
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x = unit_mean_square(z)
        if self.condition is not None:
            assert condition is not None
            x = torch.cat([x, unit_mean_square(self.condition(condition))], dim=1)
        for layer in self.layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def track(self, w_batch_mean: Tensor) -> None:
        """Move the running mean toward the mean [W] of a batch."""
        self.w_mean.lerp_(w_batch_mean.detach(), 1 - self.mean_decay)

    def truncate(self, w: Tensor, truncation: float) -> Tensor:
        """Toward the mean: 1 leaves w as it is, 0 gives the mean (StyleGAN2's psi)."""
        return w if truncation == 1 else self.w_mean + truncation * (w - self.w_mean)


def unit_mean_square(x: Tensor) -> Tensor:
    """Each row of [B, Z] scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
