"""Each Gaussian => its ellipse in each picture, and the chain rule back; one lane a Gaussian and picture.

The exponent of alpha at (dx, dy) from the centre is, in powers of two, `peak - (p dx + q dy)^2 - (r dy)^2`.

Letters: I pictures (scene i // V), N Gaussians, E entries of all lists.
"""

import math

import triton
import triton.language as tl

from g3d.render.splat import rule

TILE = 16  # pixels, both ways
RECORD = 8  # floats: centre x y, p, q, r, peak, depth, unused
CAMERA = 20  # as on the CPU: rotation 9, translation 3, fx fy cx cy, clamps of x/z and y/z
MOMENTS = 10  # of an entry: red, green, blue, v, vu, vy, vuu, vuy, vyy, depth (see the CPU's blend_backward)

NEAR = tl.constexpr(rule.NEAR_WORLD)
BLUR = tl.constexpr(rule.LOW_PASS_PX2)
MAX_LOG = tl.constexpr(rule.MAX_LOG_SCALE)
LEAST_LOG = tl.constexpr(-80.0)
MOST_LOGIT = tl.constexpr(80.0)
MIN_QUAT2 = tl.constexpr(rule.MIN_QUAT**2)
LOG2_MIN_ALPHA = tl.constexpr(math.log2(rule.MIN_ALPHA))
LOG2E = tl.constexpr(math.log2(math.e))
HALF_LOG2E = tl.constexpr(0.5 * math.log2(math.e))
LN4 = tl.constexpr(2 * math.log(2))
TINY = tl.constexpr(1e-30)
SIDE = tl.constexpr(TILE)
ROW = tl.constexpr(RECORD)
CAM = tl.constexpr(CAMERA)
SUMS = tl.constexpr(MOMENTS)


@triton.jit
def _axes(cam, x, y, z):
    """World centre => camera centre, 1/z, clamped x/z and y/z, focal lengths over z."""
    cx = tl.load(cam) * x + tl.load(cam + 1) * y + tl.load(cam + 2) * z + tl.load(cam + 9)
    cy = tl.load(cam + 3) * x + tl.load(cam + 4) * y + tl.load(cam + 5) * z + tl.load(cam + 10)
    cz = tl.load(cam + 6) * x + tl.load(cam + 7) * y + tl.load(cam + 8) * z + tl.load(cam + 11)
    inverse = 1.0 / tl.maximum(cz, NEAR)
    tx = tl.minimum(tl.maximum(cx * inverse, tl.load(cam + 16)), tl.load(cam + 17))
    ty = tl.minimum(tl.maximum(cy * inverse, tl.load(cam + 18)), tl.load(cam + 19))
    return cx, cy, cz, inverse, tx, ty, tl.load(cam + 12) * inverse, tl.load(cam + 13) * inverse


@triton.jit
def _rotation(w, x, y, z):
    """Normalised quaternion, its inverse length (0: too short), and the nine entries of its matrix."""
    square = w * w + x * x + y * y + z * z
    inverse = tl.where(square >= MIN_QUAT2, 1.0 / tl.sqrt(tl.maximum(square, MIN_QUAT2)), 0.0)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    return (
        w, x, y, z, inverse,
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip


@triton.jit
def _scale(log_scale):
    return tl.exp2(tl.minimum(tl.maximum(log_scale, LEAST_LOG), MAX_LOG) * LOG2E)


@triton.jit
def _spread(m0, m1, m2, n0, n1, n2):
    """Axes => variances xx, yy, xy/yy, the variance of x where y is known, and that without low-pass."""
    yy = n0 * n0 + n1 * n1 + n2 * n2 + BLUR
    xx = m0 * m0 + m1 * m1 + m2 * m2 + BLUR
    inverse = 1.0 / tl.sqrt(yy)
    k0, k1, k2 = n0 * inverse, n1 * inverse, n2 * inverse
    c0, c1, c2 = m1 * k2 - m2 * k1, m2 * k0 - m0 * k2, m0 * k1 - m1 * k0
    bare = c0 * c0 + c1 * c1 + c2 * c2
    given_y = bare + (xx * inverse * inverse + k0 * k0 + k1 * k1 + k2 * k2) * BLUR
    return xx, yy, (m0 * k0 + m1 * k1 + m2 * k2) * inverse, given_y, bare


@triton.jit
def project(means, log_scales, quats, logits, cams, records, boxes, counts, n, views, width, height,
            ANTIALIASED: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Writes `records` [I N RECORD], `boxes` [I N 4] (first and last tile, x then y) and `counts` [I N] of tiles."""
    image = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = i < n
    g = (image // views) * n + i
    cam = cams + image * CAM
    x, y, z = (tl.load(means + 3 * g, there, 0.0), tl.load(means + 3 * g + 1, there, 0.0),
               tl.load(means + 3 * g + 2, there, 0.0))  # fmt: skip
    cx, cy, cz, inverse, tx, ty, a, d = _axes(cam, x, y, z)
    a0, a1, a2 = (a * (tl.load(cam) - tx * tl.load(cam + 6)), a * (tl.load(cam + 1) - tx * tl.load(cam + 7)),
                  a * (tl.load(cam + 2) - tx * tl.load(cam + 8)))  # fmt: skip
    b0, b1, b2 = (d * (tl.load(cam + 3) - ty * tl.load(cam + 6)), d * (tl.load(cam + 4) - ty * tl.load(cam + 7)),
                  d * (tl.load(cam + 5) - ty * tl.load(cam + 8)))  # fmt: skip
    _, _, _, _, _, r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(
        tl.load(quats + 4 * g, there, 1.0), tl.load(quats + 4 * g + 1, there, 0.0),
        tl.load(quats + 4 * g + 2, there, 0.0), tl.load(quats + 4 * g + 3, there, 0.0),
    )  # fmt: skip
    s0 = _scale(tl.load(log_scales + 3 * g, there, 0.0))
    s1 = _scale(tl.load(log_scales + 3 * g + 1, there, 0.0))
    s2 = _scale(tl.load(log_scales + 3 * g + 2, there, 0.0))
    m0, m1, m2 = ((a0 * r00 + a1 * r10 + a2 * r20) * s0, (a0 * r01 + a1 * r11 + a2 * r21) * s1,
                  (a0 * r02 + a1 * r12 + a2 * r22) * s2)  # fmt: skip
    n0, n1, n2 = ((b0 * r00 + b1 * r10 + b2 * r20) * s0, (b0 * r01 + b1 * r11 + b2 * r21) * s1,
                  (b0 * r02 + b1 * r12 + b2 * r22) * s2)  # fmt: skip
    xx, yy, slope, given_y, bare = _spread(m0, m1, m2, n0, n1, n2)
    logit = tl.minimum(tl.maximum(tl.load(logits + g, there, 0.0), -MOST_LOGIT), MOST_LOGIT)
    peak = -tl.log2(1.0 + tl.exp2(-(logit * LOG2E)))
    if ANTIALIASED:
        peak += 0.5 * tl.log2(tl.maximum(bare / given_y, TINY))
    p, r = tl.sqrt((1.0 / given_y) * HALF_LOG2E), tl.sqrt((1.0 / yy) * HALF_LOG2E)
    px, py = tl.load(cam + 12) * cx * inverse + tl.load(cam + 14), tl.load(cam + 13) * cy * inverse + tl.load(cam + 15)
    drawn = there & (cz > NEAR) & (peak >= LOG2_MIN_ALPHA)
    above = tl.maximum(peak - LOG2_MIN_ALPHA, 0.0) / HALF_LOG2E
    half_x, half_y = tl.sqrt(above * xx) * 1.0001 + 1e-3, tl.sqrt(above * yy) * 1.0001 + 1e-3
    low_x, high_x = tl.maximum(px - 0.5 - half_x, 0.0), tl.minimum(px - 0.5 + half_x, width - 1.0)
    low_y, high_y = tl.maximum(py - 0.5 - half_y, 0.0), tl.minimum(py - 0.5 + half_y, height - 1.0)
    drawn = drawn & (low_x <= high_x) & (low_y <= high_y)  # nor where they are no numbers
    x0 = tl.where(drawn, low_x, 0.0).to(tl.int32) // SIDE
    x1 = tl.where(drawn, high_x, 0.0).to(tl.int32) // SIDE
    y0 = tl.where(drawn, low_y, 0.0).to(tl.int32) // SIDE
    y1 = tl.where(drawn, high_y, 0.0).to(tl.int32) // SIDE
    at = image * n + i
    tl.store(counts + at, tl.where(drawn, (x1 - x0 + 1) * (y1 - y0 + 1), 0), there)
    tl.store(boxes + 4 * at, x0, there)
    tl.store(boxes + 4 * at + 1, x1, there)
    tl.store(boxes + 4 * at + 2, y0, there)
    tl.store(boxes + 4 * at + 3, y1, there)
    tl.store(records + ROW * at, px, there)
    tl.store(records + ROW * at + 1, py, there)
    tl.store(records + ROW * at + 2, p, there)
    tl.store(records + ROW * at + 3, -(p * slope), there)
    tl.store(records + ROW * at + 4, r, there)
    tl.store(records + ROW * at + 5, peak, there)
    tl.store(records + ROW * at + 6, cz, there)


@triton.jit
def fill(records, boxes, counts, ends, keys, owners, n, tiles_x, tiles, total, BLOCK: tl.constexpr):
    """Entries of every Gaussian, row by row of its tiles: `keys` [E] (picture and tile, then depth) and `owners` [E]."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < total
    count = tl.load(counts + at, there, 0)
    first = tl.load(ends + at, there, 0) - count
    x0, x1 = tl.load(boxes + 4 * at, there, 0), tl.load(boxes + 4 * at + 1, there, 0)
    y0 = tl.load(boxes + 4 * at + 2, there, 0)
    depth = tl.load(records + ROW * at + 6, there, 0.0).to(tl.int32, bitcast=True).to(tl.int64)
    base = (at // n) * tiles
    across = x1 - x0 + 1
    for k in range(tl.max(count, 0)):
        mine = k < count
        tile = (y0 + k // across) * tiles_x + x0 + k % across
        tl.store(keys + first + k, ((base + tile) << 32) | depth, mine)
        tl.store(owners + first + k, at, mine)


@triton.jit
def project_backward(means, log_scales, quats, logits, cams, counts, ends, moments, grad_means, grad_log_scales, grad_quats,
                     grad_logits, grad_colours, poses, n, views, blocks,
                     ANTIALIASED: tl.constexpr, POSE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Sums of entries => gradients [I N ...] of each picture; `poses` [I, blocks, 12]: of rotation and translation."""
    image = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = i < n
    g, at = (image // views) * n + i, image * n + i
    count = tl.load(counts + at, there, 0)
    first = tl.load(ends + at, there, 0) - count
    zero = tl.zeros([BLOCK], tl.float32)
    red, green, blue, v, vu, vy, vuu, vuy, vyy, far = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for k in range(tl.max(count, 0)):
        mine, place = k < count, moments + (first + k) * SUMS
        red += tl.load(place, mine, 0.0)
        green += tl.load(place + 1, mine, 0.0)
        blue += tl.load(place + 2, mine, 0.0)
        v += tl.load(place + 3, mine, 0.0)
        vu += tl.load(place + 4, mine, 0.0)
        vy += tl.load(place + 5, mine, 0.0)
        vuu += tl.load(place + 6, mine, 0.0)
        vuy += tl.load(place + 7, mine, 0.0)
        vyy += tl.load(place + 8, mine, 0.0)
        far += tl.load(place + 9, mine, 0.0)
    tl.store(grad_colours + 3 * at, red, there)
    tl.store(grad_colours + 3 * at + 1, green, there)
    tl.store(grad_colours + 3 * at + 2, blue, there)
    shown = there & (count > 0)
    # forward again
    cam = cams + image * CAM
    w00, w01, w02 = tl.load(cam), tl.load(cam + 1), tl.load(cam + 2)
    w10, w11, w12 = tl.load(cam + 3), tl.load(cam + 4), tl.load(cam + 5)
    w20, w21, w22 = tl.load(cam + 6), tl.load(cam + 7), tl.load(cam + 8)
    fx, fy = tl.load(cam + 12), tl.load(cam + 13)
    x, y, z = (tl.load(means + 3 * g, there, 0.0), tl.load(means + 3 * g + 1, there, 0.0),
               tl.load(means + 3 * g + 2, there, 0.0))  # fmt: skip
    cx, cy, _, inverse, tx, ty, a, d = _axes(cam, x, y, z)
    a0, a1, a2 = a * (w00 - tx * w20), a * (w01 - tx * w21), a * (w02 - tx * w22)
    b0, b1, b2 = d * (w10 - ty * w20), d * (w11 - ty * w21), d * (w12 - ty * w22)
    qw, qx, qy, qz, q_inverse, r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(
        tl.load(quats + 4 * g, there, 1.0), tl.load(quats + 4 * g + 1, there, 0.0),
        tl.load(quats + 4 * g + 2, there, 0.0), tl.load(quats + 4 * g + 3, there, 0.0),
    )  # fmt: skip
    l0, l1, l2 = (tl.load(log_scales + 3 * g, there, 0.0), tl.load(log_scales + 3 * g + 1, there, 0.0),
                  tl.load(log_scales + 3 * g + 2, there, 0.0))  # fmt: skip
    s0, s1, s2 = _scale(l0), _scale(l1), _scale(l2)
    m0, m1, m2 = ((a0 * r00 + a1 * r10 + a2 * r20) * s0, (a0 * r01 + a1 * r11 + a2 * r21) * s1,
                  (a0 * r02 + a1 * r12 + a2 * r22) * s2)  # fmt: skip
    n0, n1, n2 = ((b0 * r00 + b1 * r10 + b2 * r20) * s0, (b0 * r01 + b1 * r11 + b2 * r21) * s1,
                  (b0 * r02 + b1 * r12 + b2 * r22) * s2)  # fmt: skip
    _, yy, slope, given_y, bare = _spread(m0, m1, m2, n0, n1, n2)
    p, r = tl.sqrt((1.0 / given_y) * HALF_LOG2E), tl.sqrt((1.0 / yy) * HALF_LOG2E)
    q = -(p * slope)
    logit = tl.minimum(tl.maximum(tl.load(logits + g, there, 0.0), -MOST_LOGIT), MOST_LOGIT)
    opacity = 1.0 / (1.0 + tl.exp2(-(logit * LOG2E)))
    tl.store(grad_logits + at, tl.where(shown, v * (1.0 - opacity), 0.0), there)
    # the axes, in the coordinates in which the ellipse is round
    g_x, g_y = p * vu * LN4, (q * vu + r * (r * vy)) * LN4
    suu, suv, svv = vuu * LN4 * LN4, r * vuy * LN4 * LN4, r * r * vyy * LN4 * LN4
    share = v * 0.0
    if ANTIALIASED:
        share = v
    lost = share * LN4
    x0, x1, x2 = p * (m0 - slope * n0), p * (m1 - slope * n1), p * (m2 - slope * n2)
    y0, y1, y2 = r * n0, r * n1, r * n2
    e0, e1, e2 = suu * x0 + suv * y0 - lost * x0, suu * x1 + suv * y1 - lost * x1, suu * x2 + suv * y2 - lost * x2
    h0, h1, h2 = suv * x0 + svv * y0 - lost * y0, suv * x1 + svv * y1 - lost * y1, suv * x2 + svv * y2 - lost * y2
    of0, of1, of2 = e0 * x0 + h0 * y0, e1 * x1 + h1 * y1, e2 * x2 + h2 * y2
    gm0, gm1, gm2 = p * e0, p * e1, p * e2
    gn0, gn1, gn2 = q * e0 + r * h0, q * e1 + r * h1, q * e2 + r * h2
    if ANTIALIASED:
        back = 1.0 / tl.sqrt(yy)
        k0, k1, k2 = n0 * back, n1 * back, n2 * back
        c0, c1, c2 = m1 * k2 - m2 * k1, m2 * k0 - m0 * k2, m0 * k1 - m1 * k0
        part = share / tl.maximum(bare, TINY)
        of0, of1, of2 = of0 + share - part * c0 * c0, of1 + share - part * c1 * c1, of2 + share - part * c2 * c2
        gm0, gm1, gm2 = (gm0 + part * (k1 * c2 - k2 * c1), gm1 + part * (k2 * c0 - k0 * c2),
                         gm2 + part * (k0 * c1 - k1 * c0))  # fmt: skip
        part = part * back
        gn0, gn1, gn2 = (gn0 + part * (c1 * m2 - c2 * m1), gn1 + part * (c2 * m0 - c0 * m2),
                         gn2 + part * (c0 * m1 - c1 * m0))  # fmt: skip
    tl.store(grad_log_scales + 3 * at, tl.where(shown & (l0 <= MAX_LOG), of0, 0.0), there)
    tl.store(grad_log_scales + 3 * at + 1, tl.where(shown & (l1 <= MAX_LOG), of1, 0.0), there)
    tl.store(grad_log_scales + 3 * at + 2, tl.where(shown & (l2 <= MAX_LOG), of2, 0.0), there)
    gm0, gm1, gm2, gn0, gn1, gn2 = gm0 * s0, gm1 * s1, gm2 * s2, gn0 * s0, gn1 * s1, gn2 * s2
    # the quaternion, through the matrix
    d00, d01, d02 = a0 * gm0 + b0 * gn0, a0 * gm1 + b0 * gn1, a0 * gm2 + b0 * gn2
    d10, d11, d12 = a1 * gm0 + b1 * gn0, a1 * gm1 + b1 * gn1, a1 * gm2 + b1 * gn2
    d20, d21, d22 = a2 * gm0 + b2 * gn0, a2 * gm1 + b2 * gn1, a2 * gm2 + b2 * gn2
    h_w = 2 * (qx * (d21 - d12) + qy * (d02 - d20) + qz * (d10 - d01))
    h_x = 2 * (qy * (d01 + d10) + qz * (d02 + d20) + qw * (d21 - d12)) - 4 * qx * (d11 + d22)
    h_y = 2 * (qx * (d01 + d10) + qz * (d12 + d21) + qw * (d02 - d20)) - 4 * qy * (d00 + d22)
    h_z = 2 * (qx * (d02 + d20) + qy * (d12 + d21) + qw * (d10 - d01)) - 4 * qz * (d00 + d11)
    along = h_w * qw + h_x * qx + h_y * qy + h_z * qz
    tl.store(grad_quats + 4 * at, tl.where(shown, (h_w - along * qw) * q_inverse, 0.0), there)
    tl.store(grad_quats + 4 * at + 1, tl.where(shown, (h_x - along * qx) * q_inverse, 0.0), there)
    tl.store(grad_quats + 4 * at + 2, tl.where(shown, (h_y - along * qy) * q_inverse, 0.0), there)
    tl.store(grad_quats + 4 * at + 3, tl.where(shown, (h_z - along * qz) * q_inverse, 0.0), there)
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
    g_a = ga0 * (w00 - tx * w20) + ga1 * (w01 - tx * w21) + ga2 * (w02 - tx * w22)
    g_d = gb0 * (w10 - ty * w20) + gb1 * (w11 - ty * w21) + gb2 * (w12 - ty * w22)
    at_x, at_y = cx * inverse, cy * inverse
    in_x = (at_x >= tl.load(cam + 16)) & (at_x <= tl.load(cam + 17))
    in_y = (at_y >= tl.load(cam + 18)) & (at_y <= tl.load(cam + 19))
    h_tx = tl.where(in_x, -(a * (ga0 * w20 + ga1 * w21 + ga2 * w22)), 0.0) + fx * g_x
    h_ty = tl.where(in_y, -(d * (gb0 * w20 + gb1 * w21 + gb2 * w22)), 0.0) + fy * g_y
    g_inverse = fx * g_a + fy * g_d + h_tx * cx + h_ty * cy
    g_cx, g_cy, g_cz = h_tx * inverse, h_ty * inverse, far - g_inverse * inverse * inverse
    tl.store(grad_means + 3 * at, tl.where(shown, w00 * g_cx + w10 * g_cy + w20 * g_cz, 0.0), there)
    tl.store(grad_means + 3 * at + 1, tl.where(shown, w01 * g_cx + w11 * g_cy + w21 * g_cz, 0.0), there)
    tl.store(grad_means + 3 * at + 2, tl.where(shown, w02 * g_cx + w12 * g_cy + w22 * g_cz, 0.0), there)
    if POSE:
        o = poses + (image * blocks + tl.program_id(1)) * 12
        atx, dty = a * tx, d * ty
        tl.store(o, tl.sum(tl.where(shown, g_cx * x + a * ga0, 0.0), 0))
        tl.store(o + 1, tl.sum(tl.where(shown, g_cx * y + a * ga1, 0.0), 0))
        tl.store(o + 2, tl.sum(tl.where(shown, g_cx * z + a * ga2, 0.0), 0))
        tl.store(o + 3, tl.sum(tl.where(shown, g_cy * x + d * gb0, 0.0), 0))
        tl.store(o + 4, tl.sum(tl.where(shown, g_cy * y + d * gb1, 0.0), 0))
        tl.store(o + 5, tl.sum(tl.where(shown, g_cy * z + d * gb2, 0.0), 0))
        tl.store(o + 6, tl.sum(tl.where(shown, g_cz * x - atx * ga0 - dty * gb0, 0.0), 0))
        tl.store(o + 7, tl.sum(tl.where(shown, g_cz * y - atx * ga1 - dty * gb1, 0.0), 0))
        tl.store(o + 8, tl.sum(tl.where(shown, g_cz * z - atx * ga2 - dty * gb2, 0.0), 0))
        tl.store(o + 9, tl.sum(tl.where(shown, g_cx, 0.0), 0))
        tl.store(o + 10, tl.sum(tl.where(shown, g_cy, 0.0), 0))
        tl.store(o + 11, tl.sum(tl.where(shown, g_cz, 0.0), 0))
