"""Rays of a step: pixels of the training views whose rays meet the data's bounding box.

Rays that miss the box show the background whatever the field says; they carry no gradient and are not drawn (about 40 %).

Letters: S scenes of a step, V views, Q pixels of a view, R = V * Q rays.
"""

import os
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.dataset import Dataset
from g3d.render import rays
from g3d.scene import World
from g3d.seeds import generator

# Pictures up to this size are held decoded; the processes of one machine share it.
IN_MEMORY_BYTES = (4 << 30) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class RayBatch(NamedTuple):
    """Rays of S scenes, all [S, R, ...]; `weight` is 0 for a ray that misses the box (a view without enough others)."""

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    rgb: Tensor  # [0, 1]
    weight: Tensor
    jitter: Tensor  # [S, R, points] in [0, 1): where in its interval a sample lies

    def to(self, device: torch.device) -> "RayBatch":
        """The same on `device`; from pinned memory the loop does not wait for the copy."""
        return RayBatch(*(part.to(device, non_blocking=True) for part in self))

    def part(self, scenes: slice) -> "RayBatch":
        """Some of the scenes."""
        return RayBatch(*(part[scenes] for part in self))


class RaySource:
    """Draws the rays of a step from the training views of a dataset."""

    def __init__(self, dataset: Dataset, items: list[int], world: World, seed: int, *, pinned: bool):
        assert dataset.cameras is not None
        self.dataset, self.world, self.seed, self.pinned = dataset, world, seed, pinned
        self.cameras: Cameras = dataset.cameras
        self.views = [dataset.views(i, "train") for i in items]
        used = torch.cat(self.views)
        self._row = torch.full((int(dataset.info["views"]),), -1, dtype=torch.int64)
        self._row[used] = torch.arange(len(used))
        size = len(used) * self.cameras.height * self.cameras.width * 3
        self._pixels = torch.from_numpy(dataset.pictures(used)).flatten(1, 2) if size <= IN_MEMORY_BYTES else None

    def draw(self, items: Tensor, step: int, views: int, pixels: int, points: int, rows: slice) -> RayBatch:
        """The rays of `items` [S] at `step`; `rows` is the share of the scenes that this process needs.

        A pure function of (seed, step, item's place): every share sees what one process would see."""
        chosen, candidates, jitter = [], [], []
        for place in range(rows.start, rows.stop):
            g = generator(self.seed, step * 1_000_003 + place, "rays")
            own = self.views[int(items[place])]
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
        batch = RayBatch(o, d, n, f, colour, weight, torch.stack(jitter))
        return RayBatch(*(part.pin_memory() for part in batch)) if self.pinned else batch

    def _colours(self, views: Tensor, flat: Tensor) -> Tensor:
        """Colours [n, Q, 3] in [0, 1] of pixels [n, Q] of the given views [n]."""
        if self._pixels is not None:
            rows = self._pixels[self._row[views].unsqueeze(1), flat]
        else:
            pictures = torch.from_numpy(self.dataset.pictures(views)).flatten(1, 2)
            rows = pictures.gather(1, flat.unsqueeze(-1).expand(-1, -1, 3))
        return rows.float() / 255
