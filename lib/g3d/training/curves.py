"""The log of a run read back: a curve over steps for each number in it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from g3d.storage.json_text import parsed
from g3d.training.log import read_lines

_LEFT_OUT = ("step", "seconds", "evaluation")
_STEP_MOST = 10**15
_FIRST = ("loss", "gradient_norm", "lr", "items_per_s", "peak_memory_mb")
Curve = tuple[str, Sequence[float], Sequence[float]]  # title, steps, values


def logged(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a log, and how many are damaged (a run that is being written may end in half a line)."""
    found, cut = [], 0
    for text in read_lines(path):
        try:
            line = parsed(text)
            if isinstance(line["step"], int) and 0 <= line["step"] <= _STEP_MOST:
                found.append(line)
                continue
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        cut += 1
    return found, cut


def curves(lines: Sequence[dict[str, Any]]) -> list[Curve]:
    """A curve for each number that was logged: the training's first, then the evaluations'."""
    training = [(line["step"], line) for line in lines if "evaluation" not in line]
    evaluated = [(line["step"], line["evaluation"]) for line in lines if isinstance(line.get("evaluation"), dict)]
    found: list[Curve] = []
    for prefix, table in (("", training), ("evaluation: ", evaluated)):
        names = dict.fromkeys(name for _, figures in table for name in figures if name not in _LEFT_OUT)
        for name in sorted(names, key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n)):
            pairs = [(s, as_float(f[name])) for s, f in table if isinstance(f.get(name), int | float)]
            if pairs:
                found.append((prefix + name, [s for s, _ in pairs], [v for _, v in pairs]))
    return found


def as_float(value: float) -> float:
    """A whole number may be too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
