"""OBJ files with their MTL => surfaces: polygons, textures, base colours, vertex colours, normals.

Of texture, vertex colours and base colour (Kd) the most special one stands alone: many files have a black Kd under a texture.

Letters: F triangles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import polygons
from g3d.errors import G3dError
from g3d.sources.surfaces.mesh_files.parts import (
    GREY,
    Part,
    beside,
    check_finite,
    check_indices,
    joined,
    texture_beside,
)
from g3d.sources.surfaces.surface import Surface
from g3d.storage import named

_NOTHING = -(1 << 40)  # a corner without texture coordinates or normal
_ARGUMENTS = {"-blendu": 1, "-blendv": 1, "-cc": 1, "-clamp": 1, "-mm": 2, "-texres": 1, "-bm": 1, "-imfchan": 1, "-boost": 1,
              "-type": 1}  # fmt: skip
_NAMED = ("usemtl", "newmtl", "mtllib", "map_kd")


@dataclass
class _Material:
    colour: tuple[float, ...] = (GREY, GREY, GREY)
    file: str = ""  # of the texture
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    wrap: tuple[str, str] = ("repeat", "repeat")
    place: Path = field(default_factory=Path)  # of the MTL that says all this


@dataclass
class _Rows:
    """What the lines of the file say; polygons by material, each corner as (v, vt, vn), counted from 0."""

    vertices: list[list[float]] = field(default_factory=list)
    uvs: list[list[float]] = field(default_factory=list)
    normals: list[list[float]] = field(default_factory=list)
    faces: dict[str, tuple[list[tuple[int, int, int]], list[int]]] = field(
        default_factory=dict
    )  # corners; how many a polygon
    libraries: list[str] = field(default_factory=list)


def read(path: Path, painted: bool = True) -> Surface:
    """The triangles of the file; `painted`: with their materials."""
    rows = _parsed(path)
    points = _array(rows.vertices, 3)
    check_finite(path, points)
    materials = _materials(path, rows.libraries) if painted else {}
    pictures: dict[tuple[Path, str], NDArray[np.uint8]] = {}
    parts = []
    for name, (corners, sizes) in rows.faces.items():
        flat = np.array(corners, np.int64).reshape(-1, 3)
        _, at = polygons.cut(points, flat[:, 0], np.array(sizes, np.int64))
        index = flat[at]  # [F, corner, (v, vt, vn)]
        check_indices(path, index[..., 0], len(points), first=1)
        material = materials.get(name, _Material())
        uvs, picture = None, None
        if material.file and (index[..., 1] != _NOTHING).all():
            check_indices(path, index[..., 1], len(rows.uvs), "texture coordinate", 1)
            key = (material.place, material.file)
            if key not in pictures:
                pictures[key] = texture_beside(path, material.file, material.place.parent)
            uvs = _array(rows.uvs, 2)[index[..., 1]] * material.scale + material.offset
            uvs, picture = uvs * (1, -1) + (0, 1), pictures[key]  # v up => v down
        parts.append(Part(points[index[..., 0]], _colours(rows, index, material, picture is not None), uvs, picture,
                          _normals(path, rows, index), material.wrap))  # fmt: skip
    unknown = sorted(name for name in rows.faces if name and painted and rows.libraries and name not in materials)
    return joined(parts, {"materials that no material file has": unknown} if unknown else None)


def _colours(rows: _Rows, index: NDArray[np.int64], material: _Material, textured: bool) -> NDArray[np.float64]:
    """[F, 3, 3] of the corners."""
    if textured:
        return np.ones((len(index), 3, 3))
    if all(len(v) >= 6 for v in rows.vertices):  # x y z r g b
        found: NDArray[np.float64] = np.array([v[3:6] for v in rows.vertices])[index[..., 0]]
        return found
    return np.broadcast_to(np.array(material.colour), (len(index), 3, 3))


def _normals(path: Path, rows: _Rows, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """[F, 3, 3]; None unless every corner has one."""
    if not rows.normals or (index[..., 2] == _NOTHING).any():
        return None
    check_indices(path, index[..., 2], len(rows.normals), "normal", 1)
    return _array(rows.normals, 3)[index[..., 2]]


def _parsed(path: Path) -> _Rows:
    rows, material = _Rows(), ""
    for words in _lines(path):
        match words[0]:
            case "v":
                rows.vertices.append([float(w) for w in words[1:]])
            case "vt":
                rows.uvs.append([float(w) for w in words[1:3]])
            case "vn":
                rows.normals.append([float(w) for w in words[1:4]])
            case "f":
                corners = [_corner(w, rows) for w in words[1:]]
                into, sizes = rows.faces.setdefault(material, ([], []))
                into += corners
                sizes.append(len(corners))
            case "usemtl":
                material = " ".join(words[1:])
            case "mtllib":
                rows.libraries.append(" ".join(words[1:]))
    return rows


def _corner(word: str, rows: _Rows) -> tuple[int, int, int]:
    """`v/vt/vn`, counted from 1, or backwards from -1."""
    numbers = [int(n) if n else 0 for n in word.split("/")]
    v, vt, vn = (*numbers, 0, 0)[:3]
    if v == 0:
        raise ValueError(f"a face has the corner '{word}'")
    return (
        v - 1 if v > 0 else len(rows.vertices) + v,
        vt - 1 if vt > 0 else len(rows.uvs) + vt if vt else _NOTHING,
        vn - 1 if vn > 0 else len(rows.normals) + vn if vn else _NOTHING,
    )


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line that has some; a line that ends with a backslash goes on. In names, `#` is a letter."""
    before = ""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for line in stream:
            named = line.lstrip()[:1] != "#" and line.split(None, 1)[0].lower() in _NAMED if line.strip() else False
            text = before + (line if named else line.split("#")[0]).rstrip()
            before = text[:-1] + " " if text.endswith("\\") else ""
            words = [] if before else text.split()
            if words:
                yield words


def _materials(path: Path, libraries: Sequence[str]) -> dict[str, _Material]:
    """The materials of the MTL files; of the same name, the last one counts."""
    found: dict[str, _Material] = {}
    for place in [place for name in libraries for place in _libraries(path, name)]:
        current = _Material()
        for words in _lines(place):
            match words[0].lower():
                case "newmtl":
                    current = found[" ".join(words[1:])] = _Material(place=place)
                case "kd":
                    current.colour = tuple(float(w) for w in (words[1:4] * 3)[:3])
                case "map_kd":
                    _take_map(current, words[1:])
    return found


def _libraries(path: Path, name: str) -> list[Path]:
    """The files that a line `mtllib` names: one with blanks in its name, or several."""
    try:
        return [named.check(beside(path, name, "material file"), "the material file")]
    except G3dError:
        if len(name.split()) < 2 or "://" in name:
            raise
        return [named.check(beside(path, word, "material file"), "the material file") for word in name.split()]


def _take_map(material: _Material, words: Sequence[str]) -> None:
    """`-s 2 2 1 -o 0 0 my paint.png`: options, then the name."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        option = words[at].lower()
        at += 1
        if option in ("-s", "-o", "-t"):
            numbers: list[float] = []
            while at < len(words) and len(numbers) < 3 and _is_number(words[at]):
                numbers.append(float(words[at]))
                at += 1
            pair = (*numbers, *((1.0, 1.0) if option == "-s" else (0.0, 0.0))[len(numbers) :])[:2]
            if option == "-s":
                material.scale = (pair[0], pair[1])
            elif option == "-o":
                material.offset = (pair[0], pair[1])
        elif option == "-clamp" and at < len(words):
            material.wrap = ("clamp", "clamp") if words[at].lower() == "on" else ("repeat", "repeat")
            at += 1
        else:
            at += _ARGUMENTS.get(option, 0)
    material.file = " ".join(words[at:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _array(rows: Sequence[Sequence[float]], width: int) -> NDArray[np.float64]:
    """[N, width]; missing values are 0."""
    whole: list[Any] = [(*row[:width], *(0.0,) * (width - len(row))) for row in rows]
    return np.array(whole, np.float64).reshape(-1, width)
