"""The document of a GLB or GLTF file, and the numbers in its buffers (glTF 2.0: accessors also sparse and in data URIs).

Compressed meshes (Draco, meshopt) and extensions that are required and not known here are refused by name.
"""

import base64
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.sources.surfaces.mesh_files.parts import beside
from g3d.storage import named
from g3d.storage.json_text import parsed

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}  # 3.6.2.2
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
DRACO = "KHR_draco_mesh_compression"
_READ = ("EXT_mesh_gpu_instancing", "EXT_texture_avif", "EXT_texture_webp", "KHR_materials_pbrSpecularGlossiness",
         "KHR_mesh_quantization", "KHR_texture_transform", "KHR_materials_emissive_strength")  # fmt: skip
_HARMLESS = ("KHR_materials_", "KHR_lights_", "KHR_xmp", "EXT_lights_", "MSFT_lod", "KHR_animation_pointer", "FB_ngon_encoding",
             "EXT_structural_metadata", "EXT_mesh_features", "CESIUM_primitive_outline", "ADOBE_materials_")  # fmt: skip
"""What a file may require without the shape or its base colour being another."""


_NODES_MOST = 100_000  # each counted as often as it is drawn


def counted(nodes: Any, roots: list[int], before: int, depth_most: int) -> int:
    """How many nodes there are below `roots`, and `before`. Refuses nodes that many nodes share, each of them shared in turn: few
    lines that are work without end."""
    waiting = [(root, 0) for root in roots]
    while waiting:
        number, depth = waiting.pop()
        before += 1
        if before > _NODES_MOST:
            raise ValueError(f"its nodes stand for more than {_NODES_MOST} nodes")
        if depth <= depth_most:
            waiting += [(child, depth + 1) for child in nodes[number].get("children", [])]
    return before


class Document:
    """A parsed file with its buffers."""

    def __init__(self, path: Path):
        self.path = path
        data = path.read_bytes()
        self._chunk = b""
        if path.suffix.lower() == ".glb":
            data, self._chunk = _chunks(data)
        self.json: Mapping[str, Any] = parsed(data)
        for name in self.json.get("extensionsRequired", []):
            if name not in _READ and not str(name).startswith(_HARMLESS):
                raise self.needs(str(name))
        self._buffers: dict[int, bytes] = {}

    def needs(self, extension: str) -> G3dError:
        """The sentence on what is not read."""
        return G3dError(f"the mesh '{self.path}' needs the extension {extension}, which is not read; export it without")

    def per_vertex(self, number: int, count: int) -> NDArray[np.float64]:
        values = self.floats(number)
        if len(values) != count:
            raise ValueError(f"accessor {number} has {len(values)} rows for {count} vertices")
        return values

    def floats(self, number: int) -> NDArray[np.float64]:
        """An accessor as floats; normalised integers => [0, 1] or [-1, 1] (3.6.2.2)."""
        values = self.accessor(number)
        if not self.json["accessors"][number].get("normalized", False) or values.dtype.kind == "f":
            return values.astype(np.float64)
        return np.maximum(values / float(np.iinfo(values.dtype).max), -1.0)

    def accessor(self, number: int) -> NDArray[Any]:
        """[count, width] of an accessor."""
        accessor = self.json["accessors"][number]
        item, width, count = (
            np.dtype(_COMPONENTS[accessor["componentType"]]),
            _WIDTHS[accessor["type"]],
            accessor["count"],
        )
        if "bufferView" in accessor:
            values = self._rows(accessor["bufferView"], accessor.get("byteOffset", 0), item, width, count, number)
        elif count * width > 1 << 25:
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
        data, stride = self.view(view), self.json["bufferViews"][view].get("byteStride") or item.itemsize * width
        if count < 0 or offset < 0 or (count and offset + stride * (count - 1) + item.itemsize * width > len(data)):
            raise ValueError(f"accessor {number} runs past the end of its buffer")
        return np.ndarray((count, width), item, data, offset, (stride, item.itemsize))

    def view(self, number: int) -> bytes:
        view = self.json["bufferViews"][number]
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
            uri = self.json["buffers"][number].get("uri")
            if uri is None:
                self._buffers[number] = self._chunk
            elif uri.startswith("data:"):
                self._buffers[number] = of_data_uri(uri)
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


def of_data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
