"""GLB and GLTF files => surfaces (glTF 2.0): nodes' transforms baked, skins in the pose of the file, morph targets by their
weights, instances (EXT_mesh_gpu_instancing) drawn each.

Colours are factor x vertex colour x texture, as the standard has it; factors and vertex colours are linear there. What is
emitted is added. Where alpha is below its cutoff (of BLEND: 1/2) the surface has holes.

Letters: P vertices, F triangles, J joints, I instances.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.sources.surfaces.mesh_files.gltf_document import DRACO, Document, counted, of_data_uri
from g3d.sources.surfaces.mesh_files.parts import (
    Part,
    beside,
    check_finite,
    check_indices,
    joined,
    texture_and_alpha,
)
from g3d.sources.surfaces.surface import Cutout, Surface
from g3d.storage import named

F64 = NDArray[np.float64]
_TRIANGLES, _STRIP, _FAN = 4, 5, 6  # 5.24.4; the others are points and lines
_TRIANGLES_MOST = 10_000_000  # each counted as often as it is drawn
_DEPTH_MOST = 200  # of nodes in nodes: more is a circle
_WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}  # 5.26
_BLEND_LEAST = 0.5
_PLAIN = np.full((1, 1, 3), 255, np.uint8)  # of a material that has none


def read(path: Path, painted: bool = True) -> Surface:
    """The triangles of the file's scene; `painted`: with their textures."""
    file = _File(path, painted)
    parts, count = [], 0
    for node, mesh, matrix in file.meshes():
        for primitive in file.primitives(mesh):
            for part in file.parts(primitive, node, mesh, matrix):
                count += len(part.corners)
                if count > _TRIANGLES_MOST:
                    raise ValueError(f"it draws more than {_TRIANGLES_MOST} triangles")
                parts.append(part)
    return joined(parts, {"primitives of points or lines": file.lines} if file.lines else None)


@dataclass(frozen=True)
class _Painted:
    """A picture of a material, and where on it the corners lie."""

    uv_name: str
    transform: Mapping[str, Any]
    picture: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    wrap: tuple[str, str]


class _File:
    """The scene of a document."""

    def __init__(self, path: Path, painted: bool):
        self.path, self._painted = path, painted
        self._file = Document(path)
        self.document = self._file.json
        self._pictures: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8] | None]] = {}
        self._cutouts: dict[tuple[int, float], Cutout] = {}
        self._worlds: dict[int, F64] = {}
        self.lines: list[str] = []
        self._nodes = 0

    def meshes(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], F64]]:
        """Each node of the scene that has a mesh, the mesh, and the transform to the world [4, 4]."""
        nodes, scenes = self.document.get("nodes", []), self.document.get("scenes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        tops = [i for i in range(len(nodes)) if i not in children]
        roots = scenes[self.document.get("scene", 0)].get("nodes", []) if scenes else tops
        shown = self._placed(roots)
        for top in tops:  # a skin's joints may lie outside of the scene
            if top not in self._worlds:
                self._placed([top])
        for number in shown:
            node = nodes[number]
            if "mesh" in node:
                yield node, self.document["meshes"][node["mesh"]], self._worlds[number]

    def _placed(self, roots: list[int]) -> list[int]:
        """The nodes from `roots` on, in order; where each stands is noted."""
        found = []
        self._nodes = counted(self.document["nodes"], roots, self._nodes, _DEPTH_MOST)
        waiting = [(root, np.eye(4), 0) for root in reversed(roots)]
        while waiting:
            number, above, depth = waiting.pop()
            if depth > _DEPTH_MOST:
                raise ValueError(f"node {number} lies within itself")
            node = self.document["nodes"][number]
            matrix = above @ _matrix(node)
            if not np.isfinite(matrix).all():
                raise G3dError(f"the mesh '{self.path}' has a transform that is not finite; repair it or remove it")
            self._worlds[number] = matrix
            found.append(number)
            waiting += [(child, matrix, depth + 1) for child in reversed(node.get("children", []))]
        return found

    def primitives(self, mesh: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Those made of triangles."""
        for number, primitive in enumerate(mesh["primitives"]):
            if "POSITION" not in primitive["attributes"]:
                continue
            if primitive.get("mode", _TRIANGLES) in (_TRIANGLES, _STRIP, _FAN):
                yield primitive
            else:
                self.lines.append(f"{self.path.name}: {mesh.get('name', 'mesh')}, primitive {number}")

    def parts(self, primitive: Mapping[str, Any], node: Mapping[str, Any], mesh: Mapping[str, Any], matrix: F64
              ) -> Iterator[Part]:  # fmt: skip
        """The triangles of a primitive in the world, once for each instance of its node."""
        attributes = primitive["attributes"]
        self._check_data(primitive)
        points, normals = self._morphed(primitive, node.get("weights") or mesh.get("weights") or [])
        check_finite(self.path, points)
        faces = self._faces(primitive, len(points))
        check_indices(self.path, faces, len(points))
        part = self._painted_part(primitive, faces, len(points))
        if part is None:
            return
        placed: Any = [matrix]
        if "skin" in node and "JOINTS_0" in attributes:
            placed = [
                self._posed(attributes, self.document["skins"][node["skin"]], len(points))
            ]  # 3.7.3.3: not its own
        elif "EXT_mesh_gpu_instancing" in node.get("extensions", {}):
            placed = matrix @ self._instances(node["extensions"]["EXT_mesh_gpu_instancing"]["attributes"])
        for where in placed:  # [4, 4] or [P, 4, 4]
            corners = (np.einsum("...ij,pj->pi" if where.ndim == 2 else "pij,pj->pi", where[..., :3, :3], points)
                       + where[..., :3, 3])[faces]  # fmt: skip
            turned = None
            if normals is not None:
                back = np.linalg.pinv(where[..., :3, :3])
                turned = np.einsum("pj,ji->pi" if back.ndim == 2 else "pj,pji->pi", normals, back)[faces]
            yield _moved(part, corners, turned)

    def _check_data(self, primitive: Mapping[str, Any]) -> None:
        """Refuse positions whose numbers are elsewhere, compressed."""
        accessor = self.document["accessors"][primitive["attributes"]["POSITION"]]
        here, packed = "bufferView" in accessor or "sparse" in accessor, DRACO in primitive.get("extensions", {})
        if packed and not (here and self._plain_fallback(primitive)):
            raise self._file.needs(f"{DRACO} (Draco)")
        if here:
            return
        raise ValueError("a primitive has positions without data")

    def _plain_fallback(self, primitive: Mapping[str, Any]) -> bool:
        """Whether a Draco primitive's accessors have data of their own beside the compressed."""
        packed = primitive["extensions"][DRACO]["bufferView"]
        numbers = [*primitive["attributes"].values(), *([primitive["indices"]] if "indices" in primitive else [])]
        views = [self.document["accessors"][n].get("bufferView") for n in numbers]
        return None not in views and packed not in views

    def _morphed(self, primitive: Mapping[str, Any], weights: Any) -> tuple[F64, F64 | None]:
        """Positions and normals [P, 3], with the morph targets that the file has switched on."""
        found: dict[str, F64] = {}
        for name in ("POSITION", "NORMAL"):
            if name not in primitive["attributes"]:
                continue
            base = self._file.floats(primitive["attributes"][name])
            for weight, target in zip(weights, primitive.get("targets", []), strict=False):
                if weight and name in target:
                    base = base + weight * self._file.per_vertex(target[name], len(base))
            found[name] = base
        normals = found.get("NORMAL")
        if normals is not None and len(normals) != len(found["POSITION"]):
            raise ValueError(f"{len(normals)} normals for {len(found['POSITION'])} vertices")
        return found["POSITION"], normals

    def _posed(self, attributes: Mapping[str, Any], skin: Mapping[str, Any], count: int) -> F64:
        """What a skin makes of each vertex [P, 4, 4]: the mean of joint x inverse bind, by the vertex's weights."""
        joints = np.stack([self._worlds[j] for j in skin["joints"]])  # [J, 4, 4]
        if "inverseBindMatrices" in skin:
            joints = (
                joints
                @ self._file.floats(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)[: len(joints)]
            )
        total, weight = np.zeros((count, 4, 4)), np.zeros(count)
        for number in range(8):
            if f"JOINTS_{number}" not in attributes:
                break
            index = self._file.accessor(attributes[f"JOINTS_{number}"]).astype(np.int64)
            share = self._file.per_vertex(attributes[f"WEIGHTS_{number}"], count)
            check_indices(self.path, index, len(joints), "joint")
            for column in range(4):
                total += share[:, column, None, None] * joints[index[:, column]]
                weight += share[:, column]
        total[weight <= 0] = joints[0]
        return np.asarray(total / np.where(weight > 0, weight, 1)[:, None, None], np.float64)

    def _instances(self, attributes: Mapping[str, Any]) -> F64:
        """[I, 4, 4]"""
        values = {name: self._file.floats(number) for name, number in attributes.items() if not name.startswith("_")}
        count = max((len(v) for v in values.values()), default=0)
        names = {"TRANSLATION": "translation", "ROTATION": "rotation", "SCALE": "scale"}
        rows = [{names[n]: v[i].tolist() for n, v in values.items() if n in names} for i in range(count)]
        return np.stack([_matrix(row) for row in rows]) if rows else np.zeros((0, 4, 4))

    def _faces(self, primitive: Mapping[str, Any], count: int) -> NDArray[np.int64]:
        """Corners of the triangles [F, 3]."""
        order = np.arange(count)
        if "indices" in primitive:
            order = self._file.accessor(primitive["indices"])[:, 0].astype(np.int64)
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

    def _painted_part(self, primitive: Mapping[str, Any], faces: NDArray[np.int64], count: int) -> Part | None:
        """Colours, texture, holes and glow of triangles that still have no place; None where they cannot be seen at all."""
        attributes = primitive["attributes"]
        material = self.document["materials"][primitive["material"]] if "material" in primitive else {}
        old = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
        base = material.get("pbrMetallicRoughness", {}) if old is None else old
        factor = np.array(base.get("baseColorFactor" if old is None else "diffuseFactor", [1, 1, 1, 1]), np.float64)
        paint = self._paint_of(base.get("baseColorTexture" if old is None else "diffuseTexture"))
        colours = np.broadcast_to(factor[:3], (count, 3))
        if "COLOR_0" in attributes:
            colours = colours * self._file.per_vertex(attributes["COLOR_0"], count)[:, :3]
        mode = material.get("alphaMode", "OPAQUE")
        least = {"OPAQUE": 0.0, "BLEND": _BLEND_LEAST}.get(mode, float(material.get("alphaCutoff", 0.5)))
        if least > 0 and factor[3] < least:
            return None
        uvs, cutout = self._uvs(paint, attributes, faces, count), None
        if paint is not None and uvs is not None and paint.alpha is not None and least > 0:
            key = (id(paint.alpha), least / factor[3])
            cutout = self._cutouts.setdefault(key, Cutout(paint.alpha, 255 * key[1]))
        shape = np.zeros((len(faces), 3, 3))
        return Part(shape, _to_srgb(colours)[faces], uvs, None if paint is None else paint.picture, None,
                    ("repeat", "repeat") if paint is None else paint.wrap, cutout,
                    self._glow(material, attributes, faces, count))  # fmt: skip

    def _glow(self, material: Mapping[str, Any], attributes: Mapping[str, Any], faces: NDArray[np.int64], count: int
              ) -> Part | None:  # fmt: skip
        """What the triangles emit, if anything."""
        more = material.get("extensions", {}).get("KHR_materials_emissive_strength", {}).get("emissiveStrength", 1.0)
        factor = np.array(material.get("emissiveFactor", [0, 0, 0]), np.float64) * more
        if not factor.any():
            return None
        paint = self._paint_of(material.get("emissiveTexture"))
        shape = np.zeros((len(faces), 3, 3))
        return Part(shape, np.broadcast_to(_to_srgb(factor), shape.shape), self._uvs(paint, attributes, faces, count),
                    None if paint is None else paint.picture, None,
                    ("repeat", "repeat") if paint is None else paint.wrap)  # fmt: skip

    def _uvs(self, paint: _Painted | None, attributes: Mapping[str, Any], faces: NDArray[np.int64], count: int
             ) -> F64 | None:  # fmt: skip
        """[F, 3, 2]"""
        if paint is None or paint.uv_name not in attributes:
            return None
        return _transformed(self._file.per_vertex(attributes[paint.uv_name], count), paint.transform)[faces]

    def _paint_of(self, info: Mapping[str, Any] | None) -> _Painted | None:
        if info is None or not self._painted:
            return None
        transform = info.get("extensions", {}).get("KHR_texture_transform", {})
        name = f"TEXCOORD_{transform.get('texCoord', info.get('texCoord', 0))}"
        entry = self.document["textures"][info["index"]]
        sampler = self.document["samplers"][entry["sampler"]] if "sampler" in entry else {}
        wraps = [_WRAPS.get(sampler.get(key, 10497), "repeat") for key in ("wrapS", "wrapT")]
        return _Painted(name, transform, *self._picture(entry), (wraps[0], wraps[1]))

    def _picture(self, entry: Mapping[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """A texture and its alpha; one of several kinds that is read here."""
        more = entry.get("extensions", {})
        read = [more[n]["source"] for n in ("EXT_texture_webp", "EXT_texture_avif") if "source" in more.get(n, {})]
        sources = [*read, *([entry["source"]] if "source" in entry else [])]
        if not sources:
            if more:
                raise self._file.needs(next(iter(more)))
            return _PLAIN, None
        for last, source in zip([*[False] * (len(sources) - 1), True], sources, strict=True):
            try:
                return self._image(source)
            except G3dError:
                if last:
                    raise
        raise AssertionError("the last one is read or refused")

    def _image(self, source: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        if source not in self._pictures:
            image = self.document["images"][source]
            name = f"image {source}{' (' + image['mimeType'] + ')' if 'mimeType' in image else ''}"
            if "bufferView" in image:
                data = self._file.view(image["bufferView"])
            elif image["uri"].startswith("data:"):
                data = of_data_uri(image["uri"])
            else:
                name = image["uri"]
                data = named.read(beside(self.path, name, "texture"), "the texture")
            self._pictures[source] = texture_and_alpha(data, self.path, name)
        return self._pictures[source]


def _moved(part: Part, corners: F64, normals: F64 | None) -> Part:
    """The part at its place."""
    glow = None if part.glow is None else replace(part.glow, corners=corners)
    return replace(part, corners=corners, normals=normals, glow=glow)


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
