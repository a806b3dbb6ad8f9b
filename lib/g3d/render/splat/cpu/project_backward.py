"""The gradient of `project`: sums over pixels => gradients of the Gaussians and of the camera's pose.

With K the inverse covariance in the picture and e = K d (d: pixel minus centre), dL/dcentre is the sum of v e, and the
gradient of an axis a of the covariance (sum of a a^T) the sum of v e (e a); from there on the chain rule back through
`project`, by the same names.
"""

import math
from typing import Any

import numpy as np

from g3d.render.splat.cpu.blend_backward import MOMENTS
from g3d.render.splat.cpu.compile import inner, kernel
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.lanes import load, maximum, select, sqrt, store, sum_lanes
from g3d.render.splat.cpu.project import (
    FIELDS_IN,
    FX,
    FY,
    HALF,
    HALF_LOG2E,
    HIGH_X,
    HIGH_Y,
    LOW_X,
    LOW_Y,
    MAX_LOG,
    ONE,
    TINY,
    TWO,
    axes,
    gather,
    rotation,
    scale,
    sigmoid_parts,
    spread,
)  # fmt: skip

LN4 = np.float32(2 * math.log(2))
SUMS = FIELDS_IN  # where in a block the sums of a Gaussian lie, behind its inputs: v, vu, vy, vuu, vuy, vyy, depth
VISIBLE = SUMS + 7
FIELDS = VISIBLE + 1
ZERO, FOUR = np.float32(0), np.float32(4)


@inner
def _axes_gradient(buffer: Any, m: Any, n: Any, antialiased: Any) -> Any:
    """The gradients of the centre (x, y), of the axes m and n (three each), and of the three log-scales.

    The covariance itself is not formed: of a needle, its parts are large and their differences small. In the coordinates
    u, v in which the ellipse is round, axis i is (p m_i + q n_i, r n_i), and no term exceeds the result."""
    m0, m1, m2 = m
    n0, n1, n2 = n
    _, yy, slope, given_y, bare = spread(m0, m1, m2, n0, n1, n2)
    p, r = sqrt(HALF_LOG2E / given_y), sqrt(HALF_LOG2E / yy)
    q = -(p * slope)
    v, vu, vv = load(buffer, SUMS * LANES), load(buffer, (SUMS + 1) * LANES), r * load(buffer, (SUMS + 2) * LANES)
    square, share = LN4 * LN4, ZERO * v
    vuu, vuv = square * load(buffer, (SUMS + 3) * LANES), square * r * load(buffer, (SUMS + 4) * LANES)
    vvv = square * r * r * load(buffer, (SUMS + 5) * LANES)
    if antialiased:  # the opacity's factor sqrt(det before / det after): first, what the low-pass adds to the latter
        share = v
    x0, x1, x2 = p * (m0 - slope * n0), p * (m1 - slope * n1), p * (m2 - slope * n2)
    y0, y1, y2 = r * n0, r * n1, r * n2
    lost = LN4 * share
    a0, a1, a2 = vuu * x0 + vuv * y0 - lost * x0, vuu * x1 + vuv * y1 - lost * x1, vuu * x2 + vuv * y2 - lost * x2
    b0, b1, b2 = vuv * x0 + vvv * y0 - lost * y0, vuv * x1 + vvv * y1 - lost * y1, vuv * x2 + vvv * y2 - lost * y2
    s0, s1, s2 = a0 * x0 + b0 * y0, a1 * x1 + b1 * y1, a2 * x2 + b2 * y2
    gm0, gm1, gm2 = p * a0, p * a1, p * a2
    gn0, gn1, gn2 = q * a0 + r * b0, q * a1 + r * b1, q * a2 + r * b2
    if antialiased:  # then ln |m x n|
        inverse = ONE / sqrt(yy)
        k0, k1, k2 = n0 * inverse, n1 * inverse, n2 * inverse
        c0, c1, c2 = m1 * k2 - m2 * k1, m2 * k0 - m0 * k2, m0 * k1 - m1 * k0
        part = share / maximum(bare, TINY)
        s0, s1, s2 = s0 + share - part * c0 * c0, s1 + share - part * c1 * c1, s2 + share - part * c2 * c2
        gm0, gm1, gm2 = (gm0 + part * (k1 * c2 - k2 * c1), gm1 + part * (k2 * c0 - k0 * c2),
                         gm2 + part * (k0 * c1 - k1 * c0))  # fmt: skip
        part = part * inverse
        gn0, gn1, gn2 = (gn0 + part * (c1 * m2 - c2 * m1), gn1 + part * (c2 * m0 - c0 * m2),
                         gn2 + part * (c0 * m1 - c1 * m0))  # fmt: skip
    return LN4 * p * vu, LN4 * (q * vu + r * vv), (gm0, gm1, gm2), (gn0, gn1, gn2), (s0, s1, s2)


@inner
def _quaternion_gradient(w: Any, x: Any, y: Any, z: Any, inverse: Any, g00: Any, g01: Any, g02: Any, g10: Any, g11: Any,
                         g12: Any, g20: Any, g21: Any, g22: Any) -> Any:  # fmt: skip
    """The gradient of the matrix => that of the quaternion before its normalisation."""
    h_w = TWO * (x * (g21 - g12) + y * (g02 - g20) + z * (g10 - g01))
    h_x = TWO * (y * (g01 + g10) + z * (g02 + g20) + w * (g21 - g12)) - FOUR * x * (g11 + g22)
    h_y = TWO * (x * (g01 + g10) + z * (g12 + g21) + w * (g02 - g20)) - FOUR * y * (g00 + g22)
    h_z = TWO * (x * (g02 + g20) + y * (g12 + g21) + w * (g10 - g01)) - FOUR * z * (g00 + g11)
    along = h_w * w + h_x * x + h_y * y + h_z * z
    return (
        (h_w - along * w) * inverse,
        (h_x - along * x) * inverse,
        (h_y - along * y) * inverse,
        (h_z - along * z) * inverse,
    )


@inner
def _put(buffer: Any, field: int, value: Any) -> None:
    visible = load(buffer, VISIBLE * LANES)
    store(buffer, field * LANES, select(visible > HALF, value, ZERO))


@inner
def _block(buffer: Any, cam: Any, antialiased: Any, pose: Any, block: int) -> None:
    """Inputs and sums of LANES Gaussians => their gradients in place of the inputs, and their share of the pose's."""
    x, y, z = load(buffer, 0), load(buffer, LANES), load(buffer, 2 * LANES)
    cx, cy, _, inverse, tx, ty, a, d, a0, a1, a2, b0, b1, b2 = axes(cam, x, y, z)
    log0, log1, log2 = load(buffer, 3 * LANES), load(buffer, 4 * LANES), load(buffer, 5 * LANES)
    s0, s1, s2 = scale(log0), scale(log1), scale(log2)
    qw, qx, qy, qz, q_inverse, r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(
        load(buffer, 6 * LANES), load(buffer, 7 * LANES), load(buffer, 8 * LANES), load(buffer, 9 * LANES)
    )
    u0, u1, u2 = a0 * r00 + a1 * r10 + a2 * r20, a0 * r01 + a1 * r11 + a2 * r21, a0 * r02 + a1 * r12 + a2 * r22
    w0, w1, w2 = b0 * r00 + b1 * r10 + b2 * r20, b0 * r01 + b1 * r11 + b2 * r21, b0 * r02 + b1 * r12 + b2 * r22
    m0, m1, m2, n0, n1, n2 = u0 * s0, u1 * s1, u2 * s2, w0 * s0, w1 * s1, w2 * s2
    g_x, g_y, (gm0, gm1, gm2), (gn0, gn1, gn2), (of0, of1, of2) = _axes_gradient(
        buffer, (m0, m1, m2), (n0, n1, n2), antialiased
    )
    _, opacity = sigmoid_parts(load(buffer, 10 * LANES))
    _put(buffer, 10, load(buffer, SUMS * LANES) * (ONE - opacity))
    _put(buffer, 3, select(log0 <= MAX_LOG, of0, ZERO))
    _put(buffer, 4, select(log1 <= MAX_LOG, of1, ZERO))
    _put(buffer, 5, select(log2 <= MAX_LOG, of2, ZERO))
    gm0, gm1, gm2, gn0, gn1, gn2 = gm0 * s0, gm1 * s1, gm2 * s2, gn0 * s0, gn1 * s1, gn2 * s2
    h_w, h_x, h_y, h_z = _quaternion_gradient(
        qw, qx, qy, qz, q_inverse,
        a0 * gm0 + b0 * gn0, a0 * gm1 + b0 * gn1, a0 * gm2 + b0 * gn2,
        a1 * gm0 + b1 * gn0, a1 * gm1 + b1 * gn1, a1 * gm2 + b1 * gn2,
        a2 * gm0 + b2 * gn0, a2 * gm1 + b2 * gn1, a2 * gm2 + b2 * gn2,
    )  # fmt: skip
    _put(buffer, 6, h_w)
    _put(buffer, 7, h_x)
    _put(buffer, 8, h_y)
    _put(buffer, 9, h_z)
    # the rows of J W: a (W0 - tx W2) and d (W1 - ty W2)
    ga0, ga1, ga2 = (
        r00 * gm0 + r01 * gm1 + r02 * gm2,
        r10 * gm0 + r11 * gm1 + r12 * gm2,
        r20 * gm0 + r21 * gm1 + r22 * gm2,
    )
    gb0, gb1, gb2 = (
        r00 * gn0 + r01 * gn1 + r02 * gn2,
        r10 * gn0 + r11 * gn1 + r12 * gn2,
        r20 * gn0 + r21 * gn1 + r22 * gn2,
    )
    g_a = ga0 * (cam[0] - tx * cam[6]) + ga1 * (cam[1] - tx * cam[7]) + ga2 * (cam[2] - tx * cam[8])
    g_d = gb0 * (cam[3] - ty * cam[6]) + gb1 * (cam[4] - ty * cam[7]) + gb2 * (cam[5] - ty * cam[8])
    g_tx = -(a * (ga0 * cam[6] + ga1 * cam[7] + ga2 * cam[8]))
    g_ty = -(d * (gb0 * cam[6] + gb1 * cam[7] + gb2 * cam[8]))
    at_x, at_y = cx * inverse, cy * inverse
    h_tx = select((at_x >= cam[LOW_X]) & (at_x <= cam[HIGH_X]), g_tx, ZERO) + cam[FX] * g_x
    h_ty = select((at_y >= cam[LOW_Y]) & (at_y <= cam[HIGH_Y]), g_ty, ZERO) + cam[FY] * g_y
    g_inverse = cam[FX] * g_a + cam[FY] * g_d + h_tx * cx + h_ty * cy
    g_cx, g_cy = h_tx * inverse, h_ty * inverse
    g_cz = load(buffer, (SUMS + 6) * LANES) - g_inverse * inverse * inverse
    _put(buffer, 0, cam[0] * g_cx + cam[3] * g_cy + cam[6] * g_cz)
    _put(buffer, 1, cam[1] * g_cx + cam[4] * g_cy + cam[7] * g_cz)
    _put(buffer, 2, cam[2] * g_cx + cam[5] * g_cy + cam[8] * g_cz)
    if pose is not None:
        atx, dty = a * tx, d * ty
        parts = (
            g_cx * x + a * ga0, g_cx * y + a * ga1, g_cx * z + a * ga2,
            g_cy * x + d * gb0, g_cy * y + d * gb1, g_cy * z + d * gb2,
            g_cz * x - atx * ga0 - dty * gb0, g_cz * y - atx * ga1 - dty * gb1, g_cz * z - atx * ga2 - dty * gb2,
            g_cx, g_cy, g_cz,
        )  # fmt: skip
        shown = load(buffer, VISIBLE * LANES) > HALF
        for k in range(12):
            pose[block, k] = sum_lanes(select(shown, parts[k], ZERO))


@inner
def _add_up(buffer: Any, lane: int, moments: Any, seen: Any, start: int, end: int, grad_colours: Any, i: int) -> None:
    """The sums of one Gaussian over its tiles, in their order."""
    red, green, blue, v, vu = ZERO, ZERO, ZERO, ZERO, ZERO
    vy, vuu, vuy, vyy, far = ZERO, ZERO, ZERO, ZERO, ZERO
    for slot in range(start, end):
        if seen[slot]:
            k = slot * MOMENTS
            red, green, blue = red + moments[k], green + moments[k + 1], blue + moments[k + 2]
            v, vu, vy = v + moments[k + 3], vu + moments[k + 4], vy + moments[k + 5]
            vuu, vuy, vyy = vuu + moments[k + 6], vuy + moments[k + 7], vyy + moments[k + 8]
            far += moments[k + 9]
    grad_colours[i, 0], grad_colours[i, 1], grad_colours[i, 2] = red, green, blue
    k = SUMS * LANES + lane
    buffer[k], buffer[k + LANES], buffer[k + 2 * LANES], buffer[k + 3 * LANES] = v, vu, vy, vuu
    buffer[k + 4 * LANES], buffer[k + 5 * LANES], buffer[k + 6 * LANES] = vuy, vyy, far
    buffer[VISIBLE * LANES + lane] = ONE if end > start else ZERO


@kernel
def project_backward(part: int, parts: int, means: Any, log_scales: Any, quats: Any, logits: Any, cam: Any, antialiased: bool,
                     boxes: Any, slots: Any, moments: Any, seen: Any, grad_means: Any, grad_log_scales: Any,
                     grad_quats: Any, grad_logits: Any, grad_colours: Any, pose: Any) -> None:  # fmt: skip
    """Share `part` of `parts`: adds up `moments`, writes the gradients and, where wanted, `pose` [blocks, 12]: the sums
    over LANES Gaussians of the gradient of the camera's rotation and translation."""
    n = means.shape[0]
    buffer = np.empty(FIELDS * LANES, np.float32)
    blocks = (n + LANES - 1) // LANES
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        first = block * LANES
        count = min(LANES, n - first)
        gather(buffer, first, count, means, log_scales, quats, logits)
        buffer[SUMS * LANES :] = ZERO
        for lane in range(count):
            i = first + lane
            tiles = 0
            if boxes[i, 0] <= boxes[i, 1]:
                tiles = (boxes[i, 1] - boxes[i, 0] + 1) * (boxes[i, 3] - boxes[i, 2] + 1)
            _add_up(buffer, lane, moments, seen, slots[i], slots[i] + tiles, grad_colours, i)
        _block(buffer, cam, antialiased, pose, block)
        for lane in range(count):
            i = first + lane
            for axis in range(3):
                grad_means[i, axis] = buffer[axis * LANES + lane]
                grad_log_scales[i, axis] = buffer[(3 + axis) * LANES + lane]
            for axis in range(4):
                grad_quats[i, axis] = buffer[(6 + axis) * LANES + lane]
            grad_logits[i] = buffer[10 * LANES + lane]
