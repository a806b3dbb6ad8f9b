"""Rays of a step: pixels of an item's views whose rays meet the data's bounding box.

Rays that miss the box show the background whatever the field says; they carry no gradient and are not drawn (about 40 %).

Letters: S scenes of a step, V views, Q pixels of a view, R = V * Q rays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.data.dataset import Dataset
from g3d.methods.mnif.batches import IN_MEMORY_BYTES, key
from g3d.render import rays
from g3d.scenes.scene import World
from g3d.seeds import rng


class Count(NamedTuple):
    """How many views of an item, pixels of a view and samples of a ray a step takes."""

    views: int
    pixels: int
    points: int


class RayBatch(NamedTuple):
    """Rays of S scenes, all [S, R, ...]; `weight` is 0 for a ray that misses the box (a view without enough others)."""

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    rgb: Tensor  # [0, 1]
    weight: Tensor
    jitter: Tensor  # [S, R, points] in [0, 1): where in its interval a sample lies


class RaySource:
    """Draws rays from the views of a dataset's objects: their training views, or all where an object has no others."""

    def __init__(self, dataset: Dataset, items: Sequence[int], world: World, seed: int, count: Count):
        assert dataset.cameras is not None
        self.dataset, self.world, self.seed, self.count = dataset, world, seed, count
        self.cameras: Cameras = dataset.cameras
        fitted = [(dataset.views(i, "train"), dataset.views(i)) for i in items]
        self.views = [some if len(some) else every for some, every in fitted]
        used = torch.cat(self.views)
        self._row = torch.full((int(dataset.info["views"]),), -1, dtype=torch.int64)
        self._row[used] = torch.arange(len(used))
        size = len(used) * self.cameras.height * self.cameras.width * 3
        self._pixels = torch.from_numpy(dataset.pictures(used)).flatten(1, 2) if size <= IN_MEMORY_BYTES else None

    def draw(self, items: Tensor, step: int, places: Sequence[int]) -> RayBatch:
        """The rays of `items` [S] (numbers of the source's own items) at `step`.

        What an item gets depends on (seed, step, its place): every share of a batch sees what one process would see."""
        views, pixels, points = self.count
        chosen, candidates, jitter = [], [], []
        for item, place in zip(items.tolist(), places, strict=True):
            g = rng(self.seed, key(step, place), "rays")
            own = self.views[item]
            order = torch.randperm(len(own), generator=g)
            chosen.append(own[order.repeat(-(-views // len(own)))[:views]])  # every view once before any twice
            candidates.append(torch.randint(self.cameras.width * self.cameras.height, (views, 2 * pixels), generator=g))
            jitter.append(torch.rand(views * pixels, points, generator=g))
        view, flat = torch.cat(chosen), torch.cat(candidates)  # [S V], [S V, 2 Q]
        c2w, k = self.cameras.c2w[view], self.cameras.intrinsics[view]
        directions = rays.pixel_directions(k, c2w, flat, self.cameras.width)
        origins = c2w[:, None, :3, 3].expand_as(directions)
        low, high = (torch.tensor(c) for c in self.world.bounds)
        near, far = rays.clip_to_box(origins, directions, low, high, self.world.near_world, self.world.far_world)
        miss = (far <= near).to(torch.uint8)
        keep = miss.argsort(dim=1, stable=True)[:, :pixels]  # hits first, in the order drawn
        rgb = self._colours(view, flat.gather(1, keep))
        hit = 1.0 - miss.gather(1, keep).float()

        def per_scene(x: Tensor) -> Tensor:
            grouped: Tensor = x.unflatten(0, (-1, views)).flatten(1, 2)
            return grouped

        index = keep.unsqueeze(-1).expand(-1, -1, 3)
        picked_near = near.gather(1, keep)
        picked_far = torch.maximum(far.gather(1, keep), picked_near)
        parts = [origins.gather(1, index), directions.gather(1, index), picked_near, picked_far, rgb, hit]
        o, d, n, f, colour, weight = (per_scene(part) for part in parts)
        return RayBatch(o, d, n, f, colour, weight, torch.stack(jitter))

    def _colours(self, views: Tensor, flat: Tensor) -> Tensor:
        """Colours [n, Q, 3] in [0, 1] of pixels [n, Q] of the given views [n]."""
        if self._pixels is not None:
            rows = self._pixels[self._row[views].unsqueeze(1), flat]
        else:
            pictures = torch.from_numpy(self.dataset.pictures(views)).flatten(1, 2)
            rows = pictures.gather(1, flat.unsqueeze(-1).expand(-1, -1, 3))
        return rows.float() / 255
