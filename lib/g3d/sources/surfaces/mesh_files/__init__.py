"""Mesh files => surfaces: GLB and GLTF (`gltf.py`), OBJ (`obj.py`), and here PLY, OFF and STL.

Read without an importer that repairs: a vertex that is NaN, an index out of range or a texture that is not there is an error
that names the file.

Letters: P vertices, F triangles.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import polygons
from g3d.errors import G3dError, require_module
from g3d.sources.surfaces.mesh_files import gltf, obj
from g3d.sources.surfaces.mesh_files.parts import GREY, Part, check_finite, check_indices, joined, texture_beside
from g3d.sources.surfaces.surface import Surface
from g3d.storage import impostors, named, ply_files

_MESH_MOST = 1 << 30  # bytes of a mesh file


def read_surface(path: Path, painted: bool = True) -> Surface:
    """The coloured surface in a mesh file, or a sentence that names the file. Without `painted`, textures are not looked for."""
    kind = path.suffix.lower()
    if not named.check(path, "the mesh", _MESH_MOST).stat().st_size:
        raise G3dError(f"the mesh '{path}' is an empty file; replace it or remove it")
    impostors.refuse_file(path)
    try:
        return READERS[kind](path, painted)
    except G3dError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise G3dError(f"the mesh '{path}' cannot be read ({why}); replace it or remove it") from error
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, StopIteration, ArithmeticError, struct.error,
            np.linalg.LinAlgError) as error:  # fmt: skip
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        sentence = f"the mesh '{path}' is damaged or not a {kind[1:].upper()} file ({why}); replace it or remove it"
        raise G3dError(sentence) from error


def _stl(path: Path, painted: bool) -> Surface:
    data = path.read_bytes()
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
    binary, text = len(data) >= 84 + 50 * max(count, 1), data.lstrip().startswith(b"solid") and b"vertex" in data
    if binary and (
        len(data) == 84 + 50 * count or not text
    ):  # what lies behind the last triangle is no part of the shape
        record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(data, record, count, 84)["corners"]
    elif text:
        words = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data)
        corners = np.array([[float(w) for w in row] for row in words]).reshape(-1, 3, 3)
    else:
        raise ValueError("it is neither a text STL nor a binary one of the length that it states")
    check_finite(path, corners)
    return joined([Part(corners, np.full(corners.shape, GREY))])


def _ply(path: Path, painted: bool) -> Surface:
    require_module("plyfile", "reading PLY meshes", "install it with pip install plyfile")
    import plyfile

    try:
        file = ply_files.read(path)
    except plyfile.PlyParseError as error:
        raise ValueError(str(error)) from error
    vertex = file["vertex"]
    named = {p.name for p in vertex.properties}
    points = np.stack([vertex[k] for k in "xyz"], axis=1).astype(np.float64)
    check_finite(path, points)
    if "face" not in file and "tristrips" in file:
        return _ply_strips(path, file["tristrips"], points, _ply_colours(vertex, named))
    rows = file["face"]
    of_face = {p.name for p in rows.properties}
    flat, sizes = polygons.flattened(rows["vertex_indices" if "vertex_indices" in of_face else "vertex_index"])
    owner, at = polygons.cut(points, flat, sizes)
    faces = flat[at]
    check_indices(path, faces, len(points))
    normals, uvs, picture = None, None, None
    if {"nx", "ny", "nz"} <= named:
        normals = np.stack([vertex[k] for k in ("nx", "ny", "nz")], axis=1).astype(np.float64)[faces]
    name = next((c.split(None, 1)[1] for c in ply_files.comments(path) if c.lower().startswith("texturefile ")), None)
    if name is not None and painted:
        uvs = _ply_uvs(vertex, named, rows, of_face, sizes, at, faces)
        picture = texture_beside(path, name) if uvs is not None else None
    colours = np.full((*faces.shape, 3), 1.0 if picture is not None else GREY)
    of_vertex, of_each = _ply_colours(vertex, named), _ply_colours(rows, of_face)
    if picture is None and of_vertex is not None:
        colours = of_vertex[faces]
    elif picture is None and of_each is not None:
        colours = of_each[owner][:, None].repeat(3, axis=1)
    return joined([Part(points[faces], colours, uvs, picture, normals)])


def _ply_strips(path: Path, rows: Any, points: NDArray[Any], colours: NDArray[np.float64] | None) -> Surface:
    """Triangle strips, as Stanford's scans have them."""
    lists = rows["vertex_indices" if "vertex_indices" in {p.name for p in rows.properties} else "vertex_index"]
    faces = np.concatenate([np.zeros((0, 3), np.int64), *(polygons.strip(numbers) for numbers in lists)])
    check_indices(path, faces, len(points))
    return joined([Part(points[faces], np.full((*faces.shape, 3), GREY) if colours is None else colours[faces])])


def _ply_colours(rows: Any, named: set[str]) -> NDArray[np.float64] | None:
    """[N, 3] in [0, 1] of vertices or faces: whole numbers to 255 (or 65535), floats to 1 (or 255)."""
    triples = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
    triple = next((t for t in triples if set(t) <= named), None)
    if triple is None:
        return None
    values = np.stack([rows[k] for k in triple], axis=1)
    most = float(values.max(initial=0))
    whole = 65535.0 if values.dtype == np.uint16 or most > 255 else 255.0
    return np.asarray(values / (1.0 if values.dtype.kind == "f" and most <= 1 else whole), np.float64).clip(0, 1)


def _ply_uvs(
    vertex: Any, named: set[str], rows: Any, of_face: set[str], sizes: NDArray[np.int64], at: NDArray[np.int64],
    faces: NDArray[np.int64],
) -> NDArray[np.float64] | None:  # fmt: skip
    """[F, 3, 2], v down, from a list u v u v ... of each face, or from two numbers of each vertex."""
    if "texcoord" in of_face:
        lists = [np.asarray(t, np.float64).reshape(-1, 2) for t in rows["texcoord"]]
        if any(len(t) != n for t, n in zip(lists, sizes.tolist(), strict=True)):
            raise ValueError("a face has not as many texture coordinates as corners")
        found = np.concatenate([np.zeros((0, 2)), *lists])[at]
    else:
        pair = next((p for p in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")) if set(p) <= named), None)
        if pair is None:
            return None
        found = np.stack([vertex[k] for k in pair], axis=1).astype(np.float64)[faces]
    return found * (1, -1) + (0, 1)


def _off(path: Path, painted: bool) -> Surface:
    """OFF and COFF: a header, counts, vertices (with colours in COFF), polygons (which may have colours, too)."""
    lines = (line.split("#")[0].split() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    rows: Iterator[list[str]] = (line for line in lines if line)
    first = next(rows, [""])
    glued = re.fullmatch(r"((?:ST|[CN4n])*OFF)(\d+)", first[0])  # ModelNet has files that begin OFF490 518 0
    if glued:
        first = [glued[1], glued[2], *first[1:]]
    if not first[0].endswith("OFF"):
        raise ValueError("it does not start with OFF")
    counts = [int(v) for v in (first[1:] or next(rows))]
    vertices = np.array([[float(v) for v in next(rows)] for _ in range(counts[0])])
    records = [next(rows) for _ in range(counts[1])]
    sizes = [int(row[0]) for row in records]
    corners = [[int(v) for v in row[1 : 1 + n]] for row, n in zip(records, sizes, strict=True)]
    if any(len(p) != n for p, n in zip(corners, sizes, strict=True)):
        raise ValueError("a polygon has fewer corners than it states")
    check_finite(path, vertices[:, :3])
    flat, lengths = polygons.flattened(corners)
    owner, at = polygons.cut(vertices[:, :3], flat, lengths)
    faces = flat[at]
    check_indices(path, faces, len(vertices))
    colours = np.full((len(faces), 3, 3), GREY)
    painted_faces = [row[1 + n :] for row, n in zip(records, sizes, strict=True)]
    if first[0].startswith("C") and vertices.shape[1] >= 6:
        colours = _off_colours(vertices[:, 3:6])[faces]
    elif records and all(len(c) in (3, 4) for c in painted_faces):
        of_each = _off_colours(np.array([[float(v) for v in c[:3]] for c in painted_faces]))
        colours = of_each[owner][:, None].repeat(3, axis=1)
    return joined([Part(vertices[faces, :3], colours)])


def _off_colours(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers to 255, or floats to 1."""
    return values / (255.0 if values.max(initial=0) > 1 else 1.0)


READERS: Mapping[str, Callable[[Path, bool], Surface]] = {
    ".glb": gltf.read, ".gltf": gltf.read, ".obj": obj.read, ".ply": _ply, ".off": _off, ".stl": _stl,
}  # fmt: skip
