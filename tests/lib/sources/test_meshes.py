"""Mesh files: colours and textures the right way up, parts in their places, damaged files refused by name."""

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
from g3d.dataset import open_dataset
from g3d.errors import G3dError
from g3d.sources.mesh_files import read_surface
from g3d.sources.raycast import Caster
from g3d.sources.surface import Surface, normalised
from g3d.steps.prepare_data import Options, run
from PIL import Image

CARS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "cars"
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
    with pytest.raises(G3dError, match="none of the 1 meshes can be used"):
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
    camera = data.camera_prior._at(torch.tensor([90.0]), torch.tensor([0.0]))  # from its side
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
    with pytest.raises(G3dError, match=r"b\.gltf' cannot be read"):
        read_surface(tmp_path / "b.gltf")
