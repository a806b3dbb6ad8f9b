"""What the steps that measure share: checks of words and places before anything is read, and the files of figures."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g3d.data import columns
from g3d.errors import G3dError, closest
from g3d.storage import files

SPLITS = (*columns.SPLITS, "all")  # of views
OBJECTS = (*columns.OBJECT_SPLITS, "all")


def check_words(given: Mapping[str, tuple[str | None, Sequence[str]]]) -> None:
    """Refuse a word that is not among those allowed of its option."""
    for name, (value, allowed) in given.items():
        if value is not None and value not in allowed:
            raise G3dError(f"{name} '{value}' is unknown{closest(value, allowed)}; allowed are {', '.join(allowed)}")


def needs_dataset(given: Mapping[str, str | None], inputs: Sequence[Path]) -> None:
    """Refuse options of datasets where there is none."""
    used = [name for name, value in given.items() if value is not None]
    if used and not any((path / "dataset.json").is_file() for path in inputs):
        raise G3dError(f"{used[0]} needs a dataset (a folder with dataset.json), and none is given; leave it out")


def check_outputs(outs: Mapping[str, Path | None], overwrite: bool, inputs: tuple[Path, ...]) -> None:
    """Refuse places that figures cannot go to."""
    for name, path in outs.items():
        if path is None:
            continue
        if path.is_dir():
            raise G3dError(f"{name} '{path}' is a folder; figures go into a file, e.g. {path / 'figures.json'}")
        files.refuse_existing(path, overwrite, inputs)
    files.refuse_overlap([path for path in outs.values() if path is not None])


def write_results(
    result: dict[str, Any], lines: Sequence[Mapping[str, Any]], out: Path | None, per_item: Path | None
) -> dict[str, Any]:
    """The figures as JSON and a JSON line a pair, where they are wanted; in those a number that is not finite is null."""
    if per_item is not None:
        with files.atomic(per_item) as temporary:
            text = (
                json.dumps({k: _plain(v) for k, v in line.items()}, sort_keys=True, allow_nan=False) for line in lines
            )
            temporary.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        result = {**result, "per_item": str(per_item)}
    if out is None:
        return result
    files.write_json(out, result)
    return {**result, "written": [str(path) for path in (out, per_item) if path is not None]}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
