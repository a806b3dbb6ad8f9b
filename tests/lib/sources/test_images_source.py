"""Folders and zips of pictures as a source: classes, order, names, mirrored copies, licences, and what is refused."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images as pictures
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Collection, Request
from g3d.sources import images as source
from g3d.steps.prepare_data import Options, run
from PIL import Image

FOUR = {"b/2.png": (200, 0, 0), "a/1.jpg": (0, 200, 0), "a/x/10.webp": (0, 0, 200), "c/4.tif": (9, 9, 9)}


def put(folder: Path, colours: Mapping[str, tuple[int, ...]], size: tuple[int, int] = (12, 10)) -> Path:
    for name, colour in colours.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(folder / name)
    return folder


def packed(folder: Path, zipped: Path) -> Path:
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(path, path.relative_to(folder))
    return zipped


def collected(path: Path, **options: Any) -> Collection:
    return source.collect(Request(str(path), source.Options(**options)))


def prepared(path: Path, out: Path, **options: Any) -> Dataset:
    run(Options("images", str(path), out, workers=1, **options))
    return open_dataset(out)


def test_classes_are_subfolders_and_objects_are_in_order(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    for junk in (".DS_Store", "a/.hidden.png", "__MACOSX/a/1.jpg", "notes.txt", ".git/x.png"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(b"junk")
    (folder / "LICENSE.txt").write_text("Free  to\nuse.")
    data = prepared(folder, tmp_path / "out", size=8)
    assert data.object_names == ["a/1", "a/x/10", "b/2", "c/4"]
    assert data.info["names"] == {"class": ["a", "b", "c"]} and data.labels["class"].tolist() == [0, 0, 1, 2]
    assert data.info["objects"][1] == {"name": "a/x/10", "file": "a/x/10.webp", "class": "a", "split": "train"}
    assert data.info["licence"] == "LICENSE.txt: Free to use." and data.info["name"] == "in"
    assert data.cameras is None and [data.info["width"], data.info["height"]] == [8, 8]
    wanted = [FOUR[f"{n}{s}"] for n, s in zip(data.object_names, (".jpg", ".webp", ".png", ".tif"), strict=True)]
    np.testing.assert_allclose(data.pictures(range(4)).astype(int)[:, 3, 3], wanted, atol=5)


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    (folder / "COPYING.md").write_text("CC0")
    one = prepared(folder, tmp_path / "one", size=8)
    two = prepared(packed(folder, tmp_path / "in.zip"), tmp_path / "two", size=8)
    assert one.digest == two.digest and one.info["objects"] == two.info["objects"] and two.info["name"] == "in"
    assert two.info["licence"] == "COPYING.md: CC0" and two.info["names"] == one.info["names"]


def test_one_folder_around_all_is_no_class(tmp_path: Path) -> None:
    inside = put(tmp_path / "in", {f"photos/all/{name}": colour for name, colour in FOUR.items()})
    found = collected(inside)
    assert found.names == {"class": ["a", "b", "c"]} and found.items[0].name == "photos/all/a/1"
    assert collected(put(tmp_path / "flat", {"p/1.png": (0, 0, 0), "p/2.png": (0, 0, 0)})).names == {}
    assert collected(put(tmp_path / "root", {"1.png": (0, 0, 0)})).names == {}


def test_equal_names_keep_their_suffix(tmp_path: Path) -> None:
    found = collected(put(tmp_path, {"1.png": (0, 0, 0), "1.jpg": (0, 0, 0), "1.b.png": (0, 0, 0)}))
    assert [item.name for item in found.items] == ["1.b", "1.jpg", "1.png"]


@pytest.mark.parametrize("zipped", [False, True])
def test_labels_of_stylegan2_ada(zipped: bool, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    labels = [["c/4.tif", 0], ["a/1.jpg", 3], ["a/x/10.webp", 1], ["b/2.png", 3]]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    data = prepared(packed(folder, tmp_path / "in.zip") if zipped else folder, tmp_path / "out", size=8)
    assert data.labels["class"].tolist() == [3, 1, 3, 0] and data.info["names"]["class"] == ["0", "1", "2", "3"]
    (folder / "dataset.json").write_text('{"labels": null}')
    found = collected(folder)
    assert found.names == {} and not found.items[0].make().columns


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ('{"labels": [["a/1.jpg", 0], ["gone.png", 1]]}', "lists 'gone.png', which is not there"),
        ('{"labels": [["a/1.jpg", 0]]}', "no label for 'a/x/10.webp'"),
        ('{"labels": [["a/1.jpg", %s]]}', "the source 'eg3d'"),
        ('{"labels": [["a/1.jpg", -1]]}', r"label -1 for 'a/1\.jpg'"),
        ('{"labels": [["a/1.jpg", 1.5]]}', "a class is a whole number"),
        ('{"labels": [["a/1.jpg"]]}', "not the list of labels"),
        ('{"labels": 7}', "not the list of labels"),
        ("[1", "not the list of labels"),
        ('{"format": "g3d/dataset@1"}', "a dataset already"),
    ],
)
def test_wrong_labels_are_refused(labels: str, words: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    (folder / "dataset.json").write_text(labels.replace("%s", str([0.5] * 25)))
    with pytest.raises(G3dError, match=words):
        collected(folder)


def test_transparent_pictures_lie_on_the_background(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"1.png": (100, 0, 0, 0), "2.png": (100, 0, 0, 255)})
    for background, value in (("white", 255), ("black", 0)):
        data = prepared(folder, tmp_path / background, size=8, background=background)
        assert data.info["background"] == [value / 255] * 3
        assert data.pictures([0, 1])[:, 4, 4].tolist() == [[value] * 3, [100, 0, 0]]
    with pytest.raises(G3dError, match="--background is 'grey'; it must be white or black"):
        collected(folder, background="grey")


def test_a_picture_is_its_middle_square(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = np.arange(10, dtype=np.uint8)[:, None] * 20 + 40
    pictures.write_image(tmp_path / "in/1.png", wide)
    np.testing.assert_array_equal(prepared(tmp_path / "in", tmp_path / "out", size=10).pictures([0])[0], wide[:, 10:20])


def test_mirrored_copies(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    pictures.write_image(tmp_path / "in/a.png", noise)
    data = prepared(tmp_path / "in", tmp_path / "out", size=8, mirror=True)
    assert data.object_names == ["a", "a-mirrored"] and data.info["objects"][1]["mirrored"] is True
    np.testing.assert_array_equal(data.pictures([1])[0], noise[:, ::-1])
    np.testing.assert_array_equal(data.pictures([0])[0], noise)
    pictures.write_image(tmp_path / "in/a-mirrored.png", noise)
    with pytest.raises(G3dError, match="'a-mirrored' beside 'a' already"):
        collected(tmp_path / "in", mirror=True)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_bad_picture_is_named_or_left_out(zipped: bool, tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    whole = pictures.encode(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8))
    (folder / "b/2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "a/1.jpg").write_text("<html>moved</html>")
    path = packed(folder, tmp_path / "in.zip") if zipped else folder
    with pytest.raises(G3dError, match=r"a/1\.jpg' is a web page"):
        run(Options("images", str(path), tmp_path / "out", size=8, workers=1))
    assert not (tmp_path / "out").exists()
    data = prepared(path, tmp_path / "out", size=8, skip_bad=True)
    assert data.object_names == ["a/x/10", "c/4"] and data.info["names"]["class"] == ["a", "b", "c"]
    skipped = data.info["provenance"]["skipped"]
    assert len(skipped) == 2 and "a/1.jpg" in skipped[0] and "b/2.png' cannot be read" in skipped[1]


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(G3dError, match=r"empty' holds no pictures"):
        collected(tmp_path / "empty")
    with pytest.raises(G3dError, match=r"gone' does not exist"):
        collected(tmp_path / "gone")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(G3dError, match=r"a\.txt' is not a zip"):
        collected(tmp_path / "a.txt")
    with pytest.raises(G3dError, match="needs the folder or zip"):
        source.collect(Request(None, source.Options()))
    stray = put(tmp_path / "stray", {"a/1.png": (0, 0, 0), "2.png": (0, 0, 0)})
    with pytest.raises(G3dError, match=r"'2\.png' of .* has none"):
        collected(stray)


def test_a_harmful_zip_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.png", b"x")
    with pytest.raises(G3dError, match="leaves the folder"):
        collected(tmp_path / "a.zip")
    folder = put(tmp_path / "in", FOUR)
    with pytest.raises(G3dError, match="--max-unpacked-gb"):
        collected(packed(folder, tmp_path / "b.zip"), max_unpacked_gb=1e-7)


def test_another_content_has_another_stamp(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", FOUR)
    for _ in range(2):
        before = [item.stamp for item in collected(folder).items]
        assert before == [item.stamp for item in collected(folder).items] and all(before)
    put(folder, {"b/2.png": (200, 0, 1)}, (13, 10))
    after = [item.stamp for item in collected(folder).items]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True]
    one, two = (
        packed(put(tmp_path / n, {"1.bmp": c}), tmp_path / f"{n}.zip") for n, c in (("p", (1, 1, 1)), ("q", (2, 2, 2)))
    )
    assert collected(one).items[0].stamp != collected(two).items[0].stamp


def test_ten_thousand_pictures_are_listed_at_once(tmp_path: Path) -> None:
    """Nothing is decoded when a zip is listed: its members are no pictures at all."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(10_000):
            archive.writestr(zipfile.ZipInfo(f"{i % 7}/{i:05d}.png"), b"")
    found = collected(tmp_path / "a.zip")
    assert len(found.items) == found.pictures == 10_000 and len(found.names["class"]) == 7


def test_the_photographs(shared_data: Path, tmp_path: Path) -> None:
    found = collected(shared_data / "photos", size=32)
    assert len(found.items) == 300
    assert found.names["class"] == ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    made = [found.items[i].make() for i in range(0, 300, 20)]
    assert [int(m.columns["class"][0]) for m in made] == [i // 60 for i in range(0, 300, 20)]
    compared = 0
    for item, m in zip(found.items[::20], made, strict=True):
        with Image.open(shared_data / "photos" / m.entry["file"]) as whole:
            if whole.info.get("icc_profile"):
                continue
            compared += 1
            side = min(whole.size)
            left, top = (whole.width - side) // 2, (whole.height - side) // 2
            box = (left, top, left + side, top + side)
            slow = whole.convert("RGB").crop(box).resize((32, 32), Image.Resampling.LANCZOS)
        fast = Image.open(io.BytesIO(m.views[0].picture))
        assert np.abs(np.asarray(slow).astype(float) - np.asarray(fast)).mean() < 1.5, item.name
    assert compared >= 5


def test_an_item_with_another_class_is_another_item(tmp_path: Path) -> None:
    """A preparation that was interrupted does not mix old and new classes."""
    folder = put(tmp_path / "in", {"1.png": (1, 1, 1), "2.png": (2, 2, 2)})

    def stamps(*classes: int) -> list[str]:
        (folder / "dataset.json").write_text(json.dumps({"labels": [["1.png", classes[0]], ["2.png", classes[1]]]}))
        return [item.stamp for item in collected(folder).items]

    before, after = stamps(0, 1), stamps(1, 1)
    assert before[0] != after[0] and before[1] == after[1] and stamps(0, 1) == before
