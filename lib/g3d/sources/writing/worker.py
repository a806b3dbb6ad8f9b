"""Makes items in worker processes, in order, a few at a time; a bad item is an answer, not an end. No torch here."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process

from g3d.errors import Failure, G3dError, Missing
from g3d.sources import Item, Made

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Bad:
    """An item that cannot be used, and why."""

    sentence: str


def made(items: Sequence[Item], first: int, workers: int) -> Iterator[tuple[Item, Made | Bad]]:
    """The items from number `first` on, in order, each with what was made of it; memory does not grow with their number."""
    if min(workers, len(items) - first) <= 1:
        for index in range(first, len(items)):
            yield items[index], _make(items[index])
        return
    waiting: deque[tuple[Item, Future[Made | Bad]]] = deque()
    with _pool(min(workers, len(items) - first)) as pool:
        following = first
        while waiting or following < len(items):
            try:
                while following < len(items) and len(waiting) < 4 * workers:
                    waiting.append((items[following], pool.submit(_make, items[following])))
                    following += 1
                answer = waiting[0][1].result()
            except BrokenProcessPool as error:  # from `submit` too, when one died while an item was written
                lost = [i for i, f in waiting if not f.done() or isinstance(f.exception(), BrokenProcessPool)]
                names = ", ".join(f"'{i.name}'" for i in (lost or items[following:])[:workers])
                raise Failure(f"a worker process died while making one of {names} (memory exhausted, or a file that its reader "
                              "does not survive); try --workers 1, or take the file away") from error  # fmt: skip
            yield waiting.popleft()[0], answer


def _make(item: Item) -> Made | Bad:
    try:
        return item.make()
    except (Missing, Failure):
        raise
    except G3dError as error:
        return Bad(str(error))


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes of one thread each; what has not begun is dropped when the block ends early."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start_worker() -> None:
    """In a new worker: leave Ctrl-C and a scheduler's warning to the parent, and end when the parent is gone (a killed
    parent cannot say so)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def follow() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
