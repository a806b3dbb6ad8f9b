"""What a step looks at: random crops of real pictures, and for generated ones latents, cameras, and the rays of a crop.

A crop of P x P pixels lies at each of its (H - P + 1)(W - P + 1) places with the same chance, also where that is one place.
All of it is a function of (seed, step, place in the batch), so neither batches nor processes nor resuming change it.

Letters: B pictures, P side of a crop, H W sides of a picture, R = P * P rays, N samples of a ray.
"""

import math
import os
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import CameraPrior
from g3d.data.dataset import Dataset
from g3d.data.order import step_items
from g3d.methods.hypernerfgan.config import Config
from g3d.nets import augment
from g3d.render import rays
from g3d.scenes.scene import World
from g3d.seeds import latents, rng
from g3d.training.prefetch import sent

# Pictures up to this size are held decoded; the processes of one machine share it.
IN_MEMORY_BYTES = (4 << 30) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Views(NamedTuple):
    """What is to be generated: latents z [B, Z], rays [B, R, 3] and [B, R], and the noise of rendering and augmentation."""

    z: Tensor
    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    jitter: Tensor  # [B, R, N] in [0, 1): where in its interval a sample lies
    noise: Tensor  # [B, R, N] normal, on the density
    augment: Tensor  # [B, 2, .]

    def part(self, pictures: slice) -> "Views":
        """Some of the pictures."""
        return Views(*(part[pictures] for part in self))

    def to(self, device: torch.device) -> "Views":
        """The same on `device`."""
        return Views(*(sent(part, device) for part in self))


class Batch(NamedTuple):
    """A step: real crops [B, 3, P, P] in [-1, 1] with the draws of their augmentation, and what is generated beside them."""

    real: Tensor
    real_augment: Tensor
    penalty_augment: Tensor
    for_generator: Views
    for_discriminator: Views


class PatchSource:
    """Draws the crops of a step from the training views of a dataset, and from the cameras of `prior`."""

    def __init__(self, config: Config, dataset: Dataset, world: World, prior: CameraPrior, seed: int):
        self.config, self.dataset, self.world, self.prior, self.seed = config, dataset, world, prior, seed
        self.views = dataset.views_of("train", "train")
        self.size = (int(dataset.info["height"]), int(dataset.info["width"]))
        fits = len(self.views) * math.prod(self.size) * 3 <= IN_MEMORY_BYTES
        self._pixels = torch.from_numpy(dataset.pictures(self.views)) if fits else None

    def draw(self, step: int, share: slice) -> Batch:
        """The share of a step's batch."""
        first = step * self.config.batch
        numbers = range(first + share.start, first + share.stop)
        picked = step_items(len(self.views), self.config.batch, self.seed, step)[share]
        return Batch(
            torch.stack([self._real(int(item), number) for item, number in zip(picked, numbers, strict=True)]),
            self._augment(numbers, "real"),
            self._augment(numbers, "penalty"),
            self._generated(numbers, "generator"),
            self._generated(numbers, "discriminator"),
        )

    def _real(self, item: int, number: int) -> Tensor:
        """A crop of training view `item`, [3, P, P] in [-1, 1]."""
        if self._pixels is None:
            picture = torch.from_numpy(self.dataset.pictures(self.views[item : item + 1]))[0]
        else:
            picture = self._pixels[item]
        y, x = offset(self.size, self.config.patch_size, rng(self.seed, number, "real crop"))
        side = self.config.patch_size
        crop = picture[y : y + side, x : x + side].permute(2, 0, 1)
        return crop.float() / 127.5 - 1

    def _generated(self, numbers: range, stream: str) -> Views:
        config, (height, width) = self.config, self.size
        side, count = config.patch_size, config.patch_size**2
        cameras = self.prior.sample(self.seed, numbers, f"{stream} camera")
        streams = [rng(self.seed, number, f"{stream} rays") for number in numbers]
        pixels = torch.stack([_pixels_at(offset((height, width), side, g), side, width) for g in streams])  # [B, R]
        directions = rays.pixel_directions(cameras.intrinsics, cameras.c2w, pixels, width)
        origins = cameras.c2w[:, None, :3, 3].expand_as(directions)
        low, high = (torch.tensor(c) for c in self.world.bounds)
        unbounded = config.rays == "shell"
        near_world, far_world = self.world.near_world, self.world.far_world
        near, far = rays.clip_to_box(origins, directions, low, high, near_world, far_world, unbounded)
        return Views(
            latents(numbers, self.seed, config.z_dim, f"{stream} z"),
            origins, directions, near, torch.maximum(far, near),
            torch.stack([torch.rand(count, config.n_samples, generator=g) for g in streams]),
            torch.stack([torch.randn(count, config.n_samples, generator=g) for g in streams]),
            self._augment(numbers, stream),
        )  # fmt: skip

    def _augment(self, numbers: range, stream: str) -> Tensor:
        return augment.noise([rng(self.seed, number, f"{stream} augment") for number in numbers])


def offset(size: tuple[int, int], side: int, stream: torch.Generator) -> tuple[int, int]:
    """Row and column of a crop's first pixel: 0 to H - P and 0 to W - P, both included."""
    row, column = (int(torch.randint(length - side + 1, (1,), generator=stream)) for length in size)
    return row, column


def _pixels_at(first: tuple[int, int], side: int, width: int) -> Tensor:
    """Flat indices [P * P] of the pixels of a crop, row by row."""
    rows, columns = (torch.arange(side) + start for start in first)
    return (rows[:, None] * width + columns).flatten()
