"""Writes a dataset item by item, so that a kill at any moment leaves a whole number of items, and memory stays constant.

While it grows, the folder holds a journal (a line an item: its key, what dataset.json will say, digests) and a raw file for
each column of numbers. `close` turns them into `cameras`, `labels` and `shapes.safetensors` and `dataset.json`.

No torch here: worker processes import this file. Letters: V views of an item, O objects.
"""

import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.data.columns import FOLDERS, FORMAT, SHAPE_COLUMNS, SPLITS, VIEW_COLUMNS, Made, columns
from g3d.data.columns import VIEWS_MOST as VIEWS_MOST
from g3d.errors import G3dError, from_os_error
from g3d.storage import artifacts, files
from g3d.storage.json_text import parsed

JOURNAL = "journal.jsonl"
ASKED = "asked.txt"  # of a dataset that is whole, but not in its place yet: what it was made for
_PSNR_PICTURES = 1024  # of which the mean image is taken


class Writer:
    """Appends items to `folder`; opened on a folder that an interrupted writer left, it goes on behind its last item."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.keys: list[str] = []  # of all items, also the skipped ones
        self._forget()
        self._journal = folder / JOURNAL
        self._replay(None)  # without a journal too: the first item may have been cut

    def keep(self, keys: Sequence[str], *, skipped: bool = True) -> int:
        """Keep what was made of the items `keys`, as far as both agree, and up to the first that was left out unless
        `skipped`; returns how many items that is."""
        same, most = 0, len(self.keys) if skipped else self._unbroken
        while same < min(len(keys), most) and keys[same] == self.keys[same]:
            same += 1
        if same < len(self.keys):
            self._replay(same)
        return same

    def add(self, name: str, made: Made, stamp: str = "") -> None:
        """One object, with its views behind those of the objects before it."""
        digests: dict[str, list[str]] = {}
        if self.views + len(made.views) > VIEWS_MOST:
            raise G3dError(
                f"with '{name}' there are more than {VIEWS_MOST} pictures, the most of a dataset; take fewer"
            )
        try:
            for number, view in enumerate(made.views, self.views):
                for folder, data in view.files().items():
                    place = self.folder / folder / f"{number:06d}.png"
                    if number == self.views:
                        place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
                    digests.setdefault(folder, []).append(hashlib.sha256(data).hexdigest())
            sizes = {}
            for column, rows in columns(name, made).items():
                with self._raw(column).open("ab") as stream:
                    stream.write(rows.tobytes())
                sizes[column] = rows.nbytes
            line = {
                "key": f"{name}|{stamp}", "name": name, "views": len(made.views), "entry": dict(made.entry), "digests": digests,
                "bytes": sizes, "box": None if made.box is None else [list(map(float, corner)) for corner in made.box],
            }  # fmt: skip
            self._check_like_others(line)
            self._append(line)
        except OSError as error:
            raise from_os_error(error, f"writing {self.folder}") from error

    def skip(self, name: str, sentence: str, stamp: str = "") -> None:
        """An item that cannot be used, and why."""
        self._append({"key": f"{name}|{stamp}", "skipped": sentence})

    def rows(self, column: str) -> NDArray[Any]:
        """What was written of a column, as a read-only map of the file; nothing of it is in memory."""
        dtype, shape = {**VIEW_COLUMNS, **SHAPE_COLUMNS}[column]
        count = self.views if column in VIEW_COLUMNS else len(self.objects)
        fixed = tuple(
            size if size > 0 else self._bytes[column] // (count * np.dtype(dtype).itemsize * math.prod(shape[1:]))
            for size in shape
        )
        return np.memmap(self._raw(column), dtype, "r", shape=(count, *fixed))

    def has(self, column: str) -> bool:
        """Whether a column was given."""
        return column in self._bytes

    def close(
        self, info: Mapping[str, Any], splits: Sequence[str] | None = None, *, zipped: bool = False, asked: str = ""
    ) -> str:
        """Write cameras, labels, shapes and `dataset.json`; returns the digest.

        `info` holds what only the source knows: name, width, height, background, bounds, camera_prior, licence, provenance,
        `shape_bounds` and `names` (of the numbers of a column) where there are any. `splits` is that of each object.
        `zipped` keeps the pictures of each folder in one stored zip. `asked` is left in the file ASKED, for `finished`."""
        for stale in (*self.folder.glob("*.zip"), *self.folder.glob("*.safetensors")):  # of a `close` that was killed
            stale.unlink()
        splits = [str(o.get("split", SPLITS[0])) for o in self.objects] if splits is None else splits
        objects = [{**o, "split": s} for o, s in zip(self.objects, splits, strict=True)]
        view_split = self._view_split(splits)
        parts = [f"{name}:{digest}" for name, digest in sorted(self._digests())]
        parts += self._write_columns(info, view_split)
        digest = "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()
        mean = mean_image_psnr_db(self.folder / "images", np.nonzero(self._in_training(splits, view_split))[0])
        if zipped:
            for name in FOLDERS:
                _pack(self.folder / name)
        whole = {**info, "format": FORMAT, "views": self.views, "digest": digest, "mean_image_psnr_db": mean}
        _write_description(self.folder / "dataset.json", whole, objects)
        if asked:
            with files.atomic(self.folder / ASKED) as temporary:
                temporary.write_text(asked, encoding="utf-8")
        os.sync()  # once, not file by file: what appears under the final name is on the disk
        self._journal.unlink()  # from here on the folder is a dataset, and only tidying is left
        tidy(self.folder)
        return digest

    def _check_like_others(self, line: Mapping[str, Any]) -> None:
        """Every object has the same columns and kinds of pictures, with rows of the same size."""
        found = {*line["digests"], *line["bytes"]} if line["views"] or not self.views else {*line["bytes"]}
        if self.objects and found != self._found:
            odd = sorted(found ^ self._found)
            more, less = ("has", "have none") if odd[0] in found else ("lacks", "have them")
            raise G3dError(f"'{line['name']}' {more} {', '.join(odd)}, the objects before it {less}; a dataset has them for all "
                           "of its objects or for none")  # fmt: skip
        for column, size in line["bytes"].items():
            count = line["views"] if column in VIEW_COLUMNS else 1
            if self.objects and size * self._rows(column) != self._bytes[column] * count:
                raise G3dError(
                    f"'{line['name']}' has {column} of another size than the objects before it; make them alike"
                )

    def _rows(self, column: str) -> int:
        return self.views if column in VIEW_COLUMNS else len(self.objects)

    def _view_split(self, splits: Sequence[str]) -> NDArray[np.uint8]:
        if self.has("split"):
            return np.array(self.rows("split"))
        return np.array([s != SPLITS[0] for s in splits], np.uint8)[self._view_object()]

    def _view_object(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self._counts)), self._counts)

    def _in_training(self, splits: Sequence[str], view_split: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """[V] training views of training objects."""
        training = np.array([s == SPLITS[0] for s in splits], bool)[self._view_object()]
        found: NDArray[np.bool_] = training & (view_split == 0)
        return found

    def _write_columns(self, info: Mapping[str, Any], view_split: NDArray[np.uint8]) -> list[str]:
        """cameras, labels and shapes.safetensors, straight from the raw files; returns their digests."""
        index: dict[str, NDArray[Any]] = {"object": self._view_object(), "split": view_split} if self.views else {}
        posed = {name: self.rows(name) for name in ("c2w", "intrinsics") if self.has(name)}
        labels = {n: self.rows(n) for n in VIEW_COLUMNS if n not in ("c2w", "intrinsics", "split") and self.has(n)}
        shapes = {name: self.rows(name) for name in SHAPE_COLUMNS if self.has(name)}
        digests = []
        if posed:
            config = {"width": info["width"], "height": info["height"], "splits": list(SPLITS)}
            digests.append(
                artifacts.write_arrays(self.folder / "cameras.safetensors", "cameras", {**posed, **index}, config)
            )
        else:
            labels.update(index)
        if labels:
            config = {"names": dict(info.get("names", {})), "splits": list(SPLITS)}
            digests.append(artifacts.write_arrays(self.folder / "labels.safetensors", "labels", labels, config))
        if shapes:
            cells = round((shapes["occupancy_bits"].shape[1] * 8) ** (1 / 3)) if "occupancy_bits" in shapes else 0
            config = {"bounds": info.get("shape_bounds", [[-1.0] * 3, [1.0] * 3]), "order": "x y z", "cells": cells}
            digests.append(artifacts.write_arrays(self.folder / "shapes.safetensors", "shapes", shapes, config))
        return digests

    def _digests(self) -> list[tuple[str, str]]:
        """Name and digest of each picture, from the journal."""
        found, first = [], 0
        for line in self._lines():
            if "skipped" not in line:
                for folder, digests in line["digests"].items():
                    found += [(f"{folder}/{first + i:06d}.png", digest) for i, digest in enumerate(digests)]
                first += line["views"]
        return found

    def _forget(self) -> None:
        self.objects: list[dict[str, Any]] = []  # entries of dataset.json
        self.skipped: list[str] = []
        self._unbroken = 0  # items before the first skipped one
        self.views = 0
        self.low, self.high = np.full(3, np.inf), np.full(3, -np.inf)
        self._bytes: dict[str, int] = {}
        self._found: set[str] = set()
        self._counts: list[int] = []  # views of each object

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            with self._journal.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
        except OSError as error:
            raise from_os_error(error, f"writing {self.folder}") from error
        self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        self.keys.append(line["key"])
        if "skipped" in line:
            self.skipped.append(line["skipped"])
            return
        if not self.skipped:
            self._unbroken += 1
        self.objects.append({"name": line["name"], **line["entry"]})
        self.views += line["views"]
        self._counts.append(line["views"])
        self._found |= {*line["digests"], *line["bytes"]}
        for column, size in line["bytes"].items():
            self._bytes[column] = self._bytes.get(column, 0) + size
        if line["box"] is not None:
            self.low, self.high = np.minimum(self.low, line["box"][0]), np.maximum(self.high, line["box"][1])

    def _lines(self) -> list[dict[str, Any]]:
        """The whole lines of the journal; a kill may have cut the last one."""
        found = []
        if self._journal.is_file():
            for text in self._journal.read_text(encoding="utf-8").splitlines(keepends=True):
                if not text.endswith("\n"):
                    break
                try:
                    found.append(parsed(text))
                except (ValueError, RecursionError):  # of a disk that lost a block: what comes behind is made anew
                    break
        return found

    def _replay(self, most: int | None) -> None:
        """Read the journal again, at most `most` items of it, and take away what lies beyond."""
        lines = self._lines()[:most]
        self.keys = []
        self._forget()
        for line in lines:
            self._take(line)
        with files.atomic(self._journal) as temporary:
            temporary.write_text("".join(json.dumps(x, sort_keys=True) + "\n" for x in lines), encoding="utf-8")
        for raw in self.folder.glob("*.raw"):
            size = self._bytes.get(raw.stem, 0)
            if size:
                os.truncate(raw, size)
            else:
                raw.unlink()
        for folder in FOLDERS:
            for place in (self.folder / folder).glob("*.png"):
                if int(place.stem) >= self.views:
                    place.unlink()
            if (self.folder / folder).is_dir() and not any((self.folder / folder).iterdir()):
                (self.folder / folder).rmdir()

    def _raw(self, column: str) -> Path:
        return self.folder / f"{column}.raw"


def finished(folder: Path, asked: str) -> bool:
    """Whether an earlier `close` made the whole dataset in `folder`, for the same `asked`; one for another is taken away."""
    if not (folder / "dataset.json").is_file() or (folder / JOURNAL).exists():
        return False
    note = folder / ASKED
    if note.is_file() and note.read_text(encoding="utf-8") == asked:
        tidy(folder)
        return True
    (folder / "dataset.json").unlink()  # first: half taken away it must not pass for a whole one
    for place in list(folder.iterdir()):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()
    return False


def tidy(folder: Path) -> None:
    """Take away what only the growing dataset needed."""
    for rest in (*folder.glob("*.raw"), *folder.glob(".*.partial")):  # the latter of a kill while a file was written
        files.remove(rest)
    for name in FOLDERS:
        if (folder / f"{name}.zip").is_file():
            shutil.rmtree(folder / name, ignore_errors=True)


def mean_image_psnr_db(folder: Path, views: NDArray[np.int64]) -> float | None:
    """PSNR of predicting training pictures by their mean: what a model must beat. Of at most 1,024 of them, evenly taken.

    None where it is not defined: without training views, or where all are the same picture."""
    if not len(views):
        return None
    chosen = views[np.linspace(0, len(views) - 1, min(len(views), _PSNR_PICTURES)).round().astype(np.int64)]
    total, squares = np.zeros(()), 0.0
    for view in chosen:
        picture = images.read_image(folder / f"{view:06d}.png").astype(np.float64)
        total = total + picture
        squares += float((picture * picture).sum())
    count = len(chosen)
    mse = (squares - float((total * total).sum()) / count) / (count * total.size) / 255**2
    return -10 * math.log10(mse) if mse > 1e-12 else None


def _pack(folder: Path) -> None:
    """`folder`/NNNNNN.png => `folder`.zip, stored and not compressed; the same pictures give the same bytes."""
    if not folder.is_dir():
        return
    with (
        files.atomic(folder.with_name(f"{folder.name}.zip")) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for place in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(place.name, (1980, 1, 1, 0, 0, 0)), place.read_bytes())


def _write_description(path: Path, info: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> None:
    """Indented JSON, but a line an object: a hundred thousand of them stay readable."""
    text = json.dumps({**info, "objects": []}, sort_keys=True, indent=1, allow_nan=False)
    lines = ",\n".join("  " + json.dumps(o, sort_keys=True, allow_nan=False) for o in objects)
    assert text.count('\n "objects": []') == 1
    with files.atomic(path) as temporary:
        temporary.write_text(text.replace('\n "objects": []', f'\n "objects": [\n{lines}\n ]') + "\n", encoding="utf-8")
