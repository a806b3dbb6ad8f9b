"""The rays of a step: pairs of pictures that show the same subject with the same expression, and pixels of each.

What is drawn depends on (seed, step, place in the batch), and by adaptive sampling on what the pictures' last visits left.

Letters: B pairs, P pictures of a pair (2, or 1), N rays of a picture, V training views, H rows, W columns.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.data.dataset import Dataset
from g3d.data.order import step_items
from g3d.methods.infamous_nerf.adaptive import Maps
from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.subjects import Cast
from g3d.render import rays
from g3d.scenes.scene import World
from g3d.seeds import rng

IN_MEMORY_BYTES = 4 << 30
INNER = 17  # the landmarks before it are the contour
WIDE_DEG = 45.0  # between the two views of a near pair


class Batch(NamedTuple):
    """B pairs of a step."""

    subjects: Tensor  # [B], rows
    expressions: Tensor  # [B]
    rows: Tensor  # [B, P], of the training views
    pixels: Tensor  # [B, P, N], flat
    gaussians: Tensor  # [B, P, K], which of the N make the picture's next map
    jitter: Tensor  # [B, P N, points] in [0, 1)
    pictures: Tensor  # [B, P, H W, 3] in [0, 1]
    c2w: Tensor  # [B, P, 4, 4]
    intrinsics: Tensor  # [B, P, 4]
    depth_world: Tensor | None  # [B, P, H W], of surface=checked

    def part(self, rows: slice) -> "Batch":
        """Some of the pairs."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device) -> "Batch":
        """The same, elsewhere."""
        return self._each(lambda value: value.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {
            name: None if value is None else change(value) for name, value in self._asdict().items()
        }
        return self._replace(**changed)


class Cast3D(NamedTuple):
    """Rays through the pixels of a batch, all [B, P N, ...]."""

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    true: Tensor  # their colours


def through(batch: Batch, world: World, width: int) -> Cast3D:
    """The rays of a batch, within the world's box; a ray that misses it has far = near, and shows the background."""
    c2w, k = batch.c2w.flatten(0, 1), batch.intrinsics.flatten(0, 1)
    pixels = batch.pixels.flatten(0, 1)  # [B P, N]
    directions = rays.pixel_directions(k, c2w, pixels, width)
    origins = c2w[:, None, :3, 3].expand_as(directions)
    low, high = (torch.tensor(c, device=pixels.device) for c in world.bounds)
    near, far = rays.clip_to_box(origins, directions, low, high, world.near_world, world.far_world)
    true = batch.pictures.gather(2, batch.pixels.unsqueeze(-1).expand(-1, -1, -1, 3))
    shape, far = batch.pixels.shape[:2], torch.maximum(near, far)

    def paired(x: Tensor) -> Tensor:
        found: Tensor = x.unflatten(0, shape).flatten(1, 2)
        return found

    return Cast3D(paired(origins), paired(directions), paired(near), paired(far), true.flatten(1, 2))


class PairSource:
    """Draws the batches of steps from the training views of a dataset's training items."""

    def __init__(self, config: Config, dataset: Dataset, known: Cast, seed: int):
        assert dataset.cameras is not None
        self.config, self.dataset, self.known, self.seed = config, dataset, known, seed
        self.cameras: Cameras = dataset.cameras
        self.height, self.width = self.cameras.height, self.cameras.width
        own = [dataset.views(i.object, "train") for i in known.items]
        self.views = torch.cat(own)  # [V], numbers of the dataset
        ends = torch.tensor([len(some) for some in own]).cumsum(0).tolist()
        self.rows = [torch.arange(end - len(some), end) for some, end in zip(own, ends, strict=True)]
        self.needs_depth = bool(config.surface_weight) and config.surface == "checked"
        small = len(self.views) * self.height * self.width * 3 <= IN_MEMORY_BYTES
        every = torch.arange(len(self.views))
        self._pictures = self._read(every) if small else None
        self._masks = self._read_masks(every) if small and config.sampling == "mask" else None
        self._depths = self._read_depths(every) if small and self.needs_depth else None
        self._visible = self._landmarks_in_use() if config.landmark_share and "landmarks" in dataset.labels else None

    def draw(self, step: int, places: range, maps: Maps | None) -> Batch:
        """The pairs `places` of a step's batch."""
        config, count = self.config, self.config.rays
        every, kept = self._items(step), gaussians(config)
        picked = every[places.start : places.stop]
        rows, pixels, chosen, jitter = [], [], [], []
        for place, item in zip(places, picked.tolist(), strict=True):
            first = place - place % config.together  # whose pixels all of its group share
            stream = rng(self.seed, step * config.pairs + first, "infamous-nerf rays")
            order = self._pair(self.rows[int(every[first])], stream)
            rows.append(self.rows[item][order % len(self.rows[item])])
            marked = self.rows[int(every[first])][order]
            pixels.append(torch.stack([self._pixels(int(row), count, stream, maps) for row in marked]))
            chosen.append(torch.stack([torch.randperm(count, generator=stream)[:kept] for _ in marked]))
            drawn = torch.rand(len(marked) * count, config.points, generator=stream) if config.jitter else None
            jitter.append(torch.full((len(marked) * count, config.points), 0.5) if drawn is None else drawn)
        return self._batch(picked, torch.stack(rows), torch.stack(pixels), torch.stack(chosen), torch.stack(jitter))

    def _items(self, step: int) -> Tensor:
        """[B] items of a step; with `together` each group has one subject's, and all expressions where it has enough."""
        config = self.config
        if config.together == 1:
            return step_items(len(self.rows), config.pairs, self.seed, step)
        subjects = step_items(self.known.count, config.pairs // config.together, self.seed, step)
        found = []
        for place, subject in enumerate(subjects.tolist()):
            own = (self.known.subjects == subject).nonzero().squeeze(1)
            stream = rng(self.seed, step * config.pairs + place, "infamous-nerf together")
            order = own[torch.randperm(len(own), generator=stream)]
            found.append(order.repeat(-(-config.together // len(own)))[: config.together])
        return torch.cat(found)

    def _batch(self, items: Tensor, rows: Tensor, pixels: Tensor, chosen: Tensor, jitter: Tensor) -> Batch:
        flat, shape = rows.flatten(), rows.shape
        pictures = self._read(flat) if self._pictures is None else self._pictures[flat]
        depths = None
        if self.needs_depth:
            depths = self._read_depths(flat) if self._depths is None else self._depths[flat]
        views = self.views[flat]
        return Batch(
            self.known.subjects[items], self.known.expressions[items], rows, pixels, chosen, jitter,
            (pictures.float() / 255).unflatten(0, shape), self.cameras.c2w[views].unflatten(0, shape),
            self.cameras.intrinsics[views].unflatten(0, shape), None if depths is None else depths.unflatten(0, shape),
        )  # fmt: skip

    def _pair(self, own: Tensor, stream: torch.Generator) -> Tensor:
        """Places of P different ones of an item's views; the second within 45 degrees of the first where that is asked for."""
        order = torch.randperm(len(own), generator=stream)
        if self.config.views == 1:
            return order[:1]
        if len(order) == 1:
            return order.repeat(2)
        if self.config.near_pairs:
            ahead = self.cameras.c2w[self.views[own[order]], :3, 2]
            near = (ahead[1:] @ ahead[0] > math.cos(math.radians(WIDE_DEG))).nonzero().squeeze(1)
            if len(near):
                return order[[0, 1 + int(near[0])]]
        return order[:2]

    def _pixels(self, row: int, count: int, stream: torch.Generator, maps: Maps | None) -> Tensor:
        """[N] flat: a share around landmarks, the others by the setting `sampling`."""
        near = self._around_landmarks(row, round(count * self.config.landmark_share), stream)
        rest = count - len(near)
        if maps is not None:
            return torch.cat([near, maps.draw(row, rest, stream)])
        even = torch.randint(self.height * self.width, (rest,), generator=stream)
        if self.config.sampling == "mask":
            mask = self._read_masks(torch.tensor([row]))[0] if self._masks is None else self._masks[row]
            inside = mask.nonzero().squeeze(1)
            if len(inside):
                half = rest // 2
                even[:half] = inside[torch.randint(len(inside), (half,), generator=stream)]
        return torch.cat([near, even])

    def _around_landmarks(self, row: int, count: int, stream: torch.Generator) -> Tensor:
        """Pixels scattered around landmarks that are seen; none where the picture shows none of them."""
        if self._visible is None:
            return torch.zeros(0, dtype=torch.int64)
        marks = self.dataset.labels["landmarks"][self.views[row]].float()[self._visible[row]]
        return around(marks, count, self.config.landmark_sigma, self.height, self.width, stream)

    def _landmarks_in_use(self) -> Tensor:
        """[V, 68]: the setting's landmarks, in the picture, not hidden where the dataset knows it."""
        return in_use(self.dataset, self.views, self.config.landmarks)

    def _read(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(self.dataset.pictures(self.views[rows])).flatten(1, 2)

    def _read_masks(self, rows: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(self.dataset.mask(int(v))).flatten() for v in self.views[rows]]) > 127

    def _read_depths(self, rows: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(self.dataset.depth_world(int(v))).flatten() for v in self.views[rows]])


def gaussians(config: Config) -> int:
    """K, pixels of a visit that make a picture's map."""
    return max(1, round(config.adaptive_share * config.rays)) if config.sampling == "adaptive" else 0


def around(marks: Tensor, count: int, sigma: float, height: int, width: int, stream: torch.Generator) -> Tensor:
    """[count] flat pixels scattered around landmarks [L, 2] by a normal of `sigma` heights; none without landmarks."""
    if not len(marks):
        return torch.zeros(0, dtype=torch.int64)
    some = marks[torch.randint(len(marks), (count,), generator=stream)]
    x, y = (some + torch.randn(count, 2, generator=stream) * (sigma * height)).floor().long().unbind(1)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)


def in_use(dataset: Dataset, views: Tensor, which: str) -> Tensor:
    """[V, 68] of some views: the inner landmarks, or all, that lie in the picture and are not known to be hidden."""
    marks = dataset.labels["landmarks"][views].float()
    use = ((marks >= 0) & (marks < torch.tensor([dataset.info["width"], dataset.info["height"]]))).all(dim=2)
    if which == "inner":
        use[:, :INNER] = False
    if "landmarks_visible" in dataset.labels:
        use &= dataset.labels["landmarks_visible"][views] > 0
    return use
