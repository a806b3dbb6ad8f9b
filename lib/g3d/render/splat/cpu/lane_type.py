"""The type of LANES single-precision numbers that stand side by side in one vector register, as numba and LLVM hold it.

`G3D_SPLAT_LANES` sets another width than the processor's, for tests and measurements.
"""

import os
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import types
from numba.extending import models, register_model


def _host_lanes() -> int:
    asked = os.environ.get("G3D_SPLAT_LANES")
    return int(asked) if asked else 16 if llvm.get_host_cpu_features().get("avx512f") else 8


LANES = _host_lanes()
assert LANES in (8, 16), f"G3D_SPLAT_LANES is {LANES}; 8 and 16 are possible"


F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


VECTOR, INTS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)


FUSE = ("contract",)


class LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"lanes{LANES}xf32")


class MaskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"mask{LANES}")


lanes, mask = LanesType(), MaskType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), LANES))


def in_every_lane(builder: Any, x: Any) -> Any:
    empty = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(empty, x, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(INTS, [0] * LANES))


def constant(x: float) -> Any:
    return ir.Constant(VECTOR, [float(x)] * LANES)


def ints(x: int) -> Any:
    return ir.Constant(INTS, [x] * LANES)


def as_vector(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """An argument of an operation => a vector: lanes as they are, a number in every lane."""
    return value if kind == lanes else in_every_lane(builder, context.cast(builder, value, kind, types.float32))
