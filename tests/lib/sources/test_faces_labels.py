"""Faces: which landmarks are seen, boxes, the closer frame, expressions by name, pairs that are never trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request
from g3d.sources.faces import Face, Options, collect, vertices_of
from g3d.sources.faces.choices import NAMES, expressions, pairs
from g3d.sources.faces.frames import FRAMES, PITCHES_DEG, YAWS_DEG, intrinsics_px, poses, projected
from g3d.sources.faces.model import PACKED, load
from g3d.steps import prepare_data

SIZE = 64


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    if not (shared_data / "faces" / PACKED).is_file():
        pytest.skip(f"the face model is not in '{shared_data / 'faces'}'")
    return shared_data / "faces"


@pytest.fixture(scope="module")
def small(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """3 subjects, one held out, x neutral, grin, eyes closed x 4 cameras, two pairs held out; the closer frame."""
    out = tmp_path_factory.mktemp("faces") / "out"
    prepare_data.run(prepare_data.Options(
        "faces", str(folder), out, num=3, views=3, test_views=1, size=SIZE, expressions="eye_closed,neutral,15", frame="face",
        holdout_subjects=1, holdout_pairs="0:grin,subject-001:17", workers=1,
    ))  # fmt: skip
    return open_dataset(out)


def test_expressions_by_name_are_those_of_the_whole_list(folder: Path, small: Dataset) -> None:
    assert small.object_names[:3] == ["subject-000/neutral", "subject-000/grin", "subject-000/eye_closed"]
    assert small.labels["expression"].tolist() == [e for _ in range(3) for e in (0, 1, 2) for _ in range(4)]
    assert small.info["names"]["expression"] == ["neutral", "grin", "eye_closed"]
    assert small.info["provenance"]["settings"]["expressions"] == ["neutral", "grin", "eye_closed"]
    by_name = collect(Request(str(folder), Options(num=2, views=1, test_views=0, size=32, expressions="grin"))).items[1]
    by_count = collect(Request(str(folder), Options(num=2, views=1, test_views=0, size=32, expressions=16))).items[31]
    assert by_name.name == by_count.name == "subject-001/grin"
    assert [v.files() for v in by_name.make().views] == [v.files() for v in by_count.make().views]
    assert expressions("0,1,2,11,15-18") == (0, 1, 2, 11, 15, 16, 17, 18) and expressions("3") == expressions(3) == (
        0,
        1,
        2,
    )
    assert expressions("grin,neutral") == (0, 15) and len(expressions("0-19")) == 20


def test_landmarks_are_seen_where_the_depth_says_so(small: Dataset, folder: Path) -> None:
    """Against the depth pictures, where they are clear: nothing before it within a pixel, or something well before it."""
    assert small.cameras is not None
    visible, model = small.labels["landmarks_visible"].bool().numpy(), load(folder)
    clear = {True: 0, False: 0}
    for view in range(len(visible)):
        subject, label = int(small.labels["subject"][view]), int(small.labels["expression"][view])
        expression = NAMES.index(small.info["names"]["expression"][label])
        face = Face(folder, 0, subject, expression, ((0, 0),), 1, SIZE, False, False, "train", label)
        points = vertices_of(face)[model.landmarks]
        c2w, depth = small.cameras.c2w[view].numpy(), np.pad(small.depth_world(view), 1)
        z = (points - c2w[:3, 3]) @ c2w[:3, 2]
        for k, (x, y) in enumerate(small.labels["landmarks"][view].numpy().astype(int)):
            around = depth[y : y + 3, x : x + 3]
            front = around[around > 0]
            if len(front) == 9 and z[k] < front.min() + 0.05:
                seen = True
            elif len(front) == 9 and z[k] > front.max() + 0.3:
                seen = False
            else:
                continue
            clear[seen] += 1
            assert bool(visible[view, k]) == seen, (view, k, z[k], front.min(), front.max())
    assert clear[True] > 150 and clear[False] > 60, clear


def test_boxes_hold_their_landmarks_and_little_more(small: Dataset) -> None:
    for view, marks in enumerate(small.labels["landmarks"].tolist()):
        for name, first, last, margin in (
            ("face_box", 0, 68, 0.05),
            ("mouth_box", 48, 68, 0.25),
            ("eye_boxes", 36, 42, 0.25),
        ):
            found = small.labels[name][view].reshape(-1, 4)[0].tolist()
            xs, ys = [m[0] for m in marks[first:last]], [m[1] for m in marks[first:last]]
            wider = margin * max(max(xs) - min(xs), max(ys) - min(ys))
            wanted = [min(xs) - wider, min(ys) - wider, max(xs) + wider, max(ys) + wider]
            assert found == pytest.approx([min(max(v, 0), SIZE) for v in wanted], abs=1e-3)
    right, left = small.labels["eye_boxes"][:, 0], small.labels["eye_boxes"][:, 1]
    assert small.labels["eye_boxes"].shape == (36, 2, 4) and (right != left).any()


def test_the_closer_frame_holds_every_face_and_is_recorded(small: Dataset, folder: Path) -> None:
    seen, model = FRAMES["face"], load(folder)
    everywhere = np.array([(yaw, pitch) for pitch in PITCHES_DEG for yaw in YAWS_DEG], np.float64)
    c2w, k = poses(everywhere, seen.target), intrinsics_px(SIZE, seen.focal_share)
    for subject, expression in ((0, "mouth_stretch"), (1, "jaw_left"), (2, "brow_raiser"), (5, "neutral")):
        face = Face(folder, 0, subject, NAMES.index(expression), ((0, 0),), 1, SIZE, False, False, "train", 0)
        points = vertices_of(face)[model.landmarks]
        marks = np.stack([projected(points, pose, k) for pose in c2w])
        assert marks.min() > 0 and marks.max() < SIZE
    assert small.cameras is not None and small.camera_prior.target == seen.target
    assert small.info["provenance"]["settings"]["frame"] == "face"
    prior = small.camera_prior.default()
    assert prior.intrinsics[0, 0] == pytest.approx(float(small.cameras.intrinsics[0, 0]), rel=1e-4)
    away = torch.linalg.norm(small.cameras.c2w[:, :3, 3] - torch.tensor(seen.target), dim=-1)
    torch.testing.assert_close(away, torch.full_like(away, small.camera_prior.radius_world), atol=1e-4, rtol=0)
    depth = np.stack([small.depth_world(v) for v in range(36)])
    assert small.info["near_world"] < depth[depth > 0].min() and depth.max() < small.info["far_world"]


def test_the_closer_frame_shows_the_same_face_larger(folder: Path) -> None:
    """A landmark's colour is the same in both frames, and the mouth has at least 1.5 times the pixels across."""
    made: dict[str, Any] = {}
    for name in FRAMES:
        options = Options(num=1, views=6, test_views=0, size=128, expressions=1, frame=name)
        made[name] = (
            collect(
                Request(str(folder), options),
            )
            .items[0]
            .make()
        )
    from g3d import images

    widths, off = {}, []
    for view in range(6):
        marks = {name: one.columns["landmarks"][view] for name, one in made.items()}
        seen = made["head"].columns["landmarks_visible"][view] & made["face"].columns["landmarks_visible"][view]
        pictures = {name: images.decode(one.views[view].picture, "a view").astype(float) for name, one in made.items()}
        for k in np.nonzero(seen)[0]:
            there = [pictures[name][int(marks[name][k, 1]), int(marks[name][k, 0])] for name in FRAMES]
            off.append(np.abs(there[0] - there[1]).mean())
        widths |= {(name, view): np.ptp(marks[name][48:60, 0]) for name in FRAMES}
    assert len(off) > 150 and np.median(off) < 12
    assert min(widths["face", v] / widths["head", v] for v in range(6)) > 1.5


def test_pairs_are_a_split_of_their_own(small: Dataset) -> None:
    splits = {str(o["name"]): o["split"] for o in small.info["objects"]}
    assert [n for n, s in splits.items() if s == "pairs"] == ["subject-000/grin", "subject-001/eye_closed"]
    assert [n for n, s in splits.items() if s == "test"] == [
        f"subject-002/{e}" for e in ("neutral", "grin", "eye_closed")
    ]
    assert small.objects("pairs") == [1, 5] and 1 not in small.objects("train") and len(small.objects("train")) == 4
    assert small.view_split.tolist() == [0, 0, 0, 1] * 9  # cameras are held out of the pairs, too
    trained = small.views_of("train", "train").tolist()
    assert trained == [v for v in range(36) if v // 4 in (0, 2, 3, 4) and v % 4 < 3]
    assert small.views_of("test", "pairs").tolist() == [7, 23] and len(small.views_of("all", "all")) == 36
    items = {split: [i.view for i in small.view_items(split)] for split in ("train", "test", "pairs", "all")}
    assert items["train"] == trained and items["pairs"] == [*range(4, 8), *range(20, 24)]
    assert sorted([*items["train"], *items["test"], *items["pairs"]]) == items["all"] == list(range(36))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "frame": ({"frame": "faec"}, "did you mean 'face'"),
    "expression": ({"expressions": "neutral,grinn"}, "did you mean 'grin'"),
    "number": ({"expressions": "0,20"}, "'20', which is no expression"),
    "range": ({"expressions": "3-1,2"}, "'3-1', which is no expression"),
    "none": ({"expressions": "0"}, "is 0; it is at least 1"),
    "twice": ({"expressions": "grin,15"}, "names 'grin' twice"),
    "empty": ({"expressions": "grin,"}, "'', which is no expression"),
    "no colon": ({"holdout_pairs": "grin"}, "write subject:expression, e.g. subject-000:smile"),
    "subject": ({"holdout_pairs": "subject-004:grin"}, "subject 'subject-004'"),
    "left out": ({"expressions": "neutral,grin", "holdout_pairs": "0:smile"}, "which --expressions leaves out"),
    "held out": ({"holdout_subjects": 1, "holdout_pairs": "2:smile"}, "of which --holdout-subjects trains nothing"),
    "pair twice": ({"holdout_pairs": "1:smile,subject-001:smile"}, "twice; name it once"),
    "nothing left": ({"expressions": 2, "holdout_pairs": "1:smile,1:neutral"}, "leaves 'subject-001' nothing"),
    "nobody left": ({"holdout_subjects": 1, "holdout_pairs": "0:grin,1:grin"}, "leaves nobody with 'grin'"),
    "with --holdout": ({"holdout": 1, "holdout_pairs": "0:grin"}, "--holdout and --holdout-pairs both say"),
    "subjects with --holdout": ({"holdout": 1, "holdout_subjects": 1}, "--holdout and --holdout-subjects both say"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_words_are_refused_in_a_sentence(folder: Path, tmp_path: Path, case: str) -> None:
    given, words = BAD[case]
    with pytest.raises(G3dError) as caught:
        prepare_data.resolve(prepare_data.Options("faces", str(folder), tmp_path / "out", num=3, **given))
    assert words in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_pairs_of_subjects_whose_names_are_numbers() -> None:
    """FaceScape's subjects have numbers of their own, which are not their places."""
    assert pairs("10:grin,2:0", ["2", "10", "7"], (0, 15), 0) == {(1, 15), (0, 0)}
    with pytest.raises(G3dError, match=r"subject '1' .*there are 3: 2 to 7"):
        pairs("1:grin", ["2", "10", "7"], (0, 15), 0)
