"""Mirrored copies of items: the world is mirrored at the plane x = 0, so that pictures are flipped left to right.

A camera M c2w M with M = diag(-1, 1, 1, 1) sees the mirrored world as the flipped picture: for x = c2w p, M x = (M c2w M) M p.

Letters: V views, N items.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Item, Made, View

_M = np.diag([-1.0, 1.0, 1.0, 1.0])
_PAIRS = (
    *((i, 16 - i) for i in range(8)),  # jaw
    *((17 + i, 26 - i) for i in range(5)),  # brows
    (31, 35), (32, 34),  # nostrils
    (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),  # eyes
    (48, 54), (49, 53), (50, 52), (59, 55), (58, 56),  # outer lips
    (60, 64), (61, 63), (67, 65),  # inner lips
)  # fmt: skip


def _swapped() -> NDArray[np.int64]:
    order = np.arange(68)
    for left, right in _PAIRS:
        order[left], order[right] = right, left
    return order


LANDMARKS_MIRRORED = _swapped()
"""[68] landmark i of a mirrored face is landmark LANDMARKS_MIRRORED[i] of the face (Multi-PIE's order)."""


def with_mirrored(items: Sequence[Item], width: int, height: int) -> list[Item]:
    """[2 N] each item followed by its mirror; pictures are `width` x `height` pixels."""
    names = {item.name for item in items}
    found = []
    for item in items:
        name = f"{item.name}-mirrored"
        if name in names:
            raise G3dError(f"there is a '{name}' beside '{item.name}' already; rename it, or leave --mirror out")
        found += [item, Item(name, partial(mirror_of, item.make, width, height), item.stamp)]
    return found


def mirror_of(make: Callable[[], Made], width: int, height: int) -> Made:
    """What `make` makes, mirrored."""
    return mirrored(make(), width, height)


def mirrored(made: Made, width: int, height: int) -> Made:
    """Views, cameras, landmarks, box and solid mirrored. Grids of occupancy must lie symmetric to x = 0, as all of ours do."""
    columns = {name: _column(name, rows, width) for name, rows in made.columns.items()}
    shape = {name: _shape(name, values) for name, values in made.shape.items()}
    box = None
    if made.box is not None:
        (x0, y0, z0), (x1, y1, z1) = made.box
        box = ([-x1, y0, z0], [-x0, y1, z1])
    views = [_view(view, width, height) for view in made.views]
    return replace(made, views=views, columns=columns, shape=shape, entry={**made.entry, "mirrored": True}, box=box)


def _view(view: View, width: int, height: int) -> View:
    greys = {}
    for field in ("mask", "depth", "inverse_depth"):
        data = getattr(view, field)
        greys[field] = None if data is None else images.encode(_flipped(images.decode_grey(data, field), width, height))
    normals = None
    if view.normals is not None:
        stored = images.decode(view.normals, "normals").copy()
        hit = stored.any(axis=-1)  # black where nothing was hit
        stored[hit, 0] = 255 - stored[hit, 0]  # (n + 1) / 2 of -n
        normals = images.encode(_flipped(stored, width, height))
    picture = _flipped(images.decode(view.picture, "picture"), width, height)
    drawn = view.mask is not None or view.depth is not None
    return View(images.encode(picture, photo=not drawn), normals=normals, **greys)


def _flipped(pixels: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    assert pixels.shape[:2] == (height, width), f"{pixels.shape} is not {height} x {width}"
    return np.ascontiguousarray(pixels[:, ::-1])


def _column(name: str, rows: NDArray[Any], width: int) -> NDArray[Any]:
    """A column of a row a view."""
    if name == "c2w":  # [V, 4, 4]
        return np.asarray(_M @ rows @ _M, rows.dtype)
    if name == "intrinsics":  # [V, 4] fx fy cx cy
        return np.stack([rows[:, 0], rows[:, 1], width - rows[:, 2], rows[:, 3]], axis=1)
    if name == "landmarks":  # [V, 68, 2] px
        swapped = rows[:, LANDMARKS_MIRRORED].copy()
        swapped[..., 0] = width - swapped[..., 0]
        return swapped
    if name == "landmarks_visible":  # [V, 68]
        return rows[:, LANDMARKS_MIRRORED].copy()
    if name.endswith(("_box", "_boxes")):  # [..., 4] x0 y0 x1 y1 px; the other eye comes first
        x0, y0, x1, y1 = np.moveaxis(rows[:, ::-1] if name == "eye_boxes" else rows, -1, 0)
        return np.stack([width - x1, y0, width - x0, y1], axis=-1)
    return rows


def _shape(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """A column of the solid."""
    if name == "occupancy_bits":  # G^3 bits (x, y, z)
        cells = round((len(values) * 8) ** (1 / 3))
        grid = np.unpackbits(values)[: cells**3].reshape(cells, cells, cells)
        return np.packbits(grid[::-1])
    if name == "points":  # [P, 3]
        return np.asarray(values * np.array([-1, 1, 1], values.dtype), values.dtype)
    return values
