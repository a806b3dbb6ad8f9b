"""`report`: a run => one HTML page of its curves, last pictures, settings and figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing, from_os_error
from g3d.export.report import Curve, page
from g3d.progress import SILENT, Progress
from g3d.storage import files, foreign

_LEFT_OUT = ("step", "seconds", "evaluation")
_FIRST = ("loss", "gradient_norm", "lr", "items_per_s", "peak_memory_mb")


@dataclass(frozen=True)
class Options:
    """`run` is a folder of fit-stage1 or fit-prior; `out` is RUN/report.html where it is None."""

    run: Path
    out: Path | None = None
    overwrite: bool = False


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the page."""
    folder = existing(options.run, "the run")
    if not (folder / "log.jsonl").is_file() or not (folder / "config.json").is_file():
        raise G3dError(
            f"'{folder}' is not a run (it has no log.jsonl); give a folder that fit-stage1 or fit-prior wrote"
        )
    out = options.out or folder / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise G3dError(f"the report '{out}' must end in .html; rename it")
    if options.out is not None:
        files.refuse_existing(out, options.overwrite)
    config = files.read_json(folder / "config.json", "the settings of the run")
    lines, cut = _lines(folder / "log.jsonl")
    metrics = folder / "metrics.json"
    figures = files.read_json(metrics, "the figures of the run") if metrics.is_file() else {}
    what = str(config.get("method", config.get("kind", "run")))
    done = lines[-1]["step"] if lines else 0
    subtitle = f"{folder.resolve().name}: {done} steps, seed {config.get('seed')}" + (
        ", one damaged line left out" if cut else ""
    )
    text = page(f"g3d {what}", subtitle, {**figures, **_best(folder)}, _curves(lines), _pictures(folder), {
        "Settings": config.get("settings", {}), "Inputs": config.get("parents", {}),
        "Changed on the way": {str(i): "; ".join(c) for i, c in enumerate(config.get("changed", []), 1)},
    })  # fmt: skip
    try:
        with files.atomic(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, f"writing {out}") from error
    return {"written": [str(out)], "steps": done}


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a log, and how many are damaged (a run that is being written may end in half a line)."""
    found, cut = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            int(line["step"])
            found.append(line)
        except (ValueError, KeyError, TypeError):
            cut += 1
    return found, cut


def _curves(lines: list[dict[str, Any]]) -> list[Curve]:
    """A curve for each number that was logged: the training's first, then the evaluations'."""
    training = [(line["step"], line) for line in lines if "evaluation" not in line]
    evaluated = [(line["step"], line["evaluation"]) for line in lines if "evaluation" in line]
    found: list[Curve] = []
    for prefix, table in (("", training), ("evaluation: ", evaluated)):
        names = dict.fromkeys(name for _, figures in table for name in figures if name not in _LEFT_OUT)
        for name in sorted(names, key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n)):
            pairs = [(s, float(f[name])) for s, f in table if isinstance(f.get(name), int | float)]
            if pairs:
                found.append((prefix + name, [s for s, _ in pairs], [v for _, v in pairs]))
    return found


def _pictures(folder: Path) -> dict[str, bytes]:
    captions = {"grid": "true and reconstructed: training views, then views that were not fitted"}
    return {captions.get(p.stem, p.stem): p.read_bytes() for p in foreign.inside(folder, "*.png")}


def _best(folder: Path) -> dict[str, Any]:
    record = folder / "best" / "metrics.json"
    if not record.is_file():
        return {}
    best = files.read_json(record, "the best figures")
    return {"best checkpoint": f"step {best['step']}: {best['metric']} {best['value']:.6g}"}
