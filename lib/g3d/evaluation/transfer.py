"""Expression transfer against the rendered truth: how much of what an expression changes in a face the drawn pictures show.

A picture p_e of a subject with an expression, its true one x_e, and p_0, x_0 of the same subject and camera with the neutral
face. The change residual is

    sum |(p_e - p_0) - (x_e - x_0)|^2 / sum |x_e - x_0|^2

over all pictures and the pixels in the true box of the face: 0 where the change is right, 1 where there is none (whatever the
neutral face looks like), above 1 where it is wrong. PSNR cannot tell: most of a face does not change.

Letters: H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.data.dataset import Dataset
from g3d.errors import G3dError
from g3d.evaluation.counted import BOXES, box_regions
from g3d.evaluation.floor import Floor, keys_of
from g3d.evaluation.pairs import Pair, Pairs, same_size
from g3d.images import U8
from g3d.metrics.paired import mse_per_image, psnr

F64 = NDArray[np.float64]
NEEDED = ("subject", "expression", *BOXES.values())


@dataclass(frozen=True)
class Judged:
    """A picture with an expression, and that of the neutral face in its place."""

    pair: Pair
    neutral: Pair
    subject: str
    expression: str
    split: str  # of the object


def judged(found: Pairs, neutral: str) -> list[Judged]:
    """Every pair of another expression than `neutral`, with the neutral pair of its subject and camera."""
    data = _labelled(found)
    names = list(data.info.get("names", {}).get("expression", []))
    if neutral not in names:
        raise G3dError(
            f"'{data.path}' has no expression '{neutral}'; it has {', '.join(names)}, so choose with --neutral"
        )
    cameras, rest = keys_of(data), names.index(neutral)
    at_rest: dict[tuple[int, bytes], Pair] = {}
    others: list[tuple[Pair, int]] = []
    for one in found.pairs:
        view = _view(one)
        if int(data.labels["expression"][view]) == rest:
            at_rest[int(data.labels["subject"][view]), cameras[view]] = one
        else:
            others.append((one, view))
    if not others:
        raise G3dError(f"all {len(found.pairs)} pictures show '{neutral}'; give some of other expressions")
    result = []
    people = data.info.get("names", {}).get("subject", [])
    for one, view in others:
        who = int(data.labels["subject"][view])
        name = people[who] if who < len(people) else str(who)
        partner = at_rest.get((who, cameras[view]))
        if partner is None:
            raise G3dError(f"'{one.true.where}' has no picture of {name} with '{neutral}' by the same camera beside it, so its "
                           "change is not known; draw those, too (--objects says which objects there are)")  # fmt: skip
        split = str(data.info["objects"][int(data.view_object[view])]["split"])
        result.append(Judged(one, partner, name, names[int(data.labels["expression"][view])], split))
    return result


def figures(found: Pairs, each: Sequence[Judged]) -> list[dict[str, float]]:
    """Of every judged picture: PSNR of it, of its boxes of face and mouth; the two sums of the change residual in both."""
    boxes = {word: box_regions(found.true, word) for word in BOXES}
    rows = []
    for one in each:
        true, test = same_size(one.pair)
        true_rest, test_rest = same_size(one.neutral)
        if true.shape != true_rest.shape:
            raise G3dError(f"'{one.pair.true.where}' and '{one.neutral.true.where}' differ in size; make them one size")
        row = {
            "psnr_db": psnr(true[None], test[None]).mean_of_db,
            "mse": float(mse_per_image(true[None], test[None])[0]),
        }
        for word, region_of in boxes.items():
            where = region_of(one.pair.true).slices(true.shape[0], true.shape[1], one.pair.true.where)
            x, p, x0, p0 = (_unit(picture[where]) for picture in (true, test, true_rest, test_rest))
            row[f"psnr_{word}_db"] = psnr(true[where][None], test[where][None]).mean_of_db
            row[f"change_error_{word}"] = float(np.square((p - p0) - (x - x0)).sum())
            row[f"change_{word}"] = float(np.square(x - x0).sum())
        rows.append(row)
    return rows


def residuals(rows: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """The change residual of these pictures together, in the box of the face and in that of the mouth."""
    result: dict[str, float | None] = {}
    for word, name in (("face", "change_residual"), ("mouth", "change_residual_mouth")):
        change = sum(row[f"change_{word}"] for row in rows)
        result[name] = sum(row[f"change_error_{word}"] for row in rows) / change if change > 0 else None
    return result


def floor_figures(found: Pairs, each: Sequence[Judged]) -> tuple[dict[str, Any], str]:
    """PSNR of the mean picture of each camera, whole and in the boxes; and what it is in words, or why there is none. It never
    changes with the expression, so its change residual is 1."""
    floor = Floor(found.true)
    if not all(floor.knows(one.pair.true) for one in each):
        return {}, f"absent: {floor.why_not}"
    boxes = {word: box_regions(found.true, word) for word in BOXES}
    values: dict[str, list[float]] = {"floor_psnr_db": [], **{f"floor_psnr_{word}_db": [] for word in BOXES}}
    for one in each:
        true, mean = one.pair.true.picture(), floor.picture(one.pair.true)
        values["floor_psnr_db"].append(psnr(true[None], mean[None]).mean_of_db)
        for word, region_of in boxes.items():
            region = region_of(one.pair.true)
            a, b = (region.crop(picture, one.pair.true.where)[None] for picture in (true, mean))
            values[f"floor_psnr_{word}_db"].append(psnr(a, b).mean_of_db)
    words = "the mean picture of each camera, of the training objects; its change residual is 1"
    return {name: float(np.mean(found)) for name, found in values.items()}, words


def _labelled(found: Pairs) -> Dataset:
    data = found.true.data
    lacking = NEEDED if data is None else [name for name in NEEDED if name not in data.labels]
    if data is None or lacking or data.cameras is None:
        what = f"labels {', '.join(lacking)}" if lacking else "cameras"
        raise G3dError(f"'{found.true.path}' has no {what}; the true pictures are a dataset of prepare-data faces")
    return data


def _view(one: Pair) -> int:
    assert one.true.view is not None
    return one.true.view


def _unit(pixels: U8) -> F64:
    return pixels.astype(np.float64) / 255


def landmark_error_px(found: F64, true: F64, visible: NDArray[np.bool_]) -> float:
    """Mean distance of the landmarks that are seen, [68, 2] each."""
    return float(np.linalg.norm(found - true, axis=1)[visible].mean())
