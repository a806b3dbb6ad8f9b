"""Progress on a terminal: a rich bar on stderr, and plain lines where there is no terminal. Both say how long it will take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

_BAR, _WIDE_BAR = 12, 32  # columns; the wide one on terminals of more than _WIDE
_WIDE = 110
_NOT_DONE_HERE_S = 0.1  # what is done so soon was done before: by the process that is resumed


class Clock:
    """Of one bar: how long the rest will take, at the mean speed so far."""

    def __init__(self) -> None:
        self._began, self._from = time.monotonic(), 0

    def left_s(self, done: int, total: int) -> float | None:
        """Seconds, or None where nothing is known yet."""
        passed = time.monotonic() - self._began
        if passed < _NOT_DONE_HERE_S:
            self._from = done
        return passed / (done - self._from) * (total - done) if done > self._from else None


def eta(seconds: float | None) -> str:
    """`ETA 1:02:03`, `ETA 02:03`, `ETA --:--`."""
    if seconds is None:
        return "ETA --:--"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"ETA {hours}:{minute:02}:{second:02}" if hours else f"ETA {minute:02}:{second:02}"


def format_figures(figures: dict[str, Any], room: int | None = None) -> str:
    """`loss 0.012  items/s 340`: as many as there is room for."""
    found = ""
    for name, value in figures.items():
        more = f"{found}{'  ' if found else ''}{name} {value:.4g}" if isinstance(value, float) else (
            f"{found}{'  ' if found else ''}{name} {value}"
        )  # fmt: skip
        if room is not None and len(more) > room:
            break
        found = more
    return found


class _Behind(ProgressColumn):
    """Behind the bar: step, per cent, ETA, and the figures that there is room for."""

    def __init__(self, console: Console, bar: int):
        super().__init__(Column(no_wrap=True))
        self._console, self._bar = console, bar

    def render(self, task: Task) -> Text:
        """One line, never longer than the terminal is wide."""
        total = int(task.total or 0)
        done = min(int(task.completed), total)
        always = f"{done}/{total} {100 * done // max(total, 1):3d}% {eta(task.fields['left_s'])}"
        room = self._console.width - len(task.description) - self._bar - len(always) - 4
        figures = format_figures(task.fields["figures"], room)
        return Text(f"{always}  {figures}" if figures else always)


class _Terminal:
    """A bar with figures; lines of log above it."""

    def __init__(self, console: Console, bars: Progress):
        self._console, self._bars, self._clock = console, bars, Clock()
        self._task: TaskID | None = None

    def log(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)

    def start(self, label: str, total: int) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._clock = Clock()
        self._task = self._bars.add_task(label, total=total, figures={}, left_s=None)

    def update(self, done: int, total: int, **figures: Any) -> None:
        assert self._task is not None
        left_s = self._clock.left_s(done, total)
        self._bars.update(self._task, completed=done, total=total, figures=figures, left_s=left_s)


class _Lines:
    """No bar: a line at the start, and one every half minute."""

    def __init__(self, console: Console, every_s: float = 30.0):
        self._console, self._every_s, self._label, self._last = console, every_s, "", 0.0
        self._clock = Clock()

    def log(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def start(self, label: str, total: int) -> None:
        self._label, self._last, self._clock = label, time.monotonic(), Clock()

    def update(self, done: int, total: int, **figures: Any) -> None:
        left_s = self._clock.left_s(done, total)
        if time.monotonic() - self._last > self._every_s:
            self._last = time.monotonic()
            percent = 100 * done // max(total, 1)
            self.log(f"{self._label} {done}/{total} {percent}% {eta(left_s)} {format_figures(figures)}".rstrip())


@contextmanager
def terminal_progress(console: Console | None = None) -> Iterator[Any]:
    """Bars on a terminal, plain lines elsewhere (a log file, a batch job)."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    bar = _WIDE_BAR if console.width > _WIDE else _BAR
    label = _Label(Column(no_wrap=True, overflow="ellipsis"))
    with Progress(label, BarColumn(bar), _Behind(console, bar), console=console, transient=True) as bars:
        yield _Terminal(console, bars)


class _Label(ProgressColumn):
    """What is done."""

    def render(self, task: Task) -> Text:
        """As it is."""
        return Text(task.description)
