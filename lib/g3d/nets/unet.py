"""A U-Net for denoising diffusion (Ho et al. 2020; norms scaled and shifted by the time: Dhariwal, Nichol 2021): pictures of any
size in, pictures of that size out.

Letters: N pictures, C channels, H rows, W columns, E numbers of the time.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.nets.time_embedding import time_embedding

_GROUPS = 32  # of a norm, or the largest power of two that divides the channels


class Residual(nn.Module):
    """x [N, C, H, W], time [N, E] => [N, C', H, W]."""

    def __init__(self, inputs: int, outputs: int, time: int, dropout: float):
        super().__init__()
        self.norm_in, self.conv_in = _norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, 2 * outputs)
        self.norm_out, self.drop = _norm(outputs), nn.Dropout(dropout)
        self.conv_out = _zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The features with what the block adds."""
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.time(time)[..., None, None].chunk(2, dim=1)
        h = self.norm_out(h) * (1 + scale) + shift
        added: Tensor = self.skip(x) + self.conv_out(self.drop(F.silu(h)))
        return added


class SelfAttention(nn.Module):
    """x [N, C, H, W] => the same with what each place takes from all others; heads of 64 numbers."""

    def __init__(self, channels: int):
        super().__init__()
        self.heads = max(1, channels // 64)
        self.norm, self.qkv = _norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The features with what attention adds."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(q, k, v)  # [N, heads, H W, C / heads]
        added: Tensor = x + self.out(seen.transpose(2, 3).reshape(x.shape))
        return added


class Level(nn.Module):
    """The blocks of one resolution, each with attention behind it where it is wanted. On the way down what each makes is kept, on
    the way up what was kept last is joined to what each gets."""

    def __init__(self, inputs: Sequence[int], outputs: int, time: int, dropout: float, attention: bool, up: bool):
        super().__init__()
        self.blocks = nn.ModuleList(Residual(i, outputs, time, dropout) for i in inputs)
        self.attention = nn.ModuleList(SelfAttention(outputs) if attention else nn.Identity() for _ in inputs)
        self.up = up

    def forward(self, x: Tensor, time: Tensor, kept: list[Tensor]) -> Tensor:
        """The features behind the last block; `kept` grows or shrinks by one for each."""
        for block, attention in zip(self.blocks, self.attention, strict=True):
            x = attention(block(torch.cat([x, kept.pop()], dim=1) if self.up else x, time))
            if not self.up:
                kept.append(x)
        return x


class UNet(nn.Module):
    """x [N, inputs, H, W], t [N] => [N, outputs, H, W]; a size that the levels do not divide is padded and cut again.

    `multipliers`: of `channels`, for each level, half as large as the one before it; `attention`: levels that have it; with
    any of them the middle has it, too."""

    def __init__(
        self, inputs: int, outputs: int, channels: int, multipliers: Sequence[int], blocks: int,
        attention: Sequence[int] = (), dropout: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        time, widths = 4 * channels, [channels * m for m in multipliers]
        self.channels, self.halvings = channels, len(widths) - 1
        self.time = nn.Sequential(nn.Linear(channels, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.enter = nn.Conv2d(inputs, channels, 3, padding=1)
        self.down, self.halving = nn.ModuleList(), nn.ModuleList()
        kept, width = [channels], channels  # channels of what the way up gets, from the way down
        for i, wide in enumerate(widths):
            self.down.append(Level([width, *[wide] * (blocks - 1)], wide, time, dropout, i in attention, up=False))
            kept, width = kept + [wide] * blocks, wide
            if i < self.halvings:
                self.halving.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                kept.append(width)
        self.middle = nn.ModuleList([Residual(width, width, time, dropout), Residual(width, width, time, dropout)])
        self.between = SelfAttention(width) if attention else nn.Identity()
        self.up, self.doubling = nn.ModuleList(), nn.ModuleList()
        for i, wide in reversed(list(enumerate(widths))):
            joined = []
            for _ in range(blocks + 1):
                joined.append(width + kept.pop())
                width = wide
            self.up.append(Level(joined, wide, time, dropout, i in attention, up=True))
            if i:
                self.doubling.append(nn.Conv2d(width, width, 3, padding=1))
        self.leave = nn.Sequential(_norm(width), nn.SiLU(), _zero(nn.Conv2d(width, outputs, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """What the network says of pictures at these times."""
        time = self.time(time_embedding(t, self.channels).to(x.dtype))
        (height, width), step = x.shape[2:], 1 << self.halvings
        x = F.pad(x, (0, -width % step, 0, -height % step), mode="replicate")
        h = self.enter(x)
        kept = [h]
        for i, level in enumerate(self.down):
            h = level(h, time, kept)
            if i < self.halvings:
                h = self.halving[i](h)
                kept.append(h)
        h = self.middle[1](self.between(self.middle[0](h, time)), time)
        for i, level in enumerate(self.up):
            h = level(h, time, kept)
            if i < self.halvings:
                h = self.doubling[i](F.interpolate(h, scale_factor=2.0, mode="nearest"))
        found: Tensor = self.leave(h)[..., :height, :width]
        return found


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)


def _zero(module: nn.Conv2d) -> nn.Conv2d:
    """What is added begins as nothing."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
