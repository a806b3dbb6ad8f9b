"""Mirrored items: a mirrored scene seen by the mirrored camera is the flipped picture, and so is all that lies beside it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.progress import SILENT
from g3d.sources import Collection, Item, Made, View
from g3d.sources.writing.collection import Plan, write
from g3d.sources.writing.mirror import LANDMARKS_MIRRORED, mirrored, with_mirrored

W, H, SCALE = 40, 30, 1e-3
RNG = np.random.default_rng(3)
POINTS = RNG.uniform(-1, 1, (300, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
COLOURS = RNG.integers(1, 256, (300, 3)).astype(np.uint8)
MIRROR = np.array([-1.0, 1, 1])
INTRINSICS = np.array([33.0, 35.0, 17.3, 15.9])  # not in the middle: fx fy cx cy


def camera(azimuth: float, elevation: float) -> np.ndarray:
    """c2w [4, 4] of a camera that looks nearly at the origin and is rolled, so that nothing is symmetric."""
    eye = 4 * np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    forward = np.array([0.1, 0.2, -0.1]) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.3, 1.0, 0.1])
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    c2w[:3, 3] = eye
    return c2w


def drawn(points: np.ndarray, normals: np.ndarray, c2w: np.ndarray, k: np.ndarray) -> dict[str, np.ndarray]:
    """Points as single pixels, the nearest one wins: pixel (u, v) covers [u, u + 1) x [v, v + 1)."""
    out = {
        "picture": np.full((H, W, 3), 255, np.uint8), "mask": np.zeros((H, W), np.uint8), "depth": np.zeros((H, W), np.uint16),
        "normals": np.zeros((H, W, 3), np.uint8),
    }  # fmt: skip
    inverse = np.linalg.inv(c2w)
    nearest = np.full((H, W), np.inf)
    for p, n, colour in zip(points, normals, COLOURS, strict=True):
        x, y, z = inverse[:3, :3] @ p + inverse[:3, 3]
        u, v = int(np.floor(k[0] * x / z + k[2])), int(np.floor(k[1] * y / z + k[3]))
        if 0 <= u < W and 0 <= v < H and z < nearest[v, u]:
            nearest[v, u] = z
            out["picture"][v, u], out["mask"][v, u], out["depth"][v, u] = colour, 255, round(z / SCALE)
            out["normals"][v, u] = np.floor((n + 1) / 2 * 255 + 0.5)
    return out


def layers(view: View) -> dict[str, np.ndarray]:
    assert view.mask and view.depth and view.normals
    return {
        "picture": images.decode(view.picture, "p"), "mask": images.decode_grey(view.mask, "m"),
        "depth": images.decode_grey(view.depth, "d"), "normals": images.decode(view.normals, "n"),
    }  # fmt: skip


def test_the_mirrored_camera_sees_the_mirrored_scene() -> None:
    poses = np.stack([camera(a, e) for a, e in ((0.3, 0.2), (2.0, -0.5), (-1.2, 1.1))])
    pictures = [drawn(POINTS, NORMALS, c2w, INTRINSICS) for c2w in poses]
    views = [View(**{name: images.encode(pixels) for name, pixels in p.items()}) for p in pictures]
    columns = {"c2w": poses, "intrinsics": np.repeat(INTRINSICS[None], 3, 0), "class": np.array([5, 6, 7])}
    found = mirrored(Made(views, columns, entry={"file": "a"}, box=([-1, -2, -3], [4, 5, 6])), W, H)
    assert found.entry == {"file": "a", "mirrored": True} and found.box == ([-4, -2, -3], [1, 5, 6])
    assert found.columns["class"].tolist() == [5, 6, 7]
    for view, c2w, k in zip(found.views, found.columns["c2w"], found.columns["intrinsics"], strict=True):
        np.testing.assert_allclose(np.linalg.det(c2w[:3, :3]), 1)  # still right-handed
        wanted, seen = drawn(POINTS * MIRROR, NORMALS * MIRROR, c2w, k), layers(view)
        assert (wanted["mask"] > 0).sum() > 100
        for name in wanted:
            # a point on the border of two pixels, or a depth or normal half-way between two steps, may fall to either
            same = np.abs(wanted[name].astype(int) - seen[name]) <= (1 if name in ("depth", "normals") else 0)
            assert same.mean() > 0.998, name
    again = mirrored(found, W, H)
    for before, after in zip(views, again.views, strict=True):
        assert {n: a.tolist() for n, a in layers(before).items()} == {n: a.tolist() for n, a in layers(after).items()}
    np.testing.assert_array_equal(again.columns["c2w"], poses)
    np.testing.assert_allclose(again.columns["intrinsics"], columns["intrinsics"])


def test_landmarks_change_places() -> None:
    assert (LANDMARKS_MIRRORED[LANDMARKS_MIRRORED] == np.arange(68)).all()  # its own inverse
    assert [i for i in range(68) if LANDMARKS_MIRRORED[i] == i] == [
        8,
        27,
        28,
        29,
        30,
        33,
        51,
        57,
        62,
        66,
    ]  # on the axis
    face = RNG.uniform(0, 20, (1, 68, 2))
    found = mirrored(Made([], {"landmarks": face}), W, H).columns["landmarks"][0]
    np.testing.assert_allclose(found[45], (W - face[0, 36, 0], face[0, 36, 1]))  # outer corners of the eyes
    np.testing.assert_allclose(found[48], (W - face[0, 54, 0], face[0, 54, 1]))  # of the mouth


def test_landmarks_of_a_real_face_are_their_own_mirror(shared_data: Path) -> None:
    """The neutral head of the ICT model is symmetric: mirrored, each landmark lies where it was, to 0.01 of a millimetre."""
    names = json.loads((shared_data / "faces/vertex_indices.json").read_text())["idx_to_landmark_verts"]
    with np.load(shared_data / "faces/ict_facekit_deltas_int16.npz", allow_pickle=False) as model:
        landmarks = model["neutral"][names][:, :2].astype(np.float64)  # centimetres
    found = mirrored(Made([], {"landmarks": landmarks[None] + (W / 2, 0)}), W, H).columns["landmarks"][0] - (W / 2, 0)
    assert np.abs(found - landmarks).max() < 1e-3 < np.ptp(landmarks[:, 0]) / 10


def test_the_solid_is_mirrored() -> None:
    grid = RNG.random((8, 8, 8)) > 0.5
    points, labels = RNG.uniform(-1, 1, (20, 3)).astype(np.float16), (RNG.random(20) > 0.5).astype(np.uint8)
    given = Made([], {}, {"occupancy_bits": np.packbits(grid), "points": points, "labels": labels})
    shape = mirrored(given, W, H).shape
    found = np.unpackbits(shape["occupancy_bits"]).reshape(8, 8, 8)
    for x, y, z in np.ndindex(8, 8, 8):
        assert found[x, y, z] == grid[7 - x, y, z]
    np.testing.assert_array_equal(shape["points"], points * np.array([-1, 1, 1], np.float16))
    assert shape["points"].dtype == np.float16 and (shape["labels"] == labels).all()


def one(number: int) -> Made:
    noise = np.random.default_rng(number)
    picture, far = (
        noise.integers(0, 256, (H, W, 3)).astype(np.uint8),
        noise.integers(0, 65536, (H, W)).astype(np.uint16),
    )
    view = View(images.encode(picture), inverse_depth=images.encode(far))
    columns = {
        "c2w": camera(number, 0)[None],
        "intrinsics": INTRINSICS[None],
        "inverse_depth_range": np.array([[1, 2]]),
    }
    return Made([view], columns, box=([-1] * 3, [1] * 3))


def written(folder: Path, items: list[Item]) -> Dataset:
    folder.mkdir()
    plan: Any = Plan("toy", 0, None, 0, False, False, 1)
    write(folder, Collection("toy", items, "CC0", {}, W, H), plan, SILENT)
    return open_dataset(folder)


def test_each_item_is_followed_by_its_mirror(tmp_path: Path) -> None:
    items = [Item(f"p{i}", partial(one, i), f"s{i}") for i in range(2)]
    both = with_mirrored(items, W, H)
    assert [(i.name, i.stamp) for i in both] == [
        ("p0", "s0"),
        ("p0-mirrored", "s0"),
        ("p1", "s1"),
        ("p1-mirrored", "s1"),
    ]
    data = written(tmp_path / "a", both)
    np.testing.assert_array_equal(data.pictures([3])[0], data.pictures([2])[0][:, ::-1])
    np.testing.assert_array_equal(data.inverse_depth(1), data.inverse_depth(0)[:, ::-1])
    with pytest.raises(G3dError, match="'p0-mirrored' beside 'p0'"):
        with_mirrored([*items, Item("p0-mirrored", partial(one, 0))], W, H)


def test_visibility_and_boxes_change_places() -> None:
    seen = np.zeros((1, 68), np.uint8)
    seen[0, [0, 36, 48]] = 1
    boxes = {"face_box": [[2.0, 3, 10, 12]], "eye_boxes": [[[1.0, 2, 3, 4], [20, 5, 24, 7]]]}
    columns = {"landmarks_visible": seen, **{name: np.array(rows, np.float32) for name, rows in boxes.items()}}
    found = mirrored(Made([], columns), 32, 32).columns
    assert np.nonzero(found["landmarks_visible"][0])[0].tolist() == [16, 45, 54]
    assert found["face_box"].tolist() == [[22, 3, 30, 12]]
    assert found["eye_boxes"].tolist() == [[[8, 5, 12, 7], [29, 2, 31, 4]]]
