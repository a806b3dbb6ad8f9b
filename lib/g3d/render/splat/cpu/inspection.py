"""What the compiler makes of the kernels: whether their inner loops use the wide registers.

Nothing is run, so the code for another processor can be looked at, too (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES).
"""

from typing import Any

import numba
from numba.core import types

from g3d.kernels.compile import FLAGS
from g3d.render.splat.cpu import blend, blend_backward
from g3d.render.splat.cpu.lane_type import LANES

REGISTER = {8: "ymm", 16: "zmm"}[LANES]  # of x86; on another processor nothing is counted
_I8, _I32, _I64, _F32 = (types.Array(t, 1, "C") for t in (types.uint8, types.int32, types.int64, types.float32))
_INT, _BOXES, _NONE = types.int64, types.Array(types.int32, 2, "C"), types.none
_KERNELS = {
    "blend": (
        blend.blend,
        (_I64, _F32, _INT, _INT, _INT, _INT, _I64, _I32, _I32, _F32, _F32, _F32, _F32, _NONE, _I64, _I64),
    ),
    "blend_backward": (
        blend_backward.blend_backward,
        (_I64, _F32, _INT, _INT, _INT, _I64, _I64, _I32, _F32, _BOXES, _I64, _F32, _F32, _NONE, _F32, _F32, _NONE, _F32, _I8),
    ),
}  # fmt: skip


def fused_on_wide_registers() -> dict[str, int]:
    """Kernel => fused multiply-adds on REGISTER in its code. They are compiled anew: code from the cache cannot be read."""
    found: dict[str, int] = {}
    for name, (kernel, signature) in _KERNELS.items():
        again: Any = numba.njit(nogil=True, **FLAGS)(kernel.py_func)
        again.compile(signature)
        lines = next(iter(again.inspect_asm().values())).splitlines()
        found[name] = sum(REGISTER in line and ("vfmadd" in line or "vfnmadd" in line) for line in lines)
    return found
