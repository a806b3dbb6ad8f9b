"""Every tile front to back, and its gradient; one program a tile, one lane a pixel.

Letters: I pictures, N Gaussians, E entries of all lists, H, W the picture.
"""

import triton
import triton.language as tl

from g3d.render.splat import rule
from g3d.render.splat.gpu.project import ROW, SIDE, SUMS

MIN_ALPHA = tl.constexpr(rule.MIN_ALPHA)
MAX_ALPHA = tl.constexpr(rule.MAX_ALPHA)
MIN_THROUGH = tl.constexpr(rule.MIN_THROUGH)
LOOK = tl.constexpr(32)  # entries between two looks whether the tile is full


@triton.jit
def _alpha(records, owner, x, y):
    """Of the Gaussian `owner` at pixel centres, before its clamp; u and dy, of which the gradient needs the sums."""
    o = records + owner * ROW
    dx, dy = x - tl.load(o), y - tl.load(o + 1)
    u, v = tl.load(o + 2) * dx + tl.load(o + 3) * dy, tl.load(o + 4) * dy
    return tl.exp2(tl.load(o + 5) - v * v - u * u), u, dy


@triton.jit
def blend(owners, starts, stops, records, colours, background, rgb, through, far, tiles_x, tiles, width, height,
          DEEP: tl.constexpr):  # fmt: skip
    """Writes `rgb` [I H W 3], `through` and, with DEEP, `far` [I H W]; `stops` [I tiles]: where a list was left."""
    tile = tl.program_id(0).to(tl.int64)
    image, place = tile // tiles, tile % tiles
    lane = tl.arange(0, SIDE * SIDE)
    px, py = (place % tiles_x) * SIDE + lane % SIDE, (place // tiles_x) * SIDE + lane // SIDE
    inside = (px < width) & (py < height)
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    t = tl.where(inside, 1.0, 0.0)
    red, green, blue, depth = t * 0.0, t * 0.0, t * 0.0, t * 0.0
    k, end = tl.load(starts + tile), tl.load(starts + tile + 1)
    full = 0
    while (k < end) & (full == 0):
        for _ in range(tl.minimum(LOOK, end - k)):
            owner = tl.load(owners + k)
            alpha, _u, _dy = _alpha(records, owner, x, y)
            weight = tl.where((alpha >= MIN_ALPHA) & (t > MIN_THROUGH), tl.minimum(alpha, MAX_ALPHA) * t, 0.0)
            red += weight * tl.load(colours + 3 * owner)
            green += weight * tl.load(colours + 3 * owner + 1)
            blue += weight * tl.load(colours + 3 * owner + 2)
            if DEEP:
                depth += weight * tl.load(records + owner * ROW + 6)
            t -= weight
            k += 1
        full = (tl.max(t, 0) <= MIN_THROUGH).to(tl.int32)
    tl.store(stops + tile, k)
    at = (image * height + py) * width + px
    tl.store(through + at, t, inside)
    tl.store(rgb + 3 * at, red + t * tl.load(background + 3 * image), inside)
    tl.store(rgb + 3 * at + 1, green + t * tl.load(background + 3 * image + 1), inside)
    tl.store(rgb + 3 * at + 2, blue + t * tl.load(background + 3 * image + 2), inside)
    if DEEP:
        tl.store(far + at, depth, inside)


@triton.jit
def blend_backward(owners, order, starts, stops, records, colours, rgb, through, far, grad_rgb, grad_through, grad_far,
                   moments, tiles_x, tiles, width, height, DEEP: tl.constexpr):  # fmt: skip
    """Writes the `moments` [E MOMENTS] of every entry that was taken, at its place before the sort (`order` [E])."""
    tile = tl.program_id(0).to(tl.int64)
    image, place = tile // tiles, tile % tiles
    lane = tl.arange(0, SIDE * SIDE)
    px, py = (place % tiles_x) * SIDE + lane % SIDE, (place // tiles_x) * SIDE + lane // SIDE
    inside = (px < width) & (py < height)
    x, y = px.to(tl.float32) + 0.5, py.to(tl.float32) + 0.5
    at = (image * height + py) * width + px
    g_red, g_green = tl.load(grad_rgb + 3 * at, inside, 0.0), tl.load(grad_rgb + 3 * at + 1, inside, 0.0)
    g_blue = tl.load(grad_rgb + 3 * at + 2, inside, 0.0)
    behind = tl.load(grad_through + at, inside, 0.0) * tl.load(through + at, inside, 0.0)
    behind += g_red * tl.load(rgb + 3 * at, inside, 0.0) + g_green * tl.load(rgb + 3 * at + 1, inside, 0.0)
    behind += g_blue * tl.load(rgb + 3 * at + 2, inside, 0.0)
    g_far = g_red * 0.0
    if DEEP:
        g_far = tl.load(grad_far + at, inside, 0.0)
        behind += g_far * tl.load(far + at, inside, 0.0)
    t = tl.where(inside, 1.0, 0.0)
    for k in range(tl.load(starts + tile), tl.load(stops + tile)):
        owner = tl.load(owners + k)
        alpha, u, dy = _alpha(records, owner, x, y)
        taken = (alpha >= MIN_ALPHA) & (t > MIN_THROUGH)
        a = tl.where(taken, tl.minimum(alpha, MAX_ALPHA), 0.0)
        w = a * t
        gc = g_red * tl.load(colours + 3 * owner) + g_green * tl.load(colours + 3 * owner + 1)
        gc += g_blue * tl.load(colours + 3 * owner + 2)
        if DEEP:
            gc += g_far * tl.load(records + owner * ROW + 6)
        behind -= w * gc
        t -= w
        v = tl.where(taken & (alpha <= MAX_ALPHA), w * gc - behind * a / (1.0 - a), 0.0)
        # lanes whose Gaussian is far away hold a u without bound; they have no part in the sums
        u, dy = tl.where(taken, u, 0.0), tl.where(taken, dy, 0.0)
        o = moments + tl.load(order + k) * SUMS
        tl.store(o, tl.sum(w * g_red, 0))
        tl.store(o + 1, tl.sum(w * g_green, 0))
        tl.store(o + 2, tl.sum(w * g_blue, 0))
        tl.store(o + 3, tl.sum(v, 0))
        tl.store(o + 4, tl.sum(v * u, 0))
        tl.store(o + 5, tl.sum(v * dy, 0))
        tl.store(o + 6, tl.sum(v * u * u, 0))
        tl.store(o + 7, tl.sum(v * u * dy, 0))
        tl.store(o + 8, tl.sum(v * dy * dy, 0))
        if DEEP:
            tl.store(o + 9, tl.sum(w * g_far, 0))
