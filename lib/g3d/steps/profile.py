"""`profile`: parameters and multiply-adds, the time of a view, memory, of a method, a model or a scene; tables of several.

`parameters` are counted from the built network, `inference_parameters` from the scene that it writes. `flops` are torch's
own count over one rendered view: the matrix products, which are nearly all of a field's work; `macs` are half of them.
`macs_by_hand` is the sum of the layers' sizes times the points that a view asks for, where that is known beforehand. For
Gaussians, whose work is elsewhere, all three are null.

Times are those of whole views after one that warms up: the median and the quartiles. The rows of a table take turns, so
that a machine that becomes slower meanwhile does so for all of them. With `grid` a "view" is all cells of a grid of an
occupancy field. `memory_rise_mb` is what one view needs beyond what
was there before it: of the GPU's allocations, or of this process' resident memory.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g3d import config
from g3d.device import pick_device
from g3d.errors import G3dError
from g3d.evaluation import plots
from g3d.evaluation.cost import counts, grid_of, spread, times_ms, view_of
from g3d.evaluation.memory import rise_mb
from g3d.evaluation.table import Table
from g3d.latents import LatentSpace, space_of
from g3d.methods import METHODS, decoding, method, settings_of
from g3d.methods.contract import Method
from g3d.progress import SILENT, Progress
from g3d.render.splat import choose
from g3d.scenes.scene import Scene, pick, to
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts, files
from g3d.threads import wait_policy
from g3d.training.run import peak_memory_mb

REPEATS = 5
LARGEST_PX, LARGEST_GRID = 8192, 512
MOST_ARMS = 1000
SHOWN = {
    "what": "what", "width": "px", "parameters": "parameters", "inference_parameters": "a scene", "macs": "MACs",
    "ms_per_view": "ms/view", "ms_quartiles": "quartiles", "views_per_second": "views/s", "memory_rise_mb": "MB/view",
}  # fmt: skip
COMPARED = ("parameters", "inference_parameters", "macs", "ms_per_view", "memory_rise_mb")


@dataclass(frozen=True)
class Options:
    """A method's name with a preset and settings, or a model or scene file; the size of the view in pixels.

    `sizes` ("64,128"), `sweep` ("key=v1,v2", several make all combinations) and `against` (METHOD, METHOD:PRESET or a file)
    make a table. `plot` draws its times over sizes; `similarity` how alike the parts of the layers of a method's model are."""

    what: str
    preset: str | None = None
    settings: Sequence[str] = ()
    size: int | None = None
    device: str = "auto"
    sizes: str | None = None
    sweep: Sequence[str] = ()
    against: str | None = None
    repeats: int = REPEATS
    plot: Path | None = None
    similarity: Path | None = None
    overwrite: bool = False
    backend: str = "auto"  # of 3D Gaussians
    grid: int | None = None  # cells a side of an occupancy field's grid, measured instead of a view


@dataclass(frozen=True)
class _Subject:
    """One thing that is measured: its name in the table and how it is built."""

    label: str
    what: str
    preset: str | None = None
    settings: tuple[str, ...] = ()


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    device = str(pick_device(options.device))
    subjects, sizes = _checked(options)
    table = {"sizes": sizes, "rows": [s.label for s in subjects], "repeats": options.repeats}
    if options.what in METHODS:
        settings = settings_of(options.what, options.preset, options.settings)
        return {"method": options.what, "settings": config.as_json(settings), "device": device, **table}
    return {"file": str(_file(options.what).path), "size": options.size, "device": device, **table}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The figures, by the names of the design; rows of them where several sizes or things are measured."""
    device = pick_device(options.device)
    subjects, sizes = _checked(options)
    peak = peak_memory_mb()
    rows, views = [], []
    for subject in subjects:
        parameters, scene, more = _built(subject, device)
        for size in sizes:
            view = view_of(scene, size, device, options.backend)
            if options.grid is not None:
                view = grid_of(scene, options.grid, device)
                more = {**more, "grid_cells": options.grid}
            rows.append({"what": subject.label, **counts(parameters, scene, view), **more})
            views.append(view.draw)
    for row, draw in zip(rows, views, strict=True):
        row["memory_rise_mb"] = round(rise_mb(draw, device), 1)
    for row, times in zip(rows, times_ms(views, options.repeats, device, progress), strict=True):
        row |= spread(times)
    common = {
        "device": str(device), "threads": torch.get_num_threads(), "omp_wait": wait_policy(), "repeats": options.repeats,
    }  # fmt: skip
    plot: dict[str, Any] = {} if options.plot is None else {"plot": _plotted(rows, options)}
    plot |= {} if options.similarity is None else {"similarity": _alike(subjects[0], options.similarity, device)}
    if len(rows) == 1:
        del rows[0]["what"]
        return {**rows[0], "peak_memory_mb": round(max(peak, peak_memory_mb()), 1), **common, **plot}
    found: dict[str, Any] = {"rows": Table(rows, SHOWN)}
    if options.against is not None:
        found["ratios"] = Table(
            _ratios(rows, len(sizes)), {"what": "ratio to the last", **{k: SHOWN[k] for k in ("width", *COMPARED)}}
        )
    return {**found, **common, **plot}


def _checked(options: Options) -> tuple[list[_Subject], list[int | None]]:
    """What is measured and at which sizes (None: its own)."""
    if not 1 <= options.repeats <= 1000:
        raise G3dError(f"--repeats is {options.repeats}; it must lie between 1 and 1000")
    if options.sizes is not None and options.size is not None:
        raise G3dError(f"--size {options.size} and --sizes {options.sizes} say the same; leave one of them out")
    if options.grid is not None:
        if not 2 <= options.grid <= LARGEST_GRID:
            raise G3dError(f"--grid is {options.grid}; it must lie between 2 and {LARGEST_GRID}")
        if options.size is not None or options.sizes is not None:
            raise G3dError("--grid measures a grid of cells, --size and --sizes views; leave one of them out")
    sizes: list[int | None] = [options.size]
    if options.sizes is not None:
        words = options.sizes.split(",")
        if not all(re.fullmatch(r"\d{1,4}", word.strip()) and 1 <= int(word) <= LARGEST_PX for word in words):
            raise G3dError(
                f"--sizes '{options.sizes}' is no list of sizes of 1 to {LARGEST_PX} pixels; write e.g. 64,128,256"
            )
        sizes = list(dict.fromkeys(int(word) for word in words))
    if options.plot is not None:
        if len(sizes) < 2:
            raise G3dError("--plot draws the time over the size; give two sizes or more, e.g. --sizes 64,128,256")
        plots.check_plot(options.plot, options.overwrite)
    if options.similarity is not None:
        plots.check_plot(options.similarity, options.overwrite, option="--similarity")
        name = options.what if options.what in METHODS else str(_file(options.what).config.get("method"))
        if name not in METHODS or method(name).similarity is None:
            raise G3dError(
                f"--similarity needs a method or a model with several parts a layer, which '{options.what}' is not"
            )
    subjects = [*_arms(options), *([] if options.against is None else [_named(options.against)])]
    _check_backend(options, subjects)
    return subjects, sizes


def _check_backend(options: Options, subjects: Sequence[_Subject]) -> None:
    """Refuse a back end that cannot run, or that nothing here would use."""
    choose(options.backend, pick_device(options.device))
    kinds = [_file(s.what).kind for s in subjects if s.what not in METHODS]
    if options.backend != "auto" and "scene/gaussians" not in kinds:
        raise G3dError(
            f"--backend {options.backend} draws 3D Gaussians; '{options.what}' is no scene of them; leave it out"
        )


def _arms(options: Options) -> list[_Subject]:
    """The first subject, once for every combination of swept settings."""
    swept = []
    fixed = {pair.partition("=")[0].strip() for pair in options.settings}
    for text in options.sweep:
        key, equals, values = text.partition("=")
        if not equals or not all(v.strip() for v in values.split(",")):
            raise G3dError(f"--sweep '{text}' is not of the form key=value,value; write e.g. --sweep bases=16,64,256")
        if key.strip() in fixed:
            raise G3dError(f"'{key.strip()}' is given twice, by --sweep '{text}' and before it; leave one of them out")
        fixed.add(key.strip())
        swept.append([f"{key.strip()}={value.strip()}" for value in dict.fromkeys(values.split(","))])
    if (arms := math.prod(len(values) for values in swept)) > MOST_ARMS:
        raise G3dError(f"--sweep makes {arms} combinations; at most {MOST_ARMS} can be measured: sweep fewer values")
    first = _Subject(
        f"{options.what}:{options.preset}" if options.preset else options.what,
        options.what,
        options.preset,
        tuple(options.settings),
    )
    found = [
        replace(first, label=" ".join(arm) or first.label, settings=(*options.settings, *arm))
        for arm in itertools.product(*swept)
    ]
    for arm in found:
        _refuse_foreign_settings(arm)
    return found


def _named(text: str) -> _Subject:
    """METHOD, METHOD:PRESET or a file."""
    name, _, preset = text.partition(":")
    found = _Subject(text, name, preset or None) if name in METHODS else _Subject(text, text)
    _refuse_foreign_settings(found)
    return found


def _refuse_foreign_settings(subject: _Subject) -> None:
    """Settings of a method that it does not have, or of a file, which has its own."""
    if subject.what in METHODS:
        settings_of(subject.what, subject.preset, subject.settings)
        return
    _file(subject.what)
    if subject.settings or subject.preset:
        raise G3dError(
            f"--set, --sweep and --preset belong to a method; '{subject.what}' is a file with its own settings"
        )


def _built(subject: _Subject, device: torch.device) -> tuple[int | None, Scene, Mapping[str, float]]:
    """Parameters of the network (None for a bare scene), one scene of it, from a zero code, and figures of the method's own."""
    if subject.what not in METHODS and (head := _file(subject.what)).kind != "model":
        return None, to(load_scene(head.path), device), {}
    chosen, model, space = _model(subject, device)
    more = chosen.counts(model.config) if chosen.counts is not None else {}
    scene = chosen.decode(model, space.zeros(device=device), chosen.decode_settings())
    return _count(model.network), pick(scene, 0), more


def _model(subject: _Subject, device: torch.device) -> tuple[Method[Any, Any], Any, LatentSpace]:
    """A method, a model of it, unfitted or from a file, and the space of its latents."""
    if subject.what in METHODS:
        chosen, settings = method(subject.what), settings_of(subject.what, subject.preset, subject.settings)
        network = chosen.build(settings).to(device)
        return chosen, chosen.unfitted(network, settings), chosen.latent_space(settings)
    head = _file(subject.what)
    chosen = method(str(head.config["method"]))
    return chosen, decoding.load(chosen, head, device), space_of(head)


def _alike(subject: _Subject, path: Path, device: torch.device) -> dict[str, Any]:
    """Draw how alike the parts of every layer are; their mean and largest similarity, of different ones."""
    chosen, model, _ = _model(subject, device)
    assert chosen.similarity is not None  # checked
    found = chosen.similarity(model)
    drawn = {name: matrix.numpy().astype(np.float64) for name, matrix in found.items()}
    plots.matrices(path, drawn, f"similarity of the parts of each layer, {subject.label}")
    figures = {}
    for name, matrix in found.items():
        pairs = max(1, matrix.numel() - len(matrix))  # the diagonal is 0
        figures[name] = {"mean": round(float(matrix.sum()) / pairs, 4), "largest": round(float(matrix.max()), 4)}
    return {"layers": figures, "plot": str(path)}


def _file(what: str) -> artifacts.Header:
    path = Path(what)
    if not path.exists():
        raise G3dError(f"'{what}' is neither a method ({', '.join(METHODS.names())}) nor a file that exists")
    if path.is_dir() and not (path / "model.safetensors").is_file():
        raise G3dError(
            f"'{path}' is a folder without a model; give a method's name, a run of fit-stage1, or one scene file"
        )
    return artifacts.check(files.inside(path, "model.safetensors"), "model", "scene", role="the file")


def _ratios(rows: Sequence[Mapping[str, Any]], sizes: int) -> list[dict[str, Any]]:
    """Each row divided by that of the last subject at the same place of the list of sizes; above 1: larger or slower."""
    found = []
    for i, row in enumerate(rows[:-sizes]):
        other = rows[len(rows) - sizes + i % sizes]
        shares = {k: round(row[k] / other[k], 3) if row[k] is not None and other[k] else None for k in COMPARED}
        found.append({"what": row["what"], "width": row["width"], **shares})
    return found


def _plotted(rows: Sequence[Mapping[str, Any]], options: Options) -> str:
    assert options.plot is not None
    series = {}
    for what in dict.fromkeys(row["what"] for row in rows):
        mine = sorted((row for row in rows if row["what"] == what), key=lambda row: int(row["width"]))
        low, high = ([row["ms_quartiles"][end] for row in mine] for end in (0, 1))
        series[what] = plots.Curve([row["width"] for row in mine], [row["ms_per_view"] for row in mine], low, high)
    title = f"time of a view on {pick_device(options.device)}, median and quartiles of {options.repeats}"
    plots.curves(options.plot, series, title, "width of the view, pixels", "ms", log=True)
    return str(options.plot)


def _count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
