"""`prepare-data procedural cars|chairs|planes`: coloured low-polygon shapes drawn from a seed; nothing to download.

Object i depends on (seed, i) alone, so more objects extend a set and do not change it.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from g3d.errors import G3dError, closest
from g3d.sources import Collection, Item, Request
from g3d.sources.procedural import cars, chairs, planes
from g3d.sources.surfaces import multiview
from g3d.sources.surfaces.drawing import make_object
from g3d.sources.surfaces.surface import Surface

KINDS: Mapping[str, Callable[[np.random.Generator], Surface]] = {
    "cars": cars.build, "chairs": chairs.build, "planes": planes.build,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What this source takes from the command line; None is the default of `multiview`."""

    num: int = 48
    views: int | None = None
    test_views: int | None = None
    size: int | None = None
    cameras: str = "hemisphere"
    normals: bool = False


def collect(request: Request) -> Collection:
    """`num` shapes of the kind that `input` names."""
    allowed, options = ", ".join(KINDS), request.options
    if request.input is None:
        raise G3dError(f"the source 'procedural' needs a kind of shape ({allowed}): prepare-data procedural cars")
    kind = request.input
    if kind not in KINDS:
        raise G3dError(f"there is no procedural shape '{kind}'{closest(kind, KINDS)}; shapes are {allowed}")
    plan = multiview.layout(options.cameras, options.views, options.test_views, options.size, options.normals)
    pictures = options.num * (plan.views + plan.test_views)
    multiview.check_pictures(pictures, options.num)
    items = []
    for i, stage in enumerate(multiview.stages(plan, request.seed, options.num)):
        name = f"{kind}-{i:05d}"
        items.append(
            Item(name, partial(make_object, partial(make, kind, request.seed, i), name, stage, {}, closed=True))
        )
    return Collection(
        f"procedural {kind}", items, "CC0-1.0 (drawn by g3d from a seed)",
        {"input": kind, "num": options.num, **plan.settings}, plan.width, plan.height, multiview.BACKGROUND,
        partial(multiview.describe, plan, None), pictures=pictures,
    )  # fmt: skip


def make(kind: str, seed: int, index: int) -> Surface:
    """Shape `index` of the stream `seed`."""
    digest = hashlib.sha256(f"{seed}|{index}|{kind}|shape".encode()).digest()
    return KINDS[kind](np.random.default_rng(int.from_bytes(digest[:16], "little")))
