"""Makes a collection's items over all cores and writes the dataset. Any number of workers, and any number of interruptions,
gives the same bytes."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g3d.cameras import Cameras
from g3d.data.columns import SPLITS
from g3d.data.writer import Writer, finished
from g3d.errors import G3dError
from g3d.progress import Progress
from g3d.sources import Collection, Summary
from g3d.sources.writing.split_list import SplitList
from g3d.sources.writing.worker import Bad, made
from g3d.storage.files import read_json
from g3d.storage.leaving_out import merged, note


@dataclass(frozen=True)
class Plan:
    """What every source's dataset is asked for."""

    source: str
    seed: int
    split: SplitList | None
    holdout: int  # the last objects
    zipped: bool
    skip_bad: bool
    workers: int


def write(folder: Path, collection: Collection, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Make every item of `collection` into `folder`, going on behind those that are there; returns figures."""
    keys = [f"{item.name}|{item.stamp}" for item in collection.items]
    asked = _asked(keys, collection, plan)
    if finished(folder, asked):  # ended while tidying up, or in the way of another output
        info = read_json(folder / "dataset.json", "the dataset description")
        return _figures(info, len(info["objects"]), info["provenance"]["skipped"], 0, 0.0)
    for said in collection.notes:
        progress.log(said)
    if collection.left_out:
        progress.log(note(collection.left_out))
    writer, total = Writer(folder), len(collection.items)
    first = writer.keep(keys, skipped=plan.skip_bad)
    if first:
        progress.log(f"going on behind {first} of {total} objects that an interrupted run had made")
    before, start = writer.views, time.monotonic()
    progress.start("objects", total)
    for number, (item, answer) in enumerate(made(collection.items, first, plan.workers), first + 1):
        if isinstance(answer, Bad):
            if not plan.skip_bad:
                raise G3dError(f"{answer.sentence}; --skip-bad leaves such items out")
            writer.skip(item.name, answer.sentence, item.stamp)
            progress.log(f"skipped: {answer.sentence}")
            continue
        writer.add(item.name, answer, item.stamp)
        rate = (writer.views - before) / max(time.monotonic() - start, 1e-9)
        progress.update(number, total, **({"views_per_s": rate} if writer.views else {}))
    seconds = time.monotonic() - start
    if not writer.objects:
        raise G3dError(
            f"none of the {len(writer.skipped)} items can be used, so there is no dataset; the first: {writer.skipped[0]}"
        )
    late = merged(o.get("left_out", {}) for o in writer.objects if not o.get("mirrored"))
    if late:
        progress.log(note(late))
    unturned = sum(int(o.get("exif_not_applied", 0)) for o in writer.objects if not o.get("mirrored"))
    if unturned:
        progress.log(
            f"the EXIF orientation of {unturned} pictures was not applied: cameras describe pixels as they are stored"
        )
    splits = _splits(writer.objects, plan)
    info = _describe(collection, plan, writer)
    writer.close(info, splits, zipped=plan.zipped, asked=asked)
    written = read_json(folder / "dataset.json", "the dataset description")
    return _figures(written, len(writer.objects), writer.skipped, writer.views - before, seconds)


def _asked(keys: Sequence[str], collection: Collection, plan: Plan) -> str:
    """A digest of what the bytes of the dataset depend on beside the identity of its folder."""
    split = None if plan.split is None else plan.split.description
    names = {name: list(known) for name, known in collection.names.items()}
    asked = [keys, names, collection.licence, split, plan.holdout, plan.zipped, plan.skip_bad]
    if collection.left_out:
        asked.append(merged([collection.left_out]))
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _figures(
    info: Mapping[str, Any], objects: int, skipped: Sequence[str], views: int, seconds: float
) -> dict[str, Any]:
    return {
        "objects": objects, "views": info["views"], "views_per_s": views / max(seconds, 1e-9), "seconds": seconds,
        "mean_image_psnr_db": info["mean_image_psnr_db"], "skipped": list(skipped), "left_out": _left_out(info),
        "digest": info["digest"],
    }  # fmt: skip


def _left_out(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """All that dataset.json lists: of the whole, and of each object."""
    return merged(
        [
            info["provenance"].get("left_out", {}),
            *(o.get("left_out", {}) for o in info["objects"] if not o.get("mirrored")),
        ]
    )


def _describe(collection: Collection, plan: Plan, writer: Writer) -> dict[str, Any]:
    """dataset.json, less what the writer adds."""
    cameras = None
    if writer.has("c2w"):
        poses, intrinsics = (torch.from_numpy(np.array(writer.rows(name))) for name in ("c2w", "intrinsics"))
        cameras = Cameras(poses, intrinsics, collection.width, collection.height)
    split = None if plan.split is None else plan.split.description
    settings = {**collection.settings, "holdout": plan.holdout, "split": split, "skip_bad": plan.skip_bad}
    left_out = {"left_out": merged([collection.left_out])} if collection.left_out else {}
    return {
        "name": collection.name, "width": collection.width, "height": collection.height,
        "background": list(collection.background),
        "licence": collection.licence, "names": {name: list(known) for name, known in collection.names.items()},
        "provenance": {"source": plan.source, "settings": settings, "seed": plan.seed, "skipped": writer.skipped, **left_out},
        **collection.describe(Summary(cameras, writer.low, writer.high)),
    }  # fmt: skip


def _splits(objects: Sequence[Mapping[str, Any]], plan: Plan) -> list[str]:
    """The split of each object: of the list, else the last ones by --holdout, else what the source knows."""
    if plan.split is not None:
        return plan.split.of([str(o["name"]) for o in objects], [str(o.get("file", "")) for o in objects])
    if not plan.holdout:
        return [str(o.get("split", SPLITS[0])) for o in objects]
    originals = [i for i, o in enumerate(objects) if not o.get("mirrored")]  # a mirrored copy goes with its original
    if plan.holdout >= len(originals):
        raise G3dError(f"--holdout {plan.holdout} leaves none of the {len(originals)} objects for training; give less")
    first = originals[-plan.holdout]
    return [SPLITS[0]] * first + [SPLITS[1]] * (len(objects) - first)
