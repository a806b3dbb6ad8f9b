"""One object => its pictures as PNG, its occupancy and its figures: what a worker process does. No torch here.

Letters: V views, H rows, W columns, G cells a side.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d import images
from g3d.data.columns import Made, View
from g3d.errors import require_module
from g3d.sources.surfaces.inside import Solid
from g3d.sources.surfaces.raycast import OPEN3D_INSTALL, Caster
from g3d.sources.surfaces.surface import F32, Colour, Surface, checked, normalised
from g3d.storage import named, zips

OCCUPANCY_CELLS = 64
_LEAST_SHARE = 0.6  # of a photo's square that is seen behind an object


@dataclass(frozen=True)
class Photos:
    """Photographs, one of which is put behind each view."""

    path: Path  # a folder or a zip
    names: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Stage:
    """From where an object is seen, and what its pictures show besides it."""

    c2w: F32  # [V, 4, 4]
    intrinsics: F32  # [V, 4] pixels
    splits: NDArray[np.uint8]  # [V]
    width: int
    height: int
    depth_scale: float  # world units of one step of the 16-bit depth
    background: Colour
    normals: bool = False
    photos: Photos | None = None
    number: int = 0  # of the object; which photos lie behind it depends on it


def make_object(
    source: Callable[[], Surface], where: str, stage: Stage, entry: dict[str, Any], closed: bool = False
) -> Made:
    """Make, check, normalise and draw the surface of `source`; `where` names it in messages.

    `closed`: it is made of closed parts, so that what cannot be seen is all that lies inside."""
    require_module("open3d", "prepare-data", OPEN3D_INSTALL)
    surface, placed = normalised(checked(source(), where))
    caster = Caster(surface)
    views, names = [], []
    for view, (c2w, intrinsics) in enumerate(zip(stage.c2w, stage.intrinsics, strict=True)):
        background: Colour | NDArray[np.uint8] = stage.background
        if stage.photos is not None:
            background, name = _photo(stage, view)
            names.append(name)
        views.append(
            draw_view(
                caster, c2w, intrinsics, stage.width, stage.height, stage.depth_scale, background, normals=stage.normals
            )
        )
    inside = caster.occupancy(OCCUPANCY_CELLS) if closed else Solid(surface.corners).occupancy(OCCUPANCY_CELLS)
    points = surface.corners.reshape(-1, 3)
    about: dict[str, Any] = {
        **entry, **surface.traits, "centre": list(placed.centre), "scale": placed.scale, "triangles": len(surface.corners),
    }  # fmt: skip
    if names:
        about["backgrounds"] = names
    return Made(
        views, {"c2w": stage.c2w, "intrinsics": stage.intrinsics, "split": stage.splits},
        {"occupancy_bits": np.packbits(inside)}, about,
        (points.min(0).tolist(), points.max(0).tolist()),
    )  # fmt: skip


def draw_view(
    caster: Caster, c2w: F32, intrinsics: F32, width: int, height: int, depth_scale: float,
    background: Colour | NDArray[np.uint8], normals: bool = False,
) -> View:  # fmt: skip
    """One view, encoded. `background` is a colour or a picture [H, W, 3]; depth is rounded to steps of `depth_scale`."""
    drawn = caster.draw(c2w, intrinsics, width, height, background, normals)
    depth = np.rint(drawn.depth_world / np.float32(depth_scale)).astype(np.uint16)
    picture = images.encode(drawn.rgb, photo=isinstance(background, np.ndarray))
    directions = images.encode(encoded_normals(drawn.normals)) if normals else None
    return View(picture, images.encode(drawn.mask), images.encode(depth), directions)


def encoded_normals(normals: F32) -> NDArray[np.uint8]:
    """Unit normals [H, W, 3] => (n + 1) / 2 as 8 bits; black where they are 0."""
    hit = (normals != 0).any(-1, keepdims=True)
    return np.where(hit, images.to_u8((normals + 1) * np.float32(0.5)), np.uint8(0))


def _photo(stage: Stage, view: int) -> tuple[NDArray[np.uint8], str]:
    """The photo behind a view [H, W, 3] and its name: which one, and what part of it, depends on seed, object and view."""
    assert stage.photos is not None
    digest = hashlib.sha256(f"{stage.photos.seed}|{stage.number}|{view}|background".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    name = stage.photos.names[int(rng.integers(len(stage.photos.names)))]
    longer = max(stage.width, stage.height)
    side = int(np.ceil(longer / _LEAST_SHARE))
    square = _square(stage.photos.path, name, side)
    seen = rng.uniform(_LEAST_SHARE, 1) * side
    width, height = seen * stage.width / longer, seen * stage.height / longer
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    part = Image.fromarray(square).resize(
        (stage.width, stage.height), Image.Resampling.LANCZOS, (left, top, left + width, top + height)
    )
    return np.asarray(part), name


@lru_cache(maxsize=64)
def _square(path: Path, name: str, side: int) -> NDArray[np.uint8]:
    """The square in the middle of a photo, [side, side, 3]."""
    where = f"{path}/{name}" if path.is_dir() else f"{path}:{name}"
    data = named.read(path / name, "the picture") if path.is_dir() else zips.member(zips.opened(path), name, where)
    return images.decode_square(data, where, side)
