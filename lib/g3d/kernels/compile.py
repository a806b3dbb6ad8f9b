"""Numba's compiler as this library uses it, with its results kept on disk.

Kernels release the interpreter's lock and take no part in numba's own threading, so they run in any thread and after any
fork. The cache lies where numba puts it (`__pycache__`, the user's cache folder, or NUMBA_CACHE_DIR). Numba would look at
the file of a kernel alone; here a change in any file that kernels are made of makes the cache stale. Where no folder can
be written, kernels are compiled anew by each process.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache

FLAGS = {"error_model": "numpy", "fastmath": {"contract"}, "boundscheck": False}
Decorator = Callable[[Callable[..., Any]], Any]


def compilers(sources: Iterable[Path], tag: str = "") -> tuple[Decorator, Decorator]:
    """The decorators `kernel` and `inner` of kernels that are made of `sources`; `tag` tells variants of them apart."""
    cache = _cache_of(_stamp(sources, tag), tag)

    def kernel(function: Callable[..., Any]) -> Any:
        """An entry point: compiled at its first call, or read from the cache."""
        made = numba.njit(nogil=True, **FLAGS)(function)
        try:
            made._cache = cache(function)
        except (RuntimeError, OSError) as error:  # no folder that can be written
            logging.getLogger(__name__).warning("kernels are compiled anew by each process: %s", error)
        return made

    def inner(function: Callable[..., Any]) -> Any:
        """A function of kernels, which becomes part of each."""
        return numba.njit(forceinline=True, **FLAGS)(function)

    return kernel, inner


def _stamp(sources: Iterable[Path], tag: str) -> str:
    digest = hashlib.sha256(f"{tag} {numba.__version__}".encode())
    for source in (*sources, Path(__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _cache_of(stamp: str, tag: str) -> Callable[[Callable[..., Any]], Any]:
    class Impl(CompileResultCacheImpl):  # type: ignore[misc]
        def __init__(self, function: Any) -> None:
            super().__init__(function)
            self._locator.get_source_stamp = lambda: stamp

        def get_filename_base(self, fullname: str, abiflags: str) -> str:
            return f"{super().get_filename_base(fullname, abiflags)}{tag and '-'}{tag}"

    class Cache(FunctionCache):  # type: ignore[misc]
        _impl_class = Impl

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

    return Cache
