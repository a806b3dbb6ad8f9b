"""Encoder and decoder as convolutions, as VQGAN has them (Esser et al. 2021, table 7): row 2 of the ablation.

Letters: B pictures, C channels, H side of a map, T tokens, D numbers of a code.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.vq3d.config import Config


class ResidualBlock(nn.Module):
    """[B, I, H, H] => [B, O, H, H]: twice norm, swish, 3 x 3, beside the input (by 1 x 1 where the channels change)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm0, self.norm1 = _norm(inputs), _norm(outputs)
        self.conv0, self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv0(F.silu(self.norm0(x)))
        found: Tensor = self.skip(x) + self.conv1(F.silu(self.norm1(h)))
        return found


class Attention(nn.Module):
    """One head among all places of a map [B, C, H, H]."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = _norm(channels)
        self.qkv, self.leave = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, dim=-1)  # [B, 1, H H, C]
        seen = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        found: Tensor = x + self.leave(seen.unflatten(2, x.shape[2:]))
        return found


class Encoder(nn.Module):
    """Pictures [B, 3, H, H] in [0, 1] => latents [B, T, D]: a halving for each power of two of the patch."""

    def __init__(self, config: Config):
        super().__init__()
        widths = _widths(config)
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1)
        stages: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            stages += [ResidualBlock(inputs, inputs) for _ in range(config.cnn_blocks)]
            stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)]
        last = widths[-1]
        self.stages = nn.Sequential(*stages, ResidualBlock(last, last), Attention(last), ResidualBlock(last, last))
        self.leave = nn.Sequential(_norm(last), nn.SiLU(), nn.Conv2d(last, config.code_dim, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.leave(self.stages(self.enter(pictures * 2 - 1)))
        return found.flatten(2).transpose(1, 2)


class Decoder(nn.Module):
    """Codes [B, T, D] => a map [B, outputs, P, P]: doublings as long as they do not pass P, then a resize to P."""

    def __init__(self, config: Config, outputs: int, size: int):
        super().__init__()
        self.side, self.size = config.side, size
        doublings = max(0, (size // config.side).bit_length() - 1)
        widths = _widths(config)[::-1]
        widths = [*widths, *[widths[-1]] * max(0, doublings + 1 - len(widths))][: doublings + 1]
        first = widths[0]
        stages: list[nn.Module] = [ResidualBlock(first, first), Attention(first), ResidualBlock(first, first)]
        for inputs, outputs_ in pairwise(widths):
            stages += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs_, 3, padding=1)]
            stages += [ResidualBlock(outputs_, outputs_) for _ in range(config.cnn_blocks)]
        self.enter = nn.Conv2d(config.code_dim, first, 3, padding=1)
        self.stages = nn.Sequential(*stages)
        self.leave = nn.Sequential(_norm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], outputs, 3, padding=1))

    def forward(self, codes: Tensor) -> Tensor:
        grid = codes.transpose(1, 2).unflatten(2, (self.side, self.side))
        found: Tensor = self.leave(self.stages(self.enter(grid)))
        if found.shape[-1] != self.size:
            found = F.interpolate(found, (self.size, self.size), mode="bilinear")
        return found


def _widths(config: Config) -> list[int]:
    """Channels from full size down to the tokens: doubled after the second halving, and again after the third."""
    halvings = config.patch.bit_length() - 1
    return [config.cnn_channels * min(4, 2 ** max(0, i - 1)) for i in range(halvings + 1)]


def _norm(channels: int) -> nn.GroupNorm:
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)
