"""A density field => a closed, coloured triangle mesh, by marching cubes (Lewiner et al. 2003, in scikit-image).

Letters: P points, V vertices, F faces, X Y Z grid nodes along each axis.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.errors import G3dError, require_module
from g3d.images import U8, to_u8
from g3d.progress import SILENT, Progress

PointFunction = Callable[
    [Tensor], Tensor
]  # points [P, 3] float32, world units => [P] density or [P, 3] colour in [0, 1]
Bounds = Sequence[Sequence[float]]  # (low, high) corners, world units
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
CHUNK = 1 << 17  # points asked of a field at a time


class Mesh(NamedTuple):
    """Triangles, counter-clockwise seen from outside."""

    vertices: F32  # [V, 3] world units
    faces: I32  # [F, 3]
    colours: U8  # [V, 3] sRGB


def field_mesh(
    density: PointFunction,
    colour: PointFunction,
    bounds: Bounds,
    resolution: int,
    level: float,
    *,
    device: str | torch.device = "cpu",
    chunk: int = CHUNK,
    progress: Progress = SILENT,
    within: bool = False,
) -> Mesh:
    """The surface where `density` falls through `level`, within `bounds`, with `resolution` cells on the longest side.

    Where the inside reaches the bounds, a flat lid on them closes the mesh. `within`: a level below the range is refused."""
    require_module("skimage", "making a mesh of a field", "pip install scikit-image")
    from skimage.measure import marching_cubes

    axes = _axes(bounds, resolution)
    grid = _evaluate_grid(density, axes, device, chunk, progress)  # [X, Y, Z]
    low, high, level = float(grid.min()), float(grid.max()), float(np.float32(level))
    if level <= low and high > level:
        box = f"the field is everywhere at least as dense as the level {level:g} (found {low:g} to {high:g} in its bounds)"
        if within:
            raise G3dError(f"{box}, so its surface would be the box of its bounds; give a --level between them")
        progress.log(f"{box}, so its surface is the box of its bounds")
    if not high > level:
        way_out = (
            "change --level to a value between them"
            if high > low
            else "no --level finds a surface in it, change the scene"
        )
        raise G3dError(
            f"the field is nowhere denser than the level {level:g} (found {low:g} to {high:g} in its bounds); {way_out}"
        )
    # One ring of nodes outside the bounds, as far below the level as the field is above it, closes the mesh.
    padded = np.pad(grid, 1, constant_values=np.float32(level - (high - level)))
    # `indices` [V, 3] count nodes of the padded grid; "ascent" turns the faces outward where the inside is the denser.
    indices, faces, _, _ = marching_cubes(padded, level, gradient_direction="ascent")
    cell = np.array([axis[1] - axis[0] for axis in axes])
    first, last = (np.array([axis[i] for axis in axes]) for i in (0, -1))
    vertices = np.clip(first + (indices.astype(np.float64) - 1) * cell, first, last).astype(np.float32)
    colours = to_u8(evaluate(colour, vertices, device, chunk))
    return Mesh(vertices, faces.astype(np.int32), colours)


def vertex_normals(vertices: F32, faces: I32) -> F32:
    """Unit normals [V, 3] outward: of the faces around each vertex, by their areas."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    across = np.cross(b - a, c - a)  # [F, 3], twice the area long
    corners = faces.reshape(-1)
    total = np.stack(
        [np.bincount(corners, np.repeat(across[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    found: F32 = (total / np.where(length > 0, length, 1)).astype(np.float32)
    return found


def evaluate(field: PointFunction, points: F32, device: str | torch.device = "cpu", chunk: int = CHUNK) -> F32:
    """A field at points [P, 3], in chunks."""
    with torch.inference_mode():
        parts = [
            field(torch.from_numpy(points[i : i + chunk]).to(device)).float().cpu()
            for i in range(0, len(points), chunk)
        ]
    values = np.concatenate([part.numpy() for part in parts])
    if not np.isfinite(values).all():
        raise G3dError("its colour is not finite at some points of the surface; its weights are damaged, or overflow")
    return values


def _axes(bounds: Bounds, resolution: int) -> list[NDArray[np.float64]]:
    """World coordinates of the grid nodes of each axis: cells as near to cubes as whole numbers of them allow."""
    if resolution < 2:
        raise G3dError(f"the resolution {resolution} is too small; give 2 or more")
    low, high = np.asarray(bounds, dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (high > low).all()):
        raise G3dError(
            f"the bounds {low.tolist()} to {high.tolist()} enclose nothing; give a low corner below the high one"
        )
    cells = np.maximum(1, np.rint((high - low) / (high - low).max() * resolution)).astype(int)
    return [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, cells, strict=True)]


def _evaluate_grid(
    density: PointFunction,
    axes: Sequence[NDArray[np.float64]],
    device: str | torch.device,
    chunk: int,
    progress: Progress,
) -> F32:
    """Density [X, Y, Z] at the nodes; only a chunk of points exists at a time."""
    x, y, z = (torch.from_numpy(axis).float().to(device) for axis in axes)
    total = len(x) * len(y) * len(z)
    values = np.empty(total, np.float32)
    progress.start("density", total)
    for start in range(0, total, chunk):
        index = torch.arange(start, min(start + chunk, total), device=device)
        i, j, k = index // (len(y) * len(z)), index // len(z) % len(y), index % len(z)
        with torch.inference_mode():
            found = density(torch.stack([x[i], y[j], z[k]], dim=-1))  # [P]
        values[start : start + len(index)] = found.float().cpu().numpy()
        progress.update(start + len(index), total)
    if not np.isfinite(values).all():
        raise G3dError(
            f"the density is not finite at {int((~np.isfinite(values)).sum())} of {total} points; the scene is damaged"
        )
    return values.reshape(len(x), len(y), len(z))
