"""What a run says of itself: log.jsonl, TensorBoard events, the bar; and a watch for numbers that are not finite.

Figures of a step stay tensors on their device until a line is due, so that logging alone makes the loop wait for a GPU.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.errors import from_os_error
from g3d.progress import Progress
from g3d.storage import files
from g3d.storage.json_text import parsed

Figure = float | Tensor


class Watch:
    """Remembers the first step at which each figure was not finite, without waiting for its value."""

    def __init__(self) -> None:
        self._first: dict[str, Tensor] = {}

    def see(self, step: int, figures: Mapping[str, Figure]) -> None:
        """The figures of a step."""
        for name, value in figures.items():
            if isinstance(value, Tensor):
                first = self._first.get(name)
                if first is None:
                    first = self._first[name] = torch.full((), math.inf, device=value.device)
                seen = torch.where(torch.isfinite(value.detach()), math.inf, float(step))
                torch.minimum(first, seen.to(first.device), out=first)
            elif not math.isfinite(value):
                self._first.setdefault(name, torch.tensor(float(step)))

    def first(self) -> tuple[str, int] | None:
        """The figure that left the finite numbers first, and its step; waits for the device."""
        found = {name: float(step) for name, step in self._first.items()}
        worst = min(found, key=lambda name: (found[name], name), default=None)
        return None if worst is None or math.isinf(found[worst]) else (worst, int(found[worst]))


class Clipping:
    """Statistics of the gradient's norm between two lines of the log."""

    def __init__(self) -> None:
        self._steps, self._clipped, self._most = 0, torch.zeros(()), torch.zeros(())

    def see(self, norm: Tensor, most: float) -> None:
        """The norm before clipping at `most`."""
        norm = norm.detach()
        self._steps += 1
        self._clipped = self._clipped.to(norm.device) + (norm > most)
        self._most = torch.maximum(self._most.to(norm.device), norm)

    def take(self) -> dict[str, float]:
        """Share of clipped steps and the largest norm since the last call."""
        if not self._steps:
            return {}
        found = {"clipped_share": float(self._clipped) / self._steps, "gradient_norm_most": float(self._most)}
        self.__init__()  # type: ignore[misc]
        return found


class Log:
    """log.jsonl and TensorBoard of one run; only the process that writes has one."""

    def __init__(self, folder: Path, progress: Progress, first_step: int):
        self._path, self._progress, self._first = folder / "log.jsonl", progress, first_step
        self._events: Any = None

    def line(self, step: int, total: int, figures: Mapping[str, Any]) -> None:
        """One line for `step` (the number of steps done), on the bar, too."""
        shown = {k: v for k, v in figures.items() if k != "seconds"}
        self._progress.update(step, total, **shown)
        self._append({"step": step, **figures})
        for name, value in shown.items():
            self._scalar(f"training/{name}", value, step)

    def evaluation(self, step: int, figures: Mapping[str, Any]) -> None:
        """Figures of an evaluation, in a line of their own."""
        numbers = {k: v for k, v in figures.items() if isinstance(v, int | float)}
        self._append({"step": step, "evaluation": numbers})
        self._progress.log(f"step {step}: " + "  ".join(f"{k} {v:.4g}" for k, v in numbers.items()))
        for name, value in numbers.items():
            self._scalar(f"evaluation/{name}", value, step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """The spread of many numbers, e.g. of latent codes."""
        writer = self._writer()
        if writer is not None:
            writer.add_histogram(name, values.detach().float().cpu().flatten(), step)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """A picture [H, W, 3], 8-bit."""
        writer = self._writer()
        if writer is not None:
            writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write what TensorBoard has not written yet."""
        if self._events:
            self._events.close()
            self._events = None

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, sort_keys=True) + "\n")
        except OSError as error:
            raise from_os_error(error, f"writing {self._path}") from error

    def _scalar(self, name: str, value: float, step: int) -> None:
        writer = self._writer()
        if writer is not None:
            writer.add_scalar(name, value, step)

    def _writer(self) -> Any:
        """TensorBoard's writer; False where the package is missing, which the log says once."""
        if self._events is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._progress.log("no TensorBoard events: the package tensorboard is not installed")
                self._events = False
            else:
                purge = self._first + 1 if self._first else None  # what an interrupted run had logged beyond its state
                self._events = SummaryWriter(str(self._path.parent / "events"), purge_step=purge)
        return self._events or None


def read_lines(path: Path) -> list[str]:
    """The lines of a log, whatever bytes are in them."""
    return files.read_bytes(path, "the log", files.JSON_MOST).decode("utf-8", "replace").splitlines()


def cut_log(path: Path, step: int, *, evaluated: bool = True) -> float:
    """Drop what was logged after the state that is resumed, and a line that a kill cut short; return the seconds spent.

    Not `evaluated`: drop the evaluation of the step itself, too, since it is made again."""
    kept, seconds = [], 0.0
    for line in read_lines(path) if path.exists() else []:
        try:
            values = parsed(line)
            if values["step"] <= step and (evaluated or "evaluation" not in values or values["step"] < step):
                kept.append(line)
                seconds = float(values.get("seconds", seconds))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    with files.atomic(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return seconds


def now() -> float:
    """Seconds of a clock that never goes back."""
    return time.monotonic()
