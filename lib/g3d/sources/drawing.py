"""One object => its pictures as PNG, its occupancy and its figures: what a worker process does. No torch here.

Letters: V views, H rows, W columns, G cells a side.
"""

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import parent_process

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import G3dError, Missing, require_module
from g3d.sources import Item
from g3d.sources.raycast import OPEN3D_INSTALL, Caster
from g3d.sources.surface import F32, Colour, Placement, checked, normalised

OCCUPANCY_CELLS = 64


@dataclass(frozen=True)
class Task:
    """What to draw, and from where."""

    item: Item
    c2w: F32  # [V, 4, 4]
    intrinsics: F32  # [V, 4] pixels
    width: int
    height: int
    train_views: int  # the first of the V views
    depth_scale: float  # world units of one step of the 16-bit depth
    background: Colour


@dataclass(frozen=True)
class Drawn:
    """One object, drawn."""

    pngs: list[tuple[bytes, bytes, bytes]]  # V of picture, mask, depth
    occupancy_bits: bytes  # G^3 bits
    placement: Placement
    low: tuple[float, ...]  # corners of its box, world units
    high: tuple[float, ...]
    triangles: int
    traits: dict[str, object]
    train_sum: NDArray[np.int64]  # [H, W, 3] of the training pictures, 0..255
    train_squares: int


@dataclass(frozen=True)
class Bad:
    """An object that cannot be drawn, and why."""

    sentence: str


def draw(task: Task) -> Drawn | Bad:
    """Make, check, normalise and draw one object."""
    require_module("open3d", "prepare-data", OPEN3D_INSTALL)
    try:
        surface, placement = normalised(checked(task.item.make(), str(task.item.entry.get("file", task.item.name))))
    except Missing:
        raise
    except G3dError as error:
        return Bad(str(error))
    caster = Caster(surface)
    pngs = []
    train_sum, train_squares = np.zeros((task.height, task.width, 3), np.int64), 0
    for view, (c2w, intrinsics) in enumerate(zip(task.c2w, task.intrinsics, strict=True)):
        picture = caster.draw(c2w, intrinsics, task.width, task.height, task.background)
        depth = np.rint(picture.depth_world / np.float32(task.depth_scale)).astype(np.uint16)
        pngs.append((images.encode(picture.rgb), images.encode(picture.mask), images.encode(depth)))
        if view < task.train_views:
            wide = picture.rgb.astype(np.int64)
            train_sum += wide
            train_squares += int((wide * wide).sum())
    points = surface.corners.reshape(-1, 3)
    return Drawn(
        pngs, np.packbits(caster.occupancy(OCCUPANCY_CELLS)).tobytes(), placement,
        tuple(float(v) for v in points.min(0)), tuple(float(v) for v in points.max(0)),
        len(surface.corners), dict(surface.traits), train_sum, train_squares,
    )  # fmt: skip


def start_worker() -> None:
    """In a new worker: leave Ctrl-C to the parent, and end when the parent is gone (a killed parent cannot say so)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
