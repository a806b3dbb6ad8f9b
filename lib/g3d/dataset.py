"""What `prepare-data` wrote, read: pictures, cameras, labels, masks, depth, shapes, and an exact, resumable order.

    DATASET/dataset.json             counts, size, splits, bounds, camera prior, licence, provenance, digest
            images/NNNNNN.png        RGB over the recorded background
            masks/NNNNNN.png         8-bit coverage of the object           (optional)
            depth/NNNNNN.png         16-bit camera z, scale recorded        (optional)
            normals/NNNNNN.png       8-bit world normals                    (optional)
            inverse_depth/NNNNNN.png 16-bit, range a picture in labels      (optional)
            cameras.safetensors      c2w, intrinsics, object, split         (optional)
            labels.safetensors       class, subject, expression, landmarks  (optional; object and split if no cameras)
            shapes.safetensors       occupancy grids, points                (optional)

Each folder of pictures may be one stored zip instead (`images.zip`). `dataset_writer.py` writes all this.

Letters: V views, O objects, S items of a step, G cells a side, P points.
"""

import math
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import artifacts, files, images
from g3d.cameras import CameraPrior, Cameras
from g3d.dataset_writer import FOLDERS
from g3d.dataset_writer import FORMAT as FORMAT
from g3d.dataset_writer import SPLITS as SPLITS
from g3d.errors import G3dError, existing
from g3d.seeds import generator

_BOUNDS = [[-1.0] * 3, [1.0] * 3]
_KEYS = ("format", "name", "views", "width", "height", "objects", "background", "licence", "provenance", "digest")


class Item(NamedTuple):
    """What a latent code stands for: an object of a dataset, or one view of it."""

    name: str
    object: int
    view: int | None = None

    @property
    def number(self) -> int:
        """Of the view, else of the object."""
        return self.object if self.view is None else self.view


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk; pictures are read when asked for."""

    path: Path
    info: Mapping[str, Any]  # dataset.json
    cameras: Cameras | None
    view_object: Tensor  # [V] which object a view shows
    view_split: Tensor  # [V] index into SPLITS
    labels: Mapping[str, Tensor]  # class, subject, expression [V], landmarks [V, 68, 2] px, inverse_depth_range [V, 2]

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

    def views_of(self, split: str | None, objects: str | None) -> Tensor:
        """The views of a split that show objects of a split, in order; None and `all` stand for every one."""
        wanted = torch.ones(len(self.view_split), dtype=torch.bool)
        if split in SPLITS:
            wanted &= self.view_split == SPLITS.index(split)
        if objects in SPLITS:
            of = torch.tensor([o["split"] == objects for o in self.info["objects"]])
            wanted &= of[self.view_object]
        return wanted.nonzero().squeeze(1)

    def pictures(self, views: Sequence[int] | Tensor) -> NDArray[np.uint8]:
        """Pictures [n, H, W, 3] of the given views."""
        size = (self.info["height"], self.info["width"], 3)
        found = np.empty((len(views), *size), np.uint8)
        for row, view in enumerate(views):
            picture = images.decode(self._bytes("images", int(view)), self._place("images", int(view)))
            if picture.shape != size:
                raise G3dError(
                    f"'{self._place('images', int(view))}' has size {picture.shape}; the dataset says {size}"
                )
            found[row] = picture
        return found

    def mask(self, view: int) -> NDArray[np.uint8]:
        """Coverage [H, W] of the object, 0..255."""
        return self._grey("masks", view).astype(np.uint8)

    def depth_world(self, view: int) -> NDArray[np.float32]:
        """Camera z [H, W] in world units; 0 where nothing was hit."""
        return self._grey("depth", view).astype(np.float32) * np.float32(self.info["depth_scale"])

    def inverse_depth(self, view: int) -> NDArray[np.float32]:
        """Inverse depth [H, W] as it was given, per world unit where it is exact; 0 is infinitely far."""
        low, high = (float(v) for v in self.labels["inverse_depth_range"][view])
        return low + self._grey("inverse_depth", view).astype(np.float32) * np.float32((high - low) / 65535)

    def normals(self, view: int) -> NDArray[np.float32]:
        """World normals [H, W, 3], each component in [-1, 1]; zero where nothing was hit."""
        stored = images.decode(self._bytes("normals", view), self._place("normals", view))
        unit: NDArray[np.float32] = stored.astype(np.float32) * np.float32(2 / 255) - 1
        unit[(stored == 0).all(-1)] = 0
        return unit

    def raw(self, folder: str, view: int) -> bytes | None:
        """The PNG of a view in `images`, `masks`, `depth`, `normals` or `inverse_depth`; None if there is no such folder."""
        return self._bytes(folder, view) if folder in self._stores else None

    def shape_arrays(self, obj: int) -> dict[str, NDArray[Any]]:
        """What is known of the solid of one object: its rows of shapes.safetensors, nothing else is read."""
        from safetensors import safe_open

        path = self.path / "shapes.safetensors"
        if not path.is_file():
            return {}
        artifacts.check(path, "shapes", role="the shapes")
        with safe_open(path, "np") as file:
            return {name: file.get_slice(name)[obj] for name in sorted(file.keys())}

    def occupancy(self, obj: int) -> NDArray[np.uint8]:
        """[G, G, G] (x, y, z) of one object: 1 inside."""
        bits = self._shape(obj, "occupancy_bits")
        cells = int(artifacts.header(self.path / "shapes.safetensors").config["cells"])
        return np.unpackbits(bits)[: cells**3].reshape(cells, cells, cells)

    @cached_property
    def grid_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Corners (low, high) of the box that the cells of an occupancy grid divide, world units."""
        low, high = artifacts.check(self.path / "shapes.safetensors", "shapes", role="the shapes").config["bounds"]
        return tuple(low), tuple(high)

    def points(self, obj: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Points [P, 3] near the surface of one object, and their labels [P], 1 inside."""
        return self._shape(obj, "points").astype(np.float32), self._shape(obj, "labels")

    def _shape(self, obj: int, name: str) -> NDArray[Any]:
        found = self.shape_arrays(obj)
        if name not in found:
            raise G3dError(f"'{self.path}' holds no {name} of its objects; prepare meshes, procedural shapes or voxels")
        return found[name]

    @cached_property
    def _stores(self) -> Mapping[str, "_Folder | _Zip"]:
        """Where the pictures of each kind are."""
        found: dict[str, _Folder | _Zip] = {}
        for name in FOLDERS:
            if (self.path / f"{name}.zip").is_file():
                found[name] = _Zip(self.path / f"{name}.zip")
            elif (self.path / name).is_dir():
                found[name] = _Folder(self.path / name)
        return found

    def _bytes(self, folder: str, view: int) -> bytes:
        if folder not in self._stores:
            raise G3dError(f"'{self.path}' has no {folder}; prepare it with them")
        return self._stores[folder].read(f"{view:06d}.png")

    def _place(self, folder: str, view: int) -> str:
        return f"{self._stores[folder].path}/{view:06d}.png"

    def _grey(self, folder: str, view: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return images.decode_grey(self._bytes(folder, view), self._place(folder, view))


class _Folder:
    """Pictures as files."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> set[str]:
        return {p.name for p in self.path.iterdir() if p.suffix.lower() in images.SUFFIXES}

    def read(self, name: str) -> bytes:
        return existing(self.path / name, "the image").read_bytes()


class _Zip:
    """Pictures in a stored zip, read where they lie: safe for threads and for processes that share the handle."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise G3dError(f"'{path}' is not a zip that can be read ({error}); prepare the dataset again") from error
        packed = next((m.filename for m in members if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1), None)
        if packed is not None:
            raise G3dError(
                f"'{path}' holds '{packed}' compressed; a dataset's zip is stored (zip -0), so write it again"
            )
        self._where = {m.filename: (m.header_offset, m.file_size) for m in members}
        self._handle = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def names(self) -> set[str]:
        return {name for name in self._where if name.lower().endswith(images.SUFFIXES)}

    def read(self, name: str) -> bytes:
        if name not in self._where:
            raise G3dError(f"'{self.path}' holds no '{name}'; prepare the dataset again")
        start, size = self._where[name]
        head = os.pread(self._handle, 30, start)  # a local file header: 26 fixed bytes, then two lengths
        if len(head) < 30:
            raise G3dError(f"'{self.path}' is truncated before '{name}'; prepare the dataset again")
        return os.pread(self._handle, size, start + 30 + sum(struct.unpack("<HH", head[26:])))


def open_dataset(path: Path) -> Dataset:
    """Open a dataset folder; anything else is refused in one sentence."""
    existing(path, "the dataset")
    if not path.is_dir() or not (path / "dataset.json").is_file():
        raise G3dError(f"'{path}' is not a dataset folder (it has no dataset.json); make one with g3d prepare-data")
    info = _description(path / "dataset.json")
    labels = _labels(path, info)
    cameras, view_object, view_split = _posed(path, info, labels)
    data = Dataset(path, info, cameras, view_object, view_split, labels)
    _check_pictures(data, info["views"])
    return data


def _description(file: Path) -> dict[str, Any]:
    """dataset.json with every key that a reader relies on, each of the right form."""
    info = files.read_json(file, "the dataset description")
    missing = [k for k in _KEYS if k not in info]
    if missing or info["format"] != FORMAT:
        raise G3dError(f"'{file}' is not {FORMAT} (lacks {', '.join(missing) or 'nothing'}); prepare it again")
    counts = [info["views"], info["width"], info["height"]]
    solids_only = counts == [0, 0, 0]  # a dataset of shapes has no pictures
    named = isinstance(info["objects"], list) and all(
        isinstance(o, dict) and {"name", "split"} <= o.keys() for o in info["objects"]
    )
    if not named or not (solids_only or all(isinstance(n, int) and n > 0 for n in counts)):
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


def _labels(path: Path, info: Mapping[str, Any]) -> dict[str, Tensor]:
    """What labels.safetensors says of each view, if it is there."""
    if not (path / "labels.safetensors").is_file():
        return {}
    file = artifacts.read(path / "labels.safetensors", "labels", role="the labels")
    for name, values in file.values.items():
        if len(values) != info["views"]:
            raise G3dError(f"'{path}' has {info['views']} views but {len(values)} labels ({name}); prepare it again")
    return dict(file.values)


def _posed(path: Path, info: Mapping[str, Any], labels: dict[str, Tensor]) -> tuple[Cameras | None, Tensor, Tensor]:
    """Cameras, object and split of each view [V]; where nothing says them, one object of one split."""
    views = info["views"]
    nothing = torch.zeros(views, dtype=torch.int64)
    if not (path / "cameras.safetensors").is_file():
        of, split = (labels.pop(name, nothing).long() for name in ("object", "split"))
        _check_index(path, info, of, split)
        return None, of, split
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
    _check_index(path, info, view_object, view_split)
    return cameras, view_object, view_split


def _check_index(path: Path, info: Mapping[str, Any], view_object: Tensor, view_split: Tensor) -> None:
    for found, known in ((view_object, info["objects"]), (view_split, SPLITS)):
        if not ((found >= 0) & (found < len(known))).all():
            raise G3dError(f"'{path}' has views of objects or splits that dataset.json does not list; prepare it again")


def _check_pictures(data: Dataset, views: int) -> None:
    """One picture a view, NNNNNN.png, and none besides: whoever counts the folder counts the views."""
    store = data._stores.get("images")
    folder = data.path / "images" if store is None else store.path
    wanted = {f"{view:06d}.png" for view in range(views)}
    there = set() if store is None else store.names()
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


@lru_cache(maxsize=4)  # threads that prefetch may be at the end of one epoch and at the start of the next
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=generator(seed, epoch, "order"))
