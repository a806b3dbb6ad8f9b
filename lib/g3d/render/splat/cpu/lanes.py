"""A value type for numba: LANES single-precision numbers, computed side by side in one vector register.

numba's own vectoriser gives up without a word; with this type the generated code is what the source says. 16 lanes where
the processor has AVX-512, else 8 (AVX2; two halves on NEON). Arithmetic takes lanes and plain numbers, comparisons give a
mask. Only the contraction to fused multiply-adds is allowed to the compiler: results do not depend on its mood.

`G3D_SPLAT_LANES` sets another width, for tests and measurements.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.types.containers import UniTuple
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

from g3d.render.splat.cpu.lane_type import (
    F32,
    FUSE,
    I32,
    I64,
    INTS,
    LANES,
    VECTOR,
    as_vector,
    constant,
    in_every_lane,
    ints,
    lanes,
    mask,
)


def _binary(op: Any, emit: Any, result: Any) -> None:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = op

        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and lanes in args and all(a == lanes or isinstance(a, types.Number) for a in args):
                return signature(result, *(a if a == lanes else types.float32 for a in args))
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (as_vector(context, builder, t, a) for t, a in zip(sig.args, args, strict=True))
        return emit(builder, x, y)

    infer_global(op)(Template)
    for pair in ((lanes, lanes), (lanes, types.float32), (types.float32, lanes)):
        lower_builtin(op, *pair)(lower)


_binary(operator.add, lambda b, x, y: b.fadd(x, y, flags=FUSE), lanes)
_binary(operator.sub, lambda b, x, y: b.fsub(x, y, flags=FUSE), lanes)
_binary(operator.mul, lambda b, x, y: b.fmul(x, y, flags=FUSE), lanes)
_binary(operator.truediv, lambda b, x, y: b.fdiv(x, y, flags=FUSE), lanes)
_binary(operator.ge, lambda b, x, y: b.fcmp_ordered(">=", x, y), mask)
_binary(operator.gt, lambda b, x, y: b.fcmp_ordered(">", x, y), mask)
_binary(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), mask)


@infer_global(operator.and_)
class _And(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(mask, mask, mask) if args == (mask, mask) else None


@lower_builtin(operator.and_, mask, mask)  # type: ignore[untyped-decorator]
def _and(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.and_(*args)


@infer_global(operator.neg)
class _Neg(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(lanes, lanes) if args == (lanes,) else None


@lower_builtin(operator.neg, lanes)  # type: ignore[untyped-decorator]
def _neg(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, x: Any) -> Any:
    """A number in every lane."""
    return lanes(types.float32), lambda context, builder, sig, args: in_every_lane(builder, args[0])


@intrinsic  # type: ignore[untyped-decorator]
def iota(typing: Any) -> Any:
    """0, 1, 2, ..."""
    values = ir.Constant(VECTOR, [float(i) for i in range(LANES)])
    return lanes(), lambda context, builder, sig, args: values


def _pointer(builder: Any, array_type: Any, array: Any, index: Any, context: Any) -> Any:
    struct = context.make_array(array_type)(context, builder, array)
    place = builder.gep(struct.data, [index])
    return builder.bitcast(place, VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, index: Any) -> Any:
    """LANES neighbours of a flat float32 array from `index` on (no bounds are checked)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, sig.args[0], args[0], args[1], context), align=4)

    return lanes(array, types.int64), emit


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write LANES neighbours of a flat float32 array from `index` on (no bounds are checked)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, sig.args[0], args[0], args[1], context), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), emit


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line at `index` of a flat array; reading it comes later."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(builder, sig.args[0], args[0], args[1], context)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, *(ir.Constant(I32, v) for v in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


@intrinsic  # type: ignore[untyped-decorator]
def select(typing: Any, where: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where the mask is set, else `no`."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (as_vector(context, builder, sig.args[i], args[i]) for i in (1, 2))
        return builder.select(args[0], x, y)

    parts = [t if t == lanes else types.float32 for t in (yes, no)]
    return lanes(mask, *parts), emit


def _extreme(order: str) -> Any:
    def make(typing: Any, x: Any, y: Any) -> Any:
        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            a, b = (as_vector(context, builder, t, v) for t, v in zip(sig.args, args, strict=True))
            return builder.select(builder.fcmp_ordered(order, a, b), a, b)

        return lanes(*(t if t == lanes else types.float32 for t in (x, y))), emit

    return intrinsic(make)


minimum = _extreme("<")
maximum = _extreme(">")


@intrinsic  # type: ignore[untyped-decorator]
def sqrt(typing: Any, x: Any) -> Any:
    """Square root of every lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = f"llvm.sqrt.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(VECTOR, [VECTOR]), name)
        return builder.call(function, args)

    return lanes(lanes), emit


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z with one rounding, whatever stands around it: for what must come out the same twice."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = f"llvm.fma.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name)
        return builder.call(function, args)

    return lanes(lanes, lanes, lanes), emit


@intrinsic  # type: ignore[untyped-decorator]
def any_of(typing: Any, where: Any) -> Any:
    """Whether the mask is set in some lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = ir.IntType(LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0))

    return types.boolean(mask), emit


# 2^f on [-1/2, 1/2], relative error 8e-8: least squares at Chebyshev points, weighted by 1 / 2^f. Before them, 1.5 * 2^23:
# adding it rounds to an integer, which then stands in the low bits.
EXP2 = (12582912.0, 1.0000001, 0.69314694, 0.24022122, 0.055507425, 0.00967546, 0.001326697)


def _exp2(builder: Any, x: Any, magic: Any, coefficients: Any) -> Any:
    shifted = builder.fadd(x, magic)
    f = builder.fsub(x, builder.fsub(shifted, magic))
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = builder.fadd(builder.fmul(value, f, flags=FUSE), coefficient, flags=FUSE)
    exponent = builder.shl(builder.bitcast(shifted, INTS), ints(23))
    return builder.bitcast(builder.add(builder.bitcast(value, INTS), exponent), VECTOR)


@intrinsic  # type: ignore[untyped-decorator]
def exp2(typing: Any, x: Any) -> Any:
    """2^x for |x| <= 126; outside, some number or other (never a trap)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        constants = [constant(c) for c in EXP2]
        return _exp2(builder, args[0], constants[0], constants[1:])

    return lanes(lanes), emit


@intrinsic  # type: ignore[untyped-decorator]
def exp2_by(typing: Any, x: Any, constants: Any) -> Any:
    """`exp2` with its constants from a tuple of lanes: in a tight loop they then stay in registers or on the stack. Those of
    the code lie in far memory, an address register each, and there are not enough of these (a third of the time)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        parts = [builder.extract_value(args[1], i) for i in range(len(EXP2))]
        return _exp2(builder, args[0], parts[0], parts[1:])

    return lanes(lanes, UniTuple(lanes, len(EXP2))), emit


@intrinsic  # type: ignore[untyped-decorator]
def split_exponent(typing: Any, x: Any) -> Any:
    """Positive normal x = m 2^e with m in [1/sqrt(2), sqrt(2)) => (m, e)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], INTS)
        moved = builder.sub(bits, ints(0x3F3504F3))  # 1 / sqrt(2)
        e = builder.ashr(moved, ints(23))
        m = builder.bitcast(builder.sub(bits, builder.shl(e, ints(23))), VECTOR)
        return context.make_tuple(builder, sig.return_type, (m, builder.sitofp(e, VECTOR)))

    return UniTuple(lanes, 2)(lanes), emit


def _half(builder: Any, v: Any, n: int, start: int) -> Any:
    return builder.shuffle_vector(v, v, ir.Constant(ir.VectorType(I32, n), list(range(start, start + n))))


def _fold(builder: Any, v: Any, n: int, combine: Any) -> Any:
    """Halves of v combined until n lanes are left."""
    size = LANES
    while size > n:
        size //= 2
        v = combine(_half(builder, v, size, 0), _half(builder, v, size, size))
    return v


@intrinsic  # type: ignore[untyped-decorator]
def sum_lanes(typing: Any, x: Any) -> Any:
    """The sum of the lanes, pairwise."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total = _fold(builder, args[0], 1, builder.fadd)
        return builder.extract_element(total, ir.Constant(I32, 0))

    return types.float32(lanes), emit


@intrinsic  # type: ignore[untyped-decorator]
def store_sums(typing: Any, array: Any, index: Any, rows: Any) -> Any:
    """Write the sums of the lanes of 8 vectors to 8 neighbours of an array: a transposition that adds on the way."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        parts = [builder.extract_value(args[2], i) for i in range(8)]
        parts = [_fold(builder, v, 8, builder.fadd) for v in parts]
        for width in (4, 2, 1):  # rows i and i + count share a vector from here on, in blocks of `width` lanes
            sides: list[Any] = [[], []]
            for lane in range(8):
                block = lane // width
                for side in (0, 1):
                    source = block // 2 * 2 * width + side * width + lane % width
                    sides[side].append(source + 8 * (block % 2))
            picks = [ir.Constant(ir.VectorType(I32, 8), side) for side in sides]
            pairs = zip(parts[: len(parts) // 2], parts[len(parts) // 2 :], strict=True)
            parts = [builder.fadd(*(builder.shuffle_vector(a, b, pick) for pick in picks)) for a, b in pairs]
        struct = context.make_array(sig.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.VectorType(F32, 8).as_pointer())
        builder.store(parts[0], place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, UniTuple(lanes, 8)), emit


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(typing: Any, x: Any) -> Any:
    """The bits of a float32 as an int32."""
    return types.int32(types.float32), lambda context, builder, sig, args: builder.bitcast(args[0], I32)


@intrinsic  # type: ignore[untyped-decorator]
def take_ticket(typing: Any, counter: Any) -> Any:
    """counter[0]++ => the value before, atomically: how threads share out tiles. No result depends on who gets which."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        struct = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.atomic_rmw("add", struct.data, ir.Constant(I64, 1), "monotonic")

    return types.int64(counter), emit
