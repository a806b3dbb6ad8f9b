"""Meshes and points as binary little-endian PLY, whole or not at all; the same arrays give the same bytes.

Letters: V vertices, F faces, P points.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g3d.errors import require_module
from g3d.images import U8
from g3d.storage import files

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
_POSITION, _NORMAL, _COLOUR = ("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")


def write_mesh(path: Path, vertices: F32, faces: I32, colours: U8) -> None:
    """Vertices [V, 3] in world units, faces [F, 3] counter-clockwise seen from outside, colours [V, 3] sRGB."""
    assert faces.ndim == 2 and faces.shape[1] == 3, f"faces have shape {faces.shape}, not [F, 3]"
    assert len(faces) == 0 or (faces.min() >= 0 and faces.max() < len(vertices)), (
        "faces name vertices that do not exist"
    )
    table = np.empty(len(faces), [("vertex_indices", "<i4", (3,))])
    table["vertex_indices"] = faces
    _write(path, [("vertex", _vertices(vertices, colours, None)), ("face", table)])


def write_points(path: Path, points: F32, colours: U8, normals: F32 | None = None) -> None:
    """Points [P, 3] in world units with colours [P, 3] sRGB and, where given, unit normals [P, 3]."""
    _write(path, [("vertex", _vertices(points, colours, normals))])


def write_table(path: Path, vertices: "NDArray[np.void]") -> None:
    """Vertices with properties of any names, as a structured array."""
    _write(path, [("vertex", vertices)])


def _vertices(points: F32, colours: U8, normals: F32 | None) -> "NDArray[np.void]":
    """Columns [N, 3] => one record per vertex."""
    columns: list[tuple[tuple[str, ...], str, F32 | U8]] = [(_POSITION, "<f4", points), (_COLOUR, "u1", colours)]
    if normals is not None:
        columns.insert(1, (_NORMAL, "<f4", normals))
    table = np.empty(len(points), [(name, kind) for names, kind, _ in columns for name in names])
    for names, kind, values in columns:
        assert values.shape == (len(points), 3), f"{names} have shape {values.shape}, not [{len(points)}, 3]"
        assert kind != "u1" or values.dtype == np.uint8, f"colours are uint8, not {values.dtype}"
        for axis, name in enumerate(names):
            table[name] = values[:, axis]
    return table


def _write(path: Path, elements: "Sequence[tuple[str, NDArray[np.void]]]") -> None:
    require_module("plyfile", "writing PLY files", "pip install plyfile")
    from plyfile import PlyData, PlyElement

    described = [PlyElement.describe(table, name) for name, table in elements]
    with files.atomic(path) as temporary, temporary.open("wb") as stream:
        PlyData(described, text=False, byte_order="<").write(stream)
