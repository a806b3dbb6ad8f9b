"""What systems and programs leave beside pictures is counted by no reader; what is left out for its kind is told, listed and
counted; a zip made of a folder is read as that folder."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import g3d
from g3d import images
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.evaluation import pairs, shape_files
from g3d.images import encode, image_set
from g3d.scenes.scene_file import save_scene, scene_files
from g3d.sources import Request, meshes, srn, transforms
from g3d.steps.prepare_data import Options, run
from g3d.storage import foreign
from PIL import Image, features
from posed_scene import scene, write_eg3d, write_ngp, write_srn
from toy_scenes import gaussians

JUNK = (
    "._a.png",
    "__MACOSX/._a.png",
    "sub/.ipynb_checkpoints/a-checkpoint.png",
    ".DS_Store",
    "Thumbs.db",
    "@eaDir/a.png",
)
LABELS = [["00000/a.png", 0], ["00000/b.png", 2], ["00001/c.png", 1]]


def _png(colour: int) -> bytes:
    return encode(np.full((8, 8, 3), colour, np.uint8))


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _labelled(labels: Any, lead: str = "") -> dict[str, bytes]:
    pictures = {f"{lead}{name}": _png(40 * i) for i, (name, _) in enumerate(LABELS)}
    return {**pictures, f"{lead}dataset.json": json.dumps({"labels": labels}).encode()}


def _prepare(source: str, path: Path, out: Path, **options: Any) -> Any:
    return run(Options(source, str(path), out, workers=1, **options))


@pytest.mark.parametrize(("name", "meant"), [
    ("a/b.png", True), ("._a.png", False), ("a/._b.png", False), ("__MACOSX/a.png", False), (".git/a.png", False),
    ("a/Thumbs.db", False), ("./a.png", True), ("x/@eaDir/a.png", False), ("desktop.ini", False), ("a..b/c.png", True),
])  # fmt: skip
def test_the_rule(name: str, meant: bool) -> None:
    assert foreign.is_foreign(name) is not meant and foreign.is_foreign(Path(name)) is not meant


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_or_a_zip_of_pictures_holds_those_that_somebody_means(tmp_path: Path, zipped: bool) -> None:
    files = {"a.png": _png(1), "sub/b.png": _png(2), **dict.fromkeys(JUNK, b"junk")}
    place = _zip(tmp_path / "in.zip", files) if zipped else _write(tmp_path / "in", files)
    found = image_set(place)
    assert found.names == ("a.png", "sub/b.png") and [int(p[0, 0, 0]) for p in found.stream()] == [1, 2]
    assert sorted(pairs.side(place, "the pictures").schemes["file"]) == ["a", "sub/b"]


def test_scenes_shapes_and_objects_are_those_that_somebody_means(tmp_path: Path) -> None:
    save_scene(tmp_path / "scenes" / "000000.safetensors", gaussians())
    _write(tmp_path / "scenes", {"._000000.safetensors": b"junk"})
    assert [p.name for p in scene_files(tmp_path / "scenes")] == ["000000.safetensors"]
    _write(tmp_path / "plys", {"a.ply": b"ply", "._a.ply": b"junk", "._b.npy": b"junk"})
    assert shape_files.open_shapes(tmp_path / "plys", "the shapes").names == ("a",)
    _write(
        tmp_path / "mesh", {"a.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "._a.obj": b"junk", ".x/b.obj": b"junk"}
    )
    assert [p.name for p in meshes.mesh_files(tmp_path / "mesh")] == ["a.obj"]
    made = scene(3)
    _write(write_srn(tmp_path / "srn" / "one", made), {"rgb/._000000.png": b"junk", "pose/._000000.txt": b"junk"})
    _prepare("srn", tmp_path / "srn", tmp_path / "srn-out")
    assert len(open_dataset(tmp_path / "srn-out").pictures(range(3))) == 3
    write_ngp(tmp_path / "tf" / "one", made)
    _write(tmp_path / "tf", {".ipynb_checkpoints/transforms.json": b"junk"})
    found = transforms.collect(Request(str(tmp_path / "tf"), transforms.Options()))
    assert [item.name for item in found.items] == ["one"]
    assert srn.collect(Request(str(tmp_path / "srn"), srn.Options())).items[0].name == "one"


@pytest.mark.parametrize("lead", ["", "set/", "a/b/"])
@pytest.mark.parametrize(
    "labels", [LABELS, dict(LABELS), [[n, float(v)] for n, v in LABELS], [[f"./{n}", [v]] for n, v in LABELS]]
)  # type: ignore[misc, has-type]
def test_labels_are_read_from_the_folder_that_a_zip_is_made_of(tmp_path: Path, lead: str, labels: Any) -> None:
    beside = {f"__MACOSX/{lead}._dataset.json": b"junk", "LICENSE": b"Free.", "README.md": b"Pictures."}
    _prepare("images", _zip(tmp_path / "in.zip", {**_labelled(labels, lead), **beside}), tmp_path / "out", size=8)
    data = open_dataset(tmp_path / "out")
    assert data.labels["class"].tolist() == [0, 2, 1] and data.object_names == ["00000/a", "00000/b", "00001/c"]
    assert "Free." in data.info["licence"]
    _prepare("images", _write(tmp_path / "in", _labelled(labels, lead)), tmp_path / "out2", size=8)
    assert open_dataset(tmp_path / "out2").digest == data.digest


@pytest.mark.parametrize("label", [0.5, -1.0, True, "1", [1, 2], None])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, label: Any) -> None:
    place = _zip(tmp_path / "in.zip", _labelled([[n, label] for n, _ in LABELS]))
    with pytest.raises(G3dError, match="a class is a whole number"):
        _prepare("images", place, tmp_path / "out", size=8)


def test_cameras_of_a_zip_from_a_mac(tmp_path: Path) -> None:
    made = scene(4)
    place = write_eg3d(tmp_path / "ffhq", made)
    names = [p.relative_to(tmp_path).as_posix() for p in sorted(place.rglob("*")) if p.is_file()]
    files = {n: (tmp_path / n).read_bytes() for n in names}
    files |= {f"__MACOSX/{n.rsplit('/', 1)[0]}/._{n.rsplit('/', 1)[1]}": b"junk" for n in names}
    _prepare("eg3d", _zip(tmp_path / "in.zip", files), tmp_path / "out")
    data = open_dataset(tmp_path / "out")
    np.testing.assert_allclose(data.cameras.c2w.numpy(), made.c2w, atol=1e-6)
    assert (data.pictures(range(4)) == made.rgb).all() and data.object_names[0] == "00000/img00000000"


def test_what_is_left_out_for_its_kind_is_told_listed_and_counted(tmp_path: Path) -> None:
    files = {"a.png": _png(1), "b.HEIC": b"x", "c.heic": b"x", "d.cr2": b"x", "notes.txt": b"x", "README": b"x"}
    place, out = _write(tmp_path / "in", files), tmp_path / "out"
    done = g3d("prepare-data", "images", place, "--size", 8, "--workers", 1, "--out", out, "--json")
    told = [line for line in done.err.splitlines() if "left out" in line]
    assert len(told) == 1 and "2 files .heic" in told[0] and "1 files .cr2" in told[0] and "pillow-heif" in told[0]
    (raw, heic) = json.loads(done.out)["left_out"].values()
    assert (heic, raw) == (["b.HEIC", "c.heic"], ["d.cr2"])
    assert open_dataset(out).info["provenance"]["left_out"] == json.loads(done.out)["left_out"]
    with pytest.raises(G3dError, match=r"holds no pictures .*2 files \.heic"):
        _prepare("images", _write(tmp_path / "none", {"a.heic": b"x", "b.heic": b"x"}), tmp_path / "out2")
    assert "files .heic" in " ".join(pairs.side(place, "the pictures").notes)


@pytest.mark.parametrize(("suffix", "kind"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("ppm", "PPM"), ("pgm", "PPM"), ("tga", "TGA"),
                                             ("JPG", "JPEG"), ("avif", "AVIF")])  # fmt: skip
def test_pictures_of_rarer_suffixes(tmp_path: Path, suffix: str, kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    place = tmp_path / "in"
    place.mkdir()
    picture = Image.new("L" if suffix == "pgm" else "RGB", (8, 8), 90 if suffix == "pgm" else (90, 90, 90))
    picture.save(place / f"a.{suffix}", kind)
    assert image_set(place).names == (f"a.{suffix}",)
    assert np.abs(images.read_image(place / f"a.{suffix}").astype(int) - 90).max() <= 3
    _prepare("images", place, tmp_path / "out", size=8)
    assert np.abs(open_dataset(tmp_path / "out").pictures([0]).astype(int) - 90).max() <= 3


def test_a_zip_of_a_folder_is_paired_with_the_folder(tmp_path: Path) -> None:
    files = {"a.png": _png(1), "b.png": _png(2)}
    folder = _write(tmp_path / "in", files)
    zipped = _zip(tmp_path / "in.zip", {f"in/{n}": data for n, data in files.items()})
    for first, second in ((folder, zipped), (zipped, zipped), (zipped, folder)):
        found = pairs.pair(pairs.side(first, "true"), pairs.side(second, "test"))
        assert [p.name.rsplit("/", 1)[-1] for p in found.pairs] == ["a", "b"]
