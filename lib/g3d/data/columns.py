"""What a dataset can know of its items: pictures of a view, columns of numbers, the solid. No torch here: workers import it.

Letters: V views of an item, O objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "g3d/dataset@1"
VIEWS_MOST = 1_000_000  # pictures are numbered with six digits
SPLITS = ("train", "test")
"""Of views, and of objects."""
PAIRS = "pairs"
"""Of objects: seen in no training, while both of what they join (a subject, an expression) are, with others."""
OBJECT_SPLITS = (*SPLITS, PAIRS)
FOLDERS = ("images", "masks", "depth", "normals", "inverse_depth")
VIEW_COLUMNS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "c2w": ("<f4", (4, 4)),  # OpenCV camera => world
    "intrinsics": ("<f4", (4,)),  # fx fy cx cy, pixels
    "split": ("u1", ()),  # index into SPLITS; without it a view has the split of its object
    "class": ("<i8", ()),
    "subject": ("<i8", ()),
    "expression": ("<i8", ()),
    "landmarks": ("<f4", (68, 2)),  # x y, pixels
    "landmarks_visible": ("u1", (68,)),  # 1 where the camera sees it
    "face_box": ("<f4", (4,)),  # x0 y0 x1 y1, pixels
    "mouth_box": ("<f4", (4,)),
    "eye_boxes": ("<f4", (2, 4)),  # the subject's right eye, then the left one
    "inverse_depth_range": ("<f4", (2,)),  # inverse depth of steps 0 and 65535
}
"""What may be known of a view: dtype and shape of its row."""


SHAPE_COLUMNS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "occupancy_bits": ("u1", (-1,)),  # packed G^3 bits (x, y, z), np.packbits
    "points": ("<f2", (-1, 3)),  # near the surface, world units
    "labels": ("u1", (-1,)),  # 1 inside, a label a point
}
"""What may be known of the solid: dtype and shape."""


@dataclass(frozen=True)
class View:
    """One view as encoded PNGs; all of the size that the dataset states."""

    picture: bytes  # 8-bit RGB
    mask: bytes | None = None  # 8-bit coverage of the object
    depth: bytes | None = None  # 16-bit camera z / depth_scale, 0 where nothing was hit
    normals: bytes | None = None  # 8-bit RGB, (world normal + 1) / 2, black where nothing was hit
    inverse_depth: bytes | None = None  # 16-bit, min-max of the picture; the column inverse_depth_range holds both

    def files(self) -> dict[str, bytes]:
        """Folder => content, of what there is."""
        parts = (self.picture, self.mask, self.depth, self.normals, self.inverse_depth)
        return {folder: data for folder, data in zip(FOLDERS, parts, strict=True) if data is not None}


@dataclass(frozen=True)
class Made:
    """One item, made: an object with its views. A dataset has every column for all of its views or for none."""

    views: Sequence[View] = ()
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """A row a view, of VIEW_COLUMNS."""
    shape: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What is known of the solid, of SHAPE_COLUMNS."""
    entry: Mapping[str, Any] = field(default_factory=dict)
    """What dataset.json says of the object beside its name; `split` ("train", "test") where the source knows it."""
    box: tuple[Sequence[float], Sequence[float]] | None = None
    """Low and high corner of the object, world units."""


def columns(name: str, made: Made) -> dict[str, NDArray[Any]]:
    """The item's columns with the dtypes and shapes of the tables."""
    found = {}
    for table, given, rows in ((VIEW_COLUMNS, made.columns, len(made.views)), (SHAPE_COLUMNS, made.shape, None)):
        for column, values in given.items():
            dtype, shape = table[column]
            row = np.ascontiguousarray(values, dtype=dtype)
            wanted = shape if rows is None else (rows, *shape)
            fits = row.ndim == len(wanted) and all(w in (-1, n) for w, n in zip(wanted, row.shape, strict=True))
            assert fits, f"{name}: column {column} has shape {row.shape}, wanted is {wanted}"
            found[column] = row
    return found
