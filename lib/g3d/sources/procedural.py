"""`prepare-data procedural cars|chairs|planes`: coloured low-polygon shapes drawn from a seed; nothing to download.

Object i depends on (seed, i) alone, so more objects extend a set and do not change it.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from g3d.errors import G3dError, did_you_mean
from g3d.sources import Collection, Item, Request, cars, chairs, planes
from g3d.sources.surface import Surface

OPTIONS = frozenset({"num"})
NUM_DEFAULT = 48
KINDS: Mapping[str, Callable[[np.random.Generator], Surface]] = {
    "cars": cars.build, "chairs": chairs.build, "planes": planes.build,
}  # fmt: skip


def collect(request: Request) -> Collection:
    """`num` shapes of the kind that `input` names."""
    allowed = ", ".join(KINDS)
    if request.input is None:
        raise G3dError(f"the source 'procedural' needs a kind of shape ({allowed}): prepare-data procedural cars")
    kind, num = request.input, NUM_DEFAULT if request.num is None else request.num
    if kind not in KINDS:
        raise G3dError(f"there is no procedural shape '{kind}'{did_you_mean(kind, KINDS)}; shapes are {allowed}")
    items = [Item(f"{kind}-{i:05d}", partial(make, kind, request.seed, i)) for i in range(num)]
    settings = {"input": kind, "num": num}
    return Collection(f"procedural {kind}", items, "CC0-1.0 (drawn by g3d from a seed)", settings)


def make(kind: str, seed: int, index: int) -> Surface:
    """Shape `index` of the stream `seed`."""
    digest = hashlib.sha256(f"{seed}|{index}|{kind}|shape".encode()).digest()
    return KINDS[kind](np.random.default_rng(int.from_bytes(digest[:16], "little")))
