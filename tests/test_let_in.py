"""Nothing is let in from outside of an input's folder, and no input is work without end: paths, zips, links, pipes, pixels."""

import base64
import json
import os
import resource
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.errors import G3dError
from g3d.evaluation import feature_cache
from g3d.evaluation.pictures import plain_rgb
from g3d.sources.surfaces import mesh_files
from g3d.storage import named
from PIL import Image
from test_bad_files import PLACES

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (3 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("name", "up", "allowed"),
    [
        ("a.png", 0, True), ("b/../a.png", 0, True), ("./a", 0, True), ("../a.png", 0, False), ("b/../../a", 0, False),
        ("/etc/passwd", 0, False), ("../images/a.png", 1, True), ("../../a.png", 1, False), ("/dev/zero", 1, False),
        ("a\0b", 0, False), ("..", 0, False), ("....", 0, True), ("{inside}/a.png", 0, True), ("../in", 0, True),
        ("../inner/a", 0, False),
    ],
)  # fmt: skip
def test_the_one_rule(name: str, up: int, allowed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "x" / "in"
    name = name.format(inside=folder)
    if allowed:
        assert named.inside(folder, name, "the file", up) == folder / name
    else:
        with pytest.raises(G3dError, match="outside"):
            named.inside(folder, name, "the file", up)


def gltf(path: Path, uri: str, picture: str | None = None, **more: Any) -> Path:
    """One triangle in a buffer of its own, painted by a picture."""
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    painted = {"materials": [material], "textures": [{"source": 0}], "images": [{"uri": picture}]} if picture else {}
    primitive = {"attributes": {"POSITION": 0}, **({"material": 0} if picture else {})}
    document = {
        "asset": {"version": "2.0"}, "buffers": [{"uri": uri, "byteLength": 36}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "meshes": [{"primitives": [primitive]}], "nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}], **painted, **more,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


DATA = "data:application/octet-stream;base64," + base64.b64encode(TRIANGLE).decode()
OBJ = "mtllib {library}\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
OUTSIDE = ("{outside}", "../../outside", "../in/../../outside")


@pytest.mark.parametrize("way", OUTSIDE)
def test_mesh_files_reach_nothing_outside(way: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "all" / "in", tmp_path / "outside"
    folder.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(outside, format="PNG")
    name = way.format(outside=outside)
    meshes = [gltf(folder / "a.gltf", name), gltf(folder / "b.gltf", DATA, name)]
    (folder / "c.obj").write_text(OBJ.format(library=name))
    (folder / "own.mtl").write_text(f"newmtl a\nmap_Kd {name}\n")
    (folder / "d.obj").write_text(OBJ.format(library="own.mtl"))
    header = "ply\nformat ascii 1.0\ncomment TextureFile {}\nelement vertex 3\n"
    header += (
        "".join(f"property float {axis}\n" for axis in "xyzst")
        + "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    (folder / "e.ply").write_text(header.format(name) + "0 0 0 0 0\n1 0 0 1 0\n0 1 0 0 1\n3 0 1 2\n")
    for mesh in [*meshes, folder / "c.obj", folder / "d.obj", folder / "e.ply"]:
        with pytest.raises(G3dError, match="outside"):
            mesh_files.read_surface(mesh)


def test_one_level_up_is_where_shapenet_has_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "images" / "t.png")
    (tmp_path / "models" / "a.mtl").write_text("newmtl a\nmap_Kd ../images/t.png\n")
    (tmp_path / "models" / "a.obj").write_text(OBJ.format(library="a.mtl"))
    surface = mesh_files.read_surface(tmp_path / "models" / "a.obj")
    assert len(surface.textures) == 1 and surface.textures[0][0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("what", ["device", "pipe", "large"])
def test_a_buffer_that_never_ends(what: str, tmp_path: Path) -> None:
    """By a link inside the folder, which may be there."""
    place = tmp_path / "endless"
    if what == "device":
        place.symlink_to("/dev/zero")
    elif what == "pipe":
        os.mkfifo(place)
    else:
        with place.open("wb") as stream:
            stream.truncate(named.FILE_MOST + 1)
    (tmp_path / "a.obj").write_text(OBJ.format(library="endless"))
    for mesh in (gltf(tmp_path / "a.gltf", "endless"), gltf(tmp_path / "b.gltf", DATA, "endless"), tmp_path / "a.obj"):
        with pytest.raises(G3dError, match="endless"):
            mesh_files.read_surface(mesh)


def test_frames_name_only_what_lies_inside(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for place in (tmp_path / "secret.png", folder / "a.png", folder / "b.png"):
        Image.new("RGB", (8, 8)).save(place)
    pose = np.eye(4)
    pose[2, 3] = 3
    for key in ("file_path", "mask_path", "depth_file_path"):
        for name in ("../secret.png", str(tmp_path / "secret.png")):
            frames = [{"file_path": "a.png", "transform_matrix": pose.tolist(), key: name}]
            (folder / "transforms.json").write_text(json.dumps({"w": 8, "h": 8, "fl_x": 8, "frames": frames}))
            done = g3d("prepare-data", "transforms", folder, "--workers", 1, "--out", tmp_path / "data")
            refused(done, "secret.png")
            assert not (tmp_path / "data").exists()


def shared_nodes(levels: int) -> dict[str, Any]:
    """Each node holds the next one twice: 2^levels ways down, in a line each."""
    return {"nodes": [*({"children": [i + 1, i + 1]} for i in range(levels)), {"mesh": 0}]}


def test_a_graph_of_two_to_the_forty_paths(tmp_path: Path) -> None:
    assert len(mesh_files.read_surface(gltf(tmp_path / "a.gltf", DATA, **shared_nodes(3))).corners) == 8
    with pytest.raises(G3dError, match="more than 100000 nodes"):
        mesh_files.read_surface(gltf(tmp_path / "b.gltf", DATA, **shared_nodes(40)))
    circle = {"nodes": [{"children": [1]}, {"children": [0], "mesh": 0}]}
    with pytest.raises(G3dError, match="within itself"):
        mesh_files.read_surface(gltf(tmp_path / "c.gltf", DATA, **circle))


def large_png(path: Path, width: int, height: int) -> Path:
    """A grey picture of many pixels in few bytes."""
    packer = zlib.compressobj(9)
    row = packer.compress(bytes(1 + width))
    return png(
        path,
        width,
        height,
        b"".join([row, *(packer.compress(bytes(1 + width)) for _ in range(height - 1)), packer.flush()]),
    )


def png(path: Path, width: int, height: int, packed: bytes, colours: int = 0) -> Path:
    """A picture of 8 bits, of grey (0) or RGB (2), that says this size, whatever its packed rows hold."""
    said = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    body = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(d, zlib.crc32(k)))
        for k, d in ((b"IHDR", said), (b"IDAT", packed), (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_a_picture_is_measured_before_it_is_decoded(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bomb = large_png(folder / "a.png", 13_300, 13_300)  # 177 Mpx
    shutil.copy(bomb, folder / "b.png")
    assert bomb.stat().st_size < 300_000
    monkeypatch.setattr(Image.Image, "load", lambda *words: pytest.fail("it was decoded"))
    words = "has 13300x13300 pixels, more than"
    for read in (images.read_image, images.read_grey):
        with pytest.raises(G3dError, match=words):
            read(bomb)
    refused(g3d("sheet", folder, "--out", tmp_path / "s.png"), words, "G3D_MAX_PIXELS")
    refused(g3d("prepare-data", "images", folder, "--size", 8, "--workers", 1, "--out", tmp_path / "d"), words)
    refused(g3d("eval-fid", folder, folder, "--extractor", "random", "--cache", "none"), words)
    with pytest.raises(G3dError, match="13300x13300"):
        mesh_files.read_surface(gltf(folder / "a.gltf", DATA, "a.png"))


def test_a_png_holds_the_pixels_that_it_says(tmp_path: Path) -> None:
    rows = zlib.compress(bytes((1 + 3 * 16) * 16))
    small = png(tmp_path / "a.png", 16, 1 << 19, rows, 2)  # Pillow makes the rows that are not there black
    for read in (images.read_image, images.read_grey, lambda path: plain_rgb(path.read_bytes(), str(path))):
        with pytest.raises(
            G3dError, match=rf"says 16x524288 pixels, which its {small.stat().st_size} bytes cannot hold"
        ):
            read(small)
    whole = png(
        tmp_path / "b.png", 1000, 4000, zlib.compress(bytes((1 + 3 * 1000) * 4000), 9), 2
    )  # as dense as it can be
    assert images.read_image(whole).shape == (4000, 1000, 3)


def test_a_palette_that_is_not_there(tmp_path: Path) -> None:
    picture = png(tmp_path / "a.png", 4, 4, zlib.compress(bytes(5 * 4)), 3)  # Pillow asserts that there is one
    with pytest.raises(G3dError, match=r"the image '.*a\.png' cannot be read"):
        images.read_image(picture)
    with pytest.raises(G3dError, match=r"the texture 'a\.png' .* cannot be read"):
        mesh_files.read_surface(gltf(tmp_path / "a.gltf", DATA, "a.png"))


def test_the_bound_of_pixels_may_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    for most, fits in (("99", False), ("100", True), ("", True), ("many", True)):
        monkeypatch.setenv("G3D_MAX_PIXELS", most)
        if fits:
            assert images.read_image(tmp_path / "a.png").shape == (10, 10, 3)
        else:
            with pytest.raises(G3dError, match="more than 99"):
                images.read_image(tmp_path / "a.png")
    assert images.PIXELS_MOST > 11_648 * 8_736  # the largest camera that people carry


def endless(kind: str, place: Path) -> Path:
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    return place


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("place", list(PLACES))
def test_no_input_is_read_that_never_ends(place: str, kind: str, pipeline: Pipeline, tmp_path: Path) -> None:
    bad = endless(kind, tmp_path / "bad_input")
    words = () if place == "eval-fid extractor" else (f"is a {kind}",)  # that one wants another option first
    refused(g3d(*PLACES[place](bad, pipeline, tmp_path / "out")), "bad_input", *words)


def test_files_inside_an_input_that_never_end(pipeline: Pipeline, tmp_path: Path) -> None:
    """A picture of a folder, a file of a dataset, of a run: looked at before it is opened."""
    data, run = tmp_path / "data", tmp_path / "run"
    for name in ("dataset.json", "cameras.safetensors", "images/000001.png"):
        shutil.copytree(pipeline.data, data)
        (data / name).unlink()
        os.mkfifo(data / name)
        done = g3d(
            "fit-stage1", "mnif", "--preset", "smoke", "--data", data, "--out", tmp_path / "out", "--device", "cpu"
        )
        assert done.code == 2 and done.err.splitlines()[-1].startswith("g3d: ") and "Traceback" not in done.err
        shutil.rmtree(data)
    for name in ("config.json", "log.jsonl", "metrics.json", "model.safetensors"):
        shutil.copytree(pipeline.model, run)
        (run / name).unlink()
        os.mkfifo(run / name)
        for words in (["report", run, "--out", tmp_path / "r.html"], ["info", run]):
            done = g3d(*words)
            assert done.code in (0, 2) and "Traceback" not in done.err
        shutil.rmtree(run)
        (tmp_path / "r.html").unlink(missing_ok=True)


def test_a_cache_entry_that_is_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "e.safetensors")
    said: list[str] = []

    class Says:
        log = staticmethod(said.append)

    entry = feature_cache.Entry(tmp_path / "e.safetensors", {"extractor": "random"})
    assert feature_cache.load(entry, Says()) is None  # type: ignore[arg-type]
    feature_cache.save(entry, np.zeros((1, 2), np.float32), Says())  # type: ignore[arg-type]
    assert len(said) == 2 and all("pipe" in sentence for sentence in said)


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:evil.png"])
def test_zips_that_leave_their_folder_are_read_by_nobody(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    import io

    bytes_of = io.BytesIO()
    Image.new("RGB", (8, 8)).save(bytes_of, format="PNG")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.png", bytes_of.getvalue())
        archive.writestr(name, bytes_of.getvalue())
    z = tmp_path / "z.zip"
    refused(g3d("sheet", z, "--out", tmp_path / "s.png"), "z.zip", "leaves the folder")
    refused(g3d("eval-fid", z, pipeline.data, "--extractor", "random"), "z.zip", "leaves the folder")
    refused(g3d("eval-recon", z, z), "z.zip", "leaves the folder")
    refused(g3d("prepare-data", "images", z, "--size", 8, "--out", tmp_path / "o"), "z.zip", "leaves the folder")


@pytest.mark.parametrize("what", ["file", "folder", "parent"])
def test_what_may_not_be_read_gets_advice_about_permissions(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may read everything, so the system's answer is made up here."""
    place = tmp_path / "in"
    if what == "folder":
        place.mkdir()
    else:
        place.write_text("x")
    if what == "parent":
        stat: Callable[..., Any] = Path.stat

        def refuses(path: Path, **more: Any) -> Any:
            if path == place:
                raise PermissionError(13, "Permission denied", str(path))
            return stat(path, **more)

        monkeypatch.setattr(Path, "stat", refuses)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    for words in (["info", place], ["sheet", place, "--out", tmp_path / "s.png"]):
        refused(g3d(*words), "permissions")


def test_a_dataset_of_more_views_than_there_can_be(pipeline: Pipeline, tmp_path: Path) -> None:
    shutil.copytree(pipeline.data, tmp_path / "data")
    place = tmp_path / "data" / "dataset.json"
    for views in (2**31, 10**30):
        place.write_text(json.dumps({**json.loads(place.read_text()), "views": views}))
        refused(g3d("sheet", f"{tmp_path / 'data'}:train", "--out", tmp_path / "s.png"), "dataset.json", "damaged")


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="longer than a name can be"):
        named.inside(tmp_path, name, "a frame")


def test_a_zip_with_a_member_without_a_name(pipeline: Pipeline, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as odd:
        for name in ("a.png", "b.png", "x"):
            odd.writestr(name, (pipeline.data / "images" / "000000.png").read_bytes())
        odd.infolist()[2].filename = ""
    for words in (["sheet"], ["eval-fid", pipeline.data, "--extractor", "random"], ["prepare-data", "images"]):
        done = g3d(*words, tmp_path / "odd.zip", "--out", tmp_path / "out.png")
        refused(done, "odd.zip", "without a name")
