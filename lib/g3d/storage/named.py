"""Paths that a file names: inside the folder that is read, regular files, of bounded size. One rule for every reader.

A file of a stranger must not make pictures of other files of this machine, nor read from devices. The one exception: mesh files
may name what lies one level up, as ShapeNet's do (`../images/texture0.jpg`). Links are followed: the folder's owner made
them, not the file.
"""

import os
from pathlib import Path

from g3d.errors import G3dError, existing
from g3d.storage import files

FILE_MOST = 1 << 30  # bytes of a picture, a buffer, a material file
MESH_UP = 1  # levels above its folder that a mesh file may name


def inside(folder: Path, name: str | Path, where: str, up: int = 0) -> Path:
    """The place in `folder` that the file `where` calls `name`; refuses one outside of it (of the folder `up` levels above it).

    Nothing is looked up: the place need not be there."""
    own = Path(os.path.abspath(folder))  # noqa: PTH100  (links stay as they are)
    root = own.parents[up - 1] if up and len(own.parents) >= up else own
    place = Path(os.path.normpath(own / name))
    short = all(len(part.encode(errors="replace")) < 256 for part in place.parts) and len(str(place)) < 4096
    if "\0" not in str(name) and not short:
        raise G3dError(f"{where} names '{str(name)[:80]}...', which is longer than a name can be; correct it")
    if "\0" not in str(name) and place.is_relative_to(root):
        return folder / name
    raise G3dError(f"{where} names '{name}', which lies outside of '{root if up else folder}'; put it inside, and name it by a "
                   "relative path")  # fmt: skip


def check(path: Path, what: str, most: int = FILE_MOST) -> Path:
    """`path`, if it is a regular file that is not too large."""
    size = existing(path, what).stat().st_size
    if path.is_dir() or size > most:
        raise G3dError(
            f"{what} '{path}' {'is a folder' if path.is_dir() else f'has {size} bytes, more than {most}'}; give another"
        )
    return path


def read(path: Path, what: str) -> bytes:
    """The bytes of a regular file, at most FILE_MOST."""
    return files.read_bytes(path, what, FILE_MOST)
