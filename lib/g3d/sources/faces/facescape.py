"""`prepare-data faces FOLDER` on the multi-view photographs of FaceScape, as its users lay them on disk.

    FOLDER/12/4_anger/0.jpg ... 59.jpg     subject, number and name of the expression, view
    FOLDER/12/4_anger/params.json          for view i: i_K [3x3 or 4x4], i_Rt [3x4] world => camera (OpenCV axes),
                                           i_distortion (k1 k2 p1 p2 k3), i_width, i_height, i_valid

The data needs a licence from its authors, so that this reader was tested on hand-made files of that layout only. Distortion
is taken out; views whose `valid` is false are left out, as the authors advise. Every recording has a world of its own, which
is moved, turned and scaled to ours: the point that the cameras look at is the origin, up is y, the middle of the cameras
stands before the face at +z, and their mean distance is 16. That is as alike between recordings as the cameras were; the
way back is recorded with each object. Meshes, masks and landmarks that lie beside the photographs are used: `beside.py`.

No torch here: worker processes import this file. Letters: V views.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g3d.data.columns import PAIRS
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, posed
from g3d.sources.faces import choices
from g3d.sources.faces.beside import DEPTH_SCALE, MASKS, Beside, Placement, completed, found_in, mask_of, mesh_of
from g3d.sources.faces.model import EXPRESSIONS
from g3d.sources.faces.paint import stream
from g3d.sources.posed import shots
from g3d.sources.posed.undistort import Lens
from g3d.sources.writing.licence import UNKNOWN, licence_of
from g3d.storage.files import read_json

if TYPE_CHECKING:
    from g3d.sources.faces import Options

F64 = NDArray[np.float64]
DISTANCE_WORLD = 16.0
TEST_VIEWS = 4
PARAMS = "params.json"
BACKGROUND = "black"
_FOLDER = re.compile(r"(\d+)_([a-z_]+)")
_PICTURES = (".jpg", ".jpeg", ".png")
_LICENCE = "FaceScape: non-commercial research under the licence agreement of Nanjing University"


@dataclass(frozen=True)
class Recording:
    """One subject with one expression."""

    folder: Path
    subject: int  # index
    label: str  # the subject's folder
    expression: int  # index into EXPRESSIONS
    number: int  # of the expression in the dataset
    views: int | None
    test_views: int
    seed: int
    split: str
    target: shots.Target
    beside: Beside


def is_facescape(folder: Path) -> bool:
    """Whether some subject's folder holds a recording."""
    return any(True for _ in folder.glob(f"[0-9]*/[0-9]*_*/{PARAMS}"))


def collect(folder: Path, options: "Options", seed: int) -> Collection:
    """Every recording of the first `num` subjects and `expressions` expressions."""
    labels = sorted((p.name for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()), key=int)[: options.num]
    if options.holdout_subjects >= len(labels):
        raise G3dError(f"--holdout-subjects is {options.holdout_subjects}, of {len(labels)} subjects in '{folder}'; leave at "
                       "least one for training")  # fmt: skip
    chosen = choices.expressions(options.expressions)
    found = [
        (i, label, expression, place)
        for i, label in enumerate(labels)
        for expression, place in _recordings(folder / label)
        if expression in chosen
    ]
    if not found:
        raise G3dError(
            f"'{folder}' has no recording of the expressions {', '.join(choices.NAMES[i] for i in chosen)}; choose others with "
            "--expressions"
        )
    pairs = choices.pairs(options.holdout_pairs, labels, chosen, options.holdout_subjects)
    _refuse_absent(pairs, {(i, expression) for i, _, expression, _ in found}, labels)
    pictures = [shots.Place(place, name) for *_, place in found for name in _pictures(place).values()]
    if not pictures:
        raise G3dError(
            f"the recordings in '{folder}' hold no pictures ({', '.join(_PICTURES)}); fetch them beside {PARAMS}"
        )
    test_views = TEST_VIEWS if options.test_views is None else options.test_views
    there = found_in([place for *_, place in found], options.landmarks)
    covered = there.meshes or there.masks
    target = shots.target_of(pictures, options.size, BACKGROUND, masks=covered, splits=True, photo=True)
    names, items = [choices.NAMES[i] for i in chosen], []
    for i, label, expression, place in found:
        split = "train" if i < len(labels) - options.holdout_subjects else "test"
        split = PAIRS if (i, expression) in pairs else split
        number = chosen.index(expression)
        recording = Recording(
            place, i, label, expression, number, options.views, test_views, seed, split, target, there
        )
        stamp = posed.stamp(posed.changed(place), posed.changed(place / PARAMS), *_changed_beside(place, there))
        items.append(Item(f"{label}/{names[number]}", partial(make, recording), stamp))
    settings = {
        "input": folder.resolve().name, "num": len(labels), "views": options.views, "test_views": test_views,
        "size": options.size, "holdout_subjects": options.holdout_subjects,
        **({"beside": there.layers()} if covered else {}),
        **({} if there.landmarks is None else {"landmarks": Path(there.landmarks).name}),
        **choices.settings(chosen, options.holdout_pairs),
    }  # fmt: skip
    licence = licence_of(folder)
    return Collection(
        f"facescape {folder.resolve().name}", items, _LICENCE if licence == UNKNOWN else licence, settings, target.width,
        target.height, shots.BACKGROUNDS[BACKGROUND], partial(describe, there), {"expression": names, "subject": labels},
        (folder, *([there.landmarks] if isinstance(there.landmarks, Path) else [])),
    )  # fmt: skip


def _refuse_absent(pairs: choices.Pairs, there: set[tuple[int, int]], labels: Sequence[str]) -> None:
    """A pair that nobody recorded cannot be held out; and what is left must hold each of its subjects and expressions."""
    for subject, expression in sorted(pairs - there):
        raise G3dError(
            f"--holdout-pairs has '{labels[subject]}:{choices.NAMES[expression]}', which was not recorded; take it out"
        )
    left = there - pairs
    for subject, expression in sorted(pairs):
        if not any(s == subject for s, _ in left) or not any(e == expression for _, e in left):
            word = f"{labels[subject]}:{choices.NAMES[expression]}"
            raise G3dError(
                f"--holdout-pairs has '{word}', without which one of the two is recorded nowhere; take it out"
            )


def make(recording: Recording) -> Made:
    """The views of a recording: training views first, then the held-out ones."""
    path = recording.folder / PARAMS
    params = read_json(path, "the cameras")
    there = _pictures(recording.folder)
    valid = [view for view in there if isinstance(params, dict) and params.get(f"{view}_valid") is True]
    wanted = None if recording.views is None else recording.views + recording.test_views
    if len(valid) <= recording.test_views or (wanted is not None and len(valid) < wanted):
        views = "1 or more" if recording.views is None else str(recording.views)
        raise G3dError(f"'{path}' has {len(valid)} valid views with a picture; wanted are {views} training and "
                       f"{recording.test_views} held-out views, so give less --views or --test-views")  # fmt: skip
    # Held out are the same camera numbers in all recordings, as far as they are valid in them.
    ranked = sorted(valid, key=lambda view: stream(recording.seed, view, "facescape camera").random())
    test = sorted(ranked[: recording.test_views])
    train = sorted(ranked[recording.test_views : wanted])
    chosen = [*train, *test]
    where = {view: f"view {view} of '{path}'" for view in chosen}
    k = np.stack([_numbers(params, view, "K", (9, 16), where[view]) for view in chosen])
    world_to_camera = np.stack([_numbers(params, view, "Rt", (12, 16), where[view])[:3] for view in chosen])
    intrinsics = k[:, [0, 1, 0, 1], [0, 1, 2, 2]]
    posed.check_intrinsics(intrinsics, lambda i: where[chosen[i]])
    source = _camera_to_world(world_to_camera)
    posed.check_poses(source, lambda i: where[chosen[i]])
    rotation, centre, scale = placement(source)
    c2w = placed(source, rotation, centre, scale)
    taken = [
        shots.Shot(
            shots.Place(recording.folder, there[view]), c2w[i], intrinsics[i], *_size(params, view, where[view]), view in test,
            _lens(params, view, where[view]), mask_of(recording.folder, view) if recording.beside.masks else None,
        )
        for i, view in enumerate(chosen)
    ]  # fmt: skip
    name = tuple(EXPRESSIONS)[recording.expression]
    entry = {
        "subject": recording.label, "expression": name, "split": recording.split, "camera_numbers": chosen,
        "placement": {"rotation": rotation.tolist(), "centre": centre.tolist(), "scale": scale},
    }  # fmt: skip
    made = shots.made(taken, recording.target, entry)
    made = completed(made, taken, recording.folder, recording.beside, Placement(rotation, centre, scale), chosen)
    labels = {
        "subject": np.full(len(chosen), recording.subject),
        "expression": np.full(len(chosen), recording.number),
    }
    return Made(made.views, {**made.columns, **labels}, entry=made.entry)


def describe(there: Beside, summary: Any) -> dict[str, Any]:
    """What dataset.json says of the whole: the box that every camera sees, the cameras' prior, the scale of depth."""
    cameras = summary.cameras
    c2w, k = cameras.c2w.double().numpy(), cameras.intrinsics.double().numpy()
    return {
        "bounds": posed.bounds_of(c2w, k, cameras.width, cameras.height, None),
        "camera_prior": posed.prior_of(c2w, k, cameras.width, cameras.height),
        "normalisation": "world = scale * rotation @ (source - centre), of each object's placement",
        **({"depth_scale": DEPTH_SCALE} if there.meshes else {}),
    }


def _changed_beside(place: Path, there: Beside) -> list[int]:
    """When what lies beside a recording changed; nothing where nothing is used."""
    paths = [] if not there.meshes else [mesh_of(place) or place]
    paths += [place / MASKS] if there.masks else []
    if isinstance(there.landmarks, Path):
        paths.append(there.landmarks / place.parent.name / place.name)
    return [posed.changed(path) for path in paths]


def placement(c2w: F64) -> tuple[F64, F64, float]:
    """Rotation [3, 3], centre [3] and scale that take a recording's world to ours, from its cameras [V, 4, 4]."""
    up = -c2w[:, :3, 1].mean(0)
    eye = c2w[:, :3, 3]
    centre, _ = posed.target_of(c2w)
    ahead = (eye - centre).mean(0)
    right = np.cross(up, ahead)
    distance = max(float(np.linalg.norm(eye - centre, axis=1).mean()), 1e-9)
    if np.linalg.norm(right) < 1e-6 * distance:  # cameras all around, or rolled: no side is the front
        return np.eye(3), centre, DISTANCE_WORLD / distance
    up, right = up / np.linalg.norm(up), right / np.linalg.norm(right)
    return np.stack([right, up, np.cross(right, up)]), centre, DISTANCE_WORLD / distance


def placed(c2w: F64, rotation: F64, centre: F64, scale: float) -> F64:
    """Cameras [V, 4, 4] of the recording's world => of ours; pictures and intrinsics stay."""
    moved = c2w.copy()
    moved[:, :3, :3] = rotation @ c2w[:, :3, :3]
    moved[:, :3, 3] = scale * (c2w[:, :3, 3] - centre) @ rotation.T
    return moved


def _recordings(folder: Path) -> list[tuple[int, Path]]:
    """Index of the expression and folder of each recording of a subject, in the order of their numbers."""
    found = []
    for place in folder.iterdir():
        match = _FOLDER.fullmatch(place.name)
        if match is None or not (place / PARAMS).is_file():
            continue
        number, name = int(match[1]), match[2]
        if not 1 <= number <= len(EXPRESSIONS) or tuple(EXPRESSIONS)[number - 1] != name:
            known = ", ".join(f"{i}_{n}" for i, n in enumerate(EXPRESSIONS, 1))
            raise G3dError(f"'{place}' is no expression of FaceScape ({known}); rename it or take it away")
        found.append((number - 1, place))
    return sorted(found)


def _pictures(folder: Path) -> dict[int, str]:
    """View => the name of its picture, in order."""
    there = [p for p in folder.iterdir() if p.suffix.lower() in _PICTURES and p.stem.isdecimal()]
    return {int(p.stem): p.name for p in sorted(there, key=lambda p: int(p.stem))}


def _numbers(params: Mapping[str, Any], view: int, key: str, counts: Sequence[int], where: str) -> F64:
    """A matrix of four columns (or three, where it has nine numbers)."""
    value = params.get(f"{view}_{key}")
    try:
        matrix = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        matrix = np.zeros(0)
    if value is None or matrix.size not in counts:
        raise G3dError(
            f"{where} has no {key} of {' or '.join(map(str, counts))} numbers; correct it or set {view}_valid false"
        )
    return matrix.reshape(3, 3) if matrix.size == 9 else matrix.reshape(-1, 4)[:3]


def _camera_to_world(world_to_camera: F64) -> F64:
    """[V, 3, 4] => [V, 4, 4]: the inverse of a rotation and a translation (whether it is one, the caller checks)."""
    rotation = world_to_camera[:, :, :3].transpose(0, 2, 1)
    c2w = np.tile(np.eye(4), (len(rotation), 1, 1))
    c2w[:, :3, :3] = rotation
    c2w[:, :3, 3] = -(rotation @ world_to_camera[:, :, 3:])[..., 0]
    return c2w


def _size(params: Mapping[str, Any], view: int, where: str) -> tuple[int, int]:
    """Width and height that the intrinsics are for."""
    found = [params.get(f"{view}_{key}") for key in ("width", "height")]
    whole = [v for v in found if isinstance(v, int) and v > 0]
    if len(whole) != 2:
        raise G3dError(f"{where} has the size {found}; width and height are whole numbers above 0, so correct them")
    return whole[0], whole[1]


def _lens(params: Mapping[str, Any], view: int, where: str) -> Lens | None:
    try:
        terms = np.asarray(params.get(f"{view}_distortion") or [], np.float64).reshape(-1)
    except (TypeError, ValueError):
        terms = np.full(1, np.nan)
    if len(terms) not in (0, 4, 5) or not np.isfinite(terms).all():
        raise G3dError(
            f"{where} has the distortion {params.get(f'{view}_distortion')}; it is k1 k2 p1 p2 k3, or nothing"
        )
    k1, k2, p1, p2, k3 = (float(v) for v in [*terms, *[0.0] * 5][:5])
    return Lens((k1, k2, k3), (), p1, p2) if terms.any() else None
