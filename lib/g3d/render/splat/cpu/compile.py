"""`@kernel` and `@inner`: numba's compiler as this package uses it, with its results kept on disk.

Kernels release the interpreter's lock and take no part in numba's own threading, so they run in any thread and after any
fork. The cache lies where numba puts it (`__pycache__`, the user's cache folder, or NUMBA_CACHE_DIR). Numba would look at
the file of a kernel alone; here a change in any file of the package, or another width of lanes, makes the cache stale.
Where no folder can be written, kernels are compiled anew by each process.
"""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

from g3d.render.splat.cpu.lane_type import LANES

FLAGS = {"error_model": "numpy", "fastmath": {"contract"}, "boundscheck": False}


def _stamp() -> str:
    here = Path(__file__).parent
    sources = [here.parent / "rule.py", *sorted(here.glob("*.py"))]
    digest = hashlib.sha256(f"{LANES} {numba.__version__}".encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


STAMP = _stamp()


class _Impl(CompileResultCacheImpl):  # type: ignore[misc]
    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._locator.get_source_stamp = lambda: STAMP

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{LANES}"


class _Cache(FunctionCache):  # type: ignore[misc]
    _impl_class = _Impl

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # a full disk, a folder that has become read-only
            logging.getLogger(__name__).warning("a compiled kernel could not be kept: %s", error)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # a damaged file is as good as none
            logging.getLogger(__name__).warning("a kept kernel could not be read: %s", error)
            return None


def kernel(function: Callable[..., Any]) -> Any:
    """An entry point: compiled at its first call, or read from the cache."""
    made = numba.njit(nogil=True, **FLAGS)(function)
    try:
        made._cache = _Cache(function)
    except (RuntimeError, OSError) as error:  # no folder that can be written
        logging.getLogger(__name__).warning("kernels are compiled anew by each process: %s", error)
    return made


def inner(function: Callable[..., Any]) -> Any:
    """A function of kernels, which becomes part of each."""
    return numba.njit(forceinline=True, **FLAGS)(function)
