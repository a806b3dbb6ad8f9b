"""Mesh files: colours and textures the right way up, parts in their places, damaged files refused by name."""

import base64
import colorsys
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import SHARED_DATA
from g3d.cameras import write_transforms
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request, meshes
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.sources.surfaces.raycast import Caster
from g3d.sources.surfaces.surface import Surface, normalised
from g3d.steps.prepare_data import Options, run
from PIL import Image

CARS = SHARED_DATA / "cars"
TRIANGLE_PLY = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 2
property list uchar int vertex_indices
end_header
0 0 0 255 0 0
1 0 0 255 0 0
1 1 0 0 0 255
0 1 {z} 0 0 255
3 0 1 {last}
3 0 2 3
"""
SQUARE = ([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]])


def _glb(path: Path, vertices: Any, faces: Any, uvs: Any = None, picture: bytes = b"", **node: Any) -> Path:
    """A GLB of one mesh, with a texture when `uvs` and `picture` are given, under a node with a transform."""
    arrays = [np.asarray(vertices, "<f4"), np.asarray(faces, "<u4").reshape(-1, 1)]
    kinds = [(5126, "VEC3"), (5125, "SCALAR")]
    document: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}]}
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0}, "indices": 1}
    if uvs is not None:
        arrays.append(np.asarray(uvs, "<f4"))
        kinds.append((5126, "VEC2"))
        primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document["textures"], document["images"] = [{"source": 0}], [{"bufferView": 3, "mimeType": "image/png"}]
    blocks = [a.tobytes() for a in arrays] + ([picture + b"\0" * (-len(picture) % 4)] if picture else [])
    starts = np.cumsum([0] + [len(b) for b in blocks]).tolist()
    document["bufferViews"] = [
        {"buffer": 0, "byteOffset": s, "byteLength": len(b)} for s, b in zip(starts[:-1], blocks, strict=True)
    ]
    document["accessors"] = [
        {"bufferView": i, "componentType": kind, "count": len(a), "type": shape, "min": [-1.0] * 3, "max": [1.0] * 3}
        if shape == "VEC3"
        else {"bufferView": i, "componentType": kind, "count": len(a), "type": shape}
        for i, (a, (kind, shape)) in enumerate(zip(arrays, kinds, strict=True))
    ]
    document["buffers"] = [{"byteLength": starts[-1]}]
    document["meshes"], document["nodes"] = [{"primitives": [primitive]}], [{"mesh": 0, **node}]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(blocks)
    parts = [struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(binary), b"BIN\0"), binary]
    body = b"".join(parts)
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def _half_red_half_blue() -> bytes:
    """A PNG with the upper half red and the lower half blue."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :, 0], pixels[4:, :, 2] = 255, 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _from_plus_z(surface: Surface, size: int = 16) -> Any:
    """The surface as seen from +z, y up, camera at z = 4 with a view 3 wide at the origin."""
    c2w = np.diag([1, -1, -1, 1]).astype(np.float32)
    c2w[2, 3] = 4
    k = np.array([4 * size / 3, 4 * size / 3, size / 2, size / 2], np.float32)
    return Caster(surface).draw(c2w, k, size, size, (1, 1, 1)).rgb.astype(int)


@pytest.mark.parametrize("kind", ["glb", "obj"])
def test_textures_are_the_right_way_up(tmp_path: Path, kind: str) -> None:
    """The upper half of the picture is on the upper half of the square: glTF counts v down, OBJ counts it up."""
    picture = _half_red_half_blue()
    if kind == "glb":
        path = _glb(tmp_path / "a.glb", *SQUARE, uvs=[[0, 1], [1, 1], [1, 0], [0, 0]], picture=picture)
    else:
        path = tmp_path / "a.obj"
        (tmp_path / "t.png").write_bytes(picture)
        (tmp_path / "a.mtl").write_text("newmtl m\nKd 0.2 0.2 0.2\nmap_Kd t.png\n")
        path.write_text("mtllib a.mtl\nv -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
                        "usemtl m\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")  # fmt: skip
    rgb = _from_plus_z(read_surface(path))
    upper, lower = rgb[4:7, 5:11], rgb[9:12, 5:11]
    assert (upper[..., 0] > 120).all() and (upper[..., 2] < 10).all()
    assert (lower[..., 2] > 120).all() and (lower[..., 0] < 10).all()


def test_vertex_colours_of_a_ply(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_text(TRIANGLE_PLY.format(z=0, last=2))
    surface = read_surface(path)
    np.testing.assert_allclose(surface.colours[0], [[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(surface.corners[1], [[0, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_off_and_stl_and_base_colours(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_text("COFF # a square\n4 1 0\n0 0 0 255 0 0 255\n1 0 0 255 0 0 255\n1 1 0 0 0 255 255\n"
                                    "0 1 0 0 0 255 255\n4 0 1 2 3\n")  # fmt: skip
    off = read_surface(tmp_path / "a.off")
    assert off.corners.shape == (2, 3, 3) and off.colours[1].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    corners = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0]]], "<f4")
    (tmp_path / "a.stl").write_bytes(b" " * 80 + struct.pack("<I", 1) + b"\0" * 12 + corners.tobytes() + b"\0\0")
    np.testing.assert_array_equal(read_surface(tmp_path / "a.stl").corners, corners)
    (tmp_path / "b.mtl").write_text("newmtl m\nKd 1 0.5 0\n")
    (tmp_path / "b.obj").write_text("mtllib b.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    np.testing.assert_allclose(read_surface(tmp_path / "b.obj").colours[0, 0], [1, 0.5, 0], atol=1e-3)


def test_node_transforms_are_baked_and_normalisation_has_its_inverse(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _glb(folder / "moved.glb", *SQUARE, translation=[5, 6, 7], scale=[2, 2, 2])
    corners = read_surface(folder / "moved.glb").corners.reshape(-1, 3)
    np.testing.assert_allclose([corners.min(0), corners.max(0)], [[3, 4, 7], [7, 8, 7]], atol=1e-5)
    run(Options("meshes", str(folder), tmp_path / "out", views=1, test_views=1, size=16, workers=1))
    entry = open_dataset(tmp_path / "out").info["objects"][0]
    assert (entry["name"], entry["file"], entry["triangles"]) == ("moved", "moved.glb", 2)
    np.testing.assert_allclose(entry["centre"], [5, 6, 7], atol=1e-5)
    assert entry["scale"] == pytest.approx(1 / np.sqrt(8))  # the corners are 2 sqrt 2 from the centre


def _write_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def _truncated(path: Path) -> None:
    _glb(path, *SQUARE)
    path.write_bytes(path.read_bytes()[:-40])


def _obj(text: str, mtl: str = "", **files: bytes) -> Callable[[Path], object]:
    """Writes an OBJ, its MTL and other files beside it."""

    def write(path: Path) -> None:
        path.write_text(text)
        if mtl:
            (path.parent / "a.mtl").write_text(mtl)
        for name, data in files.items():
            (path.parent / f"{name}.png").write_bytes(data)

    return write


def _edited(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A GLB of a textured square whose JSON was changed."""
    uvs = [[0, 1], [1, 1], [1, 0], [0, 0]]
    data = _glb(path, *SQUARE, uvs=uvs, picture=_half_red_half_blue()).read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + data[20 + size :]
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


TEXTURED_OBJ = ("mtllib a.mtl\nv -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
                "usemtl m\nf 1/1 2/2 3/3 4/4\n")  # fmt: skip
TEXTURED_MTL = "newmtl m\nKd 0 0 0\nmap_Kd t.png\n"
NOT_FINITE = [[float("nan"), -1, 0], *SQUARE[0][1:]]
BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated": ("a.glb", _truncated, "it ends after"),
    "text": ("a.glb", _write_text("hello\n" * 20), "not a GLB file"),
    "empty file": ("a.glb", _write_text(""), "empty file"),
    "nan glb": ("a.glb", lambda p: _glb(p, NOT_FINITE, SQUARE[1]), "not finite"),
    "index glb": ("a.glb", lambda p: _glb(p, SQUARE[0], [[0, 1, 2], [0, 2, 9]]), "vertex 9 of 4"),
    "nan ply": ("a.ply", _write_text(TRIANGLE_PLY.format(z="nan", last=2)), "not finite"),
    "index ply": ("a.ply", _write_text(TRIANGLE_PLY.format(z=0, last=7)), "vertex 7 of 4"),
    "cut ply": ("a.ply", _write_text(TRIANGLE_PLY.format(z=0, last=2)[:-12]), "not a PLY file"),
    "nan obj": ("a.obj", _write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"), "not finite"),
    "no faces": ("a.obj", _write_text("v 0 0 0\nv 1 0 0\n"), "no triangles"),
    "cut off": ("a.off", _write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n"), "not a OFF file"),
    "index off": ("a.off", _write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 8\n"), "vertex 8 of 3"),
    "stl": ("a.stl", _write_text("nothing"), "neither a text STL"),
    "texture missing": ("a.obj", _obj(TEXTURED_OBJ, TEXTURED_MTL), "names the texture 't.png', which is not there"),
    "fake texture": ("a.obj", _obj(TEXTURED_OBJ, TEXTURED_MTL, t=b"no picture"), "it is not an image"),
    "cut texture": ("a.obj", _obj(TEXTURED_OBJ, TEXTURED_MTL, t=_half_red_half_blue()[:50]), "image file is truncated"),
    "mtl missing": ("a.obj", _obj(TEXTURED_OBJ), "names the material file 'a.mtl', which is not there"),
    "uv obj": (
        "a.obj",
        _obj(TEXTURED_OBJ.replace("4/4", "4/9"), TEXTURED_MTL, t=_half_red_half_blue()),
        "texture coordinate 9 of 4",
    ),
    "index obj": ("a.obj", _write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n"), "vertex 4 of 3"),
    "index zero obj": ("a.obj", _write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n"), "not a OBJ file"),
    "texture missing glb": (
        "a.glb",
        lambda p: _edited(p, lambda d: d.update(images=[{"uri": "no.png"}])),
        "'no.png', which is not",
    ),
    "texture far away": (
        "a.glb",
        lambda p: _edited(p, lambda d: d.update(images=[{"uri": "https://a.b/c.png"}])),
        "by an address",
    ),
    "draco": (
        "a.glb",
        lambda p: _edited(p, lambda d: d.update(extensionsRequired=["KHR_draco_mesh_compression"])),
        "needs the extension KHR_draco_mesh_compression",
    ),
    "nodes in a circle": (
        "a.glb",
        lambda p: _edited(p, lambda d: d["nodes"][0].update(children=[0])),
        "lies within itself",
    ),
    "short accessor": (
        "a.glb",
        lambda p: _edited(p, lambda d: d["accessors"][2].update(count=3)),
        "3 rows for 4 vertices",
    ),
    "long accessor": ("a.glb", lambda p: _edited(p, lambda d: d["accessors"][0].update(count=400)), "past the end"),
    "nan stl": (
        "a.stl",
        _write_text("solid a\nfacet\nvertex 0 0 0\nvertex 1 nan 0\nvertex 0 1 0\nendsolid\n"),
        "not finite",
    ),
    "point": ("a.off", _write_text("OFF\n3 1 0\n1 1 1\n1 1 1\n1 1 1\n3 0 1 2\n"), "single point"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_bad_file_is_refused_by_name_and_leaves_nothing(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name, make, words = BAD[case]
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder / name)
    with pytest.raises(G3dError) as caught:
        run(Options("meshes", str(folder), tmp_path / "out", views=1, test_views=1, size=16, workers=1))
    sentence = str(caught.value)
    assert name in sentence and words in sentence and "--skip-bad" in sentence and "\n" not in sentence
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert capfd.readouterr().out == ""  # stdout belongs to the command


def test_skip_bad_leaves_files_out_and_says_which(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _glb(folder / "c.glb", *SQUARE)
    (folder / "a.glb").write_text("no mesh")
    options = Options("meshes", str(folder), tmp_path / "out", views=2, test_views=1, size=16, workers=1, skip_bad=True)
    result = run(options)
    data = open_dataset(tmp_path / "out")
    assert data.object_names == ["c"] and result["views"] == 3
    assert len(result["skipped"]) == 1 and "a.glb" in result["skipped"][0]
    (folder / "c.glb").unlink()
    with pytest.raises(G3dError, match="none of the 1 items can be used"):
        run(Options("meshes", str(folder), tmp_path / "none", skip_bad=True, workers=1))
    assert not (tmp_path / "none").exists()


def test_folders_that_are_none_or_hold_no_meshes(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for given, words in (
        (None, "needs a folder"),
        ("notes.txt", "is a file"),
        ("", "holds no mesh files"),
        ("no", "does not exist"),
    ):
        source = None if given is None else str(tmp_path / given)
        with pytest.raises(G3dError, match=words):
            run(Options("meshes", source, tmp_path / "out"))
    with pytest.raises(G3dError, match="'meshes' does not use --num"):
        run(Options("meshes", str(tmp_path), tmp_path / "out", num=3))


@pytest.mark.skipif(not CARS.is_dir(), reason=f"the vehicles are not at {CARS}")
def test_the_sedan_is_red_orange_on_dark_wheels(tmp_path: Path) -> None:
    """A texture upside down would make it green."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "sedan.glb").write_bytes((CARS / "sedan.glb").read_bytes())
    run(Options("meshes", str(folder), tmp_path / "out", views=4, test_views=1, size=64, workers=1))
    data = open_dataset(tmp_path / "out")
    for view in range(4):
        pixels = data.pictures([view])[0][data.mask(view) == 255] / 255
        hues = np.array([colorsys.rgb_to_hsv(*p) for p in pixels])
        painted = hues[hues[:, 1] > 0.5]
        assert len(painted) > 0.3 * len(pixels)
        assert 0 <= np.median(painted[:, 0]) * 360 <= 30
    camera = data.camera_prior.at(torch.tensor([90.0]), torch.tensor([0.0]))  # from its side
    caster = Caster(normalised(read_surface(folder / "sedan.glb"))[0])
    picture = caster.draw(camera.c2w[0].numpy(), camera.intrinsics[0].numpy(), 64, 64, (1, 1, 1))
    rows = np.nonzero(picture.mask.any(1))[0]
    lowest = picture.rgb[rows[-3]][picture.mask[rows[-3]] == 255] / 255  # only tyres reach the ground
    assert len(lowest) and lowest.max() < 0.6 and np.ptp(lowest, axis=1).max() < 0.2


def test_a_gltf_names_its_files_percent_encoded(tmp_path: Path) -> None:
    picture = _half_red_half_blue()
    uvs = [[0, 1], [1, 1], [1, 0], [0, 0]]
    data = _glb(tmp_path / "a.glb", *SQUARE, uvs=uvs, picture=picture).read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + size])
    (tmp_path / "my cup.bin").write_bytes(data[28 + size :])
    (tmp_path / "my paint.png").write_bytes(picture)
    document["buffers"][0]["uri"] = "my%20cup.bin"
    document["images"] = [{"uri": "my%20paint.png"}]
    (tmp_path / "b.gltf").write_text(json.dumps(document))
    found, wanted = read_surface(tmp_path / "b.gltf"), read_surface(tmp_path / "a.glb")
    np.testing.assert_array_equal(found.corners, wanted.corners)
    assert len(found.textures) == 1
    np.testing.assert_array_equal(found.textures[0], wanted.textures[0])
    (tmp_path / "my cup.bin").unlink()
    with pytest.raises(G3dError, match=r"b\.gltf' names the buffer 'my%20cup\.bin', which is not there"):
        read_surface(tmp_path / "b.gltf")


def _gltf(path: Path, **changes: Any) -> Path:
    """A square in a GLTF with data URIs: positions, then the arrays of `changes` as (accessor, values) by attribute."""
    blocks: list[bytes] = []
    document: dict[str, Any] = {"asset": {"version": "2.0"}, "nodes": [{"mesh": 0, **changes.pop("node", {})}], "accessors": [],
                                "bufferViews": [], "buffers": []}  # fmt: skip
    primitive: dict[str, Any] = {"attributes": {}, **changes.pop("primitive", {})}
    for name, values in {"POSITION": np.asarray(SQUARE[0], "<f4"), **changes}.items():
        kind = {"u2": 5123, "u1": 5121, "f4": 5126}[values.dtype.str[1:]]
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[values.shape[1]]
        entry = {
            "componentType": kind,
            "count": len(values),
            "type": shape,
            "normalized": values.dtype.kind == "u" and name[0] == "C",
        }
        document["accessors"].append({"bufferView": len(blocks), **entry})
        blocks.append(values.tobytes())
        if name == "indices":
            primitive["indices"] = len(blocks) - 1
        else:
            primitive["attributes"][name] = len(blocks) - 1
    for i, block in enumerate(blocks):
        uri = "data:application/octet-stream;base64," + base64.b64encode(block).decode()
        document["buffers"].append({"byteLength": len(block), "uri": uri})
        document["bufferViews"].append({"buffer": i, "byteLength": len(block)})
    document["meshes"] = [{"primitives": [primitive]}]
    path.write_text(json.dumps(document))
    return path


def test_gltf_strips_fans_colours_and_normals_under_a_transform(tmp_path: Path) -> None:
    """A quarter turn around x takes +y to +z; the scale 2 1 1 must not tilt a normal the wrong way."""
    half = np.sqrt(0.5)
    normal = np.tile(np.array([[half, half, 0]], "<f4"), (4, 1))
    colour = np.tile(np.array([[128, 255, 0, 255]], "u1"), (4, 1))
    node = {"rotation": [half, 0, 0, half], "scale": [2, 1, 1]}
    fan = read_surface(_gltf(tmp_path / "a.gltf", primitive={"mode": 6}, NORMAL=normal, COLOR_0=colour, node=node))
    np.testing.assert_allclose(fan.corners[1], [[-2, 0, -1], [2, 0, 1], [-2, 0, 1]], atol=1e-6)
    assert fan.normals is not None
    tilted = np.array([0.5, 0, 1]) / np.sqrt(1.25)  # n_x shrinks as x grows
    np.testing.assert_allclose(fan.normals.reshape(-1, 3), np.tile(tilted, (6, 1)), atol=1e-6)
    linear = 128 / 255
    np.testing.assert_allclose(fan.colours[0, 0], [1.055 * linear ** (1 / 2.4) - 0.055, 1, 0], atol=1e-5)
    order = np.array([[0], [1], [3], [2]], "<u2")
    strip = read_surface(_gltf(tmp_path / "b.gltf", primitive={"mode": 5}, indices=order))
    np.testing.assert_allclose(
        strip.corners, np.array(SQUARE[0])[[[0, 1, 3], [1, 2, 3]]], atol=1e-6
    )  # both the same way round


def test_gltf_sparse_accessors_and_texture_transforms(tmp_path: Path) -> None:
    path = _gltf(tmp_path / "a.gltf", primitive={"mode": 6}, TEXCOORD_0=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], "<f4"),
                 at=np.array([[2]], "u1"), new=np.array([[5, 6, 7]], "<f4"))  # fmt: skip
    document = json.loads(path.read_text())
    sparse = {"count": 1, "indices": {"bufferView": 2, "componentType": 5121}, "values": {"bufferView": 3}}
    document["accessors"][0]["sparse"] = sparse
    for name in ("at", "new"):
        del document["meshes"][0]["primitives"][0]["attributes"][name]
    transform = {"KHR_texture_transform": {"offset": [0.25, 0], "scale": [0.5, 2]}}
    document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "extensions": transform}}}]
    document["meshes"][0]["primitives"][0]["material"] = 0
    document["textures"], picture = [{"source": 0}], base64.b64encode(_half_red_half_blue()).decode()
    document["images"] = [{"uri": "data:image/png;base64," + picture}]
    path.write_text(json.dumps(document))
    surface = read_surface(path)
    assert surface.corners[0].tolist() == [[-1, -1, 0], [1, -1, 0], [5, 6, 7]] and surface.uvs is not None
    np.testing.assert_allclose(surface.uvs[0], [[0.25, 2], [0.75, 2], [0.75, 0]])
    assert surface.textures[0][0, 0].tolist() == [255, 0, 0]
    assert not read_surface(path, painted=False).textures


def test_obj_polygons_negative_indices_normals_and_vertex_colours(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 1 1 1\nvn 0 0 2\nvn 1 0 0\n"
                                    "f -4//1 -3//1 \\\n-2//1 -1//2\n")  # fmt: skip
    surface = read_surface(tmp_path / "a.obj")
    assert surface.corners[1].tolist() == [[0, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert surface.colours[1].tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 1]]
    assert surface.normals is not None and surface.normals[1].tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0]]


def test_obj_textures_by_windows_paths_other_cases_and_options(tmp_path: Path) -> None:
    (tmp_path / "Maps").mkdir()
    (tmp_path / "Maps" / "My Paint.PNG").write_bytes(_half_red_half_blue())
    _obj(TEXTURED_OBJ, "newmtl m\nmap_Kd -s 2 0.5 1 -o 0.25 -mm 0 1 maps\\my paint.png\n")(tmp_path / "a.obj")
    with pytest.raises(G3dError, match="names the texture"):  # the folder's case is not tried
        read_surface(tmp_path / "a.obj")
    (tmp_path / "Maps").rename(tmp_path / "maps")
    surface = read_surface(tmp_path / "a.obj")
    assert surface.uvs is not None
    np.testing.assert_allclose(surface.uvs[0], [[0.25, 1], [2.25, 1], [2.25, 0.5]])
    assert surface.textures[0].shape == (8, 8, 3) and surface.colours.min() == 1


@pytest.mark.parametrize("where", ["vertex", "face"])
def test_ply_textures_and_normals(tmp_path: Path, where: str) -> None:
    (tmp_path / "t.png").write_bytes(_half_red_half_blue())
    head = "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 4\n"
    head += "".join(
        f"property float {n}\n" for n in ("x", "y", "z", "nx", "ny", "nz", *(("s", "t") if where == "vertex" else ()))
    )
    head += "element face 1\nproperty list uchar int vertex_indices\n"
    head += "property list uchar float texcoord\n" if where == "face" else ""
    corner = [f"{x} {y} {z} 0 0 3" for x, y, z in SQUARE[0]]
    uvs = ["0 0", "1 0", "1 1", "0 1"]
    body = [f"{c} {t}" if where == "vertex" else c for c, t in zip(corner, uvs, strict=True)]
    face = "4 0 1 2 3" + (" 8 " + " ".join(uvs) if where == "face" else "")
    (tmp_path / "a.ply").write_text(head + "end_header\n" + "\n".join([*body, face]) + "\n")
    surface = read_surface(tmp_path / "a.ply")
    assert surface.normals is not None and surface.normals[0, 0].tolist() == [0, 0, 1]
    rgb = _from_plus_z(surface)
    assert rgb[5, 8, 0] > 120 > rgb[5, 8, 2] and rgb[11, 8, 2] > 120 > rgb[11, 8, 0]


def test_off_of_modelnet_with_colours_of_faces_and_text_stl(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_text("OFF4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n")
    assert read_surface(tmp_path / "a.off").colours[:, 0].tolist() == [[1, 0, 0], [0, 0, 1]]
    (tmp_path / "a.stl").write_text("solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 2e0 0\n"
                                    "endloop\nendfacet\nendsolid a\n")  # fmt: skip
    assert read_surface(tmp_path / "a.stl").corners.tolist() == [[[0, 0, 0], [1, 0, 0], [0, 2, 0]]]


def test_textures_keep_their_colours_under_an_alpha_channel(tmp_path: Path) -> None:
    """Exporters leave an alpha channel of zeros that no renderer looks at."""
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[..., 1] = 200
    stream = io.BytesIO()
    Image.fromarray(clear).save(stream, "PNG")
    _obj(TEXTURED_OBJ, TEXTURED_MTL, t=stream.getvalue())(tmp_path / "a.obj")
    assert read_surface(tmp_path / "a.obj").textures[0].reshape(-1, 3).tolist() == [[0, 200, 0]] * 16


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wedge as GLB, and one with three photographs of one colour each."""
    root = tmp_path_factory.mktemp("square")
    (root / "in").mkdir()
    _glb(root / "in" / "wedge.glb", [[-1, -1, 0], [1, -1, 0], [1, 1, 0.5], [-1, 1, 0]], SQUARE[1])
    _glb(root / "in" / "moved.glb", *SQUARE, translation=[5, 6, 7])
    (root / "photos" / "b").mkdir(parents=True)
    for name, colour in (("a.png", (250, 10, 20)), ("b/c.jpg", (10, 240, 30)), ("d.png", (5, 10, 245))):
        Image.new("RGB", (90, 60), colour).save(root / "photos" / name, quality=95)
    return root


def test_photographs_lie_behind_the_object_and_change_nothing_else(square: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"views": 6, "test_views": 1, "size": 24, "workers": 1}
    run(Options("meshes", str(square / "in"), tmp_path / "plain", **words))
    words["backgrounds"] = square / "photos"
    run(Options("meshes", str(square / "in"), tmp_path / "one", **words))
    plain, data = open_dataset(tmp_path / "plain"), open_dataset(tmp_path / "one")
    colours = {"a.png": (250, 10, 20), "b/c.jpg": (10, 240, 30), "d.png": (5, 10, 245)}
    names = [name for entry in data.info["objects"] for name in entry["backgrounds"]]
    assert len(names) == 14 and set(names) == set(colours)
    for view, name in enumerate(names):
        np.testing.assert_array_equal(data.mask(view), plain.mask(view))
        np.testing.assert_array_equal(data.depth_world(view), plain.depth_world(view))
        mask, white, photo = data.mask(view)[..., None] / 255, plain.pictures([view])[0], data.pictures([view])[0]
        assert (mask == 0).any() and (mask == 1).any() and ((mask > 0) & (mask < 1)).any()
        expected = white + (1 - mask) * (np.array(colours[name]) - 255.0)  # coverage blends
        np.testing.assert_allclose(photo, expected, atol=4)
    own = meshes.Options(views=6, test_views=1, size=24, backgrounds=square / "photos")
    alone = (
        meshes.collect(Request(str(square / "in"), own)).items[1].make()
    )  # whichever process makes it, in whatever order
    assert [v.files() for v in alone.views] == [
        {n: data.raw(n, 7 + i) for n in ("images", "masks", "depth")} for i in range(7)
    ]
    (square / "empty").mkdir()
    with pytest.raises(G3dError, match="holds no images"):
        run(Options("meshes", str(square / "in"), tmp_path / "no", **{**words, "backgrounds": square / "empty"}))


def test_cameras_of_a_sphere_and_of_a_file(square: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"workers": 1, "size": 20}
    run(Options("meshes", str(square / "in"), tmp_path / "all", views=12, test_views=4, cameras="sphere", **words))
    around = open_dataset(tmp_path / "all")
    assert around.cameras is not None and around.camera_prior.elevation_deg == (-90, 90)
    heights = around.cameras.c2w[:, 1, 3]
    assert heights[around.view_split == 0].min() < -0.5 and heights.max() > 0.5
    assert heights[around.view_split == 1].min() < -0.5
    first = around.cameras[list(range(3))]
    write_transforms(tmp_path / "c.json", first, ["a", "b", "c"])
    run(Options("meshes", str(square / "in"), tmp_path / "file", cameras=f"file:{tmp_path / 'c.json'}", workers=1))
    again = open_dataset(tmp_path / "file")
    assert again.cameras is not None and again.view_split.tolist() == [0] * 6 and again.info["width"] == 20
    np.testing.assert_allclose(again.cameras.c2w, torch.cat([first.c2w] * 2), atol=1e-6)
    for view in range(3):  # the same cameras, the same picture
        np.testing.assert_array_equal(again.pictures([view]), around.pictures([view]))
        np.testing.assert_allclose(again.depth_world(view), around.depth_world(view), atol=1e-4)
    run(
        Options(
            "meshes",
            str(square / "in"),
            tmp_path / "half",
            cameras=f"file:{tmp_path / 'c.json'}",
            **{**words, "size": 10},
        )
    )
    assert open_dataset(tmp_path / "half").info["height"] == 10
    for changes, sentence in (({"views": 3}, "leave out --views 3"), ({"cameras": "hemisfere"}, "did you mean 'hemisphere'"),
                              ({"cameras": "file:no.json"}, "no.json' does not exist")):  # fmt: skip
        given = {"cameras": f"file:{tmp_path / 'c.json'}", **changes}
        with pytest.raises(G3dError, match=sentence):
            run(Options("meshes", str(square / "in"), tmp_path / "no", workers=1, **given))


def test_up_turns_the_object_and_says_so(square: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _glb(folder / "tall.glb", [[0, 0, 0], [1, 0, 0], [0, 0, 4], [0, 2, 0]], [[0, 1, 2], [0, 1, 3], [0, 2, 3]])
    run(Options("meshes", str(folder), tmp_path / "out", up="z", views=1, test_views=0, size=16, workers=1))
    data = open_dataset(tmp_path / "out")
    low, high = np.array(data.bounds)
    sides = (high - low) / (high - low).max()
    np.testing.assert_allclose(sides, [0.25, 1, 0.5], atol=0.01)
    turn, entry = np.array(data.info["world"]["source_to_world"]), data.info["objects"][0]
    np.testing.assert_allclose(turn @ [0, 0, 1], [0, 1, 0], atol=1e-12)
    top = (turn @ [0, 0, 4] - entry["centre"]) * entry["scale"]
    assert top[1] == pytest.approx(high[1] - 0.03 / 1.06 * (high - low)[1], abs=1e-3)
    with pytest.raises(G3dError, match="--up is 'auto'; of meshes it is one of x, y, z"):
        run(Options("meshes", str(folder), tmp_path / "no", up="auto"))


def test_normals_are_those_of_the_world(square: Path, tmp_path: Path) -> None:
    run(
        Options("meshes", str(square / "in"), tmp_path / "out", views=4, test_views=0, size=24, normals=True, workers=1)
    )
    data = open_dataset(tmp_path / "out")
    assert data.cameras is not None and data.object_names[0] == "moved"
    for view in range(4):
        found, eye = data.normals(view), data.cameras.c2w[view, :3, 3].numpy()
        hit = data.depth_world(view) > 0
        assert hit.any() and not found[~hit].any()
        facing = np.array([0, 0, 1.0 if eye[2] > 0 else -1.0])  # the square lies in z = 0
        np.testing.assert_allclose(found[hit], np.tile(facing, (hit.sum(), 1)), atol=1 / 127)


def test_a_changed_texture_or_background_makes_another_item(tmp_path: Path) -> None:
    """ShapeNet's layout, where textures lie beside the folder of the mesh, and one with textures below it."""
    folder, photos = tmp_path / "in", tmp_path / "photos"
    for name in ("in/a/models", "in/a/images", "in/b/models", "in/b/models/maps", "photos"):
        (tmp_path / name).mkdir(parents=True)
    for name in "ab":
        (folder / name / "models/m.obj").write_text("v 0 0 0\n")
    places = [folder / "a/images/t.png", folder / "a/models/m.mtl", folder / "b/models/maps/t.png", photos / "p.png"]
    for place in places:
        place.write_bytes(_half_red_half_blue())

    def stamps() -> list[str]:
        return [i.stamp for i in meshes.collect(Request(str(folder), meshes.Options(backgrounds=photos))).items]

    before = stamps()
    for place, changes in zip(places, ([True, False], [True, False], [False, True], [True, True]), strict=True):
        place.write_bytes(place.read_bytes() + b"more")
        assert [x != y for x, y in zip(before, stamps(), strict=True)] == changes, place
        before = stamps()
