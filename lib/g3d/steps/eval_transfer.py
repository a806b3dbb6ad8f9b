"""`eval-transfer`: whether drawn faces take on expressions as the true pictures do, and how near they come to them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress, track
from g3d.storage import manifest

if TYPE_CHECKING:
    from g3d.evaluation.pairs import Pairs
    from g3d.evaluation.table import Table
    from g3d.evaluation.transfer import Judged

DETECTORS = ("dlib",)
_SUMS = ("change_error_face", "change_face", "change_error_mouth", "change_mouth")


@dataclass(frozen=True)
class Options:
    """`true`: a dataset of faces with labels. `test`: a dataset, a folder of images or a zip, of the same names.

    `drawn_from`: latents whose names say which objects the folders of `test` show. `objects`: a split of objects, or several
    (`train,pairs`), that both hold. `neutral`: the expression from which changes are counted. `landmarks`: what finds them, for
    their error."""

    true: Path
    test: Path
    split: str | None = None
    objects: str | None = None
    drawn_from: Path | None = None
    neutral: str = "neutral"
    landmarks: str | None = None
    per_item: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    from g3d.evaluation.drawn_from import check_drawn_from
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_outputs, check_words

    inputs: tuple[Path, ...] = (
        existing(options.true, "the true images"),
        existing(options.test, "the images to judge"),
    )
    check_words({"--split": (options.split, SPLITS), "--landmarks": (options.landmarks, DETECTORS)})
    for word in (options.objects or "all").split(","):
        check_words({"--objects": (word, OBJECTS)})
    if not (options.true / "dataset.json").is_file():
        raise G3dError(f"the true faces '{options.true}' are no dataset, whose labels say who shows what; give one of "
                       "prepare-data faces")  # fmt: skip
    inputs += check_drawn_from(options.drawn_from, options.true)
    check_outputs({"--out": options.out, "--per-item": options.per_item}, options.overwrite, inputs)
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The figures, of all pictures that are not neutral and of each split, expression and subject; into `out` if given."""
    resolve(options)
    from g3d.evaluation.drawn_from import item_names
    from g3d.evaluation.outcome import write_results
    from g3d.evaluation.pairs import pair, side
    from g3d.evaluation.transfer import figures, floor_figures, judged

    manifest.note_changed(progress, options.true, options.test)
    true = side(options.true, "the true images", options.split, options.objects, item_names(options.drawn_from))
    found = pair(true, side(options.test, "the images to judge", options.split, options.objects))
    each = judged(found, options.neutral)
    rows = figures(found, each)
    if options.landmarks is not None:
        rows = [row | more for row, more in zip(rows, _landmarks(found, each, progress), strict=True)]
    floor, floor_word = floor_figures(found, each)
    result = {
        "metric": "expression transfer", "n": len(rows), **_together(rows), **floor, "floor": floor_word,
        **{f"by_{kind}": _by(kind, rows, each) for kind in ("split", "expression", "subject")},
        "neutral": options.neutral, "std": "over pictures, divided by n", "landmarks": options.landmarks,
        "naming": found.naming, "true": str(options.true), "test": str(options.test), "split": options.split,
        "objects": options.objects,
    }  # fmt: skip
    lines = [
        {"name": one.pair.name, "subject": one.subject, "expression": one.expression, "split": one.split, **row}
        for one, row in zip(each, rows, strict=True)
    ]
    return write_results(result, lines, options.out, options.per_item)


def _together(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means and deviations of what a picture has, and the residuals, which are of all pictures."""
    from g3d.evaluation.transfer import residuals
    from g3d.metrics.paired import summary

    return {**residuals(rows), **summary([{k: v for k, v in row.items() if k not in _SUMS} for row in rows])}


def _by(kind: str, rows: Sequence[dict[str, float]], each: "Sequence[Judged]") -> "Table":
    """A row for each split of objects, expression or subject."""
    from g3d.evaluation.table import Table

    groups: dict[str, list[dict[str, float]]] = {}
    for row, one in zip(rows, each, strict=True):
        groups.setdefault(getattr(one, kind), []).append(row)
    made: list[Mapping[str, Any]] = [{kind: name, "n": len(mine), **_together(mine)} for name, mine in groups.items()]
    shown = {kind: kind, "n": "n", "change_residual": "residual", "change_residual_mouth": "of mouth",
             "psnr_db": "PSNR", "psnr_face_db": "of face", "psnr_mouth_db": "of mouth"}  # fmt: skip
    return Table(made, shown)


def _landmarks(found: "Pairs", each: "Sequence[Judged]", progress: Progress) -> list[dict[str, float]]:
    """How far a detector finds the landmarks of each drawn picture from where they are; and of the true one, which no drawn
    picture can be expected to beat."""
    from g3d.evaluation.transfer import landmark_error_px
    from g3d.face_landmarks import dlib_predictor

    data = found.true.data
    if data is None or "landmarks_visible" not in data.labels:
        raise G3dError(f"'{found.true.path}' has no landmarks_visible in its labels; prepare the faces again")
    predict = dlib_predictor("leave --landmarks out")
    rows = []
    for one in track(each, len(each), "landmarks", progress):
        view = one.pair.true.view
        assert view is not None and one.pair.true.landmarks_px is not None
        box, seen = (
            data.labels["face_box"][view].double().numpy(),
            data.labels["landmarks_visible"][view].bool().numpy(),
        )
        side = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        row: dict[str, float] = {}
        for name, item in (("landmark_error", one.pair.test), ("true_landmark_error", one.pair.true)):
            off = landmark_error_px(predict(item.picture(), box), one.pair.true.landmarks_px, seen)
            row |= {f"{name}_px": off, f"{name}_share": off / side}
        rows.append(row)
    return rows
