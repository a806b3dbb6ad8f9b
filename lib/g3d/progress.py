"""How a step tells what it is doing, and numbers as people read them. Silent for a caller from Python; the command line
installs bars and lines."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Tell = Callable[[int, int], None]
"""Told how many steps are done, of how many, by what takes long inside of one item."""


class Progress(Protocol):
    """What a step may say while it runs. Nothing here goes to stdout."""

    def log(self, line: str) -> None:
        """One line for a person."""

    def update(self, done: int, total: int, **figures: Any) -> None:
        """`done` of `total`, with figures such as loss or items per second."""

    def start(self, label: str, total: int) -> None:
        """A new bar named `label`."""


class Silent:
    """Says nothing."""

    def log(self, line: str) -> None: ...

    def update(self, done: int, total: int, **figures: Any) -> None: ...

    def start(self, label: str, total: int) -> None: ...


SILENT: Progress = Silent()


def track(items: Iterable[T], total: int, label: str, progress: Progress) -> Iterator[T]:
    """Iterate and report each item as done."""
    progress.start(label, total)
    for done, item in enumerate(items, 1):
        yield item
        progress.update(done, total)


def amount(count: float) -> str:
    """`170 M`, three digits."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * unit:  # rounds to it
            return f"{count / unit:.3g}{name}"
    return str(int(count))


def duration(seconds: float) -> str:
    """`9 min`, `3.5 h`, `2.1 days`."""
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
