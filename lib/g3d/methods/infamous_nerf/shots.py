"""Pictures of one face that its codes are found from: colours, cameras, landmarks, masks; smaller copies of them.

Letters: P pictures, H rows, W columns, N rays.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.data import pnp
from g3d.data.dataset import Dataset
from g3d.errors import G3dError
from g3d.methods.infamous_nerf import rays


@dataclass(frozen=True)
class Shots:
    """P pictures of one size."""

    pictures: Tensor  # [P, H, W, 3] in [0, 1]
    c2w: Tensor  # [P, 4, 4]
    intrinsics: Tensor  # [P, 4]
    masks: Tensor | None  # [P, H, W], coverage
    landmarks: Tensor | None  # [P, 68, 2] pixels
    use: Tensor | None  # [P, 68], those that rays are drawn around

    def smaller(self, factor: int) -> "Shots":
        """Every `factor` squared pixels as one, their mean; what is over at the right and the bottom is left out."""
        if factor == 1:
            return self
        pictures = F.avg_pool2d(self.pictures.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
        masks = None if self.masks is None else F.avg_pool2d(self.masks.unsqueeze(1), factor).squeeze(1)
        marks = None if self.landmarks is None else self.landmarks / factor
        return replace(self, pictures=pictures, masks=masks, landmarks=marks, intrinsics=self.intrinsics / factor)

    def draw(self, count: int, points: int, share: float, sigma: float, rng: torch.Generator) -> rays.Batch:
        """A step's rays of one of the pictures: a share around its landmarks, half of the others inside its mask."""
        height, width = self.pictures.shape[1:3]
        at = int(torch.randint(len(self.pictures), (1,), generator=rng))
        near = torch.zeros(0, dtype=torch.int64)
        if self.landmarks is not None and self.use is not None:
            near = rays.around(self.landmarks[at][self.use[at]], round(count * share), sigma, height, width, rng)
        even = torch.randint(height * width, (count - len(near),), generator=rng)
        if self.masks is not None:
            inside = (self.masks[at].flatten() > 0.5).nonzero().squeeze(1)
            if len(inside):
                half = len(even) // 2
                even[:half] = inside[torch.randint(len(inside), (half,), generator=rng)]
        pixels = torch.cat([near, even])
        return self.batch(at, pixels, torch.rand(1, count, points, generator=rng))

    def batch(self, at: int, pixels: Tensor, jitter: Tensor) -> rays.Batch:
        """The given pixels of one picture."""
        one = torch.zeros(1, dtype=torch.int64)
        return rays.Batch(
            one, one, one.view(1, 1), pixels.view(1, 1, -1), one.view(1, 1, 1), jitter,
            self.pictures[at].flatten(0, 1)[None, None], self.c2w[at][None, None], self.intrinsics[at][None, None], None,
        )  # fmt: skip


def shots_of(dataset: Dataset, views: Tensor, which: str) -> Shots:
    """Some views of a dataset, with what it knows of them."""
    assert dataset.cameras is not None
    pictures = torch.from_numpy(dataset.pictures(views)).float() / 255
    masks, marks, use = None, None, None
    if "masks" in dataset.stores:
        masks = torch.stack([torch.from_numpy(dataset.mask(int(v))).float() / 255 for v in views])
    if "landmarks" in dataset.labels:
        marks, use = dataset.labels["landmarks"][views].float(), rays.in_use(dataset, views, which)
    cameras = dataset.cameras[views]
    return Shots(pictures, cameras.c2w, cameras.intrinsics, masks, marks, use)


def posed_by_landmarks(shots: Shots, known: Tensor, visible: Tensor | None, where: str) -> Shots:
    """The same pictures, their cameras from their landmarks and the model's mean 3D landmarks `known` [68, 3] (zeros: unknown);
    `visible` [P, 68] where hidden ones are known."""
    there = (known != 0).any(dim=1)
    if not bool(there.any()):
        raise G3dError(
            "pose=landmarks needs a model that was fitted to faces with landmarks, and this one was not; set pose=data"
        )
    if shots.landmarks is None:
        raise G3dError(f"pose=landmarks needs the 68 landmarks of each picture, and '{where}' has none; set pose=data")
    found = []
    for p in range(len(shots.pictures)):
        use = there if visible is None else there & (visible[p] > 0)
        try:
            c2w, _ = pnp.camera(
                known.double().numpy(), shots.landmarks[p].double().numpy(), shots.intrinsics[p].double().numpy(),
                use.double().numpy(),
            )  # fmt: skip
        except ValueError as error:
            raise G3dError(
                f"pose=landmarks finds no camera for a picture of '{where}': {error}; set pose=data"
            ) from error
        found.append(torch.from_numpy(c2w).float())
    return replace(shots, c2w=torch.stack(found))


def mean_landmarks(dataset: Dataset, objects: list[int]) -> Tensor:
    """[68, 3] mean over objects of their landmarks, triangulated from all of their training views; 0 where nobody knows one."""
    if "landmarks" not in dataset.labels or dataset.cameras is None:
        return torch.zeros(68, 3)
    found = []
    for number in objects:
        views = dataset.views(number, "train")
        cameras = dataset.cameras[views]
        use = rays.in_use(dataset, views, "all").numpy()
        marks = dataset.labels["landmarks"][views].double().numpy()
        found.append(pnp.triangulated(marks, use, cameras.c2w.double().numpy(), cameras.intrinsics.double().numpy()))
    stacked = torch.from_numpy(np.stack(found))  # [I, 68, 3]
    known = stacked.isfinite().all(dim=2, keepdim=True)
    total = torch.where(known, stacked, 0.0).sum(dim=0)
    return (total / known.sum(dim=0).clamp(min=1)).float()
