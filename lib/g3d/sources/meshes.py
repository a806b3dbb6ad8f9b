"""`prepare-data meshes FOLDER`: mesh files (GLB, GLTF, OBJ, PLY, OFF, STL) with textures, vertex colours or a base colour.

Files are taken as y up. Each object keeps the name of its file; its centre and scale are recorded with it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from g3d.errors import G3dError, existing
from g3d.sources import Collection, Item, Request
from g3d.sources.mesh_files import READERS, read_surface
from g3d.sources.surface import Surface

OPTIONS = frozenset({"skip_bad"})
_LICENCE_NAMES = ("license", "licence", "copying")


def collect(request: Request) -> Collection:
    """Every mesh file in the folder `input` and below it, in the order of their names."""
    if request.input is None:
        raise G3dError("the source 'meshes' needs a folder of mesh files; write e.g. prepare-data meshes my/cars")
    folder = existing(Path(request.input), "the mesh folder")
    suffixes = ", ".join(sorted(READERS))
    if not folder.is_dir():
        raise G3dError(f"'{folder}' is a file; give the folder that holds the mesh files ({suffixes})")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in READERS and p.is_file())
    if not files:
        raise G3dError(f"the folder '{folder}' holds no mesh files ({suffixes}); give another one")
    items = [
        Item(name, partial(read, path), {"file": path.relative_to(folder).as_posix()})
        for name, path in zip(_names(folder, files), files, strict=True)
    ]
    name = folder.resolve().name
    return Collection(name, items, _licence(folder), {"input": name}, (folder,))


def read(path: Path) -> Surface:
    """The surface in a mesh file, with the digest of the file."""
    surface = read_surface(path)
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return replace(surface, traits={**surface.traits, "digest": digest})


def _names(folder: Path, files: Sequence[Path]) -> list[str]:
    """Paths without their suffix; with it where two would be the same."""
    short = [p.relative_to(folder).with_suffix("").as_posix() for p in files]
    return [s if short.count(s) == 1 else p.relative_to(folder).as_posix() for s, p in zip(short, files, strict=True)]


def _licence(folder: Path) -> str:
    """The text of the folder's licence file, shortened."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stem.lower() in _LICENCE_NAMES:
            text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
            return f"{path.name}: {text[:600]}"
    return "unknown (the folder holds no licence file)"
