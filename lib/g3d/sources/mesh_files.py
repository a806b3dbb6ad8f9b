"""Mesh files => surfaces. GLB, GLTF, OBJ and STL by open3d; PLY by plyfile; OFF here.

open3d's importer repairs in silence (a vertex that is NaN vanishes, triangles with indices out of range are dropped, some
such files kill the process), so what it is given is checked first.

Letters: P vertices, F triangles.
"""

import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.sources.surface import F32, Surface

_GREY = 0.7  # of a mesh that brings no colour, sRGB
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}  # glTF 2.0, 3.6.2.2


def read_surface(path: Path) -> Surface:
    """The coloured surface in a mesh file, or a sentence that names the file."""
    kind = path.suffix.lower()
    if not path.stat().st_size:
        raise G3dError(f"the mesh '{path}' is an empty file; replace it or remove it")
    try:
        return READERS[kind](path)
    except G3dError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise G3dError(f"the mesh '{path}' cannot be read ({why}); replace it or remove it") from error
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, StopIteration, struct.error) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        sentence = f"the mesh '{path}' is damaged or not a {kind[1:].upper()} file ({why}); replace it or remove it"
        raise G3dError(sentence) from error


def _gltf(path: Path) -> Surface:
    data = path.read_bytes()
    if path.suffix.lower() == ".gltf":
        document = json.loads(data)
        _check_gltf(path, document, b"")
        with _without_percent(path, document) as plain:
            return _by_open3d(path, linear_colours=True, through=plain)
    else:
        magic, version, length = struct.unpack_from("<4sII", data)
        if magic != b"glTF" or version != 2:
            raise ValueError("it does not start with 'glTF' version 2")
        if length > len(data):
            raise ValueError(f"it ends after {len(data)} of {length} bytes")
        size = struct.unpack_from("<I", data, 12)[0]
        _check_gltf(path, json.loads(data[20 : 20 + size]), data[28 + size :])
    return _by_open3d(path, linear_colours=True)


@contextmanager
def _without_percent(path: Path, document: Mapping[str, Any]) -> Iterator[Path]:
    """The path of the same model with plain names: URIs are percent-encoded (glTF 2.0, 2.8), which open3d does not undo."""
    parts = [part for kind in ("buffers", "images") for part in document.get(kind, [])]
    encoded = [part for part in parts if "%" in part.get("uri", "") and not part["uri"].startswith("data:")]
    if not encoded:
        yield path
        return
    with tempfile.TemporaryDirectory() as name:
        for i, part in enumerate(part for part in parts if not part.get("uri", "data:").startswith("data:")):
            file = (path.parent / unquote(part["uri"])).resolve()
            part["uri"] = f"{i}{file.suffix}"
            (Path(name) / part["uri"]).symlink_to(file)
        (Path(name) / "plain.gltf").write_text(json.dumps(document), encoding="utf-8")
        yield Path(name) / "plain.gltf"


def _check_gltf(path: Path, document: Mapping[str, Any], chunk: bytes) -> None:
    """Finite positions and indices in range, for every accessor that can be read here (not sparse, not compressed)."""
    for mesh in document.get("meshes", []):
        for part in mesh["primitives"]:
            positions = _accessor(path, document, chunk, part["attributes"].get("POSITION"))
            indices = _accessor(path, document, chunk, part.get("indices"))
            if positions is not None:
                _check_finite(path, positions)
                if indices is not None:
                    _check_indices(path, indices, len(positions))


def _accessor(path: Path, document: Mapping[str, Any], chunk: bytes, number: int | None) -> NDArray[Any] | None:
    if number is None or "bufferView" not in document["accessors"][number]:
        return None
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    buffer = document["buffers"][view["buffer"]]
    if "uri" in buffer:
        if buffer["uri"].startswith("data:"):
            return None
        chunk = (path.parent / unquote(buffer["uri"])).read_bytes()  # RFC 3986, as glTF has it
    item = np.dtype(_COMPONENTS[accessor["componentType"]])
    width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride") or item.itemsize * width
    if start + stride * (accessor["count"] - 1) + item.itemsize * width > len(chunk):
        raise ValueError(f"accessor {number} runs past the end of its buffer")
    return np.ndarray((accessor["count"], width), item, chunk, start, (stride, item.itemsize))


def _obj(path: Path) -> Surface:
    with path.open(encoding="utf-8", errors="replace") as stream:
        vertices = [line.split()[1:4] for line in stream if line.startswith("v ")]
    _check_finite(path, np.array(vertices, dtype=np.float64))
    return _by_open3d(path, linear_colours=False)


def _by_open3d(path: Path, linear_colours: bool, through: Path | None = None) -> Surface:
    """`through` is the file to open in the place of `path`.

    Node transforms are baked and parts merged by material. Texture v: open3d's runs up, ours down (v => 1 - v)."""
    import open3d as o3d

    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):  # its warnings go to stdout
        model = o3d.io.read_triangle_model(str(through or path))
    if not model.meshes:
        raise ValueError("no triangles could be read from it")
    parts = [_part(path, part.mesh, model.materials[part.material_idx], linear_colours) for part in model.meshes]
    corners, colours, uvs, pictures = zip(*parts, strict=True)
    textures = [picture for picture in pictures if picture is not None]
    numbers, texture = iter(range(len(textures))), []
    for part, picture in zip(corners, pictures, strict=True):
        texture.append(np.full(len(part), -1 if picture is None else next(numbers), np.int32))
    return Surface(
        _float32(np.concatenate(corners)), _float32(np.clip(np.concatenate(colours), 0, 1)),
        _float32(np.concatenate(uvs)), np.concatenate(texture), tuple(textures),
    )  # fmt: skip


def _part(
    path: Path, mesh: Any, material: Any, linear_colours: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.uint8] | None]:
    """Corners, colours and uvs of one material's triangles, and its texture if it has one."""
    faces, points = np.asarray(mesh.triangles), np.asarray(mesh.vertices)
    _check_finite(path, points)
    _check_indices(path, faces, len(points))
    picture = np.asarray(material.albedo_img)
    textured = bool(mesh.has_triangle_uvs()) and picture.ndim == 3
    # glTF multiplies factor, vertex colour and texture; elsewhere the most special of the three stands alone.
    tint = (
        np.asarray(material.base_color)[:3]
        if linear_colours or not (textured or mesh.has_vertex_colors())
        else np.ones(3)
    )
    painted = np.tile(tint, (len(faces), 3, 1))
    if mesh.has_vertex_colors() and (linear_colours or not textured):
        painted = painted * np.asarray(mesh.vertex_colors)[faces]
    uv = (
        np.asarray(mesh.triangle_uvs).reshape(-1, 3, 2) * (1, -1) + (0, 1) if textured else np.zeros((len(faces), 3, 2))
    )
    return points[faces], _to_srgb(painted) if linear_colours else painted, uv, _rgb8(picture) if textured else None


def _stl(path: Path) -> Surface:
    import open3d as o3d

    data = path.read_bytes()
    if len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]:  # binary
        record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(data, record, offset=84)["corners"]
    elif data.lstrip().startswith(b"solid"):
        with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
            mesh = o3d.io.read_triangle_mesh(str(path))
        corners = np.asarray(mesh.vertices)[np.asarray(mesh.triangles)]
    else:
        raise ValueError("it is neither a text STL nor a binary one of the length that it states")
    return _plain(path, corners.reshape(-1, 3), np.arange(len(corners) * 3).reshape(-1, 3), None)


def _ply(path: Path) -> Surface:
    from g3d.errors import require_module

    require_module("plyfile", "reading PLY meshes", "install it with pip install plyfile")
    import plyfile

    try:
        file = plyfile.PlyData.read(str(path))
    except plyfile.PlyParseError as error:
        raise ValueError(str(error)) from error
    vertex = file["vertex"]
    points = np.stack([vertex[k] for k in "xyz"], axis=1)
    named = {p.name for p in vertex.properties}
    colours = None
    if {"red", "green", "blue"} <= named:
        colours = np.stack([vertex[k] for k in ("red", "green", "blue")], axis=1)
        colours = colours / (255.0 if colours.dtype.kind == "u" else 1.0)
    rows = file["face"]
    faces = rows["vertex_indices" if "vertex_indices" in {p.name for p in rows.properties} else "vertex_index"]
    return _plain(path, points, np.array(list(_fans(faces)), dtype=np.int64).reshape(-1, 3), colours)


def _off(path: Path) -> Surface:
    """OFF and COFF: a header, counts, vertices (with colours in COFF), polygons."""
    lines = (line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines())
    rows: Iterator[list[str]] = (line for line in lines if line)
    first = next(rows, [""])
    if not first[0].endswith("OFF"):
        raise ValueError("it does not start with OFF")
    counts = [int(v) for v in (first[1:] or next(rows))]
    vertices = np.array([[float(v) for v in next(rows)] for _ in range(counts[0])])
    polygons = [[int(v) for v in row[1 : 1 + int(row[0])]] for row in (next(rows) for _ in range(counts[1]))]
    colours = None
    if vertices.shape[1] >= 6:
        colours = vertices[:, 3:6] / (255.0 if vertices[:, 3:6].max() > 1 else 1.0)
    return _plain(path, vertices[:, :3], np.array(list(_fans(polygons)), dtype=np.int64).reshape(-1, 3), colours)


def _plain(path: Path, points: NDArray[Any], faces: NDArray[Any], colours: NDArray[Any] | None) -> Surface:
    """Indexed triangles => a surface without texture. `points` [P, 3], `faces` [F, 3], `colours` [P, 3] sRGB."""
    _check_finite(path, points)
    _check_indices(path, faces, len(points))
    if not len(faces):
        raise ValueError("no triangles could be read from it")
    painted = np.full((len(faces), 3, 3), _GREY) if colours is None else colours[faces]
    return Surface(_float32(points[faces]), _float32(np.clip(painted, 0, 1)))


def _fans(polygons: Any) -> Iterator[tuple[int, int, int]]:
    for polygon in polygons:
        for i in range(1, len(polygon) - 1):
            yield polygon[0], polygon[i], polygon[i + 1]


def _check_finite(path: Path, points: NDArray[Any]) -> None:
    if points.size and not np.isfinite(points).all():
        raise G3dError(f"the mesh '{path}' has vertices that are not finite numbers; repair it or remove it")


def _check_indices(path: Path, faces: NDArray[Any], count: int) -> None:
    if faces.size and (int(faces.min()) < 0 or int(faces.max()) >= count):
        wrong = int(faces.max()) if int(faces.max()) >= count else int(faces.min())
        raise G3dError(f"the mesh '{path}' has a triangle with vertex {wrong} of {count}; repair it or remove it")


def _rgb8(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey, RGB or RGBA of any depth => [H, W, 3] 8-bit."""
    if picture.dtype == np.uint16:
        picture = picture >> 8
    elif picture.dtype.kind == "f":
        picture = np.clip(picture, 0, 1) * 255 + 0.5
    colour = picture[..., :3] if picture.shape[2] >= 3 else picture[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(colour, dtype=np.uint8)


def _to_srgb(linear: NDArray[Any]) -> NDArray[Any]:
    """glTF's colour factors and vertex colours are linear; its textures are sRGB already."""
    value = np.clip(linear, 0, 1)
    result: NDArray[Any] = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return result


def _float32(values: NDArray[Any]) -> F32:
    return np.ascontiguousarray(values, dtype=np.float32)


READERS: Mapping[str, Callable[[Path], Surface]] = {
    ".glb": _gltf, ".gltf": _gltf, ".obj": _obj, ".ply": _ply, ".off": _off, ".stl": _stl,
}  # fmt: skip
