"""The generator (figure 3a): z and a camera => styles; styles => levels of Gaussians and of anchors, coarse to fine.

Letters: B samples, N points, C features, L levels, W numbers of a style, S copies of it (w+).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.gsgan import hierarchy
from g3d.methods.gsgan.background import Background
from g3d.methods.gsgan.blocks import Block, Transformer
from g3d.methods.gsgan.config import CAMERA_NUMBERS, Config
from g3d.methods.gsgan.hierarchy import Head, Level
from g3d.methods.gsgan.points import unit_points
from g3d.nets.equalised import Linear
from g3d.nets.mapping import Mapping

TABLE_COLUMNS = 512


class Levels(NamedTuple):
    """What a generator makes: L levels of Gaussians, L - 1 of anchors (none where Gaussians are the parents), two of
    background (none where there is none)."""

    gaussians: list[Level]
    anchors: list[Level]
    background: list[Level]


class Positions(nn.Module):
    """Points [N, 3] in [-1, 1] => features [N, C]: sines of a linear map, beside a learnt table along each axis."""

    def __init__(self, channels: int, reading: str, generator: torch.Generator):
        super().__init__()
        half = channels // 2
        self.reading = reading
        self.linear = nn.Linear(3, half)
        nn.init.normal_(self.linear.weight, generator=generator)
        nn.init.zeros_(self.linear.bias)
        self.table = nn.Parameter(torch.randn(3, half, TABLE_COLUMNS, generator=generator))

    def forward(self, points: Tensor) -> Tensor:
        if self.reading == "middle":
            # The public code reads one column wide pictures along the wrong axis: only the two middle columns count [c].
            middle = TABLE_COLUMNS // 2
            pair = self.table[..., middle - 1 : middle + 1].mean(dim=2)  # [3, C / 2]
            found = (1 - points.abs() / 2) @ pair
        else:
            place = (points + 1) * ((TABLE_COLUMNS - 1) / 2)  # [N, 3]
            low = place.detach().floor().clamp(0, TABLE_COLUMNS - 2)
            share = (place - low).unsqueeze(-1)
            axis, column = torch.arange(3, device=points.device), low.long()
            rows = self.table.transpose(1, 2)  # [3, columns, C / 2]
            found = torch.lerp(rows[axis, column], rows[axis, column + 1], share).sum(dim=1)
        return torch.cat([torch.sin(self.linear(points)), found / math.sqrt(3)], dim=1)


class Generator(nn.Module):
    """Styles [B, S, W] and cameras [B, 25] => Levels. `mapping` makes styles of z and a camera."""

    def __init__(self, config: Config, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        rng = torch.Generator().manual_seed(0) if generator is None else generator
        c = config.channels
        self.mapping = Mapping(
            config.z_dim, config.w_dim, config.mapping_layers, condition_dim=CAMERA_NUMBERS, generator=rng
        )
        self.points = nn.Parameter(unit_points(config.points, rng) * 0.5)
        self.positions = Positions(c[0], config.table, rng)
        self.transformers = nn.ModuleList(Transformer(config, rng) for _ in range(config.transformers))
        self.blocks = nn.ModuleList(Block(level, config, rng) for level in range(1, config.levels))
        self.camera = Linear(3, config.camera_channels, "lrelu", generator=rng)
        self.heads = nn.ModuleList(Head(n, config.camera_channels, rng) for n in c)
        self.anchor_heads = nn.ModuleList(Head(n, 0, rng) for n in c) if config.anchors else None
        # Nothing reads this layer [c]; it is here so that numbers and checkpoints agree with the public code's.
        self.unread = Linear(config.camera_channels, config.w_dim, generator=rng)
        self.background = Background(config, rng) if config.background else None

    def forward(self, styles: Tensor, cameras: Tensor) -> Levels:
        config = self.config
        seen = self.camera(directions(cameras))
        ws = list(styles.unbind(1))
        backdrop = self.background(ws[-1]) if self.background is not None and self.background.begun else []
        x = self.positions(torch.tanh(self.points)).expand(len(styles), -1, -1)
        gaussians: list[Level] = []
        anchors: list[Level] = []
        for level in range(config.levels):
            x = self.features(level, x, ws)
            raw = self.heads[level](x, seen)
            if self.anchor_heads is None:
                gaussians.append(
                    hierarchy.densify(gaussians[-1], raw, config) if level else hierarchy.coarsest_anchors(raw, config)
                )
                continue
            if level == 0:
                anchors.append(hierarchy.coarsest_anchors(self.anchor_heads[0](x), config))
                start = hierarchy.own_start if config.coarsest == "public" else hierarchy.densify
                gaussians.append(start(anchors[0], raw, config))
                continue
            gaussians.append(hierarchy.densify(anchors[-1], raw, config))
            if level + 1 < config.levels:  # the finest level has no children
                anchors.append(hierarchy.densify(anchors[-1], self.anchor_heads[level](x), config))
        return Levels(gaussians, anchors, backdrop)

    def features(self, level: int, x: Tensor, ws: list[Tensor]) -> Tensor:
        """Features of a level from those of the one before."""
        if level == 0:
            for i, transformer in enumerate(self.transformers):
                x = transformer(x, ws[2 * i], ws[2 * i + 1])
            return x
        first = 2 * (self.config.transformers + level - 1)
        pair = ws[first : first + 2] if level < self.config.modulated else (None, None)
        found: Tensor = self.blocks[level - 1](x, *pair)
        return found

    def styles(self, w: Tensor) -> Tensor:
        """w [B, W] => w+ [B, S, W], the same for all."""
        return w.unsqueeze(1).expand(-1, self.config.copies, -1)


def directions(cameras: Tensor) -> Tensor:
    """Where cameras [B, 25] look, unit vectors [B, 3]."""
    return F.normalize(cameras[:, :16].unflatten(1, (4, 4))[:, :3, 2], dim=1)


def all_of(levels: list[Level]) -> Level:
    """Levels one after the other."""
    return Level(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))
