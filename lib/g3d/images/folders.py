"""Folders and zips of pictures, read one picture after the other."""

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from g3d.errors import G3dError, existing
from g3d.images.arrays import U8
from g3d.images.decoding import SUFFIXES, UNREAD, reading, stated_size
from g3d.images.single import decode, read_image, size_of
from g3d.storage import foreign, zips

NOT_PICTURES = ("depth", "masks", "normals", "inverse_depth")  # folders beside the pictures, never counted among them


@dataclass(frozen=True)
class ImageSet:
    """The pictures of a folder (with subfolders) or of a zip, in the order of their names."""

    path: Path
    names: tuple[str, ...]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # pictures of kinds that are not read

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> U8:
        """Picture `index` as [H, W, 3]."""
        return next(self.stream([index]))

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of a picture as it is looked at, from its header alone."""
        if self.path.is_dir():
            return size_of(self.path / name)
        where, archive = f"{self.path}:{name}", zips.opened(self.path)
        with reading(where), archive.open(name) as stream:
            return stated_size(stream, where, archive.getinfo(name).file_size)

    def stream(self, indices: Sequence[int] | None = None) -> Iterator[U8]:
        """Pictures one after the other, never all in memory."""
        wanted = range(len(self)) if indices is None else indices
        if self.path.is_dir():
            for i in wanted:
                yield read_image(self.path / self.names[i])
        else:
            with zipfile.ZipFile(self.path) as opened:
                for i in wanted:
                    where = f"{self.path}:{self.names[i]}"
                    yield decode(zips.member(opened, self.names[i], where), where)


def image_set(path: Path, what: str = "the image folder") -> ImageSet:
    """The images under `path`: a dataset (its `images/`), a folder, or a zip."""
    existing(path, what)
    if (path / "dataset.json").is_file() and (path / "images.zip").is_file():
        path = path / "images.zip"
    if path.is_dir():
        root = path / "images" if (path / "dataset.json").is_file() else path
        found = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        path = root
    elif zipfile.is_zipfile(path):
        found = list(zips.check(path, math.inf))
    else:
        raise G3dError(f"{what} '{path}' is neither a folder nor a zip; give one that holds PNG or JPEG files")
    meant = [n for n in found if not foreign.is_foreign(n) and not {*PurePosixPath(n).parts[:-1]} & {*NOT_PICTURES}]
    names = tuple(sorted(n for n in meant if n.lower().endswith(SUFFIXES)))
    if not names:
        raise G3dError(f"{what} '{path}' holds no images ({', '.join(SUFFIXES)}); give another folder")
    others = [n for n in meant if PurePosixPath(n).suffix.lower() in UNREAD]
    return ImageSet(path, names, foreign.kinds(others))
