"""Inverse depth from the user's files: which belongs to which view, and what may be in them.

`NNNNNN.png` or `.npy` by the number of the view, or by the name of the object where it has one view. PNG is grey, and its
steps are taken as shares of the largest step; numbers in .npy are taken as they are.

Letters: H W of the dataset's pictures, h w of the file.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d import images
from g3d.errors import G3dError, existing
from g3d.storage import arrays, foreign, named

if TYPE_CHECKING:
    from g3d.data.dataset import Dataset

F32 = NDArray[np.float32]
SUFFIXES = (".npy", ".png")


def matched(old: "Dataset", folder: Path) -> list[tuple[Path, ...]]:
    """For each object the files of its views; also where one is not there."""
    if not existing(folder, "the folder of inverse depth").is_dir():
        raise G3dError(f"'{folder}' is a file; give the folder that holds inverse depth, a file a picture")
    listed: dict[str, Path] = {}
    for place in (p for p in foreign.files_below(folder) if p.suffix.lower() in SUFFIXES):
        stem = place.relative_to(folder).with_suffix("").as_posix()
        if stem in listed:
            raise G3dError(f"'{listed[stem]}' and '{place}' are both inverse depth of '{stem}'; take one away")
        listed[stem] = place
    views = [old.views(number).tolist() for number in range(len(old.object_names))]
    by_number = [[f"{v:06d}" for v in own] for own in views]
    by_name = [[name] if len(own) == 1 else [] for name, own in zip(old.object_names, views, strict=True)]
    numbered, named = (sum(stem in listed for own in way for stem in own) for way in (by_number, by_name))
    if not numbered and not named:
        raise G3dError(f"the folder '{folder}' holds inverse depth of none of the views; name the files by the number of the "
                       "view (000000.png or .npy), or by the object where it has one view")  # fmt: skip
    if numbered == named and by_number != by_name:
        raise G3dError(f"the files in '{folder}' fit the numbers of the views and the names of the objects equally well; give a "
                       "file for every view, named in one way")  # fmt: skip
    chosen = by_number if numbered >= named else [n or number for n, number in zip(by_name, by_number, strict=True)]
    return [tuple(listed.get(stem, folder / f"{stem}.png") for stem in own) for own in chosen]


def refuse_absent(old: "Dataset", places: Sequence[Sequence[Path]]) -> None:
    """Refuse, before the work begins, pictures without a file; the first of them is named."""
    views = [view for number in range(len(places)) for view in old.views(number).tolist()]
    each = list(zip(views, (place for own in places for place in own), strict=True))
    lacking = [(view, place) for view, place in each if not place.is_file()]
    if lacking:
        raise G3dError(f"{absent(old, *lacking[0])}; {len(lacking)} of {len(each)} pictures lack it: add the files, or leave "
                       "the objects of these pictures out by --skip-bad")  # fmt: skip


def absent(old: "Dataset", view: int, place: Path) -> str:
    """What is not there for which picture."""
    name = old.object_names[int(old.view_object[view])]
    return (
        f"the picture {view:06d} of '{old.path}' (object '{name}') has no inverse depth: neither '{place.with_suffix('.npy')}' "
        f"nor '{place.with_suffix('.png')}' is there"
    )


def stamp_of(places: Sequence[Path]) -> str:
    """Of an item's files: another one when they change."""
    told = [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" if p.is_file() else p.name for p in places]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def read_map(path: Path, width: int, height: int) -> F32:
    """[H, W], resized bilinearly."""
    data = named.read(path, "the inverse depth")
    values = _npy(data, path) if path.suffix.lower() == ".npy" else _png(data, path)
    if not np.isfinite(values).all():
        raise G3dError(
            f"the inverse depth '{path}' has numbers that are not finite; write 0 where it is infinitely far"
        )
    h, w = values.shape
    if abs(w * height - h * width) >= max(width, height):  # but for the rounding to whole pixels
        raise G3dError(
            f"the inverse depth '{path}' has the size {w}x{h}, its picture {width}x{height}; give both the same form"
        )
    return images.resized_map(values, width, height)


def _png(data: bytes, path: Path) -> F32:
    steps = images.decode_grey(data, str(path))
    with Image.open(io.BytesIO(data)) as file:
        if file.mode != "L" and not file.mode.startswith("I"):
            raise G3dError(
                f"the inverse depth '{path}' is a picture of mode {file.mode}; wanted is grey of 8 or 16 bits, or .npy"
            )
    return steps.astype(np.float32) / np.float32(np.iinfo(steps.dtype).max)


def _npy(data: bytes, path: Path) -> F32:
    found = arrays.npy(data, path, "the inverse depth")
    kind, shape = found.dtype.kind, found.shape
    values: NDArray[Any] = found.squeeze() if found.ndim == 3 and 1 in (shape[0], shape[-1]) else found
    if kind not in "fiu" or values.ndim != 2 or not values.size:
        raise G3dError(
            f"the inverse depth '{path}' is {found.dtype} of shape {list(shape)}; wanted are numbers of shape [h, w]"
        )
    return values.astype(np.float32)
