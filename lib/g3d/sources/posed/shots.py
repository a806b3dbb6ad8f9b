"""Posed pictures as they lie in files => the views of an item: laid over the background, undistorted, cropped, resized, with
intrinsics that follow. No torch here: worker processes import this file.

Letters: V views, H rows, W columns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.data.columns import Made, View
from g3d.errors import Failure, G3dError, Missing, existing
from g3d.sources.posed.undistort import Lens, undistorted
from g3d.storage import named, zips
from g3d.storage.leaving_out import FAULTY, merged

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
_TRIES = 64  # pictures of which one must be readable
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies: in a folder, or in a zip. Small: a hundred thousand of them share `root`."""

    root: Path
    name: str
    zipped: bool = False

    def __str__(self) -> str:
        return f"{self.root}:{self.name}" if self.zipped else str(self.root / self.name)

    def read(self) -> bytes:
        """Its bytes."""
        if self.zipped:
            return zips.member(zips.opened(self.root), self.name, str(self))
        path = existing(self.root / self.name, "the image")
        if not path.is_file():
            raise G3dError(f"'{path}' is a folder where an image is wanted; correct its name")
        return named.read(path, "the image")


@dataclass(frozen=True, slots=True)
class Shot:
    """One posed picture."""

    picture: Place
    c2w: F64  # [4, 4] our world
    intrinsics: F64  # [4] fx fy cx cy, pixels of a picture of `width` x `height`
    width: int = 0  # 0: the intrinsics are shares of the picture's size
    height: int = 0
    test: bool = False
    lens: Lens | None = None
    mask: Place | None = None
    depth: Place | None = None
    depth_scale: float = 1.0  # world units of a step


@dataclass(frozen=True)
class Target:
    """What every view of the dataset becomes."""

    width: int
    height: int
    first: str  # the picture whose size that is
    square: bool  # crop and resize to it; else every picture has this size already
    background: str
    masks: bool
    depth_scale: float | None = None  # world units of a step; None for no depth
    splits: bool = False
    photo: bool = False  # packed faster, as photographs are
    skip_bad: bool = False  # a picture that cannot be used is left out, the rest of its object is kept


@dataclass
class _Layers:
    """A picture on its way."""

    rgb: U8  # [H, W, 3] over white or black
    alpha: U8 | None  # [H, W] coverage
    depth: U16 | None
    intrinsics: F64

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.rgb.shape[:2]
        return width, height


def target_of(pictures: Iterable[Place], size: int | None, background: str, *, masks: bool = False,
              depth_scale: float | None = None, splits: bool = False, photo: bool = False,
              skip_bad: bool = False) -> Target:  # fmt: skip
    """What the pictures become, from the header of the first one that can be read: --size pixels a side, or the size that
    they have; masks where it has an alpha channel, or `masks`."""
    if background not in BACKGROUNDS:
        raise G3dError(f"--background is '{background}'; it is {' or '.join(BACKGROUNDS)}")
    first_error: G3dError | None = None
    for place in islice(pictures, _TRIES):
        try:
            width, height, alpha = form_of(place)
        except G3dError as error:
            first_error = first_error or error
            continue
        shape = (size, size) if size else (width, height)
        return Target(
            *shape, str(place), size is not None, background, masks or alpha, depth_scale, splits, photo, skip_bad
        )
    raise first_error or G3dError("none of the objects has a picture; give a folder with pictures")


def form_of(place: Place) -> tuple[int, int, bool]:
    """Width and height of a picture as it is stored, and whether there is an alpha channel."""
    rgb, alpha = images.decode_alpha(place.read(), str(place), upright=False)
    return rgb.shape[1], rgb.shape[0], alpha is not None


def made(shots: Sequence[Shot], target: Target, entry: dict[str, Any]) -> Made:
    """The item of these views."""
    views, rows, kept = [], [], []
    faulty: list[str] = []
    lying = 0
    for shot in shots:
        try:
            view, k, turned = _view(shot, target)
        except (Missing, Failure):
            raise
        except G3dError as error:
            if not target.skip_bad or len(shots) == 1:
                raise
            faulty.append(str(error))
            continue
        views.append(view)
        rows.append(k)
        kept.append(shot)
        lying += turned
    if not kept:
        raise G3dError(f"{faulty[0]} (and so it is with all of its {len(faulty)} pictures)")
    if faulty:
        entry = {**entry, "left_out": merged([entry.get("left_out", {}), {FAULTY: faulty}])}
    if lying:
        entry = {**entry, "exif_not_applied": lying}
    columns: dict[str, NDArray[Any]] = {"c2w": np.stack([s.c2w for s in kept]), "intrinsics": np.stack(rows)}
    if target.splits:
        columns["split"] = np.array([s.test for s in kept], np.uint8)
    return Made(views, columns, entry=entry)


def _view(shot: Shot, target: Target) -> tuple[View, F64, bool]:
    """A view, its intrinsics [4], and whether its EXIF asks for a turn, which cameras know nothing of."""
    data = shot.picture.read()
    layers = _read(shot, data, target)
    if shot.lens is not None:
        layers = _straightened(layers, shot.lens, target.background)
    layers = _fitted(layers, target, str(shot.picture))
    return _encoded(layers, target), layers.intrinsics, images.exif_turns(data, str(shot.picture))


def _read(shot: Shot, data: bytes, target: Target) -> _Layers:
    rgb, alpha = images.decode_alpha(data, str(shot.picture), _colour(target.background), upright=False)
    height, width = rgb.shape[:2]
    if shot.mask is not None:
        mask = _like(images.decode_mask(shot.mask.read(), str(shot.mask), upright=False), width, height, shot.mask)
        alpha = mask if alpha is None else np.minimum(alpha, mask)
    depth = None
    if target.depth_scale is not None:
        assert shot.depth is not None
        depth = _depth(shot.depth, shot.depth_scale / target.depth_scale, width, height)
    return _Layers(rgb, alpha, depth, _intrinsics_px(shot, width, height))


def _colour(background: str) -> images.Colour:
    red, green, blue = (round(255 * v) for v in BACKGROUNDS[background])
    return red, green, blue


def _depth(place: Place, ratio: float, width: int, height: int) -> U16:
    """16-bit steps of the dataset's scale, of the picture's size."""
    steps = images.decode_grey(place.read(), str(place), upright=False)
    if steps.dtype != np.uint16:
        raise G3dError(
            f"the depth '{place}' is not a 16-bit grey PNG; write it as one, in steps of depth_unit_scale_factor"
        )
    if abs(ratio - 1) > 1e-9:
        steps = (steps * ratio + 0.5).clip(0, 65535).astype(np.uint16)
    return np.asarray(_like(steps, width, height, place), np.uint16)


def _like(layer: NDArray[Any], width: int, height: int, place: Place) -> NDArray[Any]:
    """A mask or a depth map [h, w] at the size of its picture, by the nearest pixel; another form is refused."""
    h, w = layer.shape
    if (w, h) == (width, height):
        return layer
    _check_form((w, h), (width, height), str(place), "its picture")
    rows = ((np.arange(height) + 0.5) * h / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * w / width).astype(np.intp)
    picked: NDArray[Any] = layer[rows[:, None], columns]
    return picked


def _intrinsics_px(shot: Shot, width: int, height: int) -> F64:
    """Intrinsics of the picture as it is: files may tell them of another resolution, but not of another form."""
    stated = (shot.width or 1, shot.height or 1)
    if shot.width:
        _check_form((width, height), stated, str(shot.picture), "what its camera is for")
    sx, sy = width / stated[0], height / stated[1]
    return shot.intrinsics * [sx, sy, sx, sy]


def _check_form(found: tuple[int, int], wanted: tuple[int, int], where: str, what: str) -> None:
    """Refuse a size that is not the wanted one made larger or smaller, but for the rounding to whole pixels."""
    if found != wanted and abs(found[0] * wanted[1] - found[1] * wanted[0]) >= max(wanted):
        raise G3dError(
            f"'{where}' has the size {found[0]}x{found[1]}, {what} {wanted[0]}x{wanted[1]}; give both the same form"
        )


def _straightened(layers: _Layers, lens: Lens, background: str) -> _Layers:
    """Without the distortion of the lens; what it had not seen is background."""
    rgb, seen = undistorted(layers.rgb, lens, layers.intrinsics)
    rgb[~seen] = _colour(background)
    alpha, depth = (seen * 255).astype(np.uint8), layers.depth
    if layers.alpha is not None:
        alpha, _ = undistorted(layers.alpha, lens, layers.intrinsics)
    if depth is not None:
        depth, _ = undistorted(depth, lens, layers.intrinsics, nearest=True)
    return replace(layers, rgb=rgb, alpha=alpha, depth=depth)


def _fitted(layers: _Layers, target: Target, where: str) -> _Layers:
    """The centre square of the picture at the wanted size; without --size the picture as it is."""
    width, height = layers.size
    if not target.square:
        if (width, height) != (target.width, target.height):
            raise G3dError(f"'{where}' has the size {width}x{height}, '{target.first}' {target.width}x{target.height}; give "
                           "--size to crop and resize all pictures to one size")  # fmt: skip
        return layers
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    inside = np.s_[top : top + side, left : left + side]
    scale = target.width / side
    shift = np.array([0, 0, left, top])
    rgb, alpha, depth = layers.rgb[inside], layers.alpha, layers.depth
    if side != target.width:
        rgb = images.resized(np.ascontiguousarray(rgb), target.width, target.width)
        if alpha is not None:
            alpha = images.resized(np.ascontiguousarray(alpha[inside]), target.width, target.width)
        if depth is not None:  # depths are not mixed across edges
            at = ((np.arange(target.width) + 0.5) / scale).astype(np.intp)
            depth = depth[inside][at[:, None], at]
    else:
        alpha = None if alpha is None else alpha[inside]
        depth = None if depth is None else depth[inside]
    return _Layers(rgb, alpha, depth, (layers.intrinsics - shift) * scale)


def _encoded(layers: _Layers, target: Target) -> View:
    mask = None
    if target.masks:
        full = np.full(layers.rgb.shape[:2], 255, np.uint8) if layers.alpha is None else layers.alpha
        mask = images.encode(np.ascontiguousarray(full))
    depth = None if layers.depth is None else images.encode(np.ascontiguousarray(layers.depth))
    return View(images.encode(np.ascontiguousarray(layers.rgb), photo=target.photo), mask, depth)
