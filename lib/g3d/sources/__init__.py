"""What `prepare-data` understands: a table of sources, a module each.

A source is a module with `OPTIONS`, the options of the command that it uses beside those of every source, and
`collect`, which turns a request into a collection of objects. Nothing heavy is read there: workers make the objects.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from g3d.errors import G3dError, did_you_mean
from g3d.sources.surface import Surface

SOURCES: Mapping[str, str] = {
    "procedural": "g3d.sources.procedural",
    "meshes": "g3d.sources.meshes",
}


@dataclass(frozen=True)
class Request:
    """What the command line asks of a source; None where nothing was said."""

    input: str | None
    num: int | None
    seed: int


@dataclass(frozen=True)
class Item:
    """One object: its name, how a worker process makes it (picklable), what dataset.json says of it."""

    name: str
    make: Callable[[], Surface]
    entry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """The objects of a dataset to be, in order."""

    name: str
    items: Sequence[Item]
    licence: str
    settings: Mapping[str, Any]  # for the provenance: nothing that differs between machines
    inputs: tuple[Path, ...] = ()  # what must not be overwritten


class Source(Protocol):
    """The contract of a source's module."""

    OPTIONS: frozenset[str]

    def collect(self, request: Request) -> Collection:
        """The objects, or a `G3dError`."""


def source(name: str) -> Source:
    """The source of this name."""
    if name not in SOURCES:
        known = ", ".join(sorted(SOURCES))
        raise G3dError(f"there is no source '{name}'{did_you_mean(name, SOURCES)}; sources are {known}")
    return cast(Source, importlib.import_module(SOURCES[name]))
