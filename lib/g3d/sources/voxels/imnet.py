"""The HDF5 files of IM-Net (Chen and Zhang 2019, "Learning implicit fields for generative shape modeling") => solids.

A file holds `voxels` [N, 64, 64, 64, 1], and `points_64` [N, P, 3] with `values_64` [N, P, 1], all uint8. A point is the number
of a cell of 256^3; the authors take its centre in [-0.5, 0.5], (p + 0.5) / 256 - 0.5 (modelAE.py of IM-NET-pytorch), and it is
twice that here, as everything lies in [-1, 1]. Its value is that of the cell of 64^3 around it, which is full where any of its
64 cells is. y is up. Beside the file lies a text of the same name, whose lines name the shapes: class/model.

Letters: N shapes, P points, G cells a side.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, require_module
from g3d.sources import Collection, Item, Made, Summary
from g3d.sources.posed import stamp
from g3d.sources.surfaces.multiview import around
from g3d.sources.writing.licence import licence_of
from g3d.storage import foreign
from g3d.storage.files import JSON_MOST, read_bytes

SUFFIXES = (".hdf5", ".h5")
CELLS_OF_POINTS = 256
_WANTED = {"voxels": (-1, -1, -1, -1, 1), "points_64": (-1, -1, 3), "values_64": (-1, -1, 1)}
_BLOCK_BYTES = 1 << 28  # what a process holds of a file
_SHAPES_MOST = 1 << 22
_INSTALL = "install it with pip install h5py"


@dataclass(frozen=True)
class Table:
    """One file, and how much it holds."""

    path: Path
    shapes: int
    cells: int
    points: int
    block: int  # shapes read at once: the file's chunks hold parts of so many


def tables(path: Path) -> list[Path]:
    """The HDF5 files that `path` is or holds; refuses a folder with mesh files beside them."""
    from g3d.sources.surfaces.mesh_files import READERS

    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    found = [p for p in foreign.inside(path) if p.suffix.lower() in SUFFIXES and p.is_file()]
    mesh = next((p for p in foreign.files_below(path) if p.suffix.lower() in READERS), None) if found else None
    if mesh is not None:
        raise G3dError(
            f"'{path}' holds both '{found[0].name}' and the mesh '{mesh.name}'; give one of them, or a folder of one kind"
        )
    return found


def collect(
    path: Path, files: Sequence[Path], cells: int | None, points: int | None, up: str, seed: int
) -> Collection:  # fmt: skip
    """Every shape of the files, in their order; those of a file NAME_test.hdf5 are for testing."""
    require_module("h5py", "reading HDF5", _INSTALL)
    if up != "y":
        raise G3dError(f"--up is '{up}'; the grids of '{files[0]}' are taken as they are, y up, so leave it out")
    opened = [_table(file) for file in files]
    for table in opened:
        if cells is not None and cells != table.cells:
            raise G3dError(
                f"--cells is {cells}, but '{table.path}' holds grids of {table.cells} cells a side; leave it out"
            )
        if points is not None and points > table.points:
            raise G3dError(
                f"--points is {points}, but '{table.path}' holds {table.points} a shape; give no more than that"
            )
        if (table.cells, table.points) != (opened[0].cells, opened[0].points):
            raise G3dError(f"'{table.path}' holds {table.cells} cells a side and {table.points} points a shape, '{files[0]}' "
                           f"{opened[0].cells} and {opened[0].points}; prepare them apart")  # fmt: skip
    count = opened[0].points if points is None else points
    listed = [_names(table) for table in opened]
    twice = len({n for found in listed for n in found}) < sum(map(len, listed))
    items = []
    for table, found in zip(opened, listed, strict=True):
        about = table.path.stat()
        mark = stamp(about.st_size, about.st_mtime_ns)
        split = "test" if table.path.stem.lower().endswith("test") else "train"
        for number, name in enumerate(found):
            whole = f"{table.path.stem}/{name}" if twice else name
            items.append(Item(whole, partial(make, table, number, count, seed, split, name), mark))
    settings = {
        "input": path.resolve().name,
        "files": [f.name for f in files],
        "cells": opened[0].cells,
        "points": count,
    }
    return Collection(
        path.resolve().stem, items, licence_of(path if path.is_dir() else path.parent), settings, describe=describe,
        inputs=(path,), pictures=0,
    )  # fmt: skip


def make(table: Table, number: int, points: int, seed: int, split: str, name: str) -> Made:
    """One shape of a file."""
    first = number // table.block * table.block
    voxels, places, values = (part[number - first] for part in _block(table, first))
    grid = voxels[..., 0]
    if grid.max() > 1 or values.max(initial=0) > 1:
        raise G3dError(
            f"shape {number} ('{name}') of '{table.path}' has voxels or values above 1; they are 0 or 1: write it again"
        )
    if not grid.any():
        raise G3dError(f"shape {number} ('{name}') of '{table.path}' is empty; remove it from the file")
    chosen = slice(None)
    if points < table.points:  # the file's order runs over the grid, so its beginning is one side of the shape
        chosen = np.sort(np.random.default_rng([seed, number]).permutation(table.points)[:points])  # type: ignore[assignment]
    world = (places[chosen].astype(np.float32) + np.float32(0.5)) * np.float32(
        2 / CELLS_OF_POINTS
    ) - 1  # exact in 16 bits
    filled = np.argwhere(grid)
    edge_world = 2 / table.cells
    entry: dict[str, Any] = {
        "file": table.path.name,
        "number": number,
        "split": split,
        "inside": round(float(grid.mean()), 6),
    }
    if "/" in name:
        entry["class"] = name.split("/")[0]
    return Made(
        shape={"occupancy_bits": np.packbits(grid), "points": world.astype(np.float16), "labels": values[chosen][:, 0]},
        entry=entry, box=((filled.min(0) * edge_world - 1).tolist(), ((filled.max(0) + 1) * edge_world - 1).tolist()),
    )  # fmt: skip


def describe(summary: Summary) -> Mapping[str, Any]:
    """What dataset.json says of the whole."""
    return {**around(summary), "normalisation": "normalised = 2 * source, whose cube is [-0.5, 0.5]^3"}


def _table(path: Path) -> Table:
    """What a file holds, from its headers alone."""
    with _opened(path) as file:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, wanted in _WANTED.items():
            if name not in file or not hasattr(file[name], "shape"):
                there = ", ".join(sorted(file)) or "nothing"
                raise G3dError(
                    f"'{path}' holds {there}, but no '{name}'; give a file of IM-Net, with {', '.join(_WANTED)}"
                )
            _refuse_elsewhere(path, file, name)
            shape, kind = file[name].shape, file[name].dtype
            fits = len(shape) == len(wanted) and all(n > 0 and w in (-1, n) for w, n in zip(wanted, shape, strict=True))
            if not fits or kind != np.uint8:
                raise G3dError(f"'{name}' of '{path}' is {kind} {list(shape)}; wanted is uint8 [N, 64, 64, 64, 1] for voxels, "
                               "[N, P, 3] for points_64, [N, P, 1] for values_64")  # fmt: skip
            shapes[name] = shape
        n, g = shapes["voxels"][:2]
        alike = all(s[0] == n for s in shapes.values()) and shapes["points_64"][1] == shapes["values_64"][1]
        if not alike or shapes["voxels"][1:4] != (g, g, g) or CELLS_OF_POINTS % g:
            found = ", ".join(f"{k} {list(v)}" for k, v in shapes.items())
            raise G3dError(f"the datasets of '{path}' do not belong together ({found}); write it again")
        chunk = max((file[name].chunks or (1,))[0] for name in _WANTED)
        packed = max(math.prod(file[name].chunks or (1,)) for name in _WANTED)
        if n > _SHAPES_MOST or packed > _BLOCK_BYTES:  # a few bytes can say so
            raise G3dError(f"'{path}' states {n} shapes in blocks of {packed} bytes; at most {_SHAPES_MOST} and {_BLOCK_BYTES} "
                           "are read: write it again in smaller ones")  # fmt: skip
    each = g**3 + 4 * shapes["points_64"][1]
    return Table(path, n, g, shapes["points_64"][1], max(1, min(chunk, n, _BLOCK_BYTES // each)))


def _refuse_elsewhere(path: Path, file: Any, name: str) -> None:
    """Refuse a dataset whose numbers lie in other files, which HDF5 reads by whatever paths it holds."""
    import h5py

    linked = isinstance(file.get(name, getlink=True), h5py.ExternalLink)
    if linked or file[name].external or file[name].is_virtual:
        raise G3dError(f"'{name}' of '{path}' lies in another file; write all into one")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file; whatever a damaged or crafted one raises on the way becomes a sentence."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except G3dError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, ValueError, RuntimeError and more
        why = " ".join(str(error).split())[:160]
        raise G3dError(
            f"'{path}' is damaged, or not an HDF5 file that can be read ({type(error).__name__}: {why}); fetch it again"
        ) from error


@lru_cache(maxsize=1)
def _block(table: Table, first: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """`voxels`, `points_64` and `values_64` of the shapes from `first` on: compressed chunks hold parts of many shapes."""
    with _opened(table.path) as file:
        voxels, points, values = (np.asarray(file[name][first : first + table.block]) for name in _WANTED)
    return voxels, points, values


def _names(table: Table) -> list[str]:
    """The lines of the text beside the file, or numbers."""
    text = table.path.with_suffix(".txt")
    if not text.is_file():
        return [f"{table.path.stem}-{i:06d}" for i in range(table.shapes)]
    found = read_bytes(text, "the list of names", JSON_MOST).decode(errors="replace").split()
    if len(found) != table.shapes:
        raise G3dError(
            f"'{text}' names {len(found)} shapes, '{table.path}' holds {table.shapes}; correct it or take it away"
        )
    if len(set(found)) < len(found):
        raise G3dError(f"'{text}' names a shape twice; correct it or take it away")
    return found
