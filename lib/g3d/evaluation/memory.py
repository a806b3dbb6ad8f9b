"""What a piece of work needs of memory beyond what was there before it."""

import contextlib
import ctypes
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def rise_mb(work: Callable[[], object], device: torch.device) -> float:
    """Peak of the GPU's allocations, or of this process' resident memory, during `work`, less what was there before.

    On Linux the kernel's own mark of the peak is set back first, so that earlier work does not hide it; elsewhere only a
    peak above all earlier ones shows."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    if not _reset_peak():
        before_mb = _largest_mb()
        work()
        return _largest_mb() - before_mb
    before_mb = _status_mb("VmRSS")
    work()
    return max(0.0, _status_mb("VmHWM") - before_mb)


def _reset_peak() -> bool:
    """Give free pages back, else work that takes them again would not show; then set the peak back to what is in use."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(AttributeError, OSError):  # not glibc: pages that it keeps stay invisible
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _CLEAR.write_text("5")  # Linux, proc(5): the peak of resident memory
    except OSError:
        return False
    return True


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"{_STATUS} has no {name}"
    return int(found[1]) / 1024


def _largest_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
