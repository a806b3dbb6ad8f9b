"""`prepare-data voxels FOLDER|HDF5`: solids without pictures: a grid of occupancy, and points near the surface with labels.

FOLDER holds mesh files, which need not be watertight (`inside.py` says what counts as inside), or HDF5 files of IM-Net
(`imnet.py`). Meshes are centred and scaled into the unit sphere, as for pictures; grids and points lie in [-1, 1]^3.

Letters: P points, F triangles, G cells a side.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, require_module
from g3d.sources import Collection, Item, Made, Request, Summary, needs_input
from g3d.sources.meshes import mesh_files, names, read, turned
from g3d.sources.posed import stamp
from g3d.sources.surfaces.multiview import around, normalisation
from g3d.sources.surfaces.raycast import OPEN3D_INSTALL
from g3d.sources.surfaces.surface import F32, checked, normalised
from g3d.sources.voxels import imnet
from g3d.sources.writing.licence import licence_of

CELLS, POINTS = 64, 16384  # of IM-Net
_SIGMAS_WORLD = (0.015, 0.06)  # how far from the surface a point lies, each for a half of them; a cell of 64 is 0.031


@dataclass(frozen=True)
class Options:
    """What this source takes from the command line; None is 64, 16384, or what a file holds."""

    cells: int | None = None
    points: int | None = None
    up: str = "y"


@dataclass(frozen=True)
class Solidify:
    """What is made of each mesh."""

    cells: int
    points: int
    seed: int
    rotation: NDArray[np.float64] | None


def collect(request: Request) -> Collection:
    """Every mesh of a folder, or every shape of its HDF5 files."""
    path = needs_input(request, "voxels", "a folder of mesh files or an HDF5 file of IM-Net", "my/chairs")
    options: Options = request.options
    tables = imnet.tables(path)
    if tables:
        return imnet.collect(path, tables, options.cells, options.points, options.up, request.seed)
    files = mesh_files(path)
    plan = Solidify(
        CELLS if options.cells is None else options.cells, POINTS if options.points is None else options.points, request.seed,
        turned(options.up),
    )  # fmt: skip
    items = []
    for name, place in zip(names(path, files), files, strict=True):
        about, file = place.stat(), place.relative_to(path).as_posix()
        items.append(Item(name, partial(make, place, name, file, plan), stamp(about.st_size, about.st_mtime_ns)))
    settings = {"input": path.resolve().name, "cells": plan.cells, "points": plan.points, "up": options.up}
    return Collection(
        path.resolve().name, items, licence_of(path), settings, describe=partial(describe, plan.rotation), inputs=(path,),
        pictures=0,
    )  # fmt: skip


def make(path: Path, name: str, file: str, plan: Solidify) -> Made:
    """The solid of one mesh file."""
    require_module("open3d", "prepare-data", OPEN3D_INSTALL)
    from g3d.sources.surfaces.inside import Solid

    surface, placed = normalised(checked(read(path, plan.rotation, painted=False), file))
    solid = Solid(surface.corners)
    digest = hashlib.sha256(f"{plan.seed}|{name}|points".encode()).digest()
    points = near_surface(surface.corners, plan.points, np.random.default_rng(int.from_bytes(digest[:16], "little")))
    labels, grid = solid.contains(points.astype(np.float32)), solid.occupancy(plan.cells)
    if not labels.any():
        raise G3dError(f"the mesh '{file}' encloses nothing: it is made of open sheets, or of walls too thin to have an inside; "
                       "close it or remove it")  # fmt: skip
    corners = surface.corners.reshape(-1, 3)
    return Made(
        shape={"occupancy_bits": np.packbits(grid), "points": points, "labels": labels},
        entry={"file": file, **surface.traits, "centre": list(placed.centre), "scale": placed.scale,
               "triangles": len(surface.corners), "inside": round(float(grid.mean()), 6)},
        box=(corners.min(0).tolist(), corners.max(0).tolist()),
    )  # fmt: skip


def near_surface(corners: F32, count: int, rng: np.random.Generator) -> NDArray[np.float16]:
    """Points [P, 3] around triangles [F, 3, 3]: on them evenly by area, then moved by a normal offset, small or large."""
    a, b, c = np.moveaxis(corners.astype(np.float64), 1, 0)
    cumulated = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    face = np.searchsorted(cumulated, rng.uniform(0, cumulated[-1], count), side="right").clip(0, len(corners) - 1)
    root, along = np.sqrt(rng.uniform(size=(count, 1))), rng.uniform(size=(count, 1))  # even over a triangle
    points = (1 - root) * a[face] + root * (1 - along) * b[face] + root * along * c[face]
    sigmas_world = np.where(np.arange(count) % 2 == 0, *_SIGMAS_WORLD)
    moved = points + sigmas_world[:, None] * rng.normal(size=(count, 3))
    return np.asarray(np.clip(moved, -1, 1), np.float16)


def describe(rotation: NDArray[np.float64] | None, summary: Summary) -> Mapping[str, Any]:
    """What dataset.json says of the whole."""
    return {**around(summary), **normalisation(rotation)}
