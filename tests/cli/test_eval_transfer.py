"""`g3d eval-transfer` against loops over pixels, on pictures whose changes are known."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import g3d, refused
from face_pictures import CAMERAS, FACE, HELD_OUT, MOUTH, PAIR, PEOPLE, pictures, write_drawn, write_faces
from g3d import face_landmarks, latents
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.evaluation.pairs import pair, side
from g3d.evaluation.transfer import judged, landmark_error_px
from g3d.images import write_image
from g3d.latents import LatentSpace
from g3d.steps.eval_transfer import Options, run


def in_box(picture: Any, box: tuple[float, ...]) -> Any:
    """Every pixel that the box touches."""
    x0, y0, x1, y1 = box
    return picture[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)].astype(float) / 255


def by_hand(true: Any, drawn: Any, chosen: list[tuple[int, int, int]], box: tuple[float, ...]) -> float:
    error = change = 0.0
    for who, e, camera in chosen:
        x, x0, p, p0 = (in_box(a[who, k, camera], box) for a, k in ((true, e), (true, 0), (drawn, e), (drawn, 0)))
        for row in range(x.shape[0]):
            for column in range(x.shape[1]):
                for channel in range(3):
                    d = float(x[row, column, channel] - x0[row, column, channel])
                    q = float(p[row, column, channel] - p0[row, column, channel])
                    error, change = error + (q - d) ** 2, change + d * d
    return error / change


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path, Path]:
    """True and drawn pictures; the drawn ones are off by noise."""
    root = tmp_path_factory.mktemp("transfer")
    true = pictures()
    drawn = np.clip(true + np.random.default_rng(5).normal(0, 12, true.shape), 0, 255).astype(np.uint8)
    return true, drawn, write_faces(root / "data", true), write_drawn(root / "drawn", drawn)


def test_residuals_and_decibels_are_those_of_loops(made: tuple[Any, Any, Path, Path], tmp_path: Path) -> None:
    true, drawn, data, images = made
    done = g3d("eval-transfer", data, images, "--json", "--per-item", tmp_path / "i.jsonl")
    assert done.code == 0, done.err
    found = done.json
    every = [(w, e, c) for w in range(PEOPLE) for e in (1, 2) for c in range(CAMERAS)]
    assert found["n"] == len(every) == 24
    assert found["change_residual"] == pytest.approx(by_hand(true, drawn, every, FACE), rel=1e-9)
    assert found["change_residual_mouth"] == pytest.approx(by_hand(true, drawn, every, MOUTH), rel=1e-9)
    assert 0.1 < found["change_residual"] < 1
    for name, box in (("psnr_face_db", FACE), ("psnr_mouth_db", MOUTH)):
        each = [-10 * np.log10(((in_box(true[k], box) - in_box(drawn[k], box)) ** 2).mean()) for k in every]
        assert found[name] == pytest.approx(np.mean(each), rel=1e-9) and found[f"{name}_std"] == pytest.approx(
            np.std(each)
        )
    held_out = [(*PAIR, c) for c in range(CAMERAS)]
    splits = {row["split"]: row for row in found["by_split"]}
    assert {name: row["n"] for name, row in splits.items()} == {"train": 15, "pairs": 3, "test": 6}
    assert splits["pairs"]["change_residual"] == pytest.approx(by_hand(true, drawn, held_out, FACE), rel=1e-9)
    grins = [k for k in every if k[1] == 1]
    by_expression = {row["expression"]: row for row in found["by_expression"]}
    assert by_expression["grin"]["change_residual"] == pytest.approx(by_hand(true, drawn, grins, FACE), rel=1e-9)
    assert [row["subject"] for row in found["by_subject"]] == [f"person-{i}" for i in range(PEOPLE)]
    lines = [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert len(lines) == 24 and lines[0] | {"subject": "person-0", "expression": "grin", "split": "train"} == lines[0]


def test_the_floor_is_the_mean_of_each_camera_and_its_residual_is_one(
    made: tuple[Any, Any, Path, Path], tmp_path: Path
) -> None:
    true, _, data, _ = made
    trained = [(w, e) for w in range(PEOPLE) for e in range(3) if w != HELD_OUT and (w, e) != PAIR]
    mean = np.rint(np.mean([true[k].astype(float) for k in trained], axis=0)).astype(
        np.uint8
    )  # [CAMERAS, SIZE, SIZE, 3]
    assert len(trained) == 8
    found = run(Options(data, data, split="test"))
    wanted = [
        -10 * np.log10((((true[w, e, 2].astype(float) - mean[2]) / 255) ** 2).mean())
        for w in range(PEOPLE)
        for e in (1, 2)
    ]
    assert found["floor_psnr_db"] == pytest.approx(np.mean(wanted)) and "of each camera" in found["floor"]
    constant = np.broadcast_to(mean, true.shape)
    as_mean = run(Options(data, write_drawn(tmp_path / "mean", constant)))
    assert as_mean["change_residual"] == 1 and as_mean["change_residual_mouth"] == 1
    assert as_mean["psnr_mouth_db"] == pytest.approx(as_mean["floor_psnr_mouth_db"])


def test_what_is_true_has_no_residual_and_a_wrong_change_more_than_one(
    made: tuple[Any, Any, Path, Path], tmp_path: Path
) -> None:
    true, _, data, _ = made
    assert run(Options(data, data, objects="train,pairs"))["change_residual"] == 0
    shifted = np.clip(true.astype(int) + 20, 0, 255).astype(np.uint8)  # another skin, the same change
    assert run(Options(data, write_drawn(tmp_path / "skin", shifted)))["change_residual"] < 0.02
    other_way = np.clip(2 * true[:, :1].astype(int) - true, 0, 255).astype(np.uint8)
    assert run(Options(data, write_drawn(tmp_path / "wrong", other_way)))["change_residual"] > 3


def test_refusals_are_sentences(made: tuple[Any, Any, Path, Path]) -> None:
    _, _, data, images = made
    refused(g3d("eval-transfer", images, images), "no dataset", "prepare-data faces")
    refused(g3d("eval-transfer", data, images, "--objects", "train,pears"), "did you mean 'pairs'")
    refused(g3d("eval-transfer", data, images, "--neutral", "sad"), "no expression 'sad'", "neutral, grin, smile")
    refused(g3d("eval-transfer", data, data, "--objects", "pairs"), "no picture of person-1 with 'neutral'")
    refused(g3d("eval-transfer", data, images, "--landmarks", "eyes"), "'eyes' is unknown")
    refused(g3d("eval-transfer", data, images, "--objects", "train"), "without a partner")
    found = pair(side(data, "the true images"), side(data, "the images"))
    rest = [one for one in found.pairs if open_dataset(data).labels["expression"][one.true.view or 0] == 0]
    with pytest.raises(G3dError, match="all 12 pictures show 'neutral'"):
        judged(replace(found, pairs=rest), "neutral")


def test_the_latents_that_were_drawn_say_what_folders_show(made: tuple[Any, Any, Path, Path], tmp_path: Path) -> None:
    """Three items in an order of their own, one a held-out pair; by number alone they would be taken for other objects."""
    true, drawn, data, _ = made
    items = [(1, 2), (1, 0), (0, 0)]
    for place, (who, e) in enumerate(items):
        for camera in range(CAMERAS):
            write_image(tmp_path / "drawn" / f"{place:06d}" / f"{camera:06d}.png", drawn[who, e, camera])
    names = [f"person-{who}/{('neutral', 'grin', 'smile')[e]}" for who, e in items]
    space, files = LatentSpace.codes("z", 4), [tmp_path / name for name in ("l.safetensors", "m.safetensors")]
    for file, known in zip(files, (names, ["person-0/grim"]), strict=True):
        latents.write(file, replace(space.zeros(len(known)), names=known), seed=0, parents={})
    found = run(Options(data, tmp_path / "drawn", drawn_from=files[0]))
    wanted = by_hand(true, drawn, [(1, 2, c) for c in range(CAMERAS)], FACE)
    assert found["n"] == 3 and found["change_residual"] == pytest.approx(wanted, rel=1e-9)
    of_pairs = (
        "eval-recon",
        data,
        tmp_path / "drawn",
        "--drawn-from",
        files[0],
        "--objects",
        "pairs",
        "--json",
    )
    judged_pairs = g3d(*of_pairs, "--device", "cpu")
    each = [
        -10 * np.log10((((true[1, 2, c].astype(float) - drawn[1, 2, c]) / 255) ** 2).mean()) for c in range(CAMERAS)
    ]
    assert judged_pairs.json["n"] == 3 and judged_pairs.json["psnr_db"] == pytest.approx(np.mean(each))
    refused(g3d("eval-transfer", data, tmp_path / "drawn"), "without a partner")
    shutil.rmtree(tmp_path / "drawn" / "000002")  # an item that was not drawn
    fewer = run(Options(data, tmp_path / "drawn", drawn_from=files[0]))
    assert fewer["change_residual"] == found["change_residual"]
    (tmp_path / "drawn" / "000001" / "000000.png").unlink()  # but a view that lacks is missing
    refused(g3d("eval-transfer", data, tmp_path / "drawn", "--drawn-from", files[0]), "no picture '000001/000000'")
    refused(
        g3d("eval-transfer", data, tmp_path / "drawn", "--drawn-from", files[1]),
        "did you mean 'person-0/grin'",
    )
    refused(g3d("eval-recon", tmp_path / "drawn", tmp_path / "drawn", "--drawn-from", files[1]), "is none")


def test_landmark_errors_are_distances_of_what_is_seen(
    made: tuple[Any, Any, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in that finds the landmarks 3 px to the right and 4 px below where they are."""
    _, _, data, images = made
    true = open_dataset(data).labels["landmarks"][0].double().numpy()
    monkeypatch.setattr(face_landmarks, "dlib_predictor", lambda _: lambda picture, box: true + np.array([3, 4]))
    found = run(Options(data, images, landmarks="dlib"))
    assert found["landmark_error_px"] == pytest.approx(5) == found["true_landmark_error_px"]
    side = math.sqrt((FACE[2] - FACE[0]) * (FACE[3] - FACE[1]))
    assert found["landmark_error_share"] == pytest.approx(5 / side, rel=1e-5)
    seen = np.zeros(68, bool)
    seen[7] = True
    off = np.zeros((68, 2))
    off[7] = (6, 8)
    assert landmark_error_px(true + off, true, seen) == pytest.approx(10)
