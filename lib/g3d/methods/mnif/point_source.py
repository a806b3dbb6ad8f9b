"""Points of a step: pixels of a picture, or points of a solid with their occupancy.

Letters: S items, P points of each, d coordinates, k channels, G cells a side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.data.dataset import Dataset
from g3d.methods.mnif.batches import IN_MEMORY_BYTES, key
from g3d.seeds import rng


class PointBatch(NamedTuple):
    """Points of S items, all [S, P, ...]; `weight` is 1: every point counts."""

    x: Tensor  # [S, P, d]
    target: Tensor  # [S, P, k], [0, 1]
    weight: Tensor  # [S, P]


class PixelSource:
    """Pixels of pictures; coordinates are pixel centres in [-1, 1], x right, y down. An item is a view of the dataset."""

    def __init__(self, dataset: Dataset, views: Sequence[int], seed: int, count: int):
        self.dataset, self.views, self.seed = dataset, list(views), seed
        width, height = int(dataset.info["width"]), int(dataset.info["height"])
        x, y = ((torch.arange(n) + 0.5) / n * 2 - 1 for n in (width, height))
        self._x = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 2)  # row by row
        self.count = count if 0 < count < len(self._x) else 0
        small = len(views) * len(self._x) * 3 <= IN_MEMORY_BYTES
        self._pixels = torch.from_numpy(dataset.pictures(self.views)).flatten(1, 2) if small else None

    def draw(self, items: Tensor, step: int, places: Sequence[int]) -> PointBatch:
        """`count` pixels of each item, none twice, or all of them."""
        if self._pixels is not None:
            rgb = self._pixels[items]
        else:
            rgb = torch.from_numpy(self.dataset.pictures([self.views[i] for i in items.tolist()])).flatten(1, 2)
        x = self._x.expand(len(items), -1, -1)
        if self.count:
            order = [
                torch.randperm(len(self._x), generator=rng(self.seed, key(step, place), "pixels"))[: self.count]
                for place in places
            ]
            index = torch.stack(order).unsqueeze(-1)
            x, rgb = x.gather(1, index.expand(-1, -1, 2)), rgb.gather(1, index.expand(-1, -1, 3))
        return PointBatch(x, rgb.float() / 255, torch.ones(x.shape[:2]))


class SolidSource:
    """Points near the surface of solids with their occupancy, and a share of cells of the grid. An item is an object.

    The paper takes points near the surface alone; what lies far from it is then never said to be empty."""

    def __init__(self, dataset: Dataset, objects: Sequence[int], seed: int, count: int, grid_share: float):
        self.dataset, self.objects, self.seed, self.grid_share = dataset, list(objects), seed, grid_share
        first = dataset.points(self.objects[0])[0]
        self.count = count if 0 < count < len(first) else 0
        self._low, self._high = (torch.tensor(corner) for corner in dataset.grid_bounds)
        cells = dataset.occupancy(self.objects[0]).size // 8 if grid_share else 0
        self._held: list[tuple[Tensor, Tensor, Tensor]] | None = None
        if len(self.objects) * (first.nbytes * 4 // 3 + cells) <= IN_MEMORY_BYTES:
            self._held = [self._read(i) for i in range(len(self.objects))]

    def draw(self, items: Tensor, step: int, places: Sequence[int]) -> PointBatch:
        """`count` points of each item, or all near its surface; besides them `grid_share` of all are cells."""
        made = [
            self._points(self._read(item) if self._held is None else self._held[item], step, place)
            for item, place in zip(items.tolist(), places, strict=True)
        ]
        x, target = (torch.stack(parts) for parts in zip(*made, strict=True))
        return PointBatch(x, target.unsqueeze(-1), torch.ones(x.shape[:2]))

    def _points(self, solid: tuple[Tensor, Tensor, Tensor], step: int, place: int) -> tuple[Tensor, Tensor]:
        x, inside, grid = solid
        g = rng(self.seed, key(step, place), "solid")
        whole = self.count or round(len(x) / (1 - self.grid_share))
        cells = round(whole * self.grid_share)
        if self.count:
            order = torch.randperm(len(x), generator=g)[: whole - cells]
            x, inside = x[order], inside[order]
        if not cells:
            return x, inside.float()
        index = torch.randint(grid.shape[0], (cells, 3), generator=g)  # x y z
        centres = self._low + (index + 0.5) / grid.shape[0] * (self._high - self._low)
        occupied = grid[index[:, 0], index[:, 1], index[:, 2]]
        return torch.cat([x, centres]), torch.cat([inside, occupied]).float()

    def _read(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        """Points [P, 3], whether each is inside [P], and the grid [G, G, G]; no grid where none of it is taken."""
        x, inside = self.dataset.points(self.objects[item])
        grid = self.dataset.occupancy(self.objects[item]) if self.grid_share else inside[:0].reshape(0, 0, 0)
        return torch.from_numpy(x), torch.from_numpy(inside), torch.from_numpy(grid)
