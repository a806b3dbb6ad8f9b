"""`compare`: runs side by side: the settings that differ, and their figures; mean and deviation where only the seed differs."""

import csv
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, closest, existing, from_os_error
from g3d.export.comparison import Drawn, page
from g3d.progress import SILENT, Progress
from g3d.storage import files
from g3d.training.curves import as_float, curves, logged
from g3d.training.folder import settings_of

_LEADS = (
    "psnr_of_mean_mse_db",
    "psnr_held_out_of_mean_mse_db",
    "psnr_db",
    "held_out_bits_per_token",
    "loss",
    "seconds",
)


@dataclass(frozen=True)
class Options:
    """`runs`: folders of fits. `also`: names of JSON files in each run whose numbers count, too (of eval-*).
    `figures`: which to show; None: all. `csv`: a file to write, a line for each run. `html`: a page with the curves of their
    logs, of `curves` alone where these are named."""

    runs: Sequence[Path]
    also: Sequence[str] = ()
    figures: Sequence[str] | None = None
    csv: Path | None = None
    html: Path | None = None
    curves: Sequence[str] | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class _Run:
    path: Path
    what: str  # the method, the kind of prior, or that it is a refiner
    seed: Any
    settings: Mapping[str, Any]  # with the digests of its inputs
    figures: Mapping[str, float]


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    found = [_read(path, options.also) for path in options.runs]
    _check(options, found)
    return {"runs": [str(run.path) for run in found], "also": list(options.also), "figures": _names(options, found)}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """A row for each group of runs that differ in their seed alone: mean, and deviation of a sample where there are several."""
    found = [_read(path, options.also) for path in options.runs]
    _check(options, found)
    names, groups = _names(options, found), _grouped(found)
    differ = _differing([runs[0] for runs in groups])
    table = []
    for runs in groups:
        row: dict[str, Any] = {"run": _label(runs)}
        row |= {name: runs[0].settings.get(name) for name in differ} | {"seeds": len(runs)}
        for name in names:
            values = [one.figures[name] for one in runs if name in one.figures]
            row[name] = statistics.mean(values) if values else None
            if len(values) > 1:
                row[f"{name} ±"] = statistics.stdev(values)
        table.append(row)
    if options.csv is not None:
        _write_csv(options.csv, found, differ, names)
        progress.log(f"{options.csv} written")
    if options.html is not None:
        drawn = _curves(options, groups)
        with files.atomic(options.html) as temporary:
            temporary.write_text(page(f"g3d compare: {found[0].what}", table, drawn), encoding="utf-8")
        progress.log(f"{options.html} written")
    return {"runs": len(found), "differ": differ, "groups": table}


def _label(runs: Sequence[_Run]) -> str:
    """What a group is called: the folder of its seeds, or its one run's, with the row that a seed is of: ROW/SEED."""
    if len(runs) > 1:
        return str(runs[0].path.parent)
    path = runs[0].path
    return f"{path.parent.name}/{path.name}" if path.name.isdecimal() and path.parent.name else path.name


def _curves(options: Options, groups: Sequence[Sequence[_Run]]) -> list[Drawn]:
    """A curve for each number that a run logged; what a run did not log is no curve of it."""
    found = []
    for number, runs in enumerate(groups):
        for one in runs:
            log = one.path / "log.jsonl"
            lines, _ = logged(log) if log.is_file() else ([], 0)
            found += [Drawn(number, *curve) for curve in curves(lines)]
    titles = list(dict.fromkeys(one.title for one in found))
    for name in options.curves or ():
        if name not in titles:
            raise G3dError(
                f"no run has logged '{name}'{closest(name, titles)}; there are {', '.join(titles) or 'no curves yet'}"
            )
    return [one for one in found if options.curves is None or one.title in options.curves]


def _read(path: Path, also: Sequence[str]) -> _Run:
    folder = existing(path, "the run")
    if not (folder / "config.json").is_file():
        raise G3dError(
            f"'{folder}' is not a run (it has no config.json); give folders that fit-stage1, fit-prior or fit-refiner wrote"
        )
    config = settings_of(folder)
    figures: dict[str, float] = {}
    if (folder / "metrics.json").is_file():
        figures |= _numbers(files.read_json(folder / "metrics.json", "the figures of the run"))
    for name in also:
        extra = files.read_json(existing(folder / name, "the figures"), "the figures")
        figures |= {f"{Path(name).stem}: {key}": value for key, value in _numbers(extra).items()}
    settings = {**config.get("settings", {}), **{f"input {k}": v for k, v in config.get("parents", {}).items()}}
    what = str(config.get("method", config.get("kind", "a refiner" if "refiner" in config else "?")))
    return _Run(folder, what, config.get("seed"), settings, figures)


def _numbers(table: Any) -> dict[str, float]:
    if not isinstance(table, Mapping):
        return {}
    found = {k: as_float(v) for k, v in table.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {k: v for k, v in found.items() if math.isfinite(v)}


def _check(options: Options, found: Sequence[_Run]) -> None:
    if len(found) < 2:
        raise G3dError(f"there is nothing to compare {'with' if found else ''}; give two or more runs")
    kinds = sorted({run.what for run in found})
    if len(kinds) > 1:
        raise G3dError(
            f"the runs are of {', '.join(kinds)}, whose settings mean different things; compare runs of one of them"
        )
    every = sorted({name for run in found for name in run.figures})
    for name in options.figures or ():
        if name not in every:
            raise G3dError(
                f"no run has a figure '{name}'{closest(name, every)}; figures: {', '.join(every) or 'none yet'}"
            )
    if options.curves is not None and options.html is None:
        raise G3dError("--curves says what the page of --html shows; add --html PAGE.html")
    if options.html is not None and options.html.suffix.lower() not in (".html", ".htm"):
        raise G3dError(f"the page '{options.html}' must end in .html; rename it")
    for out in (options.csv, options.html):
        if out is not None:
            files.refuse_existing(out, options.overwrite, tuple(run.path for run in found))


def _names(options: Options, found: Sequence[_Run]) -> list[str]:
    """The figures to show: those asked for, or all, the leading ones first."""
    if options.figures is not None:
        return list(options.figures)
    every = {name for run in found for name in run.figures}
    return sorted(every, key=lambda name: (_LEADS.index(name) if name in _LEADS else len(_LEADS), name))


def _grouped(found: Sequence[_Run]) -> list[list[_Run]]:
    """Runs of equal settings and inputs together, in the order of the first of each."""
    groups: dict[str, list[_Run]] = {}
    for one in found:
        groups.setdefault(json.dumps(one.settings, sort_keys=True), []).append(one)
    for runs in groups.values():
        seeds = [run.seed for run in runs]
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            both = " and ".join(f"'{run.path}'" for run in runs if run.seed == twice)
            raise G3dError(f"{both} are the same run (settings and seed {twice}); leave all but one of them out")
    return list(groups.values())


def _differing(first: Sequence[_Run]) -> list[str]:
    names = dict.fromkeys(name for run in first for name in run.settings)
    return [name for name in names if any(run.settings.get(name) != first[0].settings.get(name) for run in first)]


def _write_csv(path: Path, found: Sequence[_Run], differ: Sequence[str], names: Sequence[str]) -> None:
    """A line for each run, with its seed: what a spreadsheet or a plot wants."""
    try:
        with files.atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["run", "seed", *differ, *names])
            for run in found:
                row = [run.settings.get(name) for name in differ] + [run.figures.get(name) for name in names]
                writer.writerow([str(run.path), run.seed, *row])
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
