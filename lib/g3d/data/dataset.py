"""What `prepare-data` wrote, read: pictures, cameras, labels, masks, depth, shapes, and an exact, resumable order.

    DATASET/dataset.json             counts, size, splits, bounds, camera prior, licence, provenance, digest
            images/NNNNNN.png        RGB over the recorded background
            masks/NNNNNN.png         8-bit coverage of the object           (optional)
            depth/NNNNNN.png         16-bit camera z, scale recorded        (optional)
            normals/NNNNNN.png       8-bit world normals                    (optional)
            inverse_depth/NNNNNN.png 16-bit, range a picture in labels      (optional)
            cameras.safetensors      c2w, intrinsics, object, split         (optional)
            labels.safetensors       class, subject, expression, landmarks, boxes (optional; object, split if no cameras)
            shapes.safetensors       occupancy grids, points                (optional)

Each folder of pictures may be one stored zip instead (`images.zip`). `writer.py` writes all this, `opening.py` opens it.

Letters: V views, O objects, S items of a step, G cells a side, P points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import images
from g3d.cameras import CameraPrior, Cameras
from g3d.data.columns import FOLDERS, OBJECT_SPLITS, PAIRS
from g3d.data.columns import FORMAT as FORMAT
from g3d.data.columns import SPLITS as SPLITS
from g3d.data.pictures import Folder, Zip
from g3d.errors import G3dError
from g3d.storage import artifacts

UNIT_BOX = [[-1.0] * 3, [1.0] * 3]


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
    labels: Mapping[str, Tensor]  # of the views, those of VIEW_COLUMNS that there are

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
        low, high = self.info.get("bounds", UNIT_BOX)
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
        if objects in OBJECT_SPLITS:
            of = torch.tensor([o["split"] == objects for o in self.info["objects"]])
            wanted &= of[self.view_object]
        return wanted.nonzero().squeeze(1)

    def view_items(self, split: str) -> list[Item]:
        """Every view as an item of its own: `train` training views of training objects, `pairs` those of held-out pairs, `test`
        the others, `all`."""
        training = torch.zeros(len(self.view_split), dtype=torch.bool)
        training[self.views_of("train", "train")] = True
        of_pairs = torch.zeros_like(training)
        of_pairs[self.views_of(None, PAIRS)] = True
        wanted = {"train": training, PAIRS: of_pairs, "test": ~training & ~of_pairs}.get(
            split, torch.ones_like(training)
        )
        shown, names = self.view_object.tolist(), self.object_names
        several = len(shown) > len(set(shown))
        found = wanted.nonzero().squeeze(1).tolist()
        return [Item(f"{names[shown[v]]}/{v:06d}" if several else names[shown[v]], shown[v], v) for v in found]

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
        return self._bytes(folder, view) if folder in self.stores else None

    def shape_arrays(self, obj: int) -> dict[str, NDArray[Any]]:
        """What is known of the solid of one object: its rows of shapes.safetensors, nothing else is read."""
        from safetensors import SafetensorError, safe_open

        path = self.path / "shapes.safetensors"
        if not path.is_file():
            return {}
        artifacts.check(path, "shapes", role="the shapes")
        try:
            with safe_open(path, "np") as file:
                return {name: file.get_slice(name)[obj] for name in sorted(file.keys())}
        except (SafetensorError, OSError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise G3dError(f"'{path}' is damaged ({reason}); prepare the dataset again") from error

    def occupancy(self, obj: int) -> NDArray[np.uint8]:
        """[G, G, G] (x, y, z) of one object: 1 inside."""
        bits = self._shape(obj, "occupancy_bits")
        cells = artifacts.header(self.path / "shapes.safetensors").config.get("cells")
        if type(cells) is not int or not 0 < cells**3 <= 8 * bits.size:
            raise G3dError(
                f"'{self.path / 'shapes.safetensors'}' says {cells} cells a side, but has {8 * bits.size} bits; prepare "
                "the dataset again"
            )
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
    def stores(self) -> Mapping[str, "Folder | Zip"]:
        """Where the pictures of each kind are."""
        found: dict[str, Folder | Zip] = {}
        for name in FOLDERS:
            if (self.path / f"{name}.zip").is_file():
                found[name] = Zip(self.path / f"{name}.zip")
            elif (self.path / name).is_dir():
                found[name] = Folder(self.path / name)
        return found

    def _bytes(self, folder: str, view: int) -> bytes:
        if folder not in self.stores:
            raise G3dError(f"'{self.path}' has no {folder}; prepare it with them")
        return self.stores[folder].read(f"{view:06d}.png")

    def _place(self, folder: str, view: int) -> str:
        return f"{self.stores[folder].path}/{view:06d}.png"

    def _grey(self, folder: str, view: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return images.decode_grey(self._bytes(folder, view), self._place(folder, view))
