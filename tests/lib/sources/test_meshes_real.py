"""Mesh files as programs write them, by numbers that a person can check: areas, extents, colours, what a picture shows."""

import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images, polygons
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.evaluation.shape_files import read_ply
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.sources.surfaces.raycast import Caster
from g3d.sources.surfaces.surface import Surface
from g3d.steps.prepare_data import Options, run
from PIL import Image, features

CORNERS = [(x, y, z) for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
QUADS = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (2, 3, 7, 6), (1, 2, 6, 5), (0, 4, 7, 3)]
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
U_SHAPE = [(-1, -1), (1, -1), (1, 1), (0.6, 1), (0.6, -0.6), (-0.6, -0.6), (-0.6, 1), (-1, 1)]
SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, -1, 0], [1, 1, 0], [-1, 1, 0]], "<f4")
SQUARE_UVS = np.array([[0, 1], [1, 1], [1, 0], [0, 1], [1, 0], [0, 0]], "<f4")
FRONT = np.array([[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]], np.float32)  # from z = 3, y up
K64 = np.array([96.0, 96.0, 32.0, 32.0], np.float32)  # the square of side 2 fills 64 pixels


def _area(surface: Surface) -> float:
    a, b, c = np.moveaxis(surface.corners.astype(np.float64), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _extent(surface: Surface) -> list[float]:
    return np.ptp(surface.corners.reshape(-1, 3).astype(np.float64), axis=0).round(5).tolist()


def _png(rows: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class Glb:
    """A GLB in the making: numbers and pictures go into its buffer, the rest is JSON."""

    def __init__(self, **document: Any):
        self.data = b""
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], **document}

    def view(self, data: bytes) -> int:
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data + b"\0" * (-len(data) % 4)
        return len(self.json["bufferViews"]) - 1

    def numbers(self, values: Any, kind: str = "<f4") -> int:
        array = np.asarray(values, kind)
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[array.reshape(len(array), -1).shape[1]]
        code = {"<f4": 5126, "u1": 5121, "<u2": 5123, "<u4": 5125}[kind]
        self.json["accessors"].append(
            {"bufferView": self.view(array.tobytes()), "componentType": code, "count": len(array), "type": shape}
        )
        return len(self.json["accessors"]) - 1

    def picture(self, data: bytes, **texture: Any) -> int:
        self.json.setdefault("images", []).append({"bufferView": self.view(data)})
        self.json.setdefault("textures", []).append({"source": len(self.json["images"]) - 1, **texture})
        return len(self.json["textures"]) - 1

    def save(self, path: Path) -> Path:
        self.json["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        chunks = (
            struct.pack("<II", len(text), 0x4E4F534A)
            + text
            + struct.pack("<II", len(self.data), 0x004E4942)
            + self.data
        )
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


def _box(size: float = 2.0, centre: Any = (0, 0, 0)) -> Any:
    points = np.array(CORNERS, float) * size / 2 + centre
    return points[polygons.triangles(points, QUADS)].reshape(-1, 3)


def _square(material: dict[str, Any], uvs: Any = SQUARE_UVS) -> Glb:
    glb = Glb(scenes=[{"nodes": [0]}], nodes=[{"mesh": 0}], materials=[material])
    attributes = {"POSITION": glb.numbers(SQUARE), "TEXCOORD_0": glb.numbers(uvs)}
    glb.json["meshes"] = [{"primitives": [{"attributes": attributes, "material": 0}]}]
    return glb


def _drawn(surface: Surface) -> Any:
    """What the camera sees of the square, in a light of 1."""
    caster = Caster(surface, lambda normals: np.ones(len(normals), np.float32))
    return caster.draw(FRONT, K64, 64, 64, (1.0, 1.0, 1.0), normals=True)


# --- polygons


def test_a_concave_polygon_is_cut_by_ears() -> None:
    for shift in range(8):
        for flip in (1, -1):
            ring = (U_SHAPE[shift:] + U_SHAPE[:shift])[::flip]
            for axes in ((0, 1), (1, 2), (2, 0), (0, 2)):
                points = np.zeros((8, 3))
                points[:, axes] = ring
                a, b, c = np.moveaxis(points[polygons.ears(points)], 1, 0)
                across = np.cross(b - a, c - a) / 2
                assert np.linalg.norm(across, axis=1).sum() == pytest.approx(2 * 2 - 1.2 * 1.6)
                assert np.linalg.norm(across.sum(0)) == pytest.approx(2.08), "all are turned alike"


def test_many_polygons_at_once_keep_their_order() -> None:
    points = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0.5, 0.5, 0], [0, 2, 0], [9, 9, 9]], float)
    owner, at = polygons.cut(points, *polygons.flattened([[0, 1, 2], [1, 2, 3, 0], [0, 1], [3, 0, 1, 2], [0, 1, 2, 4]]))
    assert owner.tolist() == [0, 1, 1, 3, 3, 4, 4] and at[0].tolist() == [0, 1, 2] and at.max() == 16
    assert len(polygons.triangles(points, [])) == 0
    assert polygons.strip([0, 1, 2, 3, -1, 4, 5, 0]).tolist() == [[0, 1, 2], [2, 1, 3], [4, 5, 0]]


def _u_prism() -> tuple[list[tuple[float, float, float]], list[list[int]]]:
    points = [(x, y, z) for z in (-0.2, 0.2) for x, y in U_SHAPE]
    sides = [[i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i] for i in range(8)]
    return points, [list(range(7, -1, -1)), list(range(8, 16)), *sides]


@pytest.mark.parametrize("kind", ["obj", "ply", "off"])
def test_a_prism_of_a_u_has_its_area(tmp_path: Path, kind: str) -> None:
    points, faces = _u_prism()
    rows = [" ".join(map(str, p)) for p in points]
    place = tmp_path / f"a.{kind}"
    if kind == "obj":
        place.write_text("\n".join([f"v {r}" for r in rows] + ["f " + " ".join(str(i + 1) for i in f) for f in faces]))
    else:
        lists = [f"{len(f)} " + " ".join(map(str, f)) for f in faces]
        head = f"OFF\n{len(points)} {len(faces)} 0" if kind == "off" else _ply_head(len(points), len(faces))
        place.write_text("\n".join([head, *rows, *lists]) + "\n")
    assert _area(read_surface(place)) == pytest.approx(8.64, abs=1e-5)
    if kind == "ply":
        found = read_ply(place)
        assert found.faces is not None
        assert _area(Surface(found.vertices[found.faces], np.zeros((0, 3, 3), np.float32))) == pytest.approx(
            8.64, abs=1e-5
        )


# --- OBJ


def _obj(path: Path, head: str = "", names: Any = ("red", "blue"), end: str = "\n") -> Path:
    lines = [head, *(f"v {x} {y} {z} # corner" for x, y, z in CORNERS)]
    for i, quad in enumerate(QUADS):
        lines += [f"usemtl {names[i % 2]}", "f " + " ".join(str(c + 1) for c in quad)]
    path.write_text(end.join(lines), encoding="utf-8")
    return path


RED, BLUE = "Kd 1 0 0\n", "Kd 0 0 1\n"
HASHED = f"newmtl Material #25\n{RED}newmtl Material #26\n{BLUE}"
MATERIALS = {
    "hash": ("mtllib box.mtl", ("Material #25", "Material #26"), {"box.mtl": HASHED}),
    "two": ("mtllib a.mtl b.mtl", ("red", "blue"), {"a.mtl": f"newmtl red\n{RED}", "b.mtl": f"newmtl blue\n{BLUE}"}),
    "blank": ("mtllib a b.mtl", ("red", "blue"), {"a b.mtl": f"newmtl red\n{RED}newmtl blue\n{BLUE}"}),
    "mark": ("\ufeffmtllib box.mtl", ("red", "blue"), {"box.mtl": f"\ufeffnewmtl red\n{RED}newmtl blue\n{BLUE}"}),
    "comment": ("# a\n  # b\nmtllib box.mtl", ("red", "blue"), {"box.mtl": f"#newmtl x\nnewmtl red\n{RED}newmtl blue\n{BLUE}"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", MATERIALS)
def test_materials_of_obj_files(tmp_path: Path, kind: str) -> None:
    head, names, files = MATERIALS[kind]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_surface(_obj(tmp_path / "box.obj", head, names))
    assert _area(found) == pytest.approx(24) and found.colours.reshape(-1, 3).mean(0).tolist() == [0.5, 0, 0.5]
    assert not found.traits


def test_a_material_that_no_file_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.mtl").write_text(f"newmtl red\n{RED}")
    _obj(tmp_path / "in.obj", "mtllib m.mtl")
    assert read_surface(tmp_path / "in.obj").traits == {"left_out": {"materials that no material file has": ["blue"]}}
    with pytest.raises(G3dError, match=r"c\.mtl"):
        read_surface(_obj(tmp_path / "x.obj", "mtllib m.mtl c.mtl"))


# --- STL, PLY


def test_bytes_behind_the_last_triangle_of_an_stl(tmp_path: Path) -> None:
    box = _box().reshape(-1, 3, 3).astype("<f4")
    rows = b"".join(b"\0" * 12 + corners.tobytes() + b"\0\0" for corners in box)
    for head in (b"binary".ljust(80), b"solid box".ljust(80)):
        for behind in (b"", b"trailing"):
            (tmp_path / "a.stl").write_bytes(head + struct.pack("<I", len(box)) + rows + behind)
            assert _area(read_surface(tmp_path / "a.stl")) == pytest.approx(24)
    (tmp_path / "cut.stl").write_bytes(b"binary".ljust(80) + struct.pack("<I", len(box)) + rows[:-1])
    with pytest.raises(G3dError, match="neither a text STL nor a binary one"):
        read_surface(tmp_path / "cut.stl")


def _ply_head(
    points: int, faces: int, vertex: str = "", face: str = "", comment: str = "x", element: str = "face"
) -> str:
    head = f"ply\nformat ascii 1.0\ncomment {comment}\nelement vertex {points}\n"
    place = "".join(f"property float {axis}\n" for axis in "xyz")
    return f"{head}{place}{vertex}element {element} {faces}\nproperty list int int vertex_indices\n{face}end_header"


def _ply(path: Path, vertex: str, face: str, of_vertex: Any, of_face: Any, comment: str = "x") -> Path:
    rows = [" ".join(map(str, (*p, *of_vertex(i)))) for i, p in enumerate(CORNERS)]
    rows += ["4 " + " ".join(map(str, (*q, *of_face(i)))) for i, q in enumerate(QUADS)]
    text = "\n".join([_ply_head(8, 6, vertex, face, comment), *rows]) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _rgb(kind: str, prefix: str = "") -> str:
    return "".join(f"property {kind} {prefix}{c}\n" for c in ("red", "green", "blue"))


@pytest.mark.parametrize(
    ("kind", "scale"), [("uchar", 1), ("float", 1), ("float", 1 / 255), ("int", 1), ("ushort", 257)]
)
@pytest.mark.parametrize("prefix", ["", "diffuse_"])
def test_colours_of_faces_and_vertices_of_ply_files(tmp_path: Path, kind: str, scale: float, prefix: str) -> None:
    def cast(colour: Any) -> list[float]:
        return [round(v * scale, 6) if kind == "float" else round(v * scale) for v in colour]

    found = read_surface(_ply(tmp_path / "f.ply", "", _rgb(kind, prefix), lambda i: (), lambda i: cast(COLOURS[i])))
    np.testing.assert_allclose(found.colours[::2, 0] * 255, COLOURS, atol=1e-3)
    assert (found.colours == found.colours[:, :1]).all() and (found.colours[::2] == found.colours[1::2]).all()
    grey = read_surface(_ply(tmp_path / "v.ply", _rgb(kind, prefix), "", lambda i: cast((51, 102, 255)), lambda i: ()))
    np.testing.assert_allclose(grey.colours.reshape(-1, 3) * 255, np.tile([51, 102, 255], (36, 1)), atol=1e-3)


def test_strips_and_comments_of_any_bytes(tmp_path: Path) -> None:
    text = "0 1 3 2 -1 4 7 5 6 -1 0 4 1 5 -1 3 2 7 6 -1 1 5 2 6 -1 0 3 4 7 -1"
    strips = text.split(" ")
    rows = [" ".join(map(str, p)) for p in CORNERS] + [f"{len(strips)} {' '.join(strips)}"]
    (tmp_path / "s.ply").write_text("\n".join([_ply_head(8, 1, element="tristrips"), *rows]) + "\n")
    greek = _ply(tmp_path / "g.ply", "", "", lambda i: (), lambda i: (), comment="Ελληνικά")
    latin = tmp_path / "l.ply"
    latin.write_bytes(greek.read_text().replace("Ελληνικά", "größe").encode("latin-1"))
    for place in (tmp_path / "s.ply", greek, latin):
        assert _area(read_surface(place)) == pytest.approx(24) and _extent(read_surface(place)) == [2, 2, 2]
        found = read_ply(place)
        assert (
            found.faces is not None and len(found.faces) == 12 and np.ptp(found.vertices, axis=0).tolist() == [2, 2, 2]
        )


# --- glTF


def test_instances_are_drawn_each(tmp_path: Path) -> None:
    glb = Glb(scenes=[{"nodes": [0]}], extensionsRequired=["EXT_mesh_gpu_instancing"])
    glb.json["meshes"] = [{"primitives": [{"attributes": {"POSITION": glb.numbers(_box(0.6))}}]}]
    places = [(x, y, 0) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    attributes = {"TRANSLATION": glb.numbers(places), "SCALE": glb.numbers([(1, 1, 2)] * 9)}
    glb.json["nodes"] = [
        {"mesh": 0, "scale": [2, 2, 2], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}}
    ]
    found = read_surface(glb.save(tmp_path / "a.glb"))
    assert len(found.corners) == 9 * 12 and _extent(found) == [5.2, 5.2, 2.4]
    assert _area(found) == pytest.approx(9 * (2 * 1.2**2 + 4 * 1.2 * 2.4), rel=1e-5)


def test_the_transform_of_a_skinned_node_is_none(tmp_path: Path) -> None:
    """A box of 1 x 1 x 1 hangs from a joint one unit up and turned by 90 degrees about z; its node is elsewhere."""
    glb = Glb(scenes=[{"nodes": [1]}])
    count = 36
    bind = np.eye(4)
    bind[:3, 3] = (0, -1, 0)  # the joint stood at y = 1 when the skin was bound
    points = _box(1.0, (0, 2, 0))
    attributes = {
        "POSITION": glb.numbers(points), "JOINTS_0": glb.numbers([(0, 1, 0, 0)] * count, "u1"),
        "WEIGHTS_0": glb.numbers([(1, 0, 0, 0)] * count),
    }  # fmt: skip
    glb.json["meshes"] = [{"primitives": [{"attributes": attributes}]}]
    glb.json["skins"] = [{"joints": [0, 2], "inverseBindMatrices": glb.numbers([bind.T.reshape(-1)] * 2)}]
    half = math.sqrt(0.5)
    glb.json["nodes"] = [
        {"translation": [5, 0, 0], "rotation": [0, 0, half, half]},
        {"mesh": 0, "skin": 0, "translation": [3, 0, 0], "scale": [0.2, 0.2, 0.2]}, {},
    ]  # fmt: skip
    found = read_surface(glb.save(tmp_path / "a.glb"))
    middle = found.corners.reshape(-1, 3).mean(0)  # (0, 2, 0) => bind (0, 1, 0) => turned (-1, 0, 0) => moved
    np.testing.assert_allclose(middle, [4, 0, 0], atol=1e-5)
    assert _extent(found) == [1, 1, 1]


def test_morph_targets_that_are_switched_on(tmp_path: Path) -> None:
    glb = Glb(scenes=[{"nodes": [0]}], nodes=[{"mesh": 0}])
    target = np.zeros((36, 3))
    target[:, 0] = _box()[:, 0]
    primitive = {"attributes": {"POSITION": glb.numbers(_box())}, "targets": [{"POSITION": glb.numbers(target)}]}
    glb.json["meshes"] = [{"primitives": [primitive], "weights": [0.5]}]
    assert _extent(read_surface(glb.save(tmp_path / "a.glb"))) == [3, 2, 2]


def test_extensions_are_refused_by_their_name_where_they_matter(tmp_path: Path) -> None:
    def box(**document: Any) -> Glb:
        glb = Glb(scenes=[{"nodes": [0]}], nodes=[{"mesh": 0}], **document)
        glb.json["meshes"] = [{"primitives": [{"attributes": {"POSITION": glb.numbers(_box())}}]}]
        return glb

    with pytest.raises(G3dError, match="needs the extension VENDOR_packing, which is not read"):
        read_surface(box(extensionsRequired=["VENDOR_packing"]).save(tmp_path / "a.glb"))
    assert _area(read_surface(box(extensionsUsed=["VENDOR_packing"]).save(tmp_path / "b.glb"))) == pytest.approx(24)
    assert _area(
        read_surface(box(extensionsRequired=["KHR_materials_unlit"]).save(tmp_path / "c.glb"))
    ) == pytest.approx(24)
    packed = box(extensionsUsed=["KHR_draco_mesh_compression"])
    packed.json["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
    with pytest.raises(G3dError, match="Draco"):
        read_surface(packed.save(tmp_path / "d.glb"))
    empty = box()
    del empty.json["accessors"][0]["bufferView"]
    with pytest.raises(G3dError, match="positions without data"):
        read_surface(empty.save(tmp_path / "e.glb"))
    basis = _square({"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}})
    basis.picture(b"KTX", extensions={"KHR_texture_basisu": {"source": 0}})
    del basis.json["textures"][0]["source"]
    with pytest.raises(G3dError, match="KHR_texture_basisu"):
        read_surface(basis.save(tmp_path / "f.glb"))


def test_textures_in_avif(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (20, 200, 60)).save(buffer, "AVIF", quality=95, speed=10)
    glb = _square({"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}})
    glb.picture(buffer.getvalue())
    glb.json["textures"] = [{"extensions": {"EXT_texture_avif": {"source": 0}}}]
    glb.json["extensionsRequired"] = ["EXT_texture_avif"]
    assert np.abs(_drawn(read_surface(glb.save(tmp_path / "a.glb"))).rgb[32, 32].astype(int) - (20, 200, 60)).max() <= 4


@pytest.mark.parametrize(("mode", "factor", "share"), [
    ({"alphaMode": "MASK"}, 1.0, 0.5), ({"alphaMode": "MASK", "alphaCutoff": 0.9}, 1.0, 0.25), ({"alphaMode": "BLEND"}, 1.0, 0.5),
    ({}, 1.0, 1.0), ({"alphaMode": "MASK"}, 0.7, 0.25), ({"alphaMode": "BLEND"}, 0.3, 0.0),
])  # fmt: skip
def test_holes_where_alpha_is_below_its_cutoff(tmp_path: Path, mode: Any, factor: float, share: float) -> None:
    """A texture of four columns, alpha 0, 0.39, 0.7, 1, before a blue wall: half of it is there at 1/2."""
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[..., 0], picture[..., 3] = 255, (0, 100, 178, 255)
    picture = picture.repeat(16, 0).repeat(16, 1)
    base = {"baseColorTexture": {"index": 0}, "baseColorFactor": [1, 1, 1, factor]}
    glb = _square({**mode, "pbrMetallicRoughness": base})
    glb.picture(_png(picture))
    glb.json["materials"].append({"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 1, 1]}})
    wall = {"attributes": {"POSITION": glb.numbers(SQUARE * 3 - [0, 0, 1])}, "material": 1}
    glb.json["meshes"][0]["primitives"].append(wall)
    both = _drawn(read_surface(glb.save(tmp_path / "a.glb")))
    red, blue = (both.rgb.astype(int) == (255, 0, 0)).all(-1), (both.rgb.astype(int) == (0, 0, 255)).all(-1)
    assert abs(red.mean() - share) < 0.02 and abs(blue.mean() - (1 - share)) < 0.02
    np.testing.assert_allclose(both.depth_world[red], 3, atol=1e-4)
    np.testing.assert_allclose(both.depth_world[blue], 4, atol=1e-4)
    if 0 < share < 1:
        glb.json["meshes"][0]["primitives"].pop()
        alone = _drawn(read_surface(glb.save(tmp_path / "b.glb")))
        assert abs((alone.mask == 255).mean() - share) < 0.02 and abs((alone.depth_world > 0).mean() - share) < 0.02
        assert (alone.rgb[alone.mask == 0] == 255).all() and (alone.normals[alone.depth_world == 0] == 0).all()


@pytest.mark.parametrize(("code", "wanted"), [(None, "rgrg"), (10497, "rgrg"), (33071, "rggg"), (33648, "rggr")])
def test_the_wrap_of_a_sampler(tmp_path: Path, code: int | None, wanted: str) -> None:
    """A red and a green texel, drawn from 0 to 2."""
    glb = _square({"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}, SQUARE_UVS * (2, 1))
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :16, 0], picture[:, 16:, 1] = 255, 255
    glb.picture(_png(picture), **({} if code is None else {"sampler": 0}))
    glb.json["samplers"] = [{"wrapS": code}]
    rgb = _drawn(read_surface(glb.save(tmp_path / "a.glb"))).rgb
    assert "".join("r" if rgb[32, x, 0] > rgb[32, x, 1] else "g" for x in (8, 24, 40, 56)) == wanted


def test_emission_is_added(tmp_path: Path) -> None:
    glow = np.zeros((8, 8, 3), np.uint8)
    glow[:, :4], glow[:, 4:] = (200, 100, 0), (0, 50, 150)
    material = {"emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": 0},
                "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]}}  # fmt: skip
    glb = _square(material)
    glb.picture(_png(glow.repeat(8, 0).repeat(8, 1)))
    rgb = _drawn(read_surface(glb.save(tmp_path / "a.glb"))).rgb.astype(int)
    assert np.abs(rgb[32, 10] - (200, 100, 0)).max() <= 1 and np.abs(rgb[32, 54] - (0, 50, 150)).max() <= 1
    plain = _square({"emissiveFactor": [0, 0, 1], "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}})
    assert _drawn(read_surface(plain.save(tmp_path / "b.glb"))).rgb[32, 32].tolist() == [255, 0, 255]
    dark = _square({"emissiveTexture": {"index": 0}, "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}})
    dark.picture(_png(glow))
    assert _drawn(read_surface(dark.save(tmp_path / "c.glb"))).rgb[32, 32].tolist() == [255, 0, 0], "the factor is 0"


def test_what_is_not_drawn_of_a_file_is_told(tmp_path: Path) -> None:
    glb = Glb(scenes=[{"nodes": [0]}], nodes=[{"mesh": 0}])
    attributes = {"POSITION": glb.numbers(_box())}
    glb.json["meshes"] = [
        {"name": "box", "primitives": [{"attributes": attributes}, {"attributes": attributes, "mode": 1}]}
    ]
    (tmp_path / "in").mkdir()
    glb.save(tmp_path / "in" / "a.glb")
    (tmp_path / "in" / "b.fbx").write_bytes(b"x")
    figures = run(Options("meshes", str(tmp_path / "in"), tmp_path / "out", workers=1, views=1, test_views=0, size=16))
    assert figures["left_out"] == {"files .fbx of a kind that is not read": ["b.fbx"],
                                   "primitives of points or lines": ["a.glb: box, primitive 1"]}  # fmt: skip
    assert open_dataset(tmp_path / "out").info["objects"][0]["triangles"] == 12


# --- a sphere of known size through every format

RADIUS, RINGS = 1.5, 24


def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Points and triangles of a sphere around (1, 2, 3)."""
    up, around = np.meshgrid(
        np.linspace(0, math.pi, RINGS + 1), np.linspace(0, 2 * math.pi, 2 * RINGS, False), indexing="ij"
    )
    ball = np.stack([np.sin(up) * np.cos(around), np.cos(up), np.sin(up) * np.sin(around)], -1)
    number = np.arange(ball[..., 0].size).reshape(ball.shape[:2])
    a, b = number[:-1], number[1:]
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
    return ball.reshape(-1, 3) * RADIUS + (1, 2, 3), faces


def _write_sphere(path: Path) -> Path:
    points, faces = _sphere()
    rows, kind = [" ".join(f"{v:.9g}" for v in p) for p in points], path.suffix
    if kind == ".obj":
        path.write_text(
            "\n".join([f"v {r} 0.2 0.4 0.6" for r in rows] + ["f " + " ".join(map(str, f + 1)) for f in faces])
        )
    elif kind == ".off":
        path.write_text("\n".join([f"COFF\n{len(rows)} {len(faces)} 0", *(f"{r} 51 102 153 255" for r in rows),
                                   *("3 " + " ".join(map(str, f)) for f in faces)]))  # fmt: skip
    elif kind == ".ply":
        path.write_text("\n".join([_ply_head(len(rows), len(faces), _rgb("uchar")), *(f"{r} 51 102 153" for r in rows),
                                   *("3 " + " ".join(map(str, f)) for f in faces)]) + "\n")  # fmt: skip
    elif kind == ".stl":
        triangles = points[faces].astype("<f4")
        body = b"".join(b"\0" * 12 + t.tobytes() + b"\0\0" for t in triangles)
        path.write_bytes(b"x".ljust(80) + struct.pack("<I", len(faces)) + body)
    else:
        linear = [((v / 255 + 0.055) / 1.055) ** 2.4 for v in (51, 102, 153)]
        glb = Glb(
            scenes=[{"nodes": [0]}],
            nodes=[{"mesh": 0}],
            materials=[{"pbrMetallicRoughness": {"baseColorFactor": [*linear, 1]}}],
        )
        primitive = {
            "attributes": {"POSITION": glb.numbers(points)},
            "indices": glb.numbers(faces.reshape(-1), "<u4"),
            "material": 0,
        }
        glb.json["meshes"] = [{"primitives": [primitive]}]
        glb.save(path)
    return path


@pytest.mark.parametrize("kind", [".obj", ".off", ".ply", ".stl", ".glb"])
def test_a_sphere_keeps_its_size_and_colour(tmp_path: Path, kind: str) -> None:
    found = read_surface(_write_sphere(tmp_path / f"a{kind}"))
    assert _area(found) == pytest.approx(4 * math.pi * RADIUS**2, rel=0.01)
    np.testing.assert_allclose(_extent(found), 3 * [2 * RADIUS], atol=1e-4)
    np.testing.assert_allclose(found.corners.reshape(-1, 3).min(0), np.array([1, 2, 3]) - RADIUS, atol=1e-4)
    wanted = (0.7, 0.7, 0.7) if kind == ".stl" else (0.2, 0.4, 0.6)
    np.testing.assert_allclose(found.colours.reshape(-1, 3), np.tile(wanted, (found.colours.size // 3, 1)), atol=1e-3)


def test_a_texture_keeps_its_stored_pixels(tmp_path: Path) -> None:
    """Texture coordinates know nothing of EXIF."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", exif=exif)
    glb = _square({"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}})
    glb.picture(buffer.getvalue())
    rgb = _drawn(read_surface(glb.save(tmp_path / "a.glb"))).rgb
    assert (rgb[8] == 255).all() and (rgb[56] == 0).all() and images.exif_turns(buffer.getvalue(), "a")
