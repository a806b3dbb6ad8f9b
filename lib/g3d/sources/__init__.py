"""What `prepare-data` understands: a table of sources, a module each.

A source is a module with `Options`, the options of the command that it uses, and `collect`, which turns a request into a
collection of items. Nothing heavy is read there: worker processes make the items, `writing/` writes what they made. Other
packages add theirs by the entry-point group `g3d.sources`.

Letters: V views of an item.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from g3d.data.columns import Made, View
from g3d.errors import G3dError
from g3d.plugins import Registry

if TYPE_CHECKING:
    from g3d.cameras import Cameras

__all__ = ["SOURCES", "Collection", "Item", "Made", "Request", "Source", "Summary", "View", "needs_input", "source"]

_OWN = {
    "procedural": "g3d.sources.procedural",
    "meshes": "g3d.sources.meshes",
    "voxels": "g3d.sources.voxels",
    "images": "g3d.sources.images",
    "eg3d": "g3d.sources.eg3d",
    "srn": "g3d.sources.srn",
    "transforms": "g3d.sources.transforms",
    "colmap": "g3d.sources.colmap",
    "faces": "g3d.sources.faces",
    "portraits": "g3d.sources.portraits",
    "depth": "g3d.sources.depth",
}


@dataclass(frozen=True)
class Request:
    """What the command line asks of a source."""

    input: str | None
    options: Any  # the source's own Options
    seed: int = 0
    skip_bad: bool = False


@dataclass(frozen=True)
class Item:
    """One object to be: its name, how a worker process makes it (picklable), and a stamp of its input.

    An interrupted preparation goes on as long as names and stamps are those that it began with."""

    name: str
    make: Callable[[], Made]
    stamp: str = ""


@dataclass(frozen=True)
class Summary:
    """What is known once every item is made."""

    cameras: "Cameras | None"  # of all views
    low: NDArray[np.float64]  # corners of the box around all boxes; low > high where no item had one
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Collection:
    """The objects of a dataset to be, in order, and what holds for all of them."""

    name: str
    items: Sequence[Item]
    licence: str
    settings: Mapping[str, Any]  # for the provenance: nothing that differs between machines
    width: int = 0  # of every picture, pixels; 0 where there are no pictures
    height: int = 0
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    describe: Callable[[Summary], Mapping[str, Any]] = lambda summary: {}
    """What dataset.json says of the whole: bounds, camera_prior, depth_scale, normalisation, ..."""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of the numbers in a column: {"class": [...]}
    inputs: tuple[Path, ...] = ()  # what must not be overwritten
    pictures: int | None = None  # how many it will be, where that is known
    workers_most: int = 1024  # where processes cannot share what an item needs (a GPU)
    notes: tuple[str, ...] = ()  # said once, before the work begins
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # reason => names, as in `leaving_out`


class Source(Protocol):
    """The contract of a source's module."""

    Options: type[Any]
    """A frozen dataclass: a field for each option of the command that this source uses, with its default."""

    def collect(self, request: Request) -> Collection:
        """The objects, or a `G3dError`."""


def _fits(found: Any) -> bool:
    return isinstance(getattr(found, "Options", None), type) and callable(getattr(found, "collect", None))


SOURCES: Registry[Source] = Registry("source", "g3d.sources", _OWN, _fits)


def source(name: str) -> Source:
    """The source of this name."""
    return SOURCES.get(name)


def needs_input(request: Request, name: str, what: str, example: str) -> Path:
    """The INPUT of a source that reads files, there and readable."""
    from g3d.errors import existing

    if request.input is None:
        raise G3dError(f"the source '{name}' needs {what}; write e.g. prepare-data {name} {example}")
    return existing(Path(request.input), what)
