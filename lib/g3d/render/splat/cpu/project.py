"""Each Gaussian => its ellipse in the picture, and how many tiles it touches; LANES Gaussians at a time.

A record holds what blending needs: the exponent of alpha at (dx, dy) from the centre is, in powers of two,
`peak - (p dx + q dy)^2 - (r dy)^2`. BEND is 2^-2(q^2 + r^2): the ratio of alpha's ratios from row to row.

Letters: N Gaussians, m and n the projected axes (rows of J W R S), u and w the same before the scales.
"""

import math
from typing import Any

import numpy as np

from g3d.render.splat import rule
from g3d.render.splat.cpu.compile import inner, kernel
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.lanes import (
    bits_of,
    exp2,
    load,
    maximum,
    minimum,
    select,
    split_exponent,
    sqrt,
    store,
)

TILE = 32  # pixels, both ways
RECORD = 16  # floats of a Gaussian
CENTRE_X, CENTRE_Y, P, Q, R, PEAK, RED, GREEN, BLUE, DEPTH, HALF_X, HALF_Y, BEND = range(13)  # fields of a record
FIELDS_IN = 11  # mean 3, log-scale 3, quaternion 4, opacity logit
# Numbers of a camera: its rotation row by row, its translation, focal lengths, principal point, and where x/z and y/z are
# clamped for the affine approximation.
CAMERA = 20
FX, FY, CX, CY, LOW_X, HIGH_X, LOW_Y, HIGH_Y = range(12, 20)

LOG2_MIN_ALPHA = np.float32(math.log2(rule.MIN_ALPHA))
NEAR, BLUR, MAX_LOG = np.float32(rule.NEAR_WORLD), np.float32(rule.LOW_PASS_PX2), np.float32(rule.MAX_LOG_SCALE)
MIN_QUAT2 = np.float32(rule.MIN_QUAT**2)
LOG2E, LN2 = np.float32(math.log2(math.e)), np.float32(math.log(2))
HALF_LOG2E = np.float32(0.5 * math.log2(math.e))
LEAST_LOG, MOST_LOGIT = np.float32(-80.0), np.float32(80.0)  # beyond, single precision knows no difference
TINY, HALF, ONE, TWO = np.float32(1e-30), np.float32(0.5), np.float32(1), np.float32(2)
SLACK, SLACK_PX = np.float32(1.0001), np.float32(1e-3)  # boxes are a little wider than their ellipses


@inner
def log2(x: Any) -> Any:
    """Of positive normal lanes, by the series of artanh; error 1e-7."""
    m, e = split_exponent(x)
    s = (m - ONE) / (m + ONE)
    z = s * s
    series = ONE + z * (np.float32(1 / 3) + z * (np.float32(1 / 5) + z * (np.float32(1 / 7) + z * np.float32(1 / 9))))
    return e + np.float32(2 * math.log2(math.e)) * s * series


@inner
def sigmoid_parts(logit: Any) -> Any:
    """(log2 of the sigmoid, the sigmoid) of lanes."""
    x = minimum(maximum(logit, -MOST_LOGIT), MOST_LOGIT)
    below = ONE + exp2(-LOG2E * x)
    return -log2(below), ONE / below


@inner
def rotation(qw: Any, qx: Any, qy: Any, qz: Any) -> Any:
    """Normalised quaternion wxyz, its inverse length (0 where it is too short), and the nine entries of its matrix."""
    square = qw * qw + qx * qx + qy * qy + qz * qz
    inverse = select(square >= MIN_QUAT2, ONE / sqrt(maximum(square, MIN_QUAT2)), np.float32(0))
    w, x, y, z = qw * inverse, qx * inverse, qy * inverse, qz * inverse
    return (
        w, x, y, z, inverse,
        ONE - TWO * (y * y + z * z), TWO * (x * y - w * z), TWO * (x * z + w * y),
        TWO * (x * y + w * z), ONE - TWO * (x * x + z * z), TWO * (y * z - w * x),
        TWO * (x * z - w * y), TWO * (y * z + w * x), ONE - TWO * (x * x + y * y),
    )  # fmt: skip


@inner
def axes(cam: Any, x: Any, y: Any, z: Any) -> Any:
    """World centre => camera centre, 1/z, clamped x/z and y/z, and the rows J W of the affine approximation."""
    cx = cam[0] * x + cam[1] * y + cam[2] * z + cam[9]
    cy = cam[3] * x + cam[4] * y + cam[5] * z + cam[10]
    cz = cam[6] * x + cam[7] * y + cam[8] * z + cam[11]
    inverse = ONE / maximum(cz, NEAR)
    tx = minimum(maximum(cx * inverse, cam[LOW_X]), cam[HIGH_X])
    ty = minimum(maximum(cy * inverse, cam[LOW_Y]), cam[HIGH_Y])
    a, d = cam[FX] * inverse, cam[FY] * inverse
    return (
        cx, cy, cz, inverse, tx, ty, a, d,
        a * (cam[0] - tx * cam[6]), a * (cam[1] - tx * cam[7]), a * (cam[2] - tx * cam[8]),
        d * (cam[3] - ty * cam[6]), d * (cam[4] - ty * cam[7]), d * (cam[5] - ty * cam[8]),
    )  # fmt: skip


@inner
def scale(log_scale: Any) -> Any:
    return exp2(LOG2E * minimum(maximum(log_scale, LEAST_LOG), MAX_LOG))


@inner
def spread(m0: Any, m1: Any, m2: Any, n0: Any, n1: Any, n2: Any) -> Any:
    """Axes => variances xx and yy, their ratio xy/yy, the variance of x where y is known, and that without low-pass."""
    yy = n0 * n0 + n1 * n1 + n2 * n2 + BLUR
    xx = m0 * m0 + m1 * m1 + m2 * m2 + BLUR
    inverse = ONE / sqrt(yy)
    k0, k1, k2 = n0 * inverse, n1 * inverse, n2 * inverse
    c0, c1, c2 = m1 * k2 - m2 * k1, m2 * k0 - m0 * k2, m0 * k1 - m1 * k0
    bare = c0 * c0 + c1 * c1 + c2 * c2
    given_y = bare + BLUR * (xx * inverse * inverse + k0 * k0 + k1 * k1 + k2 * k2)
    slope = (m0 * k0 + m1 * k1 + m2 * k2) * inverse
    return xx, yy, slope, given_y, bare


@inner
def _block(buffer: Any, cam: Any, antialiased: Any) -> None:
    """The inputs of LANES Gaussians in `buffer` => their records, field by field, in its place."""
    cx, cy, cz, inverse, _, _, _, _, a0, a1, a2, b0, b1, b2 = axes(
        cam, load(buffer, 0), load(buffer, LANES), load(buffer, 2 * LANES)
    )
    s0, s1, s2 = scale(load(buffer, 3 * LANES)), scale(load(buffer, 4 * LANES)), scale(load(buffer, 5 * LANES))
    _, _, _, _, _, r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(
        load(buffer, 6 * LANES), load(buffer, 7 * LANES), load(buffer, 8 * LANES), load(buffer, 9 * LANES)
    )
    peak, _ = sigmoid_parts(load(buffer, 10 * LANES))
    m0, m1, m2 = (
        (a0 * r00 + a1 * r10 + a2 * r20) * s0,
        (a0 * r01 + a1 * r11 + a2 * r21) * s1,
        (a0 * r02 + a1 * r12 + a2 * r22) * s2,
    )
    n0, n1, n2 = (
        (b0 * r00 + b1 * r10 + b2 * r20) * s0,
        (b0 * r01 + b1 * r11 + b2 * r21) * s1,
        (b0 * r02 + b1 * r12 + b2 * r22) * s2,
    )
    xx, yy, slope, given_y, bare = spread(m0, m1, m2, n0, n1, n2)
    if antialiased:
        peak = peak + HALF * log2(maximum(bare / given_y, TINY))
    p = sqrt(HALF_LOG2E / given_y)
    above = maximum(peak - LOG2_MIN_ALPHA, np.float32(0)) * (ONE / HALF_LOG2E)
    store(buffer, CENTRE_X * LANES, cam[FX] * cx * inverse + cam[CX])
    store(buffer, CENTRE_Y * LANES, cam[FY] * cy * inverse + cam[CY])
    q, r = -(p * slope), sqrt(HALF_LOG2E / yy)
    store(buffer, P * LANES, p)
    store(buffer, Q * LANES, q)
    store(buffer, R * LANES, r)
    store(buffer, BEND * LANES, exp2(-TWO * (q * q + r * r)))
    store(buffer, PEAK * LANES, select((peak >= LOG2_MIN_ALPHA) & (cz > NEAR), peak, np.float32(-200)))
    store(buffer, DEPTH * LANES, cz)
    store(buffer, HALF_X * LANES, sqrt(above * xx) * SLACK + SLACK_PX)
    store(buffer, HALF_Y * LANES, sqrt(above * yy) * SLACK + SLACK_PX)


@inner
def gather(buffer: Any, first: int, count: int, means: Any, log_scales: Any, quats: Any, logits: Any) -> None:
    """Rows of the inputs => fields of a block; what is missing of the block is filled up with harmless ones."""
    for lane in range(LANES):
        if lane < count:
            i = first + lane
            for axis in range(3):
                buffer[axis * LANES + lane] = means[i, axis]
                buffer[(3 + axis) * LANES + lane] = log_scales[i, axis]
            for axis in range(4):
                buffer[(6 + axis) * LANES + lane] = quats[i, axis]
            buffer[10 * LANES + lane] = logits[i]
        else:
            for field in range(FIELDS_IN):
                buffer[field * LANES + lane] = ONE


@inner
def first_inside(low: Any) -> Any:
    """The first pixel whose index is at least `low` (below 0: 0)."""
    at = np.int64(max(low, np.float32(0)))
    return at + 1 if np.float32(at) < low else at


@inner
def last_inside(high: Any, size: int) -> Any:
    """The last pixel whose index is at most `high`, below `size` (below 0: -1)."""
    return np.int64(min(high, np.float32(size - 1))) if high >= 0 else -1


@kernel
def project(part: int, parts: int, means: Any, log_scales: Any, quats: Any, logits: Any, colours: Any, cam: Any,
            width: int, height: int, antialiased: bool, records: Any, boxes: Any, depth_keys: Any, slots: Any,
            counts: Any, totals: Any) -> None:  # fmt: skip
    """Share `part` of `parts` of the Gaussians.

    Writes `records` [N RECORD], `boxes` [N, 4] (first and last tile, x then y; x1 < x0: not drawn), `depth_keys` [N] (sort
    like depth), `slots` [N] (tiles of this share's Gaussians before), `counts` [parts, tiles], `totals` [parts]."""
    n = means.shape[0]
    tiles_x = (width + TILE - 1) // TILE
    buffer = np.empty(13 * LANES, np.float32)
    blocks = (n + LANES - 1) // LANES
    total = 0
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        first = block * LANES
        count = min(LANES, n - first)
        gather(buffer, first, count, means, log_scales, quats, logits)
        _block(buffer, cam, antialiased)
        for lane in range(count):
            i = first + lane
            for field in range(6):
                records[i * RECORD + field] = buffer[field * LANES + lane]
            for channel in range(3):
                records[i * RECORD + RED + channel] = colours[i, channel]
            z = buffer[DEPTH * LANES + lane]
            records[i * RECORD + DEPTH] = z
            records[i * RECORD + BEND] = buffer[BEND * LANES + lane]
            depth_keys[i] = bits_of(z)
            slots[i] = total
            boxes[i, 0], boxes[i, 1] = 0, -1
            if buffer[PEAK * LANES + lane] < LOG2_MIN_ALPHA:
                continue
            half_x, half_y = buffer[HALF_X * LANES + lane], buffer[HALF_Y * LANES + lane]
            records[i * RECORD + HALF_X] = half_x
            records[i * RECORD + HALF_Y] = half_y
            x, y = buffer[CENTRE_X * LANES + lane] - HALF, buffer[CENTRE_Y * LANES + lane] - HALF
            if not (
                x - half_x <= np.float32(width) and y - half_y <= np.float32(height)
            ):  # nor where they are no numbers
                continue
            x0, x1 = first_inside(x - half_x), last_inside(x + half_x, width)
            y0, y1 = first_inside(y - half_y), last_inside(y + half_y, height)
            if x0 > x1 or y0 > y1:
                continue
            x0, x1, y0, y1 = x0 // TILE, x1 // TILE, y0 // TILE, y1 // TILE
            boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = x0, x1, y0, y1
            total += (x1 - x0 + 1) * (y1 - y0 + 1)
            for ty in range(y0, y1 + 1):
                for tx in range(x0, x1 + 1):
                    counts[part, ty * tiles_x + tx] += 1
    totals[part] = total
