"""Whether rendered pictures were taken by cameras of a dataset: the pose-matched protocol, checked on what lies in the folders.

Figures of a 3D model depend on where its cameras stand, so fakes are drawn by cameras of the real set
(`sample --render IMAGES --cameras dataset:DIR` draws one a scene, by seed).

Letters: V cameras of the dataset, F of the fakes.
"""

from pathlib import Path

import torch
from torch import Tensor

from g3d.cameras import read_transforms
from g3d.data.columns import SPLITS
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.storage import foreign

_NEAR = 1e-4  # of the entries of c2w: what the text of a transforms.json may lose
_ROWS = 1024


def shared_poses(real: Path, fake: Path, split: str = "all") -> float | None:
    """The share of the cameras of `fake` (of its `transforms.json`) that are cameras of `real` (of one split, or of all); None
    where either has none."""
    if not (real / "dataset.json").is_file() or not fake.is_dir():
        return None
    data, poses = open_dataset(real), _fake_poses(fake)
    if data.cameras is None or poses is None:
        return None
    known = data.cameras.c2w[:, :3].flatten(1).double()
    if split in SPLITS:
        known = known[data.view_split == SPLITS.index(split)]
    unique = torch.unique(known, dim=0)  # [V, 12]
    found = 0
    for part in poses.split(_ROWS):
        found += int((torch.cdist(part, unique, p=torch.inf).min(1).values < _NEAR).sum())
    return found / len(poses)


def _fake_poses(folder: Path) -> Tensor | None:
    """c2w [F, 12] of a rendered folder, or of its folders, or of a dataset."""
    if (folder / "dataset.json").is_file():
        cameras = open_dataset(folder).cameras
        return None if cameras is None else cameras.c2w[:, :3].flatten(1).double()
    here = folder / "transforms.json"
    places = [here] if here.is_file() else foreign.inside(folder, "*/transforms.json")
    try:
        return torch.cat([read_transforms(p).c2w[:, :3].flatten(1).double() for p in places]) if places else None
    except G3dError:  # another program's: the pictures are what is judged, not the file beside them
        return None
