"""The background: Gaussians on a sphere around the scene, from modulated layers without attention (A.1).

Letters: B samples, N points, C features, I and O features into and out of a layer, W numbers of a style.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.gsgan.config import CHILDREN, Config
from g3d.methods.gsgan.hierarchy import NUMBERS, OPACITY_LOGIT, Level, Raw, in_frames, unturned
from g3d.methods.gsgan.points import unit_points
from g3d.nets.equalised import SLOPE, Linear

LOG_SCALE_START = -2.0
LOG_SCALE_STEP = -math.log(CHILDREN) / 3
_START = {"scale": 0.01, "rotation": 0.01}


class Modulated(nn.Module):
    """A linear layer whose inputs are scaled by the style: [B, N, I], [B, W] => [B, N, O]. `activated`: rows of the weights
    brought to length 1 (demodulation), then a leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, activated: bool, generator: torch.Generator, start: float = 1
    ):
        super().__init__()
        self.activated = activated
        self.weight = nn.Parameter(torch.randn(outputs, inputs, generator=generator) * start)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Linear(w_dim, inputs, bias_start=1.0, generator=generator)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.weight * self.affine(w).unsqueeze(1)  # [B, O, I]
        if not self.activated:
            return torch.baddbmm(self.bias, x, (weight / math.sqrt(x.shape[-1])).transpose(1, 2))
        weight = weight * (weight.square().sum(dim=2, keepdim=True) + 1e-8).rsqrt()
        y = torch.baddbmm(self.bias, x, weight.transpose(1, 2))
        return F.leaky_relu(y, SLOPE) * math.sqrt(2)


class Stage(nn.Module):
    """x + layer(x) * scale, twice; the scales start at zero."""

    def __init__(self, config: Config, generator: torch.Generator):
        super().__init__()
        c = config.background_channels
        self.layers = nn.ModuleList(Modulated(c, c, config.w_dim, True, generator) for _ in range(2))
        self.scales = nn.ParameterList(nn.Parameter(torch.zeros(c)) for _ in range(2))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = x + layer(x, w) * scale
        return x


class Background(nn.Module):
    """Styles [B, W] => two levels of Gaussians on the sphere, N and 4 N."""

    begun: Tensor

    def __init__(self, config: Config, generator: torch.Generator):
        super().__init__()
        self.config = config
        c = config.background_channels
        self.points = nn.Parameter(unit_points(config.background_points, generator, half=True))
        self.encode = nn.Linear(3, c)
        nn.init.normal_(self.encode.weight, generator=generator)
        nn.init.zeros_(self.encode.bias)
        self.stages = nn.ModuleList(Stage(config, generator) for _ in range(2))
        self.up = Modulated(c, CHILDREN * c, config.w_dim, True, generator)
        self.heads = nn.ModuleList(_heads(config, generator) for _ in range(2))
        self.register_buffer("begun", torch.ones(()))  # 0 while training has not come to it: then it is not drawn

    def forward(self, w: Tensor) -> list[Level]:
        x = torch.sin(self.encode(self.points)).expand(len(w), -1, -1)
        x = self.stages[0](x, w)
        raw = self._raw(0, x, w)
        on_sphere = F.normalize(self.points, dim=-1) * self.config.background_radius
        first = Level(
            on_sphere.expand_as(raw.xyz), LOG_SCALE_START - F.softplus(-raw.scale), unturned(raw.rotation), raw.color,
            raw.opacity + OPACITY_LOGIT,
        )  # fmt: skip
        children = self.up(x, w).unflatten(2, (CHILDREN, -1))
        x = ((children + x.unsqueeze(2)) * math.sqrt(0.5)).flatten(1, 2)
        x = self.stages[1](x, w)
        return [first, self._children(first, self._raw(1, x, w))]

    def _children(self, parents: Level, raw: Raw) -> Level:
        means = in_frames(parents, raw.xyz, CHILDREN)
        _, log_scales, quats, colours, logits = (t.repeat_interleave(CHILDREN, dim=1) for t in parents)
        return Level(
            F.normalize(means, dim=-1) * self.config.background_radius, log_scales - F.softplus(-raw.scale) + LOG_SCALE_STEP,
            quats + raw.rotation, colours + raw.color, logits + raw.opacity,
        )  # fmt: skip

    def _raw(self, stage: int, x: Tensor, w: Tensor) -> Raw:
        heads = self.heads[stage]
        assert isinstance(heads, nn.ModuleDict)
        return Raw(**{name: head(x, w) for name, head in heads.items()})


def _heads(config: Config, generator: torch.Generator) -> nn.ModuleDict:
    c, w = config.background_channels, config.w_dim
    return nn.ModuleDict({n: Modulated(c, o, w, False, generator, _START.get(n, 1.0)) for n, o in NUMBERS.items()})
