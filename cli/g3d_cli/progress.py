"""Progress on a terminal: a rich bar on stderr, and plain lines where there is no terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class _Terminal:
    """A bar with figures; lines of log above it."""

    def __init__(self, console: Console, bars: Progress):
        self._console, self._bars = console, bars
        self._task: TaskID | None = None

    def log(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)

    def start(self, label: str, total: int) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(label, total=total, figures="")

    def update(self, done: int, total: int, **figures: Any) -> None:
        assert self._task is not None
        self._bars.update(self._task, completed=done, total=total, figures=format_figures(figures))


class _Lines:
    """No bar: a line at the start, and one every half minute."""

    def __init__(self, console: Console, every_s: float = 30.0):
        self._console, self._every_s, self._label, self._last = console, every_s, "", 0.0

    def log(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def start(self, label: str, total: int) -> None:
        self._label, self._last = label, time.monotonic()

    def update(self, done: int, total: int, **figures: Any) -> None:
        if time.monotonic() - self._last > self._every_s:
            self._last = time.monotonic()
            self.log(f"{self._label} {done}/{total} {format_figures(figures)}")


def format_figures(figures: dict[str, Any]) -> str:
    """`loss 0.012  items/s 340`, short enough for a bar."""
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())


@contextmanager
def terminal_progress() -> Iterator[Any]:
    """Bars on a terminal, plain lines elsewhere (a log file, a batch job)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        yield _Terminal(console, bars)
