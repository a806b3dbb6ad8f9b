"""What the compiler made of the kernels: whether their inner loops use the wide registers."""

from typing import Any

import numba

from g3d.render.splat.cpu import bins, blend, blend_backward, project, project_backward
from g3d.render.splat.cpu.compile import FLAGS
from g3d.render.splat.cpu.lanes import LANES

KERNELS = {
    "project": project.project, "fill": bins.fill, "blend": blend.blend, "blend_backward": blend_backward.blend_backward,
    "project_backward": project_backward.project_backward,
}  # fmt: skip
_REGISTER = {8: "ymm", 16: "zmm"}  # of x86; on another processor nothing is counted


def registers(names: tuple[str, ...] = ("blend", "blend_backward")) -> dict[str, dict[str, int]]:
    """Register => kernel => fused multiply-adds on it in the generated code. The kernels must have run once (their argument
    types are then known); they are compiled again, since code from the cache cannot be read."""
    word = _REGISTER[LANES]
    found: dict[str, int] = {}
    for name in names:
        again: Any = numba.njit(nogil=True, **FLAGS)(KERNELS[name].py_func)
        signature = KERNELS[name].signatures[0]
        again.compile(signature)
        lines = again.inspect_asm(signature).splitlines()
        found[name] = sum(word in line and ("vfmadd" in line or "vfnmadd" in line) for line in lines)
    return {word: found}
