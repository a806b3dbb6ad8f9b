"""`report`: a run => one HTML page of its curves, last pictures, settings and figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing
from g3d.export.report import page
from g3d.progress import SILENT, Progress
from g3d.storage import files, foreign
from g3d.training.curves import as_float, curves, logged

_PNG, _PICTURE_MOST = b"\x89PNG\r\n\x1a\n", 1 << 28


@dataclass(frozen=True)
class Options:
    """`run` is a folder of a fit; `out` is RUN/report.html where it is None."""

    run: Path
    out: Path | None = None
    overwrite: bool = False


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the page."""
    folder = existing(options.run, "the run")
    if not (folder / "log.jsonl").is_file() or not (folder / "config.json").is_file():
        raise G3dError(
            f"'{folder}' is not a run (it has no log.jsonl); give a folder that fit-stage1, fit-prior or fit-refiner wrote"
        )
    out = options.out or folder / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise G3dError(f"the report '{out}' must end in .html; rename it")
    if options.out is not None:
        files.refuse_existing(out, options.overwrite)
    config = files.read_json(folder / "config.json", "the settings of the run")
    lines, cut = logged(folder / "log.jsonl")
    metrics = folder / "metrics.json"
    figures = files.read_json(metrics, "the figures of the run") if metrics.is_file() else {}
    what = str(config.get("method", config.get("kind", "run")))
    done = lines[-1]["step"] if lines else 0
    subtitle = f"{folder.resolve().name}: {done} steps, seed {config.get('seed')}" + (
        ", one damaged line left out" if cut else ""
    )
    pictures = _pictures(folder, {*figures, *_evaluated(lines)})
    text = page(f"g3d {what}", subtitle, {**figures, **_best(folder)}, curves(lines), pictures, {
        "Settings": _table(config.get("settings")), "Inputs": _table(config.get("parents")),
        "Changed on the way": _table(config.get("changed")),
    })  # fmt: skip
    with files.atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return {"written": [str(out)], "steps": done}


def _table(value: Any) -> dict[str, Any]:
    """A table as it is; a list by its numbers; nothing of what is neither."""
    if isinstance(value, list):
        return {str(i): "; ".join(map(str, v)) if isinstance(v, list) else v for i, v in enumerate(value, 1)}
    return value if isinstance(value, dict) else {}


def _evaluated(lines: list[dict[str, Any]]) -> set[str]:
    """The names of all figures of evaluations."""
    return {name for line in lines if isinstance(line.get("evaluation"), dict) for name in line["evaluation"]}


def _pictures(folder: Path, measured: set[str]) -> dict[str, bytes]:
    """The pictures of a run; what the grid shows is told by what was `measured` with it."""
    captions = {"grid": "true and reconstructed: training views, then views that were not fitted"}
    if "generated_views" in measured:
        captions = {"grid": "a row of real pictures, then generated ones"}
    own = [p for p in foreign.inside(folder, "*.png") if p.is_file() and not p.is_symlink()]  # a link may lead anywhere
    shown = {captions.get(p.stem, p.stem): files.read_bytes(p, "the picture", _PICTURE_MOST) for p in own}
    return {caption: data for caption, data in shown.items() if data.startswith(_PNG)}


def _best(folder: Path) -> dict[str, Any]:
    record = folder / "best" / "metrics.json"
    if not record.is_file():
        return {}
    best = files.read_json(record, "the best figures")
    step, metric, value = (best.get(key) for key in ("step", "metric", "value"))
    if not isinstance(value, int | float):
        raise G3dError(f"'{record}' is damaged (its value is {value!r}); take it away")
    return {"best checkpoint": f"step {step}: {metric} {as_float(value):.6g}"}
