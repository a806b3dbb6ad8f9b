"""Processes pretended by threads: `distributed` answers each thread as it would a process of its own, in milliseconds."""

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

from g3d import distributed
from torch import Tensor


def processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns for each rank, all at the same time; sums over processes are those over threads."""
    place, barrier = threading.local(), threading.Barrier(count)
    sent: list[Tensor] = [Tensor()] * count
    found: list[Any] = [None] * count
    errors: list[BaseException] = []

    def reduce(tensor: Tensor, group: Any = None) -> None:
        sent[place.rank] = tensor.detach().clone()
        barrier.wait(60)
        total = sum(sent[1:], sent[0])
        barrier.wait(60)
        tensor.detach().copy_(total)

    def run(rank: int) -> None:
        place.rank = rank
        try:
            found[rank] = work(rank)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    with (
        mock.patch.object(distributed, "world", lambda: count),
        mock.patch.object(distributed, "rank", lambda: place.rank),
        mock.patch.object(distributed, "_reduce", reduce),
    ):
        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return found
