"""EG3D's dataset.json: the same rays and pictures again, from folder and zip; every bad label refused by its picture."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request, eg3d
from g3d.steps.prepare_data import Options, run
from posed_scene import check_points, look_from, scene, write_eg3d

FACES = np.stack([look_from(a, e, 2.7) for a, e in ((-20, 5), (-8, -3), (0, 0), (12, 8), (25, -6))])


def _prepare(source: Path, out: Path, **options: Any) -> Any:
    run(Options("eg3d", str(source), out, workers=1, **options))
    return open_dataset(out)


def _zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def test_the_same_rays_and_pictures_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    made = scene(c2w=FACES)
    folder = write_eg3d(tmp_path / "in", made)
    (folder / "LICENSE.txt").write_text("free for all")
    data = _prepare(folder, tmp_path / "a")
    np.testing.assert_allclose(data.cameras.c2w.numpy(), made.c2w, atol=1e-6)
    np.testing.assert_allclose(data.cameras.intrinsics.numpy(), made.k, atol=1e-4)
    assert (data.pictures(range(5)) == made.rgb).all()
    assert data.object_names[0] == "00000/img00000000" and len(data.object_names) == 5
    assert data.info["licence"] == "LICENSE.txt: free for all"
    assert data.camera_prior.distribution == "normal" and data.info["world"]["source_up"] == [0, 1, 0]
    check_points(data.pictures(range(5)), data.cameras.c2w.double().numpy(), data.cameras.intrinsics.double().numpy())
    packed = _prepare(_zipped(folder, tmp_path / "in.zip"), tmp_path / "b")
    assert packed.info["digest"] == data.info["digest"] and packed.info["licence"] == data.info["licence"]


def test_folders_may_hold_the_views_of_one_object(tmp_path: Path) -> None:
    names = ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/2.png"]
    folder = write_eg3d(tmp_path / "in", scene(), names)
    data = _prepare(folder, tmp_path / "out", group="folder", size=24)
    assert data.object_names == ["a", "b"] and data.view_object.tolist() == [0, 0, 1, 1, 1]
    assert data.pictures([4]).shape == (1, 24, 24, 3)
    assert data.camera_prior.distribution == "area"
    with pytest.raises(G3dError, match="--group is 'class'; it is one of none, folder"):
        _prepare(folder, tmp_path / "c", group="class")


def test_transparent_pictures_and_the_box(tmp_path: Path) -> None:
    made = scene()
    data = _prepare(write_eg3d(tmp_path / "in", made, white=False), tmp_path / "out", box=1.1)
    assert (data.pictures(range(5)) == made.rgb).all() and (data.mask(2) == made.alpha[2]).all()
    assert data.bounds == ((-1.1,) * 3, (1.1,) * 3)


def test_a_world_with_another_axis_up(tmp_path: Path) -> None:
    made = scene()
    theirs = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) @ made.c2w
    folder = write_eg3d(tmp_path / "in", type(made)(theirs, made.k, made.rgb, made.alpha, made.depth_world))
    data = _prepare(folder, tmp_path / "out")
    np.testing.assert_allclose(data.cameras.c2w.numpy(), made.c2w, atol=1e-6)
    kept = _prepare(folder, tmp_path / "kept", up="y")
    np.testing.assert_allclose(kept.cameras.c2w.numpy(), theirs, atol=1e-6)
    back = np.array(data.info["world"]["world_to_source"])
    np.testing.assert_allclose(back @ data.cameras.c2w.double().numpy(), theirs, atol=1e-6)


def _relabelled(folder: Path, number: int, change: Any) -> Path:
    """`change` of the label of picture `number`; None takes the label away."""
    table = json.loads((folder / "dataset.json").read_text())
    if change is None:
        del table["labels"][number]
    else:
        table["labels"][number] = change(*table["labels"][number])
    (folder / "dataset.json").write_text(json.dumps(table))
    return folder


def _with(at: int, value: Any) -> Any:
    return lambda name, label: [name, [*label[:at], value, *label[at + 1 :]]]


BAD = {
    "listed but absent": (lambda name, label: ["00000/gone.png", label], "00000/gone.png' is listed in dataset.json but is not"),
    "without a label": (None, "has no label in dataset.json"),
    "16 numbers": (lambda name, label: [name, label[:16]], "has 16 numbers, wanted are the 25"),
    "a class": (lambda name, label: [name, 3], "has 1 numbers, wanted are the 25"),
    "words": (_with(4, "x"), "is not one of numbers"),
    "NaN": (_with(3, math.nan), "has numbers that are not finite"),
    "mirror": (lambda name, label: [name, [-v if i % 4 == 0 and i < 12 else v for i, v in enumerate(label)]], "is left-handed"),
    "singular": (lambda name, label: [name, [0 if i % 4 == 0 and i < 12 else v for i, v in enumerate(label)]], "is singular"),
    "scale": (lambda name, label: [name, [2 * v if i < 12 else v for i, v in enumerate(label)]], "scales or shears"),
    "focal 0": (_with(16, 0.0), "focal lengths are above 0"),
    "skew": (_with(17, 0.1), "without skew"),
    "pixels": (_with(18, 256.0), "divided by the picture's size"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_labels_are_refused_by_their_picture_or_skipped(tmp_path: Path, kind: str) -> None:
    change, words = BAD[kind]
    folder = _relabelled(write_eg3d(tmp_path / "in", scene(3, 16, 16)), 1, change)
    with pytest.raises(G3dError, match=words) as caught:
        _prepare(folder, tmp_path / "out")
    assert ("img00000001.png" in str(caught.value) or "gone.png" in str(caught.value)) and not (
        tmp_path / "out"
    ).exists()
    data = _prepare(folder, tmp_path / "out", skip_bad=True)
    names = {"listed but absent": ["00000/img00000000", "00000/img00000002"]}
    assert data.object_names == names.get(kind, ["00000/img00000000", "00000/img00000002"])
    assert words.split("'")[-1].strip() in " ".join(data.info["provenance"]["skipped"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"), ('{"labels": null}', "cannot be read"), ("[]", "cannot be read"), ("{}", "KeyError"),
        ('{"labels": []}', "lists no pictures"), ('{"labels": [["a.png", [1]], ["a.png", [1]]]}', "lists 'a.png' twice"),
        ('{"labels": [["a.png"]]}', "cannot be read"), (None, "has no dataset.json"),
    ],
)  # fmt: skip
def test_a_bad_list_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    images.write_image(tmp_path / "in" / "a.png", np.zeros((8, 8, 3), np.uint8))
    if text is not None:
        (tmp_path / "in" / "dataset.json").write_text(text)
    with pytest.raises(G3dError, match=words):
        _prepare(tmp_path / "in", tmp_path / "out")


def test_a_file_that_is_no_zip_and_damaged_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(G3dError, match=r"a\.zip"):
        _prepare(tmp_path / "a.zip", tmp_path / "out")
    folder = write_eg3d(tmp_path / "in", scene(3, 16, 16))
    cut = folder / "00000" / "img00000002.png"
    cut.write_bytes(cut.read_bytes()[:200])
    for source in (folder, _zipped(folder, tmp_path / "in.zip")):
        with pytest.raises(G3dError, match=r"img00000002\.png"):
            _prepare(source, tmp_path / "out")


def test_a_zip_with_a_path_that_leaves_the_folder_and_one_that_unpacks_to_too_much(tmp_path: Path) -> None:
    packed = _zipped(write_eg3d(tmp_path / "in", scene(2, 16, 16)), tmp_path / "in.zip")
    with pytest.raises(G3dError, match=r"in\.zip' unpacks to .* --max-unpacked-gb"):
        _prepare(packed, tmp_path / "out", max_unpacked_gb=1e-6)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../evil.png", b"x")
    with pytest.raises(G3dError, match=r"in\.zip' holds '\.\./evil\.png', a path that leaves the folder"):
        _prepare(packed, tmp_path / "out")


def test_where_no_label_can_be_used_it_is_said_at_once(tmp_path: Path) -> None:
    folder = _relabelled(write_eg3d(tmp_path / "in", scene(1, 8, 8)), 0, lambda name, label: [name, []])
    with pytest.raises(G3dError, match=r"has 0 numbers.*so it is with all 1 pictures"):
        _prepare(folder, tmp_path / "out", skip_bad=True)


def test_a_hundred_thousand_labels_are_listed_quickly(tmp_path: Path) -> None:
    """Only the list is read before the work begins: the pictures are one and the same file, linked."""
    made = scene(1, 8, 8)
    folder = write_eg3d(tmp_path / "in", made, ["0.png"])
    label = json.loads((folder / "dataset.json").read_text())["labels"][0][1]
    names = [f"{i:05d}.png" for i in range(3000)]
    for name in names:
        (folder / name).hardlink_to(folder / "0.png")
    (folder / "dataset.json").write_text(json.dumps({"labels": [[n, label] for n in ["0.png", *names]]}))
    collection = eg3d.collect(Request(str(folder), eg3d.Options()))
    assert len(collection.items) == 3001 and collection.pictures == 3001
    assert collection.items[7].make().columns["c2w"].shape == (1, 4, 4)
