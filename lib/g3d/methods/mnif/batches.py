"""What the items of a step are compared at: tuples of tensors [S, P, ...], cut by items, by points, and moved.

Letters: S items, P points or rays of each.
"""

import os
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

B = TypeVar("B", bound="tuple[Tensor, ...]")

# Data up to this size is held decoded; the processes of one machine share it.
IN_MEMORY_BYTES = (4 << 30) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Batch(Protocol):
    """Any named tuple of tensors [S, P, ...] with `weight` [S, P]: 0 where a point does not count."""

    @property
    def weight(self) -> Tensor: ...


class Source(Protocol):
    """Draws what items are compared at."""

    def draw(self, items: Tensor, step: int, places: Sequence[int]) -> Any:
        """The batch of `items` [S], numbers of the source's own; each depends on (seed, step, its place) alone."""


def key(step: int, place: int) -> int:
    """The number of the random stream of a place of a step."""
    return step * 1_000_003 + place


def items(batch: B, some: slice) -> B:
    """Some of the items."""
    return _made(batch, [part[some] for part in batch])


def points(batch: B, some: slice) -> B:
    """Some of the points or rays of every item."""
    return _made(batch, [part[:, some] for part in batch])


def pinned(batch: B, wanted: bool) -> B:
    """In memory from which a GPU copies without waiting."""
    return _made(batch, [part.pin_memory() for part in batch]) if wanted else batch


def sent(batch: B, device: torch.device) -> B:
    """The same on `device`; from pinned memory the loop does not wait for the copy."""
    return _made(batch, [part.to(device, non_blocking=True) for part in batch])


def _made(batch: B, parts: list[Tensor]) -> B:
    return type(batch)(*parts)
