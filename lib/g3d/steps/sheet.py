"""`sheet`: pictures of several folders in rows on one page, so that true, reconstructed and sampled can be compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g3d import images
from g3d.data.columns import SPLITS
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.evaluation.disparity import read_sums
from g3d.progress import SILENT, Progress
from g3d.storage import files, foreign, leaving_out

DISPARITY = "disparity"  # the folder that render --disparity writes beside its pictures
Stream = Callable[[Sequence[int]], Iterator[images.U8]]
LeftOut = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Options:
    """`folders`: image folders, zips, datasets (DATASET:train, DATASET:test), or the disparity of what was drawn
    (IMAGES:disparity, white is near); `columns` pictures of each, evenly spread."""

    folders: Sequence[str]
    out: Path
    columns: int = 12
    rows: int = 1
    size: int = 96
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    _check(options)
    _check_out(options)
    found = {text: len(_pictures(text)[1]) for text in options.folders}
    return {"pictures": found, "columns": options.columns, "rows": options.rows, "out": str(options.out)}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the page. Folders of equally many pictures show the same ones of each: their columns correspond."""
    _check(options)
    _check_out(options)
    page = []
    left_out: dict[str, Any] = {}
    for text in options.folders:
        stream, numbers, some = _pictures(text)
        if some:
            left_out[text] = dict(some)
            progress.log(f"'{text}': {leaving_out.note(some)}")
        count = min(len(numbers), options.columns * options.rows)
        chosen = [numbers[i * len(numbers) // count] for i in range(count)]
        shown = [_square(picture, options.size) for picture in stream(chosen)]
        page += [shown[i : i + options.columns] for i in range(0, count, options.columns)]
    images.write_image(options.out, images.sheet(page))
    return {"written": [str(options.out)], **({"left_out": left_out} if left_out else {})}


def _pictures(text: str) -> tuple[Stream, Sequence[int], LeftOut]:
    """The pictures that the words stand for, by their numbers, which of them, and what is left out."""
    folder, split = _source(text)
    if split == DISPARITY:
        maps = _maps(folder)
        if not maps:
            raise G3dError(f"'{folder}' holds no disparity; draw its pictures with g3d render --disparity")
        return lambda chosen: (_grey(maps[number]) for number in chosen), range(len(maps)), {}
    if split is None:
        found = images.image_set(folder)
        return found.stream, range(len(found)), found.left_out
    data = open_dataset(folder)
    numbers: list[int] = (data.view_split == SPLITS.index(split)).nonzero().squeeze(1).tolist()
    if not numbers:
        raise G3dError(f"'{folder}' has no views of the split '{split}'; use another one")
    return images.image_set(folder).stream, numbers, {}


def _maps(folder: Path) -> list[Path]:
    """The files of disparity beside the pictures of a folder and of those in it, in the order of the pictures."""
    below = [p.relative_to(folder) for p in foreign.files_below(folder) if p.suffix == ".safetensors"]
    named = {(p.parent.parent / p.stem).as_posix(): folder / p for p in below if p.parts[-2:-1] == (DISPARITY,)}
    return [named[name] for name in sorted(named)]


def _grey(path: Path) -> images.U8:
    """The mean disparity of each ray [H, W, 3], black at far and white at near."""
    mean = read_sums(path).first.clamp(0, 1).numpy()
    grey: images.U8 = np.repeat(np.round(255 * mean).astype(np.uint8)[:, :, None], 3, axis=2)
    return grey


def _source(text: str) -> tuple[Path, str | None]:
    """FOLDER, ZIP, DATASET, DATASET:SPLIT or IMAGES:disparity => the path and what follows it."""
    folder, colon, split = text.rpartition(":")
    return (Path(folder), split) if colon and split in (*SPLITS, DISPARITY) else (Path(text), None)


def _check_out(options: Options) -> None:
    images.check_png(options.out, "the page")
    files.refuse_existing(options.out, options.overwrite, tuple(_source(text)[0] for text in options.folders))


def _square(picture: images.U8, size: int) -> images.U8:
    """A picture in the middle of a white square: small ones by whole factors, so that their pixels can be seen."""
    longest = max(picture.shape[:2])
    if size % longest == 0:
        shown = images.enlarge(picture, size // longest)
    else:
        high, wide = (max(1, round(side * size / longest)) for side in picture.shape[:2])
        shown = images.resized(picture, wide, high)
    high, wide = shown.shape[:2]
    whole = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - high) // 2, (size - wide) // 2
    whole[top : top + high, left : left + wide] = shown
    return whole


def _check(options: Options) -> None:
    if not options.folders:
        raise G3dError("there is nothing to lay out; give one or more image folders")
    for name, value, low, high in (
        ("columns", options.columns, 1, 100),
        ("rows", options.rows, 1, 100),
        ("size", options.size, 8, 1024),
    ):
        if not low <= value <= high:
            raise G3dError(f"--{name} is {value}; it must lie between {low} and {high}")
