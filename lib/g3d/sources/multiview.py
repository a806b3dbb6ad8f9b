"""Draws a collection of objects from many cameras, over all cores, and writes the dataset. Any number of workers gives
the same bytes.

Views are object-major: first the training views (random on the upper hemisphere), then the test views (a spiral).

Letters: O objects, V views of an object, G cells a side.
"""

import math
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g3d.cameras import CameraPrior, Cameras
from g3d.dataset import SPLITS, Writer
from g3d.errors import Failure, G3dError
from g3d.progress import Progress
from g3d.sources import Collection, Item
from g3d.sources.drawing import OCCUPANCY_CELLS, Bad, Drawn, Task, draw, start_worker

RADIUS_WORLD = 2.6
FOV_DEG = 45.5  # the unit sphere just fits: 2 asin(1 / 2.6) = 45.2
BACKGROUND = (1.0, 1.0, 1.0)
SHAPE_BOUNDS = [[-1.0] * 3, [1.0] * 3]
_BOX_MARGIN = 0.03  # of each side's length
_MARGIN_LEAST_WORLD = 1e-3  # so that flat objects have a box, too
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Layout:
    """How many pictures, of what size, in which splits."""

    views: int
    test_views: int
    size: int
    holdout: int
    seed: int
    skip_bad: bool
    workers: int

    @property
    def depth_scale(self) -> float:
        """World units of one step of the 16-bit depth: the farthest point of the unit sphere is step 65535."""
        return (RADIUS_WORLD + 1) / 65535


@dataclass
class _Tally:
    """What is known of the objects so far."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    bits: list[bytes] = field(default_factory=list)
    cameras: list[Cameras] = field(default_factory=list)
    sums: list[tuple[NDArray[np.int64], int]] = field(default_factory=list)
    low: NDArray[np.float64] = field(default_factory=lambda: np.full(3, np.inf))
    high: NDArray[np.float64] = field(default_factory=lambda: np.full(3, -np.inf))
    skipped: list[str] = field(default_factory=list)


def camera_prior(size: int) -> CameraPrior:
    """Cameras on the upper hemisphere from which the unit sphere just fits in the picture."""
    return CameraPrior(RADIUS_WORLD, FOV_DEG, size, size)


def write(folder: Path, collection: Collection, layout: Layout, source: str, progress: Progress) -> dict[str, Any]:
    """Draw every object of `collection` into `folder`; returns figures."""
    writer, tally, start = Writer(folder), _Tally(), time.monotonic()
    total, per_object = len(collection.items), layout.views + layout.test_views
    progress.start("objects", total)
    for number, (item, cameras, answer) in enumerate(_drawn(collection, layout), 1):
        if isinstance(answer, Bad):
            if not layout.skip_bad:
                raise G3dError(f"{answer.sentence}; --skip-bad leaves such files out")
            tally.skipped.append(answer.sentence)
            progress.log(f"skipped: {answer.sentence}")
            continue
        first = len(tally.entries) * per_object
        for view, pngs in enumerate(answer.pngs):
            writer.add(first + view, *pngs)
        _count(tally, item, cameras, answer)
        done = len(tally.entries)
        progress.update(number, total, views_per_s=done * per_object / max(time.monotonic() - start, 1e-9))
    seconds = time.monotonic() - start
    info = _describe(collection, layout, source, tally)
    digest = _close(writer, info, layout, tally)
    views = len(tally.entries) * per_object
    return {
        "objects": len(tally.entries), "views": views, "views_per_s": views / max(seconds, 1e-9), "seconds": seconds,
        "mean_image_psnr_db": info["mean_image_psnr_db"], "skipped": tally.skipped, "digest": digest,
    }  # fmt: skip


def _count(tally: _Tally, item: Item, cameras: Cameras, answer: Drawn) -> None:
    placed = {"centre": list(answer.placement.centre), "scale": answer.placement.scale, "triangles": answer.triangles}
    tally.entries.append({"name": item.name, **item.entry, **answer.traits, **placed})
    tally.bits.append(answer.occupancy_bits)
    tally.cameras.append(cameras)
    tally.sums.append((answer.train_sum, answer.train_squares))
    tally.low, tally.high = np.minimum(tally.low, answer.low), np.maximum(tally.high, answer.high)


def _describe(collection: Collection, layout: Layout, source: str, tally: _Tally) -> dict[str, Any]:
    """dataset.json, less what the writer adds."""
    objects = len(tally.entries)
    if not objects:
        raise G3dError(f"none of the {len(tally.skipped)} meshes can be used; the first: {tally.skipped[0]}")
    if layout.holdout >= objects:
        raise G3dError(f"--holdout {layout.holdout} leaves none of the {objects} objects for training; give less")
    train = objects - layout.holdout
    for i, entry in enumerate(tally.entries):
        entry["split"] = SPLITS[0] if i < train else SPLITS[1]
    margin = np.maximum(_BOX_MARGIN * (tally.high - tally.low), _MARGIN_LEAST_WORLD)
    settings = {
        **collection.settings, "views": layout.views, "test_views": layout.test_views, "size": layout.size,
        "holdout": layout.holdout, "skip_bad": layout.skip_bad,
    }  # fmt: skip
    return {
        "name": collection.name, "width": layout.size, "height": layout.size, "objects": tally.entries,
        "background": list(BACKGROUND), "bounds": [(tally.low - margin).tolist(), (tally.high + margin).tolist()],
        "shape_bounds": SHAPE_BOUNDS, "camera_prior": camera_prior(layout.size).as_json(), "depth_scale": layout.depth_scale,
        "licence": collection.licence, "mean_image_psnr_db": _mean_image_psnr_db(tally.sums[:train], layout.views),
        "normalisation": "normalised = (source - centre) * scale",
        "provenance": {"source": source, "settings": settings, "seed": layout.seed, "skipped": tally.skipped},
    }  # fmt: skip


def _mean_image_psnr_db(sums: list[tuple[NDArray[np.int64], int]], views: int) -> float | None:
    """PSNR of predicting every training view of the training objects by their mean: what a model must beat.

    None where it is not defined: without training views, or where all are the same picture."""
    count = len(sums) * views
    if count == 0:
        return None
    total = np.sum([s for s, _ in sums], axis=0).astype(np.float64)
    squares = float(sum(q for _, q in sums))
    mse = (squares - float((total * total).sum()) / count) / (count * total.size) / 255**2
    return -10 * math.log10(mse) if mse > 1e-12 else None


def _close(writer: Writer, info: Mapping[str, Any], layout: Layout, tally: _Tally) -> str:
    objects, per_object = len(tally.entries), layout.views + layout.test_views
    cameras = _joined(tally.cameras)
    view_split = (torch.arange(per_object) >= layout.views).long().repeat(objects)
    view_object = torch.arange(objects).repeat_interleave(per_object)
    packed = np.frombuffer(b"".join(tally.bits), np.uint8).reshape(objects, -1)
    g = OCCUPANCY_CELLS
    occupancy = torch.from_numpy(np.unpackbits(packed, axis=1).reshape(objects, g, g, g))
    return writer.close(info, cameras, view_object, view_split, occupancy)


def _drawn(collection: Collection, layout: Layout) -> Iterator[tuple[Item, Cameras, Drawn | Bad]]:
    """Objects in order, each with its cameras; a few are under way at a time, so memory does not grow with O."""
    prior = camera_prior(layout.size)
    spiral = prior.spiral(layout.test_views)

    def task(index: int) -> tuple[Item, Cameras, Task]:
        seen = prior.sample(layout.seed, range(index * layout.views, (index + 1) * layout.views))
        cameras = _joined([seen, spiral])
        item = collection.items[index]
        poses, intrinsics = cameras.c2w.numpy(), cameras.intrinsics.numpy()
        return item, cameras, Task(
            item, poses, intrinsics, layout.size, layout.size, layout.views, layout.depth_scale, BACKGROUND
        )  # fmt: skip

    count = len(collection.items)
    if min(layout.workers, count) <= 1:
        for index in range(count):
            item, cameras, work = task(index)
            yield item, cameras, draw(work)
        return
    waiting: deque[tuple[Item, Cameras, Future[Drawn | Bad]]] = deque()
    with _pool(min(layout.workers, count)) as pool:
        following = 0
        while waiting or following < count:
            while following < count and len(waiting) < 3 * layout.workers:
                item, cameras, work = task(following)
                waiting.append((item, cameras, pool.submit(draw, work)))
                following += 1
            item, cameras, future = waiting.popleft()
            try:
                answer = future.result()
            except BrokenProcessPool as error:
                names = ", ".join(f"'{w.name}'" for w in (item, *(i for i, _, f in waiting if not f.done())))
                raise Failure(f"a worker process died while drawing one of {names} (memory exhausted, or a file that open3d "
                              "does not survive); try --workers 1, or take the file away") from error  # fmt: skip
            yield item, cameras, answer


def _joined(parts: Sequence[Cameras]) -> Cameras:
    c2w, intrinsics = torch.cat([p.c2w for p in parts]), torch.cat([p.intrinsics for p in parts])
    return Cameras(c2w, intrinsics, parts[0].width, parts[0].height)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes of one thread each; what has not begun is dropped when the block ends early."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
