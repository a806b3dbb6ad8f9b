"""How a step tells what it is doing. Silent for a caller from Python; the command line installs bars and lines."""

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
