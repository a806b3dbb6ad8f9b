"""A task shared out to plain threads. Kernels run without the interpreter's lock, so this is real work side by side.

Neither OpenMP nor numba's threading layers take part: both die after `fork()`, as in data-loader workers, and the simplest
of them when two threads draw at once.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_POOL: list[ThreadPoolExecutor] = []  # idle helpers of this process
os.register_at_fork(after_in_child=_POOL.clear)  # its threads did not come along


def count() -> int:
    """How many threads torch would use: `torch.set_num_threads`, OMP_NUM_THREADS, one in a data-loader worker."""
    return torch.get_num_threads()


def share(task: Callable[[int], object], parts: int) -> None:
    """task(0), ..., task(parts - 1), side by side; the first runs here. An error of any is raised."""
    if parts > 1 and not _POOL:
        _POOL.append(ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="kernel"))
    others = [_POOL[0].submit(task, part) for part in range(1, parts)]
    try:
        task(0)
    finally:
        for other in others:
            other.result()
