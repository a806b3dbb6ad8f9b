"""Meshes with colours as OBJ and GLB, which modelling programs open; whole or not at all, the same arrays give the same bytes.

Letters: V vertices, F faces.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from g3d.export.ply import F32, I32
from g3d.images import U8
from g3d.storage import files

_FLOAT, _INDEX = 5126, 5125  # glTF 2.0, 3.6.2.2


def write_obj(path: Path, vertices: F32, faces: I32, colours: U8) -> None:
    """Vertices [V, 3] with colours [V, 3] sRGB behind them, as Blender and MeshLab read them; faces [F, 3]."""
    rgb = colours / 255
    rows = ["v " + " ".join(f"{v:.9g}" for v in (*p, *c)) for p, c in zip(vertices.tolist(), rgb.tolist(), strict=True)]
    rows += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    with files.atomic(path) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_glb(path: Path, vertices: F32, faces: I32, colours: U8) -> None:
    """glTF 2.0 in one file."""
    with files.atomic(path) as temporary:
        temporary.write_bytes(glb(vertices, faces, colours))


def glb(vertices: F32, faces: I32, colours: U8, unlit: bool = False) -> bytes:
    """Vertices [V, 3] with colours [V, 3] sRGB, faces [F, 3] => the bytes of a GLB, whose vertex colours are linear (3.9.2).

    `unlit`: what shows it is to show these colours, whatever its lights (KHR_materials_unlit)."""
    value = colours / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    blocks = [np.asarray(vertices, "<f4"), np.asarray(linear, "<f4"), np.asarray(faces, "<u4").reshape(-1, 1)]
    starts = np.cumsum([0, *(b.nbytes for b in blocks)]).tolist()
    views = [{"buffer": 0, "byteOffset": s, "byteLength": b.nbytes} for s, b in zip(starts[:-1], blocks, strict=True)]
    accessors = [
        {"bufferView": 0, "componentType": _FLOAT, "count": len(vertices), "type": "VEC3",
         "min": vertices.min(0).tolist(), "max": vertices.max(0).tolist()},
        {"bufferView": 1, "componentType": _FLOAT, "count": len(vertices), "type": "VEC3"},
        {"bufferView": 2, "componentType": _INDEX, "count": faces.size, "type": "SCALAR"},
    ]  # fmt: skip
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    rough = {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "g3d"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}], "materials": [rough], "accessors": accessors, "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }  # fmt: skip
    if unlit:
        document["extensionsUsed"] = ["KHR_materials_unlit"]
        document["materials"] = [{**rough, "extensions": {"KHR_materials_unlit": {}}}]
    text = json.dumps(document, sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(b.tobytes() for b in blocks)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
