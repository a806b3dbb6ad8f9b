"""Pictures of a step with their inverse depth and all that is drawn for it; a pure function of (seed, step).

Letters: B pictures, H side, R rays.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from g3d.data.dataset import Dataset
from g3d.data.memory import Remembered
from g3d.data.order import step_items
from g3d.methods.vq3d.config import Config
from g3d.seeds import rng


class Batch(NamedTuple):
    """B pictures of a step."""

    pictures: Tensor  # [B, 3, H, H] in [0, 1]
    disparity: Tensor  # [B, H H] inverse depth, of each picture from 0 to 1; zeros where it is not needed
    jitter: Tensor  # [B, H H] where in its interval a ray's samples lie
    novel_jitter: Tensor  # the same of the novel view
    novel: Tensor  # [B, 2] where in the disc that one stands
    pixels: Tensor  # [R] flat indices of the rays of every picture, where not all are looked at

    def part(self, rows: slice) -> "Batch":
        """Some of the pictures."""
        own = (self.pictures, self.disparity, self.jitter, self.novel_jitter, self.novel)
        pictures, disparity, jitter, novel_jitter, novel = (value[rows] for value in own)
        return Batch(pictures, disparity, jitter, novel_jitter, novel, self.pixels)

    def to(self, device: torch.device) -> "Batch":
        """The same, elsewhere."""
        return Batch(*(value.to(device, non_blocking=True) for value in self))


class PictureSource:
    """Draws the batches of steps from the training views of a dataset."""

    def __init__(self, config: Config, dataset: Dataset, seed: int):
        self.config, self.data, self.seed = config, Remembered(dataset), seed
        self.views = dataset.views_of("train", "train")
        self.needs_depth = bool(config.depth_weight or config.scale_weight)

    def draw(self, step: int, rows: slice) -> Batch:
        """The pictures `rows` of a step's batch."""
        config = self.config
        count, pixels = config.batch, config.resolution**2
        stream = rng(self.seed, step, "vq3d")
        flipped = torch.rand(count, generator=stream) < 0.5
        novel, jitter = torch.rand(count, 2, generator=stream), torch.rand(2, count, pixels, generator=stream)
        chosen = torch.randperm(pixels, generator=stream)[: config.rays or pixels]
        views = self.views[step_items(len(self.views), count, self.seed, step)][rows]
        pictures = torch.from_numpy(self.data.pictures(views)).permute(0, 3, 1, 2).float() / 255
        disparity = self._disparity(views) if self.needs_depth else torch.zeros(len(views), *pictures.shape[2:])
        if config.flip:
            over = flipped[rows]
            pictures[over], disparity[over] = pictures[over].flip(3), disparity[over].flip(2)
        return Batch(pictures, disparity.flatten(1), jitter[0, rows], jitter[1, rows], novel[rows], chosen)

    def _disparity(self, views: Tensor) -> Tensor:
        """[B, H, H], each picture's from 0 to 1; 0 all over where it is flat."""
        return unit_range(torch.from_numpy(self.data.inverse_depth(views)))


def unit_range(maps: Tensor) -> Tensor:
    """Maps [B, H, W], each moved and scaled to [0, 1]."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)
