"""What `prepare-data` wrote, read and written: pictures, cameras, masks, depth, shapes, and an exact, resumable order.

    DATASET/dataset.json          counts, size, splits, bounds, camera prior, licence, provenance, digest
            images/NNNNNN.png     RGB over the recorded background
            masks/NNNNNN.png      8-bit coverage of the object        (optional)
            depth/NNNNNN.png      16-bit camera z, scale recorded     (optional)
            cameras.safetensors   c2w, intrinsics, object, split      (optional)
            shapes.safetensors    occupancy grids, points             (optional)

Letters: V views, O objects, S items of a step.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import artifacts, files, images
from g3d.cameras import CameraPrior, Cameras
from g3d.errors import G3dError, existing
from g3d.seeds import generator

FORMAT = "g3d/dataset@1"
SPLITS = ("train", "test")
_BOUNDS = [[-1.0] * 3, [1.0] * 3]
_KEYS = ("format", "name", "views", "width", "height", "objects", "background", "licence", "provenance", "digest")


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk; pictures are read when asked for."""

    path: Path
    info: Mapping[str, Any]  # dataset.json
    cameras: Cameras | None
    view_object: Tensor  # [V] which object a view shows
    view_split: Tensor  # [V] index into SPLITS

    @property
    def digest(self) -> str:
        """sha256 over pictures and cameras, computed when it was written."""
        return str(self.info["digest"])

    @property
    def object_names(self) -> list[str]:
        """Names of the O objects, in order."""
        return [str(o["name"]) for o in self.info["objects"]]

    @cached_property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Corners (low, high) of the box around every object, world units."""
        low, high = self.info.get("bounds", _BOUNDS)
        return tuple(low), tuple(high)

    @cached_property
    def camera_prior(self) -> CameraPrior:
        """Where the training cameras stand."""
        if not self.info.get("camera_prior"):
            raise G3dError(f"'{self.path}' records no camera_prior; use a dataset of posed views")
        return CameraPrior.from_json(self.info["camera_prior"], str(self.path))

    def objects(self, split: str) -> list[int]:
        """The objects of a split, in order."""
        return [i for i, o in enumerate(self.info["objects"]) if o["split"] == split]

    def views(self, obj: int, split: str | None = None) -> Tensor:
        """The views of one object (of one split), in order."""
        mask = self.view_object == obj
        if split is not None:
            mask = mask & (self.view_split == SPLITS.index(split))
        return mask.nonzero().squeeze(1)

    def pictures(self, views: Sequence[int] | Tensor) -> NDArray[np.uint8]:
        """Pictures [n, H, W, 3] of the given views."""
        found = [images.read_image(self._file("images", int(v))) for v in views]
        size = (self.info["height"], self.info["width"], 3)
        for view, picture in zip(views, found, strict=True):
            if picture.shape != size:
                raise G3dError(f"'{self._file('images', int(view))}' has size {picture.shape}; the dataset says {size}")
        return np.stack(found)

    def mask(self, view: int) -> NDArray[np.uint8]:
        """Coverage [H, W] of the object, 0..255."""
        return images.read_grey(self._file("masks", view)).astype(np.uint8)

    def depth_world(self, view: int) -> NDArray[np.float32]:
        """Camera z [H, W] in world units; 0 where nothing was hit."""
        return images.read_grey(self._file("depth", view)).astype(np.float32) * np.float32(self.info["depth_scale"])

    def shapes(self) -> artifacts.Artifact:
        """Occupancy grids of the objects."""
        return artifacts.read(self.path / "shapes.safetensors", "shapes", role="the shapes")

    def _file(self, folder: str, view: int) -> Path:
        return self.path / folder / f"{view:06d}.png"


def open_dataset(path: Path) -> Dataset:
    """Open a dataset folder; anything else is refused in one sentence."""
    existing(path, "the dataset")
    if not path.is_dir() or not (path / "dataset.json").is_file():
        raise G3dError(f"'{path}' is not a dataset folder (it has no dataset.json); make one with g3d prepare-data")
    info = _description(path / "dataset.json")
    cameras, view_object, view_split = _posed(path, info)
    _check_pictures(path / "images", info["views"])
    return Dataset(path, info, cameras, view_object, view_split)


def _description(file: Path) -> dict[str, Any]:
    """dataset.json with every key that a reader relies on, each of the right form."""
    info = files.read_json(file, "the dataset description")
    missing = [k for k in _KEYS if k not in info]
    if missing or info["format"] != FORMAT:
        raise G3dError(f"'{file}' is not {FORMAT} (lacks {', '.join(missing) or 'nothing'}); prepare it again")
    counts = (info["views"], info["width"], info["height"])
    named = isinstance(info["objects"], list) and all(
        isinstance(o, dict) and {"name", "split"} <= o.keys() for o in info["objects"]
    )
    if not named or not all(isinstance(n, int) and n > 0 for n in counts):
        raise G3dError(
            f"'{file}' is damaged: views, width and height are whole numbers, objects a list of name and split; "
            "prepare it again"
        )
    background, bounds = info["background"], info.get("bounds", _BOUNDS)
    if not _numbers(background, 3) or not all(0 <= v <= 1 for v in background):
        raise G3dError(f"'{file}': background is {background}; wanted are three numbers in [0, 1], e.g. [1, 1, 1]")
    boxed = isinstance(bounds, list) and len(bounds) == 2 and all(_numbers(corner, 3) for corner in bounds)
    if not boxed or not all(low < high for low, high in zip(*bounds, strict=True)):
        raise G3dError(
            f"'{file}': bounds is {bounds}; wanted are the low and the high corner of a box, three numbers each, low < high"
        )
    if info.get("camera_prior"):
        CameraPrior.from_json(info["camera_prior"], f"'{file}' (camera_prior)")
    return info


def _numbers(value: Any, count: int) -> bool:
    """Whether a JSON value is a list of so many finite numbers."""
    plain = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return plain and len(value) == count and all(math.isfinite(v) for v in value)


def _posed(path: Path, info: Mapping[str, Any]) -> tuple[Cameras | None, Tensor, Tensor]:
    """Cameras, object and split of each view [V]; without a camera file one object of one split."""
    views = info["views"]
    nothing = torch.zeros(views, dtype=torch.int64)
    if not (path / "cameras.safetensors").is_file():
        return None, nothing, nothing
    file = artifacts.read(path / "cameras.safetensors", "cameras", role="the cameras")
    for key in ("width", "height"):
        if file.config[key] != info[key]:
            raise G3dError(
                f"'{file.path}' is for pictures of {key} {file.config[key]}, but '{path / 'dataset.json'}' says {key} "
                f"{info[key]}; prepare it again"
            )
    cameras = Cameras(
        file.values["c2w"].float(), file.values["intrinsics"].float(), int(info["width"]), int(info["height"])
    )
    view_object = file.values.get("object", nothing).long()
    view_split = file.values.get("split", nothing).long()
    if len(cameras) != views:
        raise G3dError(f"'{path}' has {views} views but {len(cameras)} cameras; prepare it again")
    for found, known in ((view_object, info["objects"]), (view_split, SPLITS)):
        if not ((found >= 0) & (found < len(known))).all():
            raise G3dError(f"'{path}' has views of objects or splits that dataset.json does not list; prepare it again")
    return cameras, view_object, view_split


def _check_pictures(folder: Path, views: int) -> None:
    """One picture a view, NNNNNN.png, and none besides: whoever counts the folder counts the views."""
    wanted = {f"{view:06d}.png" for view in range(views)}
    there = {p.name for p in folder.iterdir() if p.suffix.lower() in images.SUFFIXES} if folder.is_dir() else set()
    missing, foreign = sorted(wanted - there), sorted(there - wanted)
    if missing:
        raise G3dError(
            f"'{folder}' holds {views - len(missing)} of the {views} pictures that dataset.json lists, not '{missing[0]}'; "
            "prepare it again"
        )
    if foreign:
        raise G3dError(
            f"'{folder}' holds '{foreign[0]}', which is no view of dataset.json (views is {views}: 000000.png to "
            f"{views - 1:06d}.png); take it away, or correct views"
        )


class Writer:
    """Writes the pictures of a dataset in any order, then its description; knows the digest at the end."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._digests: dict[str, str] = {}
        for name in ("images", "masks", "depth"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def add(self, view: int, png: bytes, mask_png: bytes | None = None, depth_png: bytes | None = None) -> None:
        """One view as encoded PNGs (encoded where it was drawn, often in another process)."""
        for folder, data in (("images", png), ("masks", mask_png), ("depth", depth_png)):
            if data is not None:
                name = f"{folder}/{view:06d}.png"
                (self.folder / name).write_bytes(data)
                self._digests[name] = hashlib.sha256(data).hexdigest()

    def close(
        self,
        info: Mapping[str, Any],
        cameras: Cameras | None = None,
        view_object: Tensor | None = None,
        view_split: Tensor | None = None,
        occupancy: Tensor | None = None,
    ) -> str:
        """Write cameras, shapes and `dataset.json`; return the digest. `info` holds what only the source knows:
        name, width, height, objects [{name, split, ...}], background, bounds, camera_prior, licence, provenance."""
        for name in ("masks", "depth"):
            if not any((self.folder / name).iterdir()):
                (self.folder / name).rmdir()
        parts = [f"{name}:{digest}" for name, digest in sorted(self._digests.items())]
        if cameras is not None:
            assert view_object is not None and view_split is not None
            tensors = {
                "c2w": cameras.c2w, "intrinsics": cameras.intrinsics, "object": view_object, "split": view_split.to(torch.uint8),
            }  # fmt: skip
            config = {"width": cameras.width, "height": cameras.height, "splits": list(SPLITS)}
            parts.append(artifacts.write(self.folder / "cameras.safetensors", "cameras", tensors, config))
        if occupancy is not None:
            config = {"bounds": info["shape_bounds"], "order": "x y z"}
            parts.append(
                artifacts.write(
                    self.folder / "shapes.safetensors", "shapes", {"occupancy": occupancy.to(torch.uint8)}, config
                )
            )
        digest = "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()
        views = sum(name.startswith("images/") for name in self._digests)
        files.write_json(self.folder / "dataset.json", {**info, "format": FORMAT, "views": views, "digest": digest})
        return digest


def step_items(count: int, batch: int, seed: int, step: int) -> Tensor:
    """The items of a step: `[batch]` indices below `count`.

    Epoch after epoch is a fresh permutation, cut into batches that run on across epochs. A pure function of
    (seed, step): resuming at step k needs no stored position, and N processes take their shares of the same list.
    """
    start = step * batch
    picked = []
    for position in range(start, start + batch):
        epoch, offset = divmod(position, count)
        picked.append(int(_permutation(count, seed, epoch)[offset]))
    return torch.tensor(picked)


_PERMUTATIONS: dict[tuple[int, int, int], Tensor] = {}


def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    key = (count, seed, epoch)
    if key not in _PERMUTATIONS:
        if len(_PERMUTATIONS) > 4:
            _PERMUTATIONS.clear()
        _PERMUTATIONS[key] = torch.randperm(count, generator=generator(seed, epoch, "order"))
    return _PERMUTATIONS[key]
