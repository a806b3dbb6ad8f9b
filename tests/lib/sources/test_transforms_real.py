"""transforms.json as people have it: photographs that lie on their side, frames without a picture, lists of splits, masks of 0
and 1, lists of distortion. The right value is where known points of a scene are seen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import g3d
from g3d import images
from g3d.cameras import read_transforms
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources.posed.split_names import shares
from g3d.sources.posed.undistort import distorted, lens_of
from g3d.steps.prepare_data import Options, run
from PIL import Image
from posed_scene import alike, check_points, scene, write_eg3d, write_nerfstudio, write_ngp, write_srn

SHARED = alike(scene(6))
NAMES = [f"images/{i:04d}.png" for i in range(6)]


def _prepare(source: Path, out: Path, kind: str = "transforms", **options: Any) -> Any:
    run(Options(kind, str(source), out, workers=1, **options))
    return open_dataset(out)


def _seen(data: Any, margin_px: float = 0.7) -> None:
    """Points of the scene lie on their own colour, within 0.7 px."""
    views = range(data.info["views"])
    cameras = data.cameras
    check_points(
        data.pictures(views), cameras.c2w.double().numpy(), cameras.intrinsics.double().numpy(), margin_px=margin_px
    )


def _edited(folder: Path, **more: Any) -> Path:
    place = folder / "transforms.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **more}), encoding="utf-8")
    return folder


def _lying(folder: Path, orientation: int, suffix: str = ".png") -> int:
    """Say of every picture in a folder that it lies on its side, and leave its pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    places = [p for p in folder.rglob("*.png") if p.parent.name not in ("masks", "depths")]
    for place in places:
        with Image.open(place) as picture:
            picture.load()
            place.unlink()
            picture.save(place.with_suffix(suffix), exif=exif)
    return len(places)


@pytest.mark.parametrize(("orientation", "suffix"), [(3, ".png"), (6, ".png"), (8, ".tif"), (6, ".tif"), (5, ".png")])
@pytest.mark.parametrize("kind", ["transforms", "srn", "eg3d"])
def test_posed_pictures_keep_their_stored_pixels(tmp_path: Path, kind: str, orientation: int, suffix: str) -> None:
    writers = {"transforms": write_ngp, "srn": write_srn, "eg3d": write_eg3d}
    place = tmp_path / "in" / "one"
    writers[kind](place, SHARED)
    assert _lying(place, orientation, suffix) == 6
    for table in place.glob("*.json"):
        table.write_text(table.read_text().replace(".png", suffix))
    done = g3d(
        "prepare-data", kind, place if kind != "srn" else place.parent, "--workers", 1, "--out", tmp_path / "out"
    )
    assert done.code == 0 and "the EXIF orientation of 6 pictures was not applied" in done.err, done.err
    data = open_dataset(tmp_path / "out")
    assert (data.pictures(range(6)) == SHARED.rgb).all()
    _seen(data)


def test_masks_and_depth_of_lying_pictures_keep_theirs(tmp_path: Path) -> None:
    place = write_nerfstudio(tmp_path / "in", SHARED)
    plain = _prepare(place, tmp_path / "plain")
    for folder in ("images", "masks"):
        _lying(place / folder if folder == "images" else place, 6)
    assert _prepare(place, tmp_path / "out").digest == plain.digest


def test_pictures_without_cameras_are_turned(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = 255
    images.write_image(tmp_path / "in" / "a.png", picture)
    _lying(tmp_path / "in", 6)
    assert (
        _prepare(tmp_path / "in", tmp_path / "out", "images", size=8).pictures([0])[0] == np.rot90(picture, -1)
    ).all()


def test_frames_whose_picture_is_absent_are_left_out_and_counted(tmp_path: Path) -> None:
    place = write_ngp(tmp_path / "fox", SHARED)
    (place / "images" / "0002.png").unlink()
    (place / "images" / "0004.png").rename(place / "images" / "0004.PNG")
    done = g3d("prepare-data", "transforms", place, "--workers", 1, "--out", tmp_path / "out", "--json")
    told = [line for line in done.err.splitlines() if "left out" in line]
    assert done.code == 0 and told == ["left out: 1 frames whose picture is not there ('fox/images/0002.png')"]
    listed = {"frames whose picture is not there": ["fox/images/0002.png"]}
    data = open_dataset(tmp_path / "out")
    assert done.json["left_out"] == listed == data.info["provenance"]["left_out"]
    kept = [0, 1, 3, 4, 5]
    assert (data.pictures(range(5)) == SHARED.rgb[kept]).all()
    np.testing.assert_allclose(data.cameras.c2w.numpy(), SHARED.c2w[kept], atol=1e-6)
    for picture in (place / "images").iterdir():
        picture.unlink()
    with pytest.raises(
        G3dError, match=r"none of the 6 frames of .* can be used \(left out: 6 frames whose picture is not"
    ):
        _prepare(place, tmp_path / "none")


def test_a_scene_is_not_dropped_for_one_frame(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a", "b"):
        write_ngp(root / name, SHARED)
    (root / "a" / "images" / "0001.png").write_bytes(b"damaged")
    table = json.loads((root / "a" / "transforms.json").read_text())
    table["frames"][3]["transform_matrix"][0][0] = 9.0
    (root / "a" / "transforms.json").write_text(json.dumps(table))
    with pytest.raises(G3dError, match="left-handed"):
        _prepare(root / "a", tmp_path / "strict")
    data = _prepare(root, tmp_path / "out", skip_bad=True)
    assert data.object_names == ["a", "b"] and [len(data.views(i)) for i in range(2)] == [4, 6]
    assert (data.pictures(data.views(0).tolist()) == SHARED.rgb[[0, 2, 4, 5]]).all()
    (early,) = data.info["provenance"]["left_out"]["frames that cannot be used"]
    (late,) = data.info["objects"][0]["left_out"]["frames that cannot be used"]
    assert "frame 3 of" in early and "0001.png" in late and data.info["provenance"]["skipped"] == []


def test_a_scene_of_srn_is_not_dropped_for_one_picture(tmp_path: Path) -> None:
    write_srn(tmp_path / "in" / "one", SHARED)
    (tmp_path / "in" / "one" / "rgb" / "000002.png").write_bytes(b"damaged")
    with pytest.raises(G3dError, match="is not an image"):
        _prepare(tmp_path / "in", tmp_path / "strict", "srn")
    assert (
        _prepare(tmp_path / "in", tmp_path / "out", "srn", skip_bad=True).pictures(range(5))
        == SHARED.rgb[[0, 1, 3, 4, 5]]
    ).all()


def _dotted(name: str) -> str:
    return "./" + name


def _windows(name: str) -> str:
    return ".\\" + name.replace("/", "\\").replace(".png", ".PNG")


@pytest.mark.parametrize("written", [str, _dotted, _windows])
def test_lists_of_splits(tmp_path: Path, written: Any) -> None:
    names = [written(n) for n in NAMES]
    place = _edited(
        write_ngp(tmp_path / "in", SHARED),
        train_filenames=names[:3],
        val_filenames=names[3:4],
        test_filenames=names[4:],
    )
    data = _prepare(place, tmp_path / "out")
    assert (data.pictures(range(5)) == SHARED.rgb[[0, 1, 2, 4, 5]]).all() and data.view_split.tolist() == [
        0,
        0,
        0,
        1,
        1,
    ]
    (reason,) = data.info["provenance"]["left_out"]
    assert reason.startswith("frames of val_filenames") and data.info["provenance"]["left_out"][reason] == [
        "in/" + NAMES[3]
    ]
    _edited(place, train_filenames=names[:4], val_filenames=names[4:], test_filenames=[])
    assert _prepare(place, tmp_path / "out2").view_split.tolist() == [0, 0, 0, 0, 1, 1]
    _edited(place, test_filenames=[names[0], "images/x.png"])
    with pytest.raises(
        G3dError, match=r"lists 'images/x.png' in test_filenames, which is the file_path of none of its 6 frames"
    ):
        _prepare(place, tmp_path / "out3")


def test_shares() -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    assert shares(names, {}, "x") == ["train"] * 4
    assert shares(names, {"train_filenames": ["b.png"]}, "x")[:2] == [
        shares(names, {"train_filenames": ["b.png"]}, "x")[3],
        "train",
    ]
    both = {"train_filenames": names, "test_filenames": ["c.png"]}
    assert shares(names, both, "x") == ["train", "train", "test", "train"], "what is for testing is never trained on"
    assert shares(["train/r_0", "train/r_1"], {"test_filenames": ["./train/r_1.png"]}, "x") == ["train", "test"]
    for bad in ("a.png", {"a.png": 1}, None):
        with pytest.raises(G3dError, match="is a list"):
            shares(names, {"train_filenames": bad}, "x")


@pytest.mark.parametrize("top", [1, 255, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_whose_largest_value_is_1_means_0_and_1(tmp_path: Path, top: int, dtype: Any) -> None:
    place = write_nerfstudio(tmp_path / "in", SHARED)
    unit = 257 if dtype == np.uint16 and top != 1 else 1
    for i, alpha in enumerate(SHARED.alpha):
        images.write_image(place / "masks" / f"frame_{i + 1:05d}.png", ((alpha > 0) * top * unit).astype(dtype))
    data = _prepare(place, tmp_path / "out")
    wanted = 255 if top == 1 else top
    for i, alpha in enumerate(SHARED.alpha):
        found = images.read_grey(tmp_path / "out" / "masks" / f"{i:06d}.png")
        assert (found == np.where(alpha > 0, wanted, 0)).all() and alpha.any()
    assert data.info["views"] == 6


def test_a_grey_mask_keeps_its_values() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (images.decode_mask(images.encode(ramp), "m") == ramp).all()
    assert (images.decode_mask(images.encode(ramp // 128), "m") == ramp // 128 * 255).all()
    assert (images.decode_mask(images.encode(np.zeros_like(ramp)), "m") == 0).all()


def test_a_list_of_distortion_is_that_of_its_names(tmp_path: Path) -> None:
    terms = dict(zip(("k1", "k2", "k3", "k4", "p1", "p2"), (0.5, 0.2, 0.01, 0.02, 0.02, -0.03), strict=True))
    place = write_ngp(tmp_path / "in", SHARED, **terms)
    named = _prepare(place, tmp_path / "named")
    table = json.loads((place / "transforms.json").read_text())
    table = {name: value for name, value in table.items() if name not in terms}
    (place / "transforms.json").write_text(json.dumps({**table, "distortion_params": list(terms.values())}))
    assert _prepare(place, tmp_path / "listed").digest == named.digest
    with pytest.raises(G3dError, match="distortion_params"):
        read_transforms(place / "transforms.json")
    (place / "transforms.json").write_text(json.dumps(table))
    assert _prepare(place, tmp_path / "straight").digest != named.digest


def test_a_fisheye_by_hand() -> None:
    """At 45 degrees the equidistant fisheye shows pi / 4 focal lengths from the middle."""
    lens = lens_of({"is_fisheye": True}, "x")
    assert lens is not None
    np.testing.assert_allclose(
        distorted(lens, np.array([1.0, 0.0]), np.array([0.0, 1.0]))[0], [np.pi / 4, 0], atol=1e-12
    )
    bent = lens_of({"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k4": 0.01}, "x")
    a = np.pi / 4
    assert bent is not None
    assert distorted(bent, np.array([1.0]), np.array([0.0]))[0][0] == pytest.approx(a * (1 + 0.1 * a**2 + 0.01 * a**8))


@pytest.mark.parametrize("more", [
    {"distortion_params": [0.1, 0, 0, 0]}, {"distortion": [0.1]}, {"k1": 0.2, "distortion_params": [0.1, 0, 0, 0, 0, 0]},
    {"is_fisheye": True, "p1": 0.1},
])  # fmt: skip
def test_distortion_of_unknown_meaning_is_refused_by_its_name(more: dict[str, Any]) -> None:
    with pytest.raises(G3dError, match=r"distortion|distortion_params|p1"):
        lens_of(more, "x")
    assert lens_of({"distortion_params": [0.0] * 6}, "x") is None and lens_of({"distortion": [0, 0]}, "x") is None


def test_a_mark_at_the_beginning_of_a_json_is_skipped(tmp_path: Path) -> None:
    place = write_ngp(tmp_path / "in", SHARED)
    (place / "transforms.json").write_text((place / "transforms.json").read_text(), encoding="utf-8-sig")
    _seen(_prepare(place, tmp_path / "out"))


def test_an_object_of_eg3d_is_not_dropped_for_one_picture(tmp_path: Path) -> None:
    place = write_eg3d(tmp_path / "in", SHARED)
    table = json.loads((place / "dataset.json").read_text())
    table["labels"][1][1] = table["labels"][1][1][:7]
    (place / "dataset.json").write_text(json.dumps(table))
    (place / "00000" / "img00000004.png").write_bytes(b"damaged")
    with pytest.raises(G3dError, match="has 7 numbers"):
        _prepare(place, tmp_path / "strict", "eg3d", group="folder")
    data = _prepare(place, tmp_path / "out", "eg3d", group="folder", skip_bad=True)
    assert (data.pictures(range(4)) == SHARED.rgb[[0, 2, 3, 5]]).all() and len(data.object_names) == 1
    told = data.info["objects"][0]["left_out"]["frames that cannot be used"]
    assert "has 7 numbers" in told[0] and "img00000004.png" in told[1] and len(told) == 2
