"""`eval-shapes`: two sets of shapes by Chamfer distance (coverage, MMD, 1-NN accuracy), or pairs of occupancy grids by name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from g3d.device import pick_device
from g3d.errors import G3dError
from g3d.evaluation import plots, shape_files
from g3d.evaluation.outcome import OBJECTS, check_outputs, check_words, needs_dataset
from g3d.evaluation.shape_files import (
    Empty,
    ShapeSet,
    Surface,
    grid_surface,
    lattice_of,
    normalised,
    open_shapes,
    partners,
)
from g3d.metrics import shapes
from g3d.progress import SILENT, Progress, track
from g3d.seeds import rng
from g3d.storage import files, manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
POINTS = 2048
CHAMFERS = {"squared": "mean squared distance", "euclidean": "mean distance"}
ROLES = ("true", "test")


@dataclass(frozen=True)
class Options:
    """Two sets of shapes (`metrics.shape_files` says of which forms). None means not given: what has no effect is refused.

    `grids` compares grids by name instead of sets of points; then `points`, `normalise`, `chamfer`, `one_nn` and
    `skip_empty` mean nothing. `cells` belongs to fields, `split` to datasets."""

    true: Path
    test: Path
    grids: bool = False
    points: int | None = None
    normalise: str | None = None
    chamfer: str | None = None
    one_nn: bool = True
    skip_empty: bool = False
    cells: int | None = None
    split: str | None = None
    num: int | None = None
    seed: int = 0
    device: str = "auto"
    out: Path | None = None
    plot: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any shape is read."""
    _check_words(options)
    sides = _sides(options)
    inputs = (options.true, options.test)
    check_outputs({"--out": options.out, "--plot": options.plot}, options.overwrite, inputs)
    plots.check_plot(options.plot, options.overwrite, inputs)
    cells = {
        f"cells_{role}": None if one.grid is None else lattice_of(one, other, options.cells).cells
        for role, one, other in zip(ROLES, sides, reversed(sides), strict=True)
    }
    how: dict[str, Any] = {"form": "grids"}
    if not options.grids:
        how = {
            "form": "points", "points": options.points or POINTS, "normalise": options.normalise or "none",
            "chamfer": CHAMFERS[options.chamfer or "squared"] + " to the nearest point, both ways added",
        }  # fmt: skip
    return {
        "true": str(options.true), "test": str(options.test), **how, **cells,
        **{f"kind_{role}": one.kind for role, one in zip(ROLES, sides, strict=True)},
        "split": (options.split or "all") if any(one.kind == "grids" for one in sides) else None, "num": options.num,
        "seed": options.seed, "device": str(pick_device(options.device)),
        "out": None if options.out is None else str(options.out), "plot": None if options.plot is None else str(options.plot),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The figures with all one must know to compare them; written to `out` if given."""
    from g3d import distributed

    resolved = resolve(options)
    true, test = _sides(options)
    device = pick_device(options.device)
    with distributed.processes(device):
        manifest.note_changed(progress, options.true, options.test)
        compare = _compare_grids if options.grids else _compare_sets
        figures, series, label = compare(options, true, test, device, progress)
        first = distributed.rank() == 0
    result = {**figures, **{k: v for k, v in resolved.items() if k not in ("out", "plot", "device", "form")}}
    if not first:
        return result
    if options.plot is not None:
        plots.histogram(options.plot, series, f"{options.true} and {options.test}", label)
    written = [str(path) for path in (options.out, options.plot) if path is not None]
    if options.out is None:
        return {**result, **({"plot": written[0]} if written else {})}
    files.write_json(options.out, result)
    return {**result, "written": written}


def _compare_sets(
    options: Options, true: ShapeSet, test: ShapeSet, device: torch.device, progress: Progress
) -> "tuple[dict[str, Any], Mapping[str, F64], str]":
    clouds, left_out = [], {}
    for role, one, other in zip(ROLES, (true, test), (test, true), strict=True):
        points, empty = _clouds(options, role, one, other, device, progress)
        clouds.append(points)
        left_out[f"empty_{role}"] = empty
    if len(clouds[0]) != len(clouds[1]) and options.one_nn:
        progress.log(
            f"note: {len(clouds[0])} true and {len(clouds[1])} test shapes; 1-NN accuracy is 0.5 for equal distributions only "
            "if both counts are the same (--num makes them so)"
        )
    squared = (options.chamfer or "squared") == "squared"
    found = shapes.distances(clouds[0], clouds[1], squared, options.one_nn, device, progress)
    figures: dict[str, Any] = {
        "metric": "shapes", "n_true": len(clouds[0]), "n_test": len(clouds[1]), **left_out,
        "coverage": shapes.coverage(found.cross), "mmd": shapes.mmd(found.cross), "mmd_from_test": shapes.mmd(found.cross.T),
    }  # fmt: skip
    series = {"true to nearest test": found.cross.min(axis=1), "test to nearest true": found.cross.min(axis=0)}
    if options.one_nn:
        near = shapes.one_nn(found)
        figures |= {"one_nn_accuracy": near.accuracy, "one_nn_of_true": near.true, "one_nn_of_test": near.test}
        assert found.true is not None
        series["true to nearest other true"] = shapes.nearest_other(found.true)
    figures |= {"jsd_bits": shapes.jsd(clouds[0], clouds[1]), "jsd_cells": shapes.JSD_CELLS}
    return figures, series, f"Chamfer distance ({CHAMFERS[options.chamfer or 'squared']}, both ways)"


def _clouds(
    options: Options, role: str, shapes_: ShapeSet, other: ShapeSet, device: torch.device, progress: Progress
) -> tuple[F32, int]:
    """Points [N, P, 3] of one side, and how many shapes were left out because they are empty."""
    count, found, empty = options.points or POINTS, [], 0
    picked = _picked(options, len(shapes_.names), role)
    lattice = lattice_of(shapes_, other, options.cells)
    for i in track(picked, len(picked), f"{role} shapes", progress):
        try:
            if shapes_.read is not None:
                surface = shapes_.read(i)
            else:
                assert shapes_.grid is not None
                surface = grid_surface(shapes_.grid(i, lattice, device))
            found.append(normalised(sampled(surface, count, options.seed, i), options.normalise or "none"))
        except Empty as error:
            if not options.skip_empty:
                raise G3dError(
                    f"{_whose(role, shapes_, i)}: {error}; remove it, or leave such out by --skip-empty"
                ) from error
            progress.log(f"note: {_whose(role, shapes_, i)}: {error}; left out")
            empty += 1
        except G3dError as error:
            text = str(error)
            raise G3dError(text if str(shapes_.path) in text else f"{_whose(role, shapes_, i)}: {text}") from error
    if not found:
        raise G3dError(f"the {role} shapes '{shapes_.path}' are all empty; nothing can be compared, give others")
    return np.stack(found), empty


def sampled(surface: Surface, count: int, seed: int, index: int) -> F32:
    """`count` points [P, 3] of shape `index` of a side, by seed: uniform over the area of triangles, or some of the points.

    The streams of both sides are the same, so that a set has distance 0 from its copy."""
    from g3d.export.points import surface_points

    stream = rng(seed, index, "shape")
    if not np.isfinite(surface.vertices).all():
        raise G3dError("it has coordinates that are not finite; write it again")
    if surface.faces is not None:
        own = int(torch.randint(1 << 62, (1,), generator=stream))
        try:
            return surface_points(surface.vertices, surface.faces, count, own)[0]  # type: ignore[arg-type]
        except G3dError as error:
            raise Empty("its triangles have no area") from error
    if not len(surface.vertices):
        raise Empty("it has no points and no triangles")
    if len(surface.vertices) < count:
        raise G3dError(f"it has {len(surface.vertices)} points and no triangles, fewer than --points {count}; give --points "
                       f"{len(surface.vertices)} or fewer for both sides")  # fmt: skip
    chosen = torch.randperm(len(surface.vertices), generator=stream)[:count].sort().values
    return np.ascontiguousarray(surface.vertices[chosen.numpy()], np.float32)


def _compare_grids(
    options: Options, true: ShapeSet, test: ShapeSet, device: torch.device, progress: Progress
) -> "tuple[dict[str, Any], Mapping[str, F64], str]":
    """MSE, PSNR and IoU of each pair; a mean over pairs and its standard deviation."""
    lattices = [lattice_of(one, other, options.cells) for one, other in ((true, test), (test, true))]
    if lattices[0] != lattices[1]:
        raise G3dError(
            f"grids of {lattices[0].cells}³ cells in {lattices[0].bounds} and {lattices[1].cells}³ in {lattices[1].bounds} "
            "cannot be compared cell by cell; prepare both alike"
        )
    partner = partners(true, test)
    picked = _picked(options, len(true.names), "true")
    mse, iou = np.zeros(len(picked)), np.zeros(len(picked))
    assert true.grid is not None and test.grid is not None
    for row, i in enumerate(track(picked, len(picked), "grids", progress)):
        pair = true.grid(i, lattices[0], device).values, test.grid(partner[true.names[i]], lattices[1], device).values
        mse[row], iou[row] = shapes.grid_mse(*pair), shapes.grid_iou(*pair)
    with np.errstate(divide="ignore"):
        decibels = -10 * np.log10(mse)
    mean = float(mse.mean())
    figures = {
        "metric": "grids", "n": len(picked), "mse": mean, "mse_std": float(mse.std()),
        "psnr_db": _finite(float(decibels.mean())), "psnr_of_mean_mse_db": _finite(-10 * math.log10(mean)) if mean else None,
        "iou": float(iou.mean()), "iou_std": float(iou.std()),
    }  # fmt: skip
    return figures, {"pairs": iou}, "IoU of occupancy above 1/2"


def _picked(options: Options, count: int, role: str) -> Sequence[int]:
    """Which of `count` shapes take part, in order: at most `num`, drawn by seed."""
    if options.num is None or options.num >= count:
        return range(count)
    order = torch.randperm(count, generator=rng(options.seed, 0, f"eval-shapes {role}"))
    return sorted(order[: options.num].tolist())


def _sides(options: Options) -> list[ShapeSet]:
    sides = [
        open_shapes(options.true, "the true shapes", options.split),
        open_shapes(options.test, "the test shapes", options.split),
    ]
    needs_dataset({"--split": options.split}, (options.true, options.test))
    fields = [one for one in sides if one.kind == "fields"]
    stored = any(one.lattice is not None for one in sides)
    if options.cells is not None and (not fields or (options.grids and stored)):
        why = "the dataset's cells are given" if fields else "it belongs to occupancy fields, and there are none"
        raise G3dError(f"--cells {options.cells} has no effect: {why}; leave it out")
    for role, one in zip(ROLES, sides, strict=True):
        if options.grids and one.grid is None:
            raise G3dError(f"the {role} shapes '{one.path}' are {one.kind.replace('_', ' ')}, which have no grid; --grids "
                           "compares datasets with solids and scenes of occupancy")  # fmt: skip
        if not one.names:
            raise G3dError(f"the {role} shapes '{one.path}' are none; give one or more")
        if options.one_nn and not options.grids and min(len(one.names), options.num or 2) < 2:
            raise G3dError(f"the {role} shapes '{one.path}' are {len(one.names)}; 1-NN accuracy needs 2 or more on each side: "
                           "give more, or --no-one-nn")  # fmt: skip
    return sides


def _check_words(options: Options) -> None:
    check_words({
        "--normalise": (options.normalise, shape_files.NORMALISATIONS), "--chamfer": (options.chamfer, tuple(CHAMFERS)),
        "--split": (options.split, OBJECTS),
    })  # fmt: skip
    for name, number, least, most in (
        ("--points", options.points, 1, 1 << 20), ("--num", options.num, 1, 1 << 30), ("--cells", options.cells, 2, 512),
    ):  # fmt: skip
        if number is not None and not least <= number <= most:
            raise G3dError(f"{name} is {number}; it must lie between {least} and {most}")
    given = {
        "points": options.points is not None, "normalise": options.normalise is not None, "chamfer": options.chamfer is not None,
        "no-one-nn": not options.one_nn, "skip-empty": options.skip_empty,
    }  # fmt: skip
    foreign = next((name for name, is_given in given.items() if is_given), None)
    if options.grids and foreign is not None:
        raise G3dError(f"--{foreign} has no effect: --grids compares cells, not points; leave one of them out")


def _whose(role: str, one: ShapeSet, index: int) -> str:
    return f"the {role} shape '{one.names[index]}' of '{one.path}'"


def _finite(value: float) -> float | None:
    """For JSON, which has no infinity: None where every cell agrees."""
    return value if math.isfinite(value) else None
