"""The hierarchy of Gaussians (section 3.2): what features of a point say (eq. 12), how a level hangs on its parents (eq. 3-7).

Letters: B samples, N points of a level, C features, L levels, K = 4 children of a point.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.gsgan.config import Config
from g3d.nets.equalised import Linear
from g3d.render.splat.reference import axes

OPACITY_LOGIT = math.log(0.1 / 0.9)  # at the start
LOWEST_LOG_SCALE = -8.0
SPREAD = 0.1  # of the coarsest anchors: tanh(0.1 h)
NUMBERS = {"xyz": 3, "scale": 3, "rotation": 4, "color": 3, "opacity": 1}
_START = {"scale": 0.1, "rotation": 0.1}  # factor on the weights at the start


class Raw(NamedTuple):
    """What a head says of each point, before it means anything."""

    xyz: Tensor  # [B, N, 3]
    scale: Tensor  # [B, N, 3]
    rotation: Tensor  # [B, N, 4]
    color: Tensor  # [B, N, 3]
    opacity: Tensor  # [B, N, 1]


class Level(NamedTuple):
    """Gaussians of one level, or its anchors."""

    means: Tensor  # [B, N, 3]
    log_scales: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4] wxyz
    colours: Tensor  # [B, N, 3], spherical harmonics of degree 0
    logits: Tensor  # [B, N, 1] of the opacity


class Head(nn.Module):
    """Five linear layers as one product: features [B, N, C] => Raw. `camera_channels`: the colour sees the camera, too."""

    def __init__(self, channels: int, camera_channels: int, generator: torch.Generator):
        super().__init__()
        self.channels = channels
        self.layers = nn.ModuleDict(
            {n: Linear(channels + camera_channels * (n == "color"), o, generator=generator) for n, o in NUMBERS.items()}
        )
        for name, factor in _START.items():
            layer = self.layers[name]
            assert isinstance(layer, Linear)
            nn.init.normal_(layer.weight, std=factor, generator=generator)

    def forward(self, x: Tensor, camera: Tensor | None = None) -> Raw:
        """`camera` [B, .] are features of the direction; they add the same colour to every point."""
        scaled = {name: layer.scaled() for name, layer in self.layers.items()}  # type: ignore[operator]
        weight = torch.cat([w[:, : self.channels] for w, _ in scaled.values()])
        bias = torch.cat([b for _, b in scaled.values()])
        out = torch.addmm(bias, x.reshape(-1, self.channels), weight.t()).view(*x.shape[:2], -1)
        raw = Raw(*out.split(list(NUMBERS.values()), dim=2))
        if camera is None:
            return raw
        offset = camera @ scaled["color"][0][:, self.channels :].t()
        return raw._replace(color=raw.color + offset.unsqueeze(1))


def coarsest_anchors(raw: Raw, config: Config) -> Level:
    """Level 0 has no parents: positions near the middle."""
    return fresh(torch.tanh(SPREAD * raw.xyz) if config.position == "local" else raw.xyz, raw, config)


def fresh(means: Tensor, raw: Raw, config: Config) -> Level:
    """Gaussians that take from a parent the position alone, or have none: scales softly below their start."""
    log_scales = limited(raw.scale, log_scale_start(config.points), config)
    return Level(means, log_scales, unturned(raw.rotation), raw.color, raw.opacity + OPACITY_LOGIT)


def densify(parents: Level, raw: Raw, config: Config) -> Level:
    """eq. 3-5: children in the frames of their parents (as many, or K times more)."""
    times = raw.xyz.shape[1] // parents.means.shape[1]
    log_scales, quats, colours, logits = (t.repeat_interleave(times, dim=1) if times > 1 else t for t in parents[1:])
    return Level(
        positions(parents, raw, config, times), scales(log_scales, raw.scale, config), quats + raw.rotation,
        colours + raw.color, logits + raw.opacity,
    )  # fmt: skip


def own_start(parents: Level, raw: Raw, config: Config) -> Level:
    """Gaussians of level 0 at places in the frame of their anchor, with all else their own [c]."""
    return fresh(positions(parents, raw, config, 1), raw, config)


def positions(parents: Level, raw: Raw, config: Config, times: int) -> Tensor:
    """eq. 3, or anywhere."""
    return raw.xyz if config.position == "free" else in_frames(parents, raw.xyz, times)


def in_frames(parents: Level, local: Tensor, times: int) -> Tensor:
    """mu + R S tanh(h) of `times` children a parent, [B, times N, 3]; each parent's frame is made once."""
    frame = axes(parents.log_scales, parents.quats)  # [B, N, 3, 3], R S
    inside = torch.tanh(local).unflatten(1, (-1, times))  # [B, N, times, 3]
    moved = parents.means.unsqueeze(2) + inside @ frame.transpose(-1, -2)
    return torch.flatten(moved, 1, 2)


def scales(parent: Tensor, raw: Tensor, config: Config) -> Tensor:
    """Log-scales of children [B, N, 3], eq. 4."""
    if config.scale != "relative":
        return limited(raw, log_scale_start(config.points), config)
    lower = parent - F.softplus(-raw)
    if config.scale_step == "paper":
        return lower + step_of_paper(config)
    larger = parent.amax(dim=-1, keepdim=True) > -math.log(config.resolution)  # than a pixel [c]
    return torch.clamp(lower + larger * step_of_code(config), LOWEST_LOG_SCALE, 0)


def limited(raw: Tensor, start: float, config: Config) -> Tensor:
    """start + h, softly below the start unless scales are free."""
    return start + raw if config.scale == "free" else start - F.softplus(-raw)


def step_of_code(config: Config) -> float:
    """Delta s [c]: from 1 / sqrt(N) to a pixel in as many even steps as there are levels to go."""
    return (-math.log(config.resolution) - log_scale_start(config.points)) / max(1, config.levels - 1)


def step_of_paper(config: Config) -> float:
    """Delta s, eq. 13."""
    return -math.log(config.resolution / (config.levels * math.sqrt(config.points)))


def log_scale_start(points: int) -> float:
    """log(1 / sqrt(N)), A.1."""
    return -0.5 * math.log(points)


def unturned(raw: Tensor) -> Tensor:
    """Quaternions at the identity, moved by `raw` [B, N, 4]."""
    return torch.add(raw, raw.new_tensor([1.0, 0.0, 0.0, 0.0]))
