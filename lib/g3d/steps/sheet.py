"""`sheet`: pictures of several folders in rows on one page, so that true, reconstructed and sampled can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d import images
from g3d.data.columns import SPLITS
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.progress import SILENT, Progress
from g3d.storage import files, leaving_out


@dataclass(frozen=True)
class Options:
    """`folders`: image folders, zips or datasets (DATASET:train, DATASET:test); `columns` pictures of each, evenly spread."""

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
        source, numbers = _pictures(text)
        if source.left_out:
            left_out[text] = dict(source.left_out)
            progress.log(f"'{text}': {leaving_out.note(source.left_out)}")
        count = min(len(numbers), options.columns * options.rows)
        chosen = [numbers[i * len(numbers) // count] for i in range(count)]
        shown = [_square(picture, options.size) for picture in source.stream(chosen)]
        page += [shown[i : i + options.columns] for i in range(0, count, options.columns)]
    images.write_image(options.out, images.sheet(page))
    return {"written": [str(options.out)], **({"left_out": left_out} if left_out else {})}


def _pictures(text: str) -> tuple[images.ImageSet, Sequence[int]]:
    """The pictures that the words stand for, and which of them."""
    folder, split = _source(text)
    if split is None:
        found = images.image_set(folder)
        return found, range(len(found))
    data = open_dataset(folder)
    numbers: list[int] = (data.view_split == SPLITS.index(split)).nonzero().squeeze(1).tolist()
    if not numbers:
        raise G3dError(f"'{folder}' has no views of the split '{split}'; use another one")
    return images.image_set(folder), numbers


def _source(text: str) -> tuple[Path, str | None]:
    """FOLDER, ZIP, DATASET or DATASET:SPLIT => the path and the split."""
    folder, colon, split = text.rpartition(":")
    return (Path(folder), split) if colon and split in SPLITS else (Path(text), None)


def _check_out(options: Options) -> None:
    images.check_png(options.out, "the page")
    files.refuse_existing(options.out, options.overwrite, tuple(_source(text)[0] for text in options.folders))


def _square(picture: images.U8, size: int) -> images.U8:
    """A picture at `size` pixels: small ones by whole factors, so that their pixels can be seen."""
    factor = size // max(picture.shape[:2])
    if factor >= 1 and size % max(picture.shape[:2]) == 0 and picture.shape[0] == picture.shape[1]:
        return images.enlarge(picture, factor)
    return images.resized(picture, size, size)


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
