"""`prepare-data images FOLDER|ZIP`: one object a picture, cropped to its centre square; classes by subfolder or `dataset.json`.

`dataset.json` is that of StyleGAN2-ADA: {"labels": [["00000/img00000000.png", 3], ...]}, or null for no classes.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, View, needs_input
from g3d.sources.writing.licence import UNKNOWN, is_licence, licence_of, shortened
from g3d.sources.writing.mirror import with_mirrored
from g3d.storage import foreign, named, zips
from g3d.storage.json_text import parsed

BACKGROUNDS: Mapping[str, images.Colour] = {"white": (255, 255, 255), "black": (0, 0, 0)}
SUFFIXES = (*images.SUFFIXES, ".gif")
_LABELS = "dataset.json"
_CLASSES_MOST = 100_000  # a label beyond it is no number of a class
_EG3D = 25  # numbers of a camera in EG3D's labels


@dataclass(frozen=True)
class Options:
    """What this source uses of the command line."""

    size: int = 256
    background: str = "white"
    mirror: bool = False
    max_unpacked_gb: float = 100.0


@dataclass(frozen=True)
class Store:
    """A folder or a zip, and how its pictures are to be."""

    path: Path
    zipped: bool
    size: int
    background: images.Colour
    lead: str = ""  # FOLDER/ of a zip or a folder in which all lies in one

    def read(self, file: str) -> tuple[bytes, str]:
        """The bytes of a file, and how messages name it."""
        file = self.lead + file
        if self.zipped:
            where = f"{self.path}:{file}"
            return zips.member(zips.opened(self.path), file, where), where
        try:
            return named.read(self.path / file, "the image"), str(self.path / file)
        except OSError as error:
            why = error.strerror or str(error)
            raise G3dError(f"the image '{self.path / file}' cannot be read ({why}); replace it or remove it") from error


def collect(request: Request) -> Collection:
    """Every picture of a folder or zip, in the order of their paths."""
    options: Options = request.options
    if options.background not in BACKGROUNDS:
        raise G3dError(f"--background is '{options.background}'; it must be {' or '.join(BACKGROUNDS)}")
    path = needs_input(request, "images", "the folder or zip of pictures", "my/photos")
    store, found = _opened(path, options)
    stamps = {f.removeprefix(store.lead): stamp for f, stamp in found.items() if f.startswith(store.lead)}
    pictures = sorted(f for f in stamps if f.lower().endswith(SUFFIXES))
    left_out = foreign.kinds(f for f in found if not f.lower().endswith(SUFFIXES))
    if not pictures:
        others = f"; it holds {'; '.join(f'{len(n)} {why}' for why, n in left_out.items())}" if left_out else ""
        raise G3dError(f"'{path}' holds no pictures ({', '.join(SUFFIXES)}){others}; give another folder or zip")
    labels, classes = _classes(store, stamps, pictures)
    items = []
    for file, name in zip(pictures, _names(pictures), strict=True):
        label = labels.get(file)
        class_name = None if label is None else classes[label]
        stamp = stamps[file] if label is None else f"{stamps[file]}-{label}-{class_name}"
        items.append(Item(name, partial(make, store, file, label, class_name), stamp))
    if options.mirror:
        items = with_mirrored(items, options.size, options.size)
    r, g, b = (v / 255 for v in store.background)
    settings = {
        "input": path.resolve().name,
        "size": options.size,
        "background": options.background,
        "mirror": options.mirror,
    }
    return Collection(
        path.resolve().stem if store.zipped else path.resolve().name, items, _licence(replace(store, lead=""), found), settings,
        options.size, options.size, (r, g, b), names={"class": classes} if classes else {}, inputs=(path,), pictures=len(items),
        left_out=left_out,
    )  # fmt: skip


def _opened(path: Path, options: Options) -> tuple[Store, dict[str, str]]:
    """The folder or zip, and the stamps of its files; where all lies in one folder with a dataset.json, it is that folder."""
    zipped = not path.is_dir()
    stamps = _stamps_zip(path, options.max_unpacked_gb) if zipped else _stamps_folder(path)
    lead = foreign.lead(stamps, _LABELS, (f for f in stamps if f.lower().endswith(SUFFIXES)))
    store = Store(path, zipped, options.size, BACKGROUNDS[options.background], lead)
    return store, stamps


def make(store: Store, file: str, label: int | None, class_name: str | None) -> Made:
    """One picture as an object."""
    data, where = store.read(file)
    picture = images.encode(images.decode_square(data, where, store.size, store.background), photo=True)
    columns = {} if label is None else {"class": np.array([label])}
    entry = {"file": file} if class_name is None else {"file": file, "class": class_name}
    return Made([View(picture)], columns, entry=entry)


def _stamps_folder(folder: Path) -> dict[str, str]:
    """Paths of the files below a folder, with `/` => a stamp of size and time."""

    def below(place: str, prefix: str) -> Iterator[tuple[str, str]]:
        with os.scandir(place) as found:
            for entry in found:
                if foreign.is_foreign(entry.name):
                    continue
                if entry.is_dir(
                    follow_symlinks=not prefix
                ):  # links to class folders count, deeper ones could be circles
                    yield from below(entry.path, f"{prefix}{entry.name}/")
                elif entry.is_file():
                    stat = entry.stat()
                    yield prefix + entry.name, f"{stat.st_size}-{stat.st_mtime_ns}"

    try:
        return dict(below(str(folder), ""))
    except OSError as error:
        raise G3dError(
            f"the folder '{error.filename}' cannot be read ({error.strerror}); correct its permissions"
        ) from error


def _stamps_zip(path: Path, max_unpacked_gb: float) -> dict[str, str]:
    """Paths of the files in a zip => a stamp of size and CRC."""
    found = zips.check(path, max_unpacked_gb)
    return {n: f"{m.file_size}-{m.CRC:08x}" for n, m in found.items() if not foreign.is_foreign(n)}


def _names(pictures: Sequence[str]) -> list[str]:
    """Paths without their suffix; with it where two would be the same."""
    short = [str(PurePosixPath(p).with_suffix("")) for p in pictures]
    count: dict[str, int] = {}
    for s in short:
        count[s] = count.get(s, 0) + 1
    return [s if count[s] == 1 else p for s, p in zip(short, pictures, strict=True)]


def _classes(store: Store, stamps: Mapping[str, str], pictures: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """The class of each picture, and the names of the classes; both empty where there are none."""
    if _LABELS in stamps:
        return _listed_classes(store, stamps, pictures)
    folders = [PurePosixPath(p).parts[:-1] for p in pictures]
    shared = _shared(min(folders), max(folders))  # all in a/b/: classes are what lies below
    first = {p: parts[shared] if len(parts) > shared else "" for p, parts in zip(pictures, folders, strict=True)}
    if not any(first.values()):
        return {}, []
    stray = next((p for p, folder in first.items() if not folder), None)
    if stray is not None:
        raise G3dError(f"'{stray}' of '{store.path}' lies beside folders of classes and has none; move it into one, or give all "
                       "pictures without subfolders")  # fmt: skip
    classes = sorted(set(first.values()))
    numbers = {name: i for i, name in enumerate(classes)}
    return {p: numbers[folder] for p, folder in first.items()}, classes


def _shared(first: Sequence[str], last: Sequence[str]) -> int:
    """How many leading folders two paths share; of sorted paths the first and the last share what all do."""
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return same


def _listed_classes(
    store: Store, stamps: Mapping[str, str], pictures: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """What `dataset.json` says."""
    data, where = store.read(_LABELS)
    try:
        described = parsed(data)
        listed = described.get("labels")
        if str(described.get("format", "")).startswith("g3d/"):
            raise G3dError(f"'{store.path}' is a dataset already; give the folder of pictures that is meant")
        pairs = [
            (_tidy(str(file)), label) for file, label in (listed.items() if isinstance(listed, dict) else listed or [])
        ]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise G3dError(f"'{where}' is not the list of labels that StyleGAN2-ADA writes ({error}); wanted is "
                       '{"labels": [["a.png", 0], ...]}') from error  # fmt: skip
    if not pairs:
        return {}, []
    labels = {file: _label(file, label, where) for file, label in pairs}
    for file in labels:
        if file not in stamps:
            raise G3dError(f"'{where}' lists '{file}', which is not there; add it, or take it off the list")
    unlisted = next((p for p in pictures if p not in labels), None)
    if unlisted is not None:
        raise G3dError(f"'{where}' has no label for '{unlisted}'; add one, or take the picture away")
    return labels, [str(i) for i in range(max(labels.values()) + 1)]


def _tidy(file: str) -> str:
    """`.\\a\\b.png` => `a/b.png`."""
    return file.replace("\\", "/").removeprefix("./")


def _label(file: str, label: Any, where: str) -> int:
    if isinstance(label, list) and len(label) == _EG3D:
        raise G3dError(f"'{where}' holds cameras ({_EG3D} numbers for '{file}'), not classes; use the source 'eg3d'")
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < _CLASSES_MOST:
        raise G3dError(f"'{where}' has the label {str(label)[:60]} for '{file}'; a class is a whole number from 0 to "
                       f"{_CLASSES_MOST - 1}")  # fmt: skip
    return label


def _licence(store: Store, stamps: Mapping[str, str]) -> str:
    """What the licence file says that lies in the folder, or in the zip and least deep."""
    if not store.zipped:
        return licence_of(store.path)
    found = sorted((f.count("/"), f) for f in stamps if is_licence(PurePosixPath(f).name))
    if not found:
        return UNKNOWN.replace("folder", "zip")
    return shortened(PurePosixPath(found[0][1]).name, store.read(found[0][1])[0])
