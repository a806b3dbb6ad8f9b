"""A dataset folder written and opened again; damaged ones refused; the order of items."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3d import images
from g3d.cameras import CameraPrior
from g3d.data.columns import FORMAT, Made, View
from g3d.data.opening import open_dataset
from g3d.data.order import step_items
from g3d.data.writer import Writer
from g3d.errors import G3dError

PRIOR = CameraPrior(radius_world=2.0, fov_deg=45.0, width=3, height=2)
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (5, 2, 3, 3)).astype(np.uint8)
MASKS = RNG.integers(0, 256, (5, 2, 3)).astype(np.uint8)
DEPTHS = RNG.integers(0, 65536, (5, 2, 3)).astype(np.uint16)
NORMALS = RNG.integers(1, 256, (5, 2, 3, 3)).astype(np.uint8)
OWN = {"cup": [0, 1], "jar": [2, 3, 4]}  # the views of each object
SPLIT = np.array([0, 1, 0, 0, 1], np.uint8)
INFO: dict[str, Any] = {
    "name": "toy", "width": 3, "height": 2, "background": [1, 1, 1], "licence": "CC0", "provenance": "made here",
    "depth_scale": 0.001,
    "bounds": [[-1, -1, -1], [1, 2, 1]], "shape_bounds": [[-1, -1, -1], [1, 1, 1]], "camera_prior": PRIOR.as_json(),
}  # fmt: skip


def item(name: str, flipped: int = -1) -> Made:
    pictures = PICTURES ^ (np.arange(5) == flipped)[:, None, None, None]
    views = [View(*(images.encode(kind[v]) for kind in (pictures, MASKS, DEPTHS, NORMALS))) for v in OWN[name]]
    cameras = PRIOR.sample(0, OWN[name])
    grid = np.zeros((4, 4, 4), np.uint8)
    grid[0, 1, 2] = name == "jar"
    columns = {
        "c2w": cameras.c2w.numpy(), "intrinsics": cameras.intrinsics.numpy(), "split": SPLIT[OWN[name]],
        "class": np.full(len(OWN[name]), len(name)), "landmarks": np.full((len(OWN[name]), 68, 2), 0.5),
    }  # fmt: skip
    return Made(views, columns, {"occupancy_bits": np.packbits(grid)}, {"colour": name[0]})


def write(folder: Path, flipped: int = -1, *, zipped: bool = False) -> str:
    folder.mkdir(exist_ok=True)
    writer = Writer(folder)
    for name in OWN:
        writer.add(name, item(name, flipped))
    return writer.close(INFO, ["train", "test"], zipped=zipped)


def alone(folder: Path, count: int, names: tuple[str, ...] = ("one",)) -> Writer:
    """A dataset of pictures without cameras: `count` of each object."""
    writer = Writer(folder)
    for name in names:
        writer.add(name, Made([View(images.encode(PICTURES[v])) for v in range(count)]))
    return writer


@pytest.mark.parametrize("zipped", [False, True])
def test_what_the_writer_wrote_opens_again(zipped: bool, tmp_path: Path) -> None:
    digest = write(tmp_path / "data", zipped=zipped)
    data = open_dataset(tmp_path / "data")
    kinds = ["depth", "images", "masks", "normals"]
    stored = sorted(f"{k}.zip" for k in kinds) if zipped else kinds
    assert sorted(p.name for p in data.path.iterdir()) == sorted(
        ["cameras.safetensors", "dataset.json", "labels.safetensors", "shapes.safetensors", *stored]
    )
    assert data.digest == digest and data.object_names == ["cup", "jar"]
    assert [o["colour"] for o in data.info["objects"]] == ["c", "j"]
    assert data.bounds == ((-1, -1, -1), (1, 2, 1)) and data.camera_prior == PRIOR
    assert data.objects("train") == [0] and data.objects("test") == [1]
    assert data.views(1).tolist() == [2, 3, 4] and data.views(1, "train").tolist() == [2, 3]
    assert data.views(0, "test").tolist() == [1]
    np.testing.assert_array_equal(data.pictures([4, 0]), PICTURES[[4, 0]])
    np.testing.assert_array_equal(data.pictures(data.views(0)), PICTURES[:2])
    np.testing.assert_array_equal(data.mask(3), MASKS[3])
    np.testing.assert_allclose(data.depth_world(2), DEPTHS[2] * 0.001, rtol=1e-6)
    np.testing.assert_allclose(data.normals(2), NORMALS[2] / 127.5 - 1, atol=1e-6)
    assert data.raw("images", 4) == images.encode(PICTURES[4]) and data.raw("inverse_depth", 4) is None
    assert data.cameras is not None and torch.equal(data.cameras.c2w, PRIOR.sample(0, range(5)).c2w)
    assert data.labels["class"].tolist() == [3] * 5 and data.labels["landmarks"].shape == (5, 68, 2)
    assert np.argwhere(data.occupancy(1)).tolist() == [[0, 1, 2]] and not data.occupancy(0).any()
    info = json.loads((tmp_path / "data/dataset.json").read_text())
    assert info["format"] == FORMAT and info["views"] == 5


def test_the_digest_follows_the_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a")
    assert write(tmp_path / "b") == first and write(tmp_path / "c", flipped=2) != first
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")) for n in "ab"]
    assert files[0] == files[1]
    for file in files[0]:
        if (tmp_path / "a" / file).is_file():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert write(tmp_path / "z", zipped=True) == first  # how it is stored is not what it holds


def test_pictures_alone_make_a_dataset(tmp_path: Path) -> None:
    alone(tmp_path, 2, ("one", "two")).close(INFO, ["train", "test"])
    data = open_dataset(tmp_path)
    assert data.cameras is None and data.view_object.tolist() == [0, 0, 1, 1]
    assert data.view_split.tolist() == [0, 0, 1, 1]  # without a split of its own a view has that of its object
    assert data.labels == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset.json", "images", "labels.safetensors"]


def test_solids_alone_make_a_dataset(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    points = np.arange(12, dtype=np.float16).reshape(4, 3) / 16
    for number in range(3):
        bits = np.packbits(np.arange(64) % 3 == number)
        writer.add(
            f"o{number}", Made(shape={"occupancy_bits": bits, "points": points + number, "labels": np.eye(4)[number]})
        )
    writer.close({**INFO, "width": 0, "height": 0})
    data = open_dataset(tmp_path)
    assert data.info["views"] == 0 and sorted(p.name for p in tmp_path.iterdir()) == [
        "dataset.json",
        "shapes.safetensors",
    ]
    found, labels = data.points(2)
    np.testing.assert_array_equal(found, (points + 2).astype(np.float32))
    assert labels.tolist() == [0, 0, 1, 0] and data.occupancy(1).sum() == 21
    with pytest.raises(G3dError, match="has no images"):
        data.pictures([0])


def test_solids_whose_file_was_damaged_are_refused(tmp_path: Path) -> None:
    """One whose header lies about a tensor's place, one that was cut, one of more cells than bits."""
    writer = Writer(tmp_path)
    writer.add("o", Made(shape={"occupancy_bits": np.packbits(np.arange(64) % 3 == 0)}))
    writer.close({**INFO, "width": 0, "height": 0})
    place = tmp_path / "shapes.safetensors"
    whole, data = place.read_bytes(), open_dataset(tmp_path)
    assert data.occupancy(0).shape == (4, 4, 4)
    for damaged, sentence in (
        (whole.replace(b'"data_offsets":[0,8]', b'"data_offsets":[1,8]'), "is damaged"),
        (whole[:-3], "truncated"),
        (
            whole.replace(b'\\"cells\\":4', b'\\"cells\\":5').replace(b'\\"cells\\": 4', b'\\"cells\\": 5'),
            "5 cells a side",
        ),
    ):
        assert damaged != whole
        place.write_bytes(damaged)
        with pytest.raises(G3dError, match=sentence):
            open_dataset(tmp_path).occupancy(0)


def test_a_zip_that_is_not_stored_or_was_cut(tmp_path: Path) -> None:
    write(tmp_path, zipped=True)
    place = tmp_path / "images.zip"
    whole = place.read_bytes()
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("000000.png", images.encode(PICTURES[0]))
    assert "compressed" in refused(tmp_path)
    place.write_bytes(whole[:-30])
    assert "images.zip" in refused(tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(G3dError) as caught:
        open_dataset(folder)
    assert caught.value.exit_code == 2 and str(folder) in str(caught.value)
    return str(caught.value)


def test_folders_that_are_no_datasets(tmp_path: Path) -> None:
    assert "no dataset.json" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    assert "not a dataset folder" in refused(tmp_path / "file")


def test_a_missing_picture(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "images/000003.png").unlink()
    assert "4 of the 5 pictures" in refused(tmp_path)
    images.write_image(tmp_path / "images/000009.png", PICTURES[0])  # the count is right, the picture is not
    assert "not '000003.png'" in refused(tmp_path)
    images.write_image(tmp_path / "images/000003.png", PICTURES[3])
    assert "'000009.png', which is no view" in refused(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    (tmp_path / "images").rmdir()
    assert "0 of the 5 pictures" in refused(tmp_path)


def test_a_picture_of_another_size(tmp_path: Path) -> None:
    write(tmp_path)
    images.write_image(tmp_path / "images/000001.png", PICTURES[0][:1])
    with pytest.raises(G3dError, match=r"000001\.png' has size \(1, 3, 3\).*\(2, 3, 3\)"):
        open_dataset(tmp_path).pictures([0, 1])


def test_as_many_cameras_as_views(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "images/000004.png").unlink()
    info = {**json.loads((tmp_path / "dataset.json").read_text()), "views": 4}
    (tmp_path / "dataset.json").write_text(json.dumps(info))
    assert "4 views but 5" in refused(tmp_path)
    (tmp_path / "labels.safetensors").unlink()
    assert "4 views but 5 cameras" in refused(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"views": "many"}, {"views": None}, {"views": -1}, {"views": 1e400}, {"objects": 5}, {"objects": ["cup"]},
     {"objects": [{"name": "cup"}, {"name": "jar"}]}, {"objects": [{"name": n, "split": "no"} for n in OWN]},
     {"objects": [{"name": "cup", "split": "train"}]},
     {"width": "x"}, {"format": "g3d/dataset@2"}, {"format": 3}],
)  # fmt: skip
def test_a_description_of_the_wrong_form(changes: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path)
    info = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**info, **changes}))
    assert "dataset.json" in refused(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"bounds": "no"}, {"bounds": [[-1, -1], [1, 1]]}, {"bounds": [[-1, -1, 1], [1, 1, 1]]}, {"bounds": [0, 1]},
     {"bounds": [[-1, -1, "a"], [1, 1, 1]]}, {"bounds": [[-1, -1, -1], [1, 1, 1e400]]}, {"bounds": None},
     {"background": [1, 1]}, {"background": "white"}, {"background": [0, 0, 255]}, {"background": [True, 1, 1]},
     {"depth_scale": 0}, {"depth_scale": "1"}, {"depth_scale": True}, {"depth_scale": 1e400}, {"near_world": -1},
     {"near_world": 3, "far_world": 3}, {"far_world": []}, {"names": [1]}, {"names": {"class": 3}},
     {"camera_prior": {"radius": 3}}, {"camera_prior": [1, 2]}, {"camera_prior": {**PRIOR.as_json(), "fov_deg": 0}}],
)  # fmt: skip
def test_a_value_of_the_wrong_form_is_named(changes: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path)
    info = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**info, **changes}))
    sentence = refused(tmp_path)
    assert "dataset.json" in sentence and next(iter(changes)) in sentence


def test_depth_whose_steps_mean_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    info = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({k: v for k, v in info.items() if k != "depth_scale"}))
    assert "has depth, but not what its steps mean (depth_scale in dataset.json)" in refused(tmp_path)
    (tmp_path / "depth").rename(tmp_path / "inverse_depth")
    assert "inverse_depth_range in labels.safetensors" in refused(tmp_path)


@pytest.mark.parametrize("key", ["width", "height"])
def test_cameras_of_another_size(key: str, tmp_path: Path) -> None:
    write(tmp_path)
    info = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**info, key: 7}))
    sentence = refused(tmp_path)
    assert "cameras.safetensors" in sentence and f"says {key} 7" in sentence


def test_a_damaged_description(tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / "dataset.json").read_text()
    (tmp_path / "dataset.json").write_text(text[:-20])
    assert "dataset.json' is not valid JSON" in refused(tmp_path)
    info = json.loads(text)
    del info["digest"]
    (tmp_path / "dataset.json").write_text(json.dumps(info))
    assert "lacks digest" in refused(tmp_path)


def test_what_a_dataset_without_cameras_cannot_say(tmp_path: Path) -> None:
    alone(tmp_path, 1).close({k: v for k, v in INFO.items() if k not in ("camera_prior", "depth_scale", "bounds")})
    data = open_dataset(tmp_path)
    with pytest.raises(G3dError, match="camera_prior"):
        _ = data.camera_prior
    for read in (data.mask, data.depth_world, data.normals):
        with pytest.raises(G3dError, match=r"has no (masks|depth|normals)"):
            read(0)
    for ask in (data.occupancy, data.points):
        with pytest.raises(G3dError, match=r"holds no (occupancy_bits|points)"):
            ask(0)


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (4, 4), (3, 8), (1, 2), (10, 1)])
def test_each_epoch_covers_every_item_exactly_once(count: int, batch: int) -> None:
    steps = [step_items(count, batch, 5, s) for s in range(count * 3)]
    assert all(len(s) == batch for s in steps)
    order = torch.cat(steps)  # count * 3 * batch items: whole epochs
    epochs = order.view(-1, count)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(count).expand(3 * batch, count))
    if count > 3:
        assert len({tuple(e.tolist()) for e in epochs}) > 1  # each epoch has its own order


def test_step_items_is_a_pure_function() -> None:
    forward = [step_items(9, 4, 1, s).tolist() for s in range(30)]
    assert [step_items(9, 4, 1, s).tolist() for s in reversed(range(30))] == forward[::-1]  # past the small cache
    assert [step_items(9, 4, 2, s).tolist() for s in range(30)] != forward
    assert [step_items(9, 2, 1, 2 * s + k).tolist() for s in range(30) for k in (0, 1)] == [
        half for full in forward for half in (full[:2], full[2:])
    ]  # two processes with half the batch each take the same items
