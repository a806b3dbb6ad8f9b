"""`prepare-data`: a source of objects or pictures => a dataset."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from g3d.data.writer import ASKED, JOURNAL, VIEWS_MOST
from g3d.errors import G3dError
from g3d.progress import SILENT, Progress
from g3d.sources import SOURCES, Collection, Request, source
from g3d.sources.writing.split_list import SplitList, read_split_list
from g3d.storage import files
from g3d.storage.leaving_out import merged


@dataclass(frozen=True)
class Options:
    """Those from `num` on belong to some sources only; None is the source's own default."""

    source: str
    input: str | None
    out: Path
    split: Path | None = None
    holdout: int = 0
    store: str = "folder"
    skip_bad: bool = False
    workers: int | None = None
    seed: int = 0
    overwrite: bool = False
    num: int | None = None
    views: int | None = None
    test_views: int | None = None
    size: int | None = None
    cameras: str | None = None
    normals: bool | None = None
    backgrounds: Path | None = None
    background: str | None = None
    mirror: bool | None = None
    group: str | None = None
    up: str | None = None
    box: float | None = None
    cells: int | None = None
    points: int | None = None
    expressions: int | str | None = None
    frame: str | None = None
    holdout_subjects: int | None = None
    holdout_pairs: str | None = None
    lit: bool | None = None
    labels: Path | None = None
    landmarks: Path | None = None
    files: Path | None = None
    estimator: Path | None = None
    estimator_size: int | None = None
    estimator_norm: str | None = None
    trust: bool | None = None
    device: str | None = None
    max_unpacked_gb: float | None = None


_OF_EVERY_SOURCE = 10  # the first fields of Options
_RANGES: dict[str, tuple[float, float]] = {
    "num": (1, VIEWS_MOST), "views": (1, 10_000), "test_views": (0, 10_000), "size": (8, 2048), "workers": (1, 1024),
    "box": (1e-6, 1e6), "cells": (8, 256), "points": (1, 1_000_000), "estimator_size": (16, 4096),
    "max_unpacked_gb": (1e-6, 1e6),
}  # fmt: skip


def foreign_options(name: str) -> set[str] | None:
    """The options that belong to other sources than the one of this name; None where there is no such source."""
    if name not in SOURCES:
        return None
    return {f.name for f in fields(Options)[_OF_EVERY_SOURCE:]} - {f.name for f in fields(source(name).Options)}


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it makes anything."""
    collection = _collect(options)
    split = _split(options, collection)
    files.refuse_existing(options.out, options.overwrite, _inputs(options, collection))
    return {
        "source": options.source, **collection.settings, "objects": len(collection.items), "pictures": collection.pictures,
        "holdout": options.holdout, "split": None if split is None else split.description, "store": options.store,
        "skip_bad": options.skip_bad, "workers": _workers(options, collection), "seed": options.seed,
        "licence": collection.licence, "out": str(options.out), "overwrite": options.overwrite,
        **({"left_out": merged([collection.left_out])} if collection.left_out else {}),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the dataset; it appears under the name `out` when it is whole. Interrupted, the same call goes on."""
    collection = _collect(options)
    split = _split(options, collection)
    from g3d.sources.writing import collection as writing

    plan = writing.Plan(
        options.source, options.seed, split, options.holdout, options.store == "zip", options.skip_bad,
        _workers(options, collection),
    )  # fmt: skip
    identity = [
        options.source,
        dict(collection.settings),
        options.seed,
        collection.name,
        collection.width,
        collection.height,
    ]
    inputs = _inputs(options, collection)
    with files.resumable_folder(options.out, options.overwrite, inputs, identity, JOURNAL, ASKED) as (folder, removed):
        if removed:
            progress.log(f"what an interrupted run with other settings had made of '{options.out}' was removed")
        figures = writing.write(folder, collection, plan, progress)
    return {"written": [str(options.out)], **figures}


def _collect(options: Options) -> Collection:
    """The objects, once every option is in its range and used by the source."""
    module = source(options.source)
    own = {field.name for field in fields(module.Options)}
    given = {f.name: getattr(options, f.name) for f in fields(options)[_OF_EVERY_SOURCE:]}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in own:
            users = [s for s in SOURCES.own if name in {f.name for f in fields(source(s).Options)}]
            raise G3dError(
                f"the source '{options.source}' does not use --{_word(name)} ({', '.join(users)} do); leave it out"
            )
    for name, (low, high) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise G3dError(f"--{_word(name)} is {value}; it must lie between {low:g} and {high:g}")
    if options.store not in ("folder", "zip"):
        raise G3dError(f"--store is '{options.store}'; it must be folder or zip")
    collection = module.collect(Request(options.input, module.Options(**given), options.seed, options.skip_bad))
    objects = len(collection.items)
    if not 0 <= options.holdout < max(objects, 1):
        raise G3dError(f"--holdout is {options.holdout}; it must lie between 0 and {objects - 1} (of {objects} objects at least "
                       "one must be left for training)")  # fmt: skip
    if options.holdout and options.split is not None:
        raise G3dError("--holdout and --split both say which objects are for testing; give one of them")
    for name in ("holdout_subjects", "holdout_pairs"):
        if getattr(options, name) and (options.holdout or options.split is not None):
            other = "--holdout" if options.holdout else "--split"
            raise G3dError(f"{other} and --{_word(name)} both say which objects are not trained; give one of them")
    if (collection.pictures or 0) > VIEWS_MOST:
        raise G3dError(f"{objects} objects are {collection.pictures} pictures; a dataset holds at most {VIEWS_MOST}: "
                       "take fewer objects or views")  # fmt: skip
    return collection


def _split(options: Options, collection: Collection) -> SplitList | None:
    if options.split is None:
        return None
    found = read_split_list(options.split)
    found.check([item.name for item in collection.items])
    return found


def _inputs(options: Options, collection: Collection) -> tuple[Path, ...]:
    return collection.inputs if options.split is None else (*collection.inputs, options.split)


def _workers(options: Options, collection: Collection) -> int:
    """As many processes as this one may use cores, but not more than objects."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores if options.workers is None else options.workers, len(collection.items), collection.workers_most)


def _word(name: str) -> str:
    return name.replace("_", "-")
