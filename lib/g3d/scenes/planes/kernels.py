"""Kernels that read three feature planes at points, and their gradients. Rows are channels-last: a cell is C numbers.

Arrays: `planes` [B * 3 * H * W, C], `points` [B * P, 3], `out` and `grad` [B * P, C], all float32 and contiguous; `shape` is
(P, H, W); `numbers` and `sphere` are a `Frame` (see `function.numbers_of`). Points keep their order wherever numbers are added
up, so that sums do not depend on the number of threads.
"""

from pathlib import Path
from typing import Any

import numpy as np

from g3d.kernels.compile import compilers

kernel, inner = compilers([Path(__file__)])

F = np.float32
ZERO, HALF, ONE, TWO, THIRD = F(0), F(0.5), F(1), F(2), F(1 / 3)


@inner
def _placed(points: Any, p: int, sphere: bool, n: Any) -> Any:
    """Point p => x, y, z in [-1, 1] of the planes, the contraction's factor and, where it bends, its slope (else 0)."""
    x, y, z, slope = points[p, 0], points[p, 1], points[p, 2], ZERO
    factor = HALF
    if sphere:
        x, y, z = x * n[6], y * n[6], z * n[6]
        square = x * x + y * y + z * z
        if square > ONE:
            norm = np.sqrt(square)
            factor = (TWO - ONE / norm) / norm * HALF
            slope = (ONE / norm - ONE) / (square * norm)  # of the factor, over the norm
        return x * factor * n[7], y * factor * n[8], z * factor * n[9], factor, slope
    x, y, z = ((x - n[0]) / n[3] * TWO - ONE), ((y - n[1]) / n[4] * TWO - ONE), ((z - n[2]) / n[5] * TWO - ONE)
    return x * n[7], y * n[8], z * n[9], factor, slope


@inner
def _cell(a: Any, size: int) -> Any:
    """a in [-1, 1] of an axis => the cells on both sides, the upper one's share, and whether moving a changes it.

    Not a number gives the first cell and a share that is none either: nothing beyond the planes is read."""
    top = F(size - 1)
    raw = ((a + ONE) * F(size) - ONE) * HALF
    at = min(raw, top) if raw > ZERO else ZERO
    low = np.int64(at)
    share = at - F(low) if raw == raw else raw
    return low, min(low + 1, size - 1), share, ZERO < raw < top


@inner
def _mean(
    out: Any, p: int, begin: bool, planes: Any, a: int, b: int, c: int, d: int, wa: Any, wb: Any, wc: Any, wd: Any
) -> None:
    """Add four cells by their shares, or begin with them. As lines of the loop over planes it takes a quarter longer."""
    if begin:
        for i in range(planes.shape[1]):
            out[p, i] = wa * planes[a, i] + wb * planes[b, i] + wc * planes[c, i] + wd * planes[d, i]
    else:
        for i in range(planes.shape[1]):
            out[p, i] += wa * planes[a, i] + wb * planes[b, i] + wc * planes[c, i] + wd * planes[d, i]


@kernel
def gather(start: int, stop: int, planes: Any, points: Any, out: Any, shape: Any, sphere: bool, numbers: Any) -> None:
    """Features of points start to stop."""
    each, height, width = shape
    for scene in range(start // each, (stop - 1) // each + 1):
        first = scene * 3  # plane
        for p in range(max(start, scene * each), min(stop, (scene + 1) * each)):
            x, y, z, _, _ = _placed(points, p, sphere, numbers)
            for k in range(3):
                u0, u1, fu, _ = _cell(y if k == 2 else x, width)
                v0, v1, fv, _ = _cell(y if k == 0 else z, height)
                r0 = ((first + k) * height + v0) * width
                r1 = ((first + k) * height + v1) * width
                a, b, c, d = r0 + u0, r0 + u1, r1 + u0, r1 + u1
                wa, wb = (ONE - fu) * (ONE - fv) * THIRD, fu * (ONE - fv) * THIRD
                wc, wd = (ONE - fu) * fv * THIRD, fu * fv * THIRD
                _mean(out, p, k == 0, planes, a, b, c, d, wa, wb, wc, wd)


@inner
def _add(into: Any, a: int, b: int, grad: Any, p: int, wa: Any, wb: Any) -> None:
    for i in range(into.shape[1]):
        into[a, i] += wa * grad[p, i]
    if a != b:  # at a border they are one cell, and the second share is 0
        for i in range(into.shape[1]):
            into[b, i] += wb * grad[p, i]


@kernel
def scatter(part: int, owners: Any, grad: Any, points: Any, into: Any, shape: Any, sphere: bool, numbers: Any) -> None:
    """Gradient of the planes, of those rows v of each whose owner [H] is `part`: every thread reads all points and writes
    to rows of its own."""
    each, height, width = shape
    for scene in range(points.shape[0] // each):
        first = scene * 3
        for p in range(scene * each, (scene + 1) * each):
            x, y, z, _, _ = _placed(points, p, sphere, numbers)
            for k in range(3):
                u0, u1, fu, _ = _cell(y if k == 2 else x, width)
                v0, v1, fv, _ = _cell(y if k == 0 else z, height)
                plane = first + k
                if owners[v0] == part:
                    r = (plane * height + v0) * width
                    _add(into, r + u0, r + u1, grad, p, (ONE - fu) * (ONE - fv) * THIRD, fu * (ONE - fv) * THIRD)
                if owners[v1] == part and v1 != v0:
                    r = (plane * height + v1) * width
                    _add(into, r + u0, r + u1, grad, p, (ONE - fu) * fv * THIRD, fu * fv * THIRD)


@kernel
def slopes(
    start: int, stop: int, planes: Any, grad: Any, points: Any, into: Any, shape: Any, sphere: bool, numbers: Any
) -> None:
    """Gradient of points start to stop."""
    each, height, width = shape
    for scene in range(start // each, (stop - 1) // each + 1):
        first = scene * 3  # plane
        for p in range(max(start, scene * each), min(stop, (scene + 1) * each)):
            x, y, z, factor, slope = _placed(points, p, sphere, numbers)
            gx, gy, gz = ZERO, ZERO, ZERO
            for k in range(3):
                u0, u1, fu, u_moves = _cell(y if k == 2 else x, width)
                v0, v1, fv, v_moves = _cell(y if k == 0 else z, height)
                r0 = ((first + k) * height + v0) * width
                r1 = ((first + k) * height + v1) * width
                a, b, c, d = r0 + u0, r0 + u1, r1 + u0, r1 + u1
                low, high, left, right = (
                    ZERO,
                    ZERO,
                    ZERO,
                    ZERO,
                )  # differences along u in both rows, along v in both columns
                for i in range(planes.shape[1]):
                    low += grad[p, i] * (planes[b, i] - planes[a, i])
                    high += grad[p, i] * (planes[d, i] - planes[c, i])
                    left += grad[p, i] * (planes[c, i] - planes[a, i])
                    right += grad[p, i] * (planes[d, i] - planes[b, i])
                gu = ((ONE - fv) * low + fv * high) * (THIRD * HALF * F(width)) if u_moves else ZERO
                gv = ((ONE - fu) * left + fu * right) * (THIRD * HALF * F(height)) if v_moves else ZERO
                if k == 0:
                    gx, gy = gx + gu, gy + gv
                elif k == 1:
                    gx, gz = gx + gu, gz + gv
                else:
                    gy, gz = gy + gu, gz + gv
            gx, gy, gz = gx * numbers[7], gy * numbers[8], gz * numbers[9]
            if (
                sphere
            ):  # y = factor(|x|) x => J^T g = factor g + (factor' / |x|) (x . g) x, x being the scaled world point
                scale = numbers[6]
                x, y, z = points[p, 0] * scale, points[p, 1] * scale, points[p, 2] * scale
                along = slope * (x * gx + y * gy + z * gz)
                gx, gy, gz = (
                    scale * (factor * gx + along * x),
                    scale * (factor * gy + along * y),
                    scale * (factor * gz + along * z),
                )
            else:
                gx, gy, gz = gx * TWO / numbers[3], gy * TWO / numbers[4], gz * TWO / numbers[5]
            into[p, 0], into[p, 1], into[p, 2] = gx, gy, gz
