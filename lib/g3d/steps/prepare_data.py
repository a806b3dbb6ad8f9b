"""`prepare-data`: a source of objects => a dataset of pictures, cameras, masks, depth and occupancy."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d import files
from g3d.errors import G3dError
from g3d.progress import SILENT, Progress
from g3d.sources import Collection, Request, source

_VIEWS_MOST = 1_000_000  # pictures are numbered with six digits


@dataclass(frozen=True)
class Options:
    """`num` and `skip_bad` belong to some sources only; None or False where they were not given."""

    source: str
    input: str | None
    out: Path
    num: int | None = None
    views: int = 16
    test_views: int = 8
    size: int = 64
    holdout: int = 0
    skip_bad: bool = False
    workers: int | None = None
    seed: int = 0
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it draws anything."""
    collection = _collect(options)
    files.refuse_existing(options.out, options.overwrite, collection.inputs)
    objects = len(collection.items)
    return {
        "source": options.source, **collection.settings, "objects": objects, "views": options.views,
        "test_views": options.test_views, "pictures": objects * (options.views + options.test_views), "size": options.size,
        "holdout": options.holdout, "skip_bad": options.skip_bad, "workers": _workers(options, objects), "seed": options.seed,
        "licence": collection.licence, "out": str(options.out), "overwrite": options.overwrite,
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the dataset; it appears under the name `out` when it is whole."""
    collection = _collect(options)
    files.refuse_existing(options.out, options.overwrite, collection.inputs)
    from g3d.sources import multiview

    layout = multiview.Layout(
        options.views, options.test_views, options.size, options.holdout, options.seed, options.skip_bad,
        _workers(options, len(collection.items)),
    )  # fmt: skip
    with files.output_folder(options.out, options.overwrite, collection.inputs) as folder:
        figures = multiview.write(folder, collection, layout, options.source, progress)
    return {"written": [str(options.out)], **figures}


def _collect(options: Options) -> Collection:
    """The objects, once every option is in its range and used by the source."""
    module = source(options.source)
    given = {"num": options.num is not None, "skip_bad": options.skip_bad}
    for name, said in given.items():
        if said and name not in module.OPTIONS:
            word = name.replace("_", "-")
            raise G3dError(f"the source '{options.source}' does not use --{word}; leave it out")
    _within("num", 1 if options.num is None else options.num, 1, _VIEWS_MOST)
    _within("views", options.views, 1, 10_000)
    _within("test-views", options.test_views, 0, 10_000)
    _within("size", options.size, 8, 2048)
    _within("workers", 1 if options.workers is None else options.workers, 1, 1024)
    collection = module.collect(Request(options.input, options.num, options.seed))
    objects = len(collection.items)
    _within(
        "holdout", options.holdout, 0, objects - 1, f" (of {objects} objects at least one must be left for training)"
    )
    pictures = objects * (options.views + options.test_views)
    if pictures > _VIEWS_MOST:
        raise G3dError(f"{objects} objects with {options.views} + {options.test_views} views are {pictures} pictures; "
                       f"a dataset holds at most {_VIEWS_MOST}: take fewer objects or views")  # fmt: skip
    return collection


def _within(word: str, value: int, low: int, high: int, why: str = "") -> None:
    if not low <= value <= high:
        raise G3dError(f"--{word} is {value}; it must lie between {low} and {high}{why}")


def _workers(options: Options, objects: int) -> int:
    """As many processes as this one may use cores, but not more than objects."""
    if options.workers is not None:
        return options.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, objects)
