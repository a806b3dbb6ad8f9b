"""What a level of the generator is built of (figure 3b): normalisation and layer scale by the style, MLP, upsampling.

Letters: B samples, N points, C features, W numbers of a style.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.gsgan.attention import EdgeAttention, SelfAttention, nearest
from g3d.methods.gsgan.config import CHILDREN, Config
from g3d.nets.equalised import Linear

ROWS_AT_ONCE = 4096  # of an MLP, which stay in cache
EPSILON = 1e-8


class AdaIN(nn.Module):
    """Each feature normalised over the points, then scaled and shifted by the style: [B, N, C], [B, W] => [B, N, C]."""

    def __init__(self, channels: int, w_dim: int, generator: torch.Generator):
        super().__init__()
        self.gamma = Linear(w_dim, channels, bias_start=1.0, generator=generator)
        self.beta = Linear(w_dim, channels, generator=generator)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        gain = self.gamma(w).unsqueeze(1) / (variance.sqrt() + EPSILON)
        return torch.addcmul(self.beta(w).unsqueeze(1) - mean * gain, x, gain)


class Residual(nn.Module):
    """x + f(norm(x)) * scale: both by the style where the level is modulated, else no norm and a learnt scale. The scale starts
    at zero, so that at first a block does nothing."""

    def __init__(self, inner: nn.Module, channels: int, w_dim: int | None, generator: torch.Generator):
        super().__init__()
        self.inner = inner
        if w_dim is None:
            self.norm = None
            self.scale = nn.Parameter(torch.zeros(channels))
        else:
            self.norm = AdaIN(channels, w_dim, generator)
            self.scale_by_w = Linear(w_dim, channels, generator=generator)
            nn.init.zeros_(self.scale_by_w.weight)

    def normed(self, x: Tensor, w: Tensor | None) -> Tensor:
        """What the inner part sees."""
        if self.norm is None:
            return x
        found: Tensor = self.norm(x, w)
        return found

    def added(self, x: Tensor, change: Tensor, w: Tensor | None) -> Tensor:
        """x with the scaled change."""
        scale = self.scale if self.norm is None else self.scale_by_w(w).unsqueeze(1)
        return torch.addcmul(x, change, scale)

    def forward(self, x: Tensor, w: Tensor | None) -> Tensor:
        return self.added(x, self.inner(self.normed(x, w)), w)


class Mlp(nn.Module):
    """Two layers with a GELU of gain sqrt(2): [B, N, C] => [B, N, C]."""

    def __init__(self, channels: int, ratio: int, generator: torch.Generator):
        super().__init__()
        self.hidden = Linear(channels, ratio * channels, generator=generator)
        self.out = Linear(ratio * channels, channels, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        parts = [self.out.rows(F.gelu(self.hidden.rows(r)), math.sqrt(2)) for r in rows.split(ROWS_AT_ONCE)]
        return torch.cat(parts).view_as(x)


class Upsample(nn.Module):
    """[B, N, C] => [B, 4 N, O]: child 4 i + j of point i, beside the point itself, divided by sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__()
        self.subpixel = Linear(inputs, CHILDREN * outputs, "lrelu", generator=generator)
        self.skip = None if inputs == outputs else Linear(inputs, outputs, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        new: Tensor = self.subpixel(x).view(b, n, CHILDREN, -1)
        old: Tensor = x if self.skip is None else self.skip(x)
        return ((new + old.unsqueeze(2)) * math.sqrt(0.5)).view(b, n * CHILDREN, -1)


class Transformer(nn.Module):
    """A block of level 0: attention among all points, then an MLP; takes two styles."""

    def __init__(self, config: Config, generator: torch.Generator):
        super().__init__()
        c, w = config.channels[0], config.w_dim
        self.attention = Residual(SelfAttention(c, config.heads, generator), c, w, generator)
        self.mlp = Residual(Mlp(c, config.mlp_ratio, generator), c, w, generator)

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        found: Tensor = self.mlp(self.attention(x, first), second)
        return found


class Block(nn.Module):
    """A block of a finer level: edge attention, upsampling, MLP; takes two styles where it is modulated, else none."""

    def __init__(self, level: int, config: Config, generator: torch.Generator):
        super().__init__()
        inputs, outputs = config.channels[level - 1], config.channels[level]
        self.modulated, self.k = level < config.modulated, config.neighbours
        w = config.w_dim if self.modulated else None
        self.attention = Residual(EdgeAttention(inputs, generator), inputs, w, generator)
        self.up = Upsample(inputs, outputs, generator)
        self.mlp = Residual(Mlp(outputs, config.mlp_ratio, generator), outputs, w, generator)

    def forward(self, x: Tensor, first: Tensor | None, second: Tensor | None) -> Tensor:
        from_norm = self.attention.normed(x, first)
        neighbours = nearest(from_norm, self.k) if self.modulated else None
        x = self.attention.added(x, self.attention.inner(from_norm, neighbours), first)
        found: Tensor = self.mlp(self.up(x), second)
        return found
