"""What a step looks at: real pictures with their cameras, and latents with cameras for generated ones.

Generated pictures take the cameras of training views, or wider ones (A.1); the mapping sees the picture's own camera, or with
probability `swap_p` (1 at first) that of another view, so that a scene cannot be made for one camera (pose conditioning, EG3D).
All of it
is a function of (seed, step, place in the batch), so neither batches nor processes nor resuming change it.

Letters: B pictures, H W their sides.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import CameraPrior, Cameras, camera_conditioning
from g3d.data.dataset import Dataset
from g3d.data.order import step_items
from g3d.errors import G3dError
from g3d.methods.gsgan.config import Config
from g3d.nets import augment
from g3d.seeds import latents, rng
from g3d.training.prefetch import sent


class Wanted(NamedTuple):
    """What is to be generated: latents [B, Z], cameras c2w [B, 4, 4] and intrinsics [B, 4] px, those that the mapping sees
    [B, 25], and the draws of the augmentation [B, 2, .]."""

    z: Tensor
    c2w: Tensor
    intrinsics: Tensor
    seen_by_mapping: Tensor
    augment: Tensor

    def part(self, pictures: slice) -> "Wanted":
        """Some of the pictures."""
        return Wanted(*(part[pictures] for part in self))

    def to(self, device: torch.device) -> "Wanted":
        """The same on `device`."""
        return Wanted(*(sent(part, device) for part in self))

    def cameras(self, width: int, height: int) -> Cameras:
        """The cameras of the pictures."""
        return Cameras(self.c2w, self.intrinsics, width, height)


class Batch(NamedTuple):
    """A step: real pictures [B, 3, H, W] in [-1, 1], their cameras [B, 25], the draws of their augmentation, and what is
    generated beside them."""

    real: Tensor
    real_cameras: Tensor
    real_augment: Tensor
    penalty_augment: Tensor
    for_generator: Wanted
    for_discriminator: Wanted


class Source:
    """Draws the batches of steps from the training views of a dataset."""

    def __init__(self, config: Config, dataset: Dataset, seed: int):
        assert dataset.cameras is not None
        self.config, self.dataset, self.seed = config, dataset, seed
        self.views = dataset.views_of("train", "train")
        self.cameras = dataset.cameras[self.views]
        self.numbers = camera_conditioning(self.cameras)
        self.wide = widened(config, dataset.camera_prior, self.cameras) if config.pose_augment_p else None

    def draw(self, step: int, share: slice) -> Batch:
        """The share of a step's batch."""
        first = step * self.config.batch
        numbers = range(first + share.start, first + share.stop)
        picked = step_items(len(self.views), self.config.batch, self.seed, step)[share]
        pixels = torch.from_numpy(self.dataset.pictures(self.views[picked])).permute(0, 3, 1, 2)
        return Batch(
            pixels.float() / 127.5 - 1, self.numbers[picked], self._augment(numbers, "real"), self._augment(numbers, "penalty"),
            *(self._wanted(numbers, who, swap_p(self.config, first)) for who in ("generator", "discriminator")),
        )  # fmt: skip

    def _wanted(self, numbers: range, stream: str, swapped: float) -> Wanted:
        streams = [rng(self.seed, n, f"{stream} view") for n in numbers]
        own = torch.tensor([int(torch.randint(len(self.views), (1,), generator=g)) for g in streams])
        other = torch.tensor([int(torch.randint(len(self.views), (1,), generator=g)) for g in streams])
        swap, widen = torch.stack([torch.rand(2, generator=g) for g in streams]).unbind(1)
        cameras = self.cameras[own]
        if self.wide is not None:
            further = self.wide.sample(self.seed, numbers, f"{stream} wide")
            c2w = torch.where((widen < self.config.pose_augment_p)[:, None, None], further.c2w, cameras.c2w)
            cameras = replace(cameras, c2w=c2w)
        seen = torch.where((swap < swapped)[:, None], self.numbers[other], camera_conditioning(cameras))
        z = latents(numbers, self.seed, self.config.z_dim, f"{stream} z")
        return Wanted(z, cameras.c2w, cameras.intrinsics, seen, self._augment(numbers, stream))

    def _augment(self, numbers: range, stream: str) -> Tensor:
        return augment.noise([rng(self.seed, n, f"{stream} augment") for n in numbers])


def swap_p(config: Config, seen: int) -> float:
    """The probability of a swap after `seen` real pictures: falls from 1 in a straight line (EG3D's code)."""
    if not config.swap_fade_kimg:
        return config.swap_p
    return max(config.swap_p, 1 - (1 - config.swap_p) * seen / (config.swap_fade_kimg * 1000))


def widened(config: Config, prior: CameraPrior, cameras: Cameras) -> CameraPrior:
    """A.1's cameras: yaw N(0, sigma_yaw), pitch uniform within 3 sigma_pitch, around the front; where a sigma is not given, the
    standard deviation of the data's `cameras`."""
    own_yaw, own_pitch = deviations_deg(prior, cameras)
    yaw, pitch = config.yaw_std_deg or own_yaw, 3 * (config.pitch_std_deg or own_pitch)
    return replace(
        prior, azimuth_deg=(-yaw, yaw), elevation_deg=(-pitch, pitch), distribution="azimuth_normal"
    )  # fmt: skip


def deviations_deg(prior: CameraPrior, cameras: Cameras) -> tuple[float, float]:
    """Standard deviations of yaw and pitch, around their means, of where cameras stand as seen from the prior's target."""
    x, y, z = (cameras.c2w[:, :3, 3].double() - torch.tensor(prior.target, dtype=torch.float64)).unbind(1)
    yaw, pitch = torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))
    return tuple(float(torch.rad2deg(angle.std(correction=0))) for angle in (yaw, pitch))  # type: ignore[return-value]


def check_data(config: Config, dataset: Dataset) -> None:
    """Refuse data that this method cannot use."""
    height, width = int(dataset.info["height"]), int(dataset.info["width"])
    if dataset.cameras is None:
        raise G3dError(
            f"'{dataset.path}' has no cameras, which gsgan needs for each picture; prepare posed views "
            "(eg3d, meshes, transforms, srn)"
        )
    if not len(dataset.views_of("train", "train")):
        raise G3dError(f"'{dataset.path}' has no pictures to train on; prepare it with views of training objects")
    if height != width or width != config.resolution:
        raise G3dError(
            f"gsgan setting 'resolution' is {config.resolution}, but the pictures of '{dataset.path}' have {width} x {height} "
            f"pixels; set resolution={width} for square pictures, or prepare them with --size {config.resolution}"
        )
