"""Computes the batches of the next steps in threads while the loop works on this one.

A batch is a function of its step alone, so the loop gets what it would have computed itself, in whatever order threads end.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Batches(Generic[T]):
    """`batches(step)` for the steps of a loop, in order; `ahead` of them are under way at a time."""

    def __init__(self, make: Callable[[int], T], total: int, ahead: int, pool: ThreadPoolExecutor | None):
        self._make, self._total, self._ahead, self._pool = make, total, ahead, pool
        self._waiting: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The batch of a step; a mistake in making it is raised here, in the loop."""
        if self._pool is None:
            return self._make(step)
        for following in range(step, min(step + self._ahead + 1, self._total)):
            if following not in self._waiting:
                self._waiting[following] = self._pool.submit(self._make, following)
        return self._waiting.pop(step).result()


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting for what a GPU still has to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@contextmanager
def prefetch(make: Callable[[int], T], total: int, *, threads: int, ahead: int = 4) -> Iterator[Batches[T]]:
    """Batches of steps below `total`, made by `threads` threads; 0 makes each in the loop, when it is asked for."""
    if threads < 1:
        yield Batches(make, total, 0, None)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        yield Batches(make, total, ahead, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
