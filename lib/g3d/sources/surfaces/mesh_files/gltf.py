"""GLB and GLTF files => surfaces (glTF 2.0: accessors also sparse and in data URIs; nodes' transforms baked).

Colours are factor x vertex colour x texture, as the standard has it; factors and vertex colours are linear there. Skins and
morph targets stay in the pose of the file. Compressed meshes (Draco, meshopt) are refused by name.

Letters: P vertices, F triangles.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.sources.surfaces.mesh_files.parts import Part, beside, check_finite, check_indices, joined, texture
from g3d.sources.surfaces.surface import Surface
from g3d.storage import named

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}  # 3.6.2.2
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_UNREADABLE = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu")
_TRIANGLES, _STRIP, _FAN = 4, 5, 6  # 5.24.4; the others are points and lines
_NODES_MOST = 100_000  # each counted as often as it is drawn
_DEPTH_MOST = 200  # of nodes in nodes: more is a circle


def read(path: Path, painted: bool = True) -> Surface:
    """The triangles of the file's scene; `painted`: with their textures."""
    file = _File(path, painted)
    return joined(
        [file.part(primitive, matrix) for mesh, matrix in file.meshes() for primitive in file.primitives(mesh)]
    )


class _File:
    """A parsed document with its buffers."""

    def __init__(self, path: Path, painted: bool):
        self.path, self._painted = path, painted
        data = path.read_bytes()
        self._chunk = b""
        if path.suffix.lower() == ".glb":
            data, self._chunk = _chunks(data)
        self.document: Mapping[str, Any] = json.loads(data)
        unreadable = [name for name in self.document.get("extensionsRequired", []) if name in _UNREADABLE]
        if unreadable:
            raise G3dError(
                f"the mesh '{path}' needs the extension {unreadable[0]}, which is not read; export it without"
            )
        self._buffers: dict[int, bytes] = {}
        self._pictures: dict[int, NDArray[np.uint8]] = {}

    def meshes(self) -> Iterator[tuple[Mapping[str, Any], NDArray[np.float64]]]:
        """Each mesh of the scene with its transform to the world [4, 4]."""
        nodes, scenes = self.document.get("nodes", []), self.document.get("scenes", [])
        if scenes:
            roots = scenes[self.document.get("scene", 0)].get("nodes", [])
        else:
            children = {child for node in nodes for child in node.get("children", [])}
            roots = [i for i in range(len(nodes)) if i not in children]
        self._count(nodes, roots)
        waiting = [(root, np.eye(4), 0) for root in reversed(roots)]
        while waiting:
            number, above, depth = waiting.pop()
            if depth > _DEPTH_MOST:
                raise ValueError(f"node {number} lies within itself")
            node = nodes[number]
            matrix = above @ _matrix(node)
            if not np.isfinite(matrix).all():
                raise G3dError(f"the mesh '{self.path}' has a transform that is not finite; repair it or remove it")
            if "mesh" in node:
                yield self.document["meshes"][node["mesh"]], matrix
            waiting += [(child, matrix, depth + 1) for child in reversed(node.get("children", []))]

    def _count(self, nodes: Any, roots: Any) -> None:
        """Refuse nodes that many nodes share, each of them shared in turn: few lines that are work without end."""
        waiting, count = [(root, 0) for root in roots], 0
        while waiting:
            number, depth = waiting.pop()
            count += 1
            if count > _NODES_MOST:
                raise ValueError(f"its nodes stand for more than {_NODES_MOST} nodes")
            if depth <= _DEPTH_MOST:
                waiting += [(child, depth + 1) for child in nodes[number].get("children", [])]

    def primitives(self, mesh: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Those made of triangles."""
        for primitive in mesh["primitives"]:
            if (
                primitive.get("mode", _TRIANGLES) in (_TRIANGLES, _STRIP, _FAN)
                and "POSITION" in primitive["attributes"]
            ):
                yield primitive

    def part(self, primitive: Mapping[str, Any], matrix: NDArray[np.float64]) -> Part:
        """The triangles of a primitive in the world."""
        attributes = primitive["attributes"]
        points = self._floats(attributes["POSITION"])
        check_finite(self.path, points)
        faces = self._faces(primitive, len(points))
        check_indices(self.path, faces, len(points))
        normals = None
        if "NORMAL" in attributes:
            turned = self._per_vertex(attributes["NORMAL"], len(points)) @ np.linalg.pinv(matrix[:3, :3])
            normals = turned[faces]
        placed = points @ matrix[:3, :3].T + matrix[:3, 3]
        linear, uv_name, transform, picture = self._material(primitive)
        colours = np.broadcast_to(linear, (len(points), 3))
        if "COLOR_0" in attributes:
            colours = colours * self._per_vertex(attributes["COLOR_0"], len(points))[:, :3]
        uvs = None
        if picture is not None and uv_name in attributes:
            uvs = _transformed(self._per_vertex(attributes[uv_name], len(points)), transform)[faces]
        return Part(placed[faces], _to_srgb(colours)[faces], uvs, picture, normals)

    def _faces(self, primitive: Mapping[str, Any], count: int) -> NDArray[np.int64]:
        """Corners of the triangles [F, 3]."""
        order = np.arange(count)
        if "indices" in primitive:
            order = self._accessor(primitive["indices"])[:, 0].astype(np.int64)
        mode = primitive.get("mode", _TRIANGLES)
        if mode == _TRIANGLES:
            return order[: len(order) // 3 * 3].reshape(-1, 3)
        if len(order) < 3:
            return np.zeros((0, 3), np.int64)
        if mode == _FAN:
            return np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
        odd = np.arange(len(order) - 2) % 2
        return np.stack(
            [order[:-2], np.where(odd, order[2:], order[1:-1]), np.where(odd, order[1:-1], order[2:])], axis=1
        )

    def _material(
        self, primitive: Mapping[str, Any]
    ) -> tuple[NDArray[Any], str, Mapping[str, Any], NDArray[np.uint8] | None]:
        """Linear factor [3], the attribute and the transform of the texture's coordinates, and the texture."""
        if "material" not in primitive:
            return np.ones(3), "", {}, None
        material = self.document["materials"][primitive["material"]]
        old = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
        base = material.get("pbrMetallicRoughness", {}) if old is None else old
        factor = np.array(base.get("baseColorFactor" if old is None else "diffuseFactor", [1, 1, 1, 1])[:3], np.float64)
        info = base.get("baseColorTexture" if old is None else "diffuseTexture")
        if info is None or not self._painted:
            return factor, "", {}, None
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        name = f"TEXCOORD_{transform.get('texCoord', info.get('texCoord', 0))}"
        return factor, name, transform, self._picture(info["index"])

    def _picture(self, number: int) -> NDArray[np.uint8] | None:
        entry = self.document["textures"][number]
        source = entry.get("extensions", {}).get("EXT_texture_webp", entry).get("source", entry.get("source"))
        if source is None:
            return None
        if source not in self._pictures:
            image = self.document["images"][source]
            name = f"image {source}"
            if "bufferView" in image:
                data = self._view(image["bufferView"])
            elif image["uri"].startswith("data:"):
                data = _of_data_uri(image["uri"])
            else:
                name = image["uri"]
                data = named.read(beside(self.path, name, "texture"), "the texture")
            self._pictures[source] = texture(data, self.path, name)
        return self._pictures[source]

    def _per_vertex(self, number: int, count: int) -> NDArray[np.float64]:
        values = self._floats(number)
        if len(values) != count:
            raise ValueError(f"accessor {number} has {len(values)} rows for {count} vertices")
        return values

    def _floats(self, number: int) -> NDArray[np.float64]:
        """An accessor as floats; normalised integers => [0, 1] or [-1, 1] (3.6.2.2)."""
        values = self._accessor(number)
        if not self.document["accessors"][number].get("normalized", False) or values.dtype.kind == "f":
            return values.astype(np.float64)
        return np.maximum(values / float(np.iinfo(values.dtype).max), -1.0)

    def _accessor(self, number: int) -> NDArray[Any]:
        """[count, width] of an accessor."""
        accessor = self.document["accessors"][number]
        item, width, count = (
            np.dtype(_COMPONENTS[accessor["componentType"]]),
            _WIDTHS[accessor["type"]],
            accessor["count"],
        )
        if "bufferView" in accessor:
            values = self._rows(accessor["bufferView"], accessor.get("byteOffset", 0), item, width, count, number)
        elif count * width > 1 << 28:
            raise ValueError(f"accessor {number} states {count} rows without data")
        else:
            values = np.zeros((count, width), item)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            at, new = sparse["indices"], sparse["values"]
            kind = np.dtype(_COMPONENTS[at["componentType"]])
            rows = self._rows(at["bufferView"], at.get("byteOffset", 0), kind, 1, sparse["count"], number)[:, 0]
            values = values.copy()
            values[rows] = self._rows(new["bufferView"], new.get("byteOffset", 0), item, width, sparse["count"], number)
        return values

    def _rows(self, view: int, offset: int, item: np.dtype[Any], width: int, count: int, number: int) -> NDArray[Any]:
        data, stride = self._view(view), self.document["bufferViews"][view].get("byteStride") or item.itemsize * width
        if count < 0 or offset < 0 or (count and offset + stride * (count - 1) + item.itemsize * width > len(data)):
            raise ValueError(f"accessor {number} runs past the end of its buffer")
        return np.ndarray((count, width), item, data, offset, (stride, item.itemsize))

    def _view(self, number: int) -> bytes:
        view = self.document["bufferViews"][number]
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise G3dError(
                f"the mesh '{self.path}' is compressed by EXT_meshopt_compression, which is not read; export it without"
            )
        start, length = view.get("byteOffset", 0), view["byteLength"]
        data = self._buffer(view["buffer"])
        if start < 0 or start + length > len(data):
            raise ValueError(f"buffer view {number} runs past the end of its buffer")
        return data[start : start + length]

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            uri = self.document["buffers"][number].get("uri")
            if uri is None:
                self._buffers[number] = self._chunk
            elif uri.startswith("data:"):
                self._buffers[number] = _of_data_uri(uri)
            else:
                self._buffers[number] = named.read(beside(self.path, uri, "buffer"), "the buffer")
        return self._buffers[number]


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a GLB (4.4)."""
    magic, version, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or version != 2:
        raise ValueError("it does not start with 'glTF' version 2")
    if length > len(data):
        raise ValueError(f"it ends after {len(data)} of {length} bytes")
    size = struct.unpack_from("<I", data, 12)[0]
    return data[20 : 20 + size], data[28 + size :]


def _of_data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)


def _matrix(node: Mapping[str, Any]) -> NDArray[np.float64]:
    """A node's transform [4, 4]: a matrix by columns, or translation, rotation (xyzw), scale (3.5.3)."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    whole = np.eye(4)
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])  # fmt: skip
    whole[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64)
    whole[:3, 3] = node.get("translation", (0, 0, 0))
    return whole


def _transformed(uvs: NDArray[np.float64], transform: Mapping[str, Any]) -> NDArray[np.float64]:
    """KHR_texture_transform: scaled, turned, moved."""
    angle, (u0, v0) = transform.get("rotation", 0.0), transform.get("offset", (0, 0))
    u, v = (uvs * np.array(transform.get("scale", (1, 1)), np.float64)).T
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * u + s * v + u0, -s * u + c * v + v0], axis=1)


def _to_srgb(linear: NDArray[Any]) -> NDArray[Any]:
    """Colour factors and vertex colours are linear; textures are sRGB already (3.9.2)."""
    value = np.clip(linear, 0, 1)
    result: NDArray[Any] = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return result
