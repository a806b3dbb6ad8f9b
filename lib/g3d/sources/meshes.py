"""`prepare-data meshes FOLDER`: mesh files (GLB, GLTF, OBJ, PLY, OFF, STL) with textures, vertex colours or a base colour.

Files are taken as y up unless --up says otherwise. Each object keeps the name of its file; its centre and scale are recorded
with it. --backgrounds puts a photograph behind each picture, another one each time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.images import ImageSet, image_set
from g3d.sources import Collection, Item, Request, needs_input
from g3d.sources.posed import UPS, find_world, stamp
from g3d.sources.surfaces import multiview
from g3d.sources.surfaces.drawing import Photos, make_object
from g3d.sources.surfaces.mesh_files import READERS, read_surface
from g3d.sources.surfaces.surface import Surface
from g3d.sources.writing.licence import licence_of
from g3d.storage import files, foreign
from g3d.storage.leaving_out import merged

_UNREAD = frozenset((
    ".3ds", ".3mf", ".abc", ".blend", ".c4d", ".ctm", ".dae", ".drc", ".dwg", ".dxf", ".fbx", ".iges", ".igs", ".lwo", ".ma",
    ".max", ".mb", ".ms3d", ".skp", ".step", ".stp", ".usd", ".usda", ".usdc", ".usdz", ".vrm", ".vtk", ".vtp", ".wrl", ".x",
    ".x3d", ".zip", ".gz",
))  # fmt: skip
"""Shapes to people, which are not read."""


@dataclass(frozen=True)
class Options:
    """What this source takes from the command line; None is the default of `multiview`."""

    views: int | None = None
    test_views: int | None = None
    size: int | None = None
    cameras: str = "hemisphere"
    normals: bool = False
    backgrounds: Path | None = None
    up: str = "y"


def collect(request: Request) -> Collection:
    """Every mesh file in the folder `input` and below it, in the order of their names."""
    folder = needs_input(request, "meshes", "a folder of mesh files", "my/cars")
    options: Options = request.options
    files = mesh_files(folder)
    plan = multiview.layout(options.cameras, options.views, options.test_views, options.size, options.normals)
    pictures = len(files) * (plan.views + plan.test_views)
    multiview.check_pictures(pictures, len(files))
    rotation = turned(options.up)
    photos = None if options.backgrounds is None else photographs(options.backgrounds, request.seed)
    stages = multiview.stages(plan, request.seed, len(files), photos)
    beside, behind = side_files(folder, files), None if photos is None else _stamp_photos(photos)
    items = []
    for name, path, stage in zip(names(folder, files), files, stages, strict=True):
        file = path.relative_to(folder).as_posix()
        make = partial(make_object, partial(read, path, rotation), file, stage, {"file": file})
        about = path.stat()
        items.append(Item(name, make, stamp(about.st_size, about.st_mtime_ns, beside[path.parent], behind)))
    name = folder.resolve().name
    settings: dict[str, Any] = {"input": name, "up": options.up, **plan.settings}
    if photos is not None:
        settings["backgrounds"] = {
            "name": photos.path.resolve().name,
            "photos": len(photos.names),
            "names": stamp(photos.names),
        }
    inputs = (folder,) if options.backgrounds is None else (folder, options.backgrounds)
    return Collection(
        name, items, licence_of(folder), settings, plan.width, plan.height, multiview.BACKGROUND,
        partial(multiview.describe, plan, rotation), inputs=inputs, pictures=pictures,
        left_out=merged([_others(folder), {} if options.backgrounds is None else _photos(options.backgrounds).left_out]),
    )  # fmt: skip


def mesh_files(folder: Path) -> list[Path]:
    """The mesh files in a folder and below it, in the order of their names."""
    suffixes = ", ".join(sorted(READERS))
    if not folder.is_dir():
        raise G3dError(f"'{folder}' is a file; give the folder that holds the mesh files ({suffixes})")
    files = [p for p in foreign.files_below(folder) if p.suffix.lower() in READERS]
    if not files:
        raise G3dError(f"the folder '{folder}' holds no mesh files ({suffixes}); give another one")
    return files


def side_files(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Folders of `files` => a stamp of what their materials, textures and buffers may be: all that is no mesh, in the folder
    and below it; and in the folder above it, where no other one there holds meshes (ShapeNet's models/ and images/)."""
    parents = {path.parent for path in files}
    above = Counter(parent.parent for parent in parents)
    tops = {p: p.parent if p != folder and above[p.parent] == 1 else p for p in parents}
    found: dict[Path, list[tuple[str, int, int]]] = {top: [] for top in tops.values()}
    for path in foreign.files_below(folder):
        if path.suffix.lower() not in READERS:
            for top in found.keys() & set(path.parents):
                found[top].append((path.relative_to(folder).as_posix(), *_size_and_time(path)))
    stamps = {top: stamp(*lines) for top, lines in found.items()}
    return {parent: stamps[top] for parent, top in tops.items()}


def _stamp_photos(photos: Photos) -> str:
    """Sizes and times of the photographs; of the zip, where they are in one."""
    places = [photos.path / name for name in photos.names] if photos.path.is_dir() else [photos.path]
    return stamp(*map(_size_and_time, places))


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except OSError:  # reading it says what is wrong, if it is read
        return 0, 0
    return about.st_size, about.st_mtime_ns


def names(folder: Path, files: Sequence[Path]) -> list[str]:
    """Paths without their suffix; with it where two would be the same."""
    short = [p.relative_to(folder).with_suffix("").as_posix() for p in files]
    count = Counter(short)
    return [s if count[s] == 1 else p.relative_to(folder).as_posix() for s, p in zip(short, files, strict=True)]


def turned(up: str) -> NDArray[np.float64] | None:
    """What turns the axis that is up in the files to y, [3, 3]; None where it is y."""
    if up not in UPS or up == "auto":
        raise G3dError(f"--up is '{up}'; of meshes it is one of {', '.join(u for u in UPS if u != 'auto')}")
    return None if up == "y" else find_world(np.eye(4)[None], up, "y").rotation


def _photos(path: Path) -> ImageSet:
    return image_set(path, "the folder of backgrounds")


def _others(folder: Path) -> dict[str, list[str]]:
    """Shapes of kinds that are not read."""
    return foreign.kinds(
        p.relative_to(folder).as_posix() for p in foreign.files_below(folder) if p.suffix.lower() in _UNREAD
    )


def photographs(path: Path, seed: int) -> Photos:
    """The pictures of a folder or a zip."""
    found = _photos(path)
    return Photos(found.path, found.names, seed)


def read(path: Path, rotation: NDArray[np.float64] | None, painted: bool = True) -> Surface:
    """The surface in a mesh file, y up, with the digest of the file; with its textures if `painted`."""
    surface = read_surface(path, painted)
    digest = files.file_digest(path)
    surface = replace(surface, traits={**surface.traits, "digest": digest})
    if rotation is None:
        return surface
    turn = rotation.astype(np.float32).T
    normals = None if surface.normals is None else surface.normals @ turn
    return replace(surface, corners=surface.corners @ turn, normals=normals)
