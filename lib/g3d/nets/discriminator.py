"""The residual discriminator of StyleGAN2 (Karras et al. 2020, section 4.1 and appendix B), for squares of any size.

Blocks halve the side until it lies between 4 and 7; the last layers see a channel more, the minibatch's deviation. At
powers of two these are StyleGAN2's own layers and parameter counts. `trunk` and `head` are apart, so that a method can
branch off before the last block, or after it.

Letters: B pictures, C channels, H side of a picture or feature map.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from g3d.nets.blur import blur, halve
from g3d.nets.equalised import Conv2d, Linear

SMALLEST_PX = 4


class ResidualBlock(nn.Module):
    """[B, I, H, H] => [B, O, H // 2, H // 2]: two 3 x 3 convolutions beside a 1 x 1, summed and scaled by sqrt(1/2)."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator | None = None):
        super().__init__()
        half = math.sqrt(0.5)
        self.conv0 = Conv2d(inputs, inputs, 3, "lrelu", generator=generator)
        self.conv1 = Conv2d(inputs, outputs, 3, "lrelu", gain=half, generator=generator)
        self.skip = Conv2d(inputs, outputs, 1, bias=False, gain=half, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        straight: Tensor = self.skip(halve(x))
        bent: Tensor = self.conv1(blur(self.conv0(x), 2), stride=2, padding=0)
        return straight + bent


class Discriminator(nn.Module):
    """Pictures [B, channels, H, H] in [-1, 1] => logits [B], above 0 where they look real."""

    def __init__(
        self,
        resolution: int,
        *,
        channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        group: int = 4,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        assert resolution >= SMALLEST_PX
        sides = block_sides(resolution)
        last = min(channel_base // SMALLEST_PX, channel_max)
        widths = [*(min(round(channel_base / side), channel_max) for side in sides), last]
        self.group = group
        self.from_rgb = Conv2d(channels, widths[0], 1, "lrelu", generator=generator)
        self.blocks = nn.ModuleList(ResidualBlock(a, b, generator) for a, b in pairwise(widths))
        side = resolution >> len(sides)
        self.conv = Conv2d(last + 1, last, 3, "lrelu", generator=generator)
        self.linear = Linear(last * side * side, last, "lrelu", generator=generator)
        self.out = Linear(last, 1, generator=generator)

    def trunk(self, images: Tensor, blocks: int | None = None) -> Tensor:
        """Features after so many blocks (a negative number leaves out the last ones); all of them by default."""
        x: Tensor = self.from_rgb(images)
        for block in self.blocks[:blocks]:
            x = block(x)
        return x

    def head(self, x: Tensor) -> Tensor:
        """Features [B, C, h, h] after the last block => logits [B]."""
        y: Tensor = self.linear(self.conv(with_deviation(x, self.group)).flatten(1))
        logits: Tensor = self.out(y)
        return logits.squeeze(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images))


def block_sides(resolution: int) -> list[int]:
    """The side of the picture or features that each block reads."""
    return [resolution >> i for i in range(resolution.bit_length()) if resolution >> i >= 2 * SMALLEST_PX]


def with_deviation(x: Tensor, group: int) -> Tensor:
    """One channel more: the mean over features of their standard deviation over a group of pictures (Karras et al. 2018,
    section 3). Groups are of at most `group` pictures, B / group apart; the largest divisor of B that is no larger."""
    count = len(x)
    size = next(n for n in range(min(group, count), 0, -1) if count % n == 0)
    grouped = x.view(size, count // size, *x.shape[1:])
    variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [B / size]
    plane = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, plane], dim=1)
