"""The gradient of `blend`: tiles are blended again, front to back, with what lies behind known from the finished picture.

With the weight w = alpha T of a Gaussian, its colour c and the gradient g of the picture, dL/dalpha = T (g c) - B / (1 - alpha),
where B = g C - (the sum of w g c so far) is what the rest of the list and the background still contribute. So nothing is
stored per pixel and Gaussian, and no list is walked backwards.

Each entry of a tile's list leaves ten sums over its pixels; they are added up by Gaussian later, in a fixed order.

Letters: N Gaussians, E entries of all lists, H, W the picture.
"""

from typing import Any

import numpy as np

from g3d.render.splat.cpu.blend import (
    AHEAD,
    ALL_CELLS,
    LOOK,
    MIDDLE,
    MOST_BLOCKS,
    PITCH,
    PLANE,
    ROWS,
    constants,
    open_pixels,
    plan,
    seed,
)  # fmt: skip
from g3d.render.splat.cpu.compile import inner, kernel
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.lanes import (
    any_of,
    fma,
    iota,
    load,
    minimum,
    prefetch,
    select,
    splat,
    store,
    store_sums,
    sum_lanes,
    take_ticket,
)
from g3d.render.splat.cpu.project import (
    BEND,
    BLUE,
    DEPTH,
    GREEN,
    PEAK,
    RECORD,
    RED,
    TILE,
    P,
    Q,
    R,
)  # fmt: skip

# Of an entry: red, green, blue, then with v = dL / d ln(alpha): v, vu, vy, vuu, vuy, vyy (y: dy), then depth; filled up to 16
# with zeros, so that they are whole vectors.
MOMENTS = 16
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


@inner
def _row(planes: Any, k: int, alpha: Any, dy: Any, bounds: Any, colour: Any, sums: Any, grad_depth: Any) -> Any:
    """The part of one row of LANES pixels in the sums of an ellipse."""
    most, least, full = bounds
    red, green, blue, far = colour
    s_red, s_green, s_blue, s_far, s_v, s_vy, s_vyy = sums
    t = load(planes, k)
    counts = (alpha >= least) & (t > full)
    if not any_of(counts):
        return sums
    a = select(counts, minimum(alpha, most), ZERO)
    w = a * t
    g_red, g_green, g_blue = load(planes, k + 2 * PLANE), load(planes, k + 3 * PLANE), load(planes, k + 4 * PLANE)
    gc = fma(g_blue, blue, fma(g_green, green, g_red * red))
    if grad_depth is not None:
        g_far = load(planes, k + 5 * PLANE)
        gc = fma(g_far, far, gc)
        s_far = fma(w, g_far, s_far)
    behind = load(planes, k + PLANE) - w * gc
    store(planes, k, t - w)
    store(planes, k + PLANE, behind)
    v = select(alpha <= most, w * gc - behind * a / (ONE - a), ZERO)
    vy = v * dy
    return (fma(w, g_red, s_red), fma(w, g_green, s_green), fma(w, g_blue, s_blue), s_far,
            s_v + v, s_vy + vy, fma(vy, dy, s_vyy))  # fmt: skip


@inner
def _block(records: Any, g: int, k: int, dx: Any, dy: Any, numbers: Any, bounds: Any, planes: Any, sums_out: Any, at: int,
           grad_depth: Any) -> None:  # fmt: skip
    """The sums of the ellipse of the record at `g` over the block whose first pixel is `k`, to sums_out[at:at + MOMENTS]."""
    vp, vq, vr, peak = splat(records[g + P]), splat(records[g + Q]), splat(records[g + R]), splat(records[g + PEAK])
    bend, zero = splat(records[g + BEND]), splat(ZERO)
    colour = (splat(records[g + RED]), splat(records[g + GREEN]), splat(records[g + BLUE]), splat(records[g + DEPTH]))
    pdx, middle_dy = (iota() + dx) * vp, splat(dy)
    middle, onward, back = seed(numbers, pdx, middle_dy, vp, vq, vr, peak)
    sums = (zero, zero, zero, zero, zero, zero, zero)
    alpha, there = middle, middle_dy
    for row in range(MIDDLE, ROWS):
        sums = _row(planes, k + row * PITCH, alpha, there, bounds, colour, sums, grad_depth)
        alpha, onward, there = alpha * onward, onward * bend, there + ONE
    alpha, there = middle, middle_dy
    for row in range(MIDDLE):
        alpha, back, there = alpha * back, back * bend, there - ONE
        sums = _row(planes, k + (MIDDLE - 1 - row) * PITCH, alpha, there, bounds, colour, sums, grad_depth)
    red, green, blue, far, v, vy, vyy = sums
    vu, vuy = fma(pdx, v, vq * vy), fma(pdx, vy, vq * vyy)  # u = p dx + q dy, with dx the same all down a column
    store_sums(sums_out, at, (red, green, blue, v, vu, vy, fma(pdx, vu, vq * vuy), vuy))
    sums_out[at + 8] = sum_lanes(vyy)
    sums_out[at + 9] = sum_lanes(far)


@inner
def _load_tile(planes: Any, x0: int, y0: int, width: int, height: int, rgb: Any, through_out: Any, depth_out: Any,
               grad_rgb: Any, grad_through: Any, grad_depth: Any) -> None:  # fmt: skip
    """The gradients of a tile's pixels, and all that its list and the background contribute to them."""
    open_pixels(planes, x0, y0, width, height)
    planes[PLANE:] = ZERO
    for y in range(min(TILE, height - y0)):
        for x in range(min(TILE, width - x0)):
            k, pixel = y * PITCH + x, (y0 + y) * width + x0 + x
            all_of_it = grad_through[pixel] * through_out[pixel]
            for channel in range(3):
                g = grad_rgb[3 * pixel + channel]
                planes[(2 + channel) * PLANE + k] = g
                all_of_it += g * rgb[3 * pixel + channel]
            if grad_depth is not None:
                planes[5 * PLANE + k] = grad_depth[pixel]
                all_of_it += grad_depth[pixel] * depth_out[pixel]
            planes[PLANE + k] = all_of_it


@kernel
def blend_backward(ticket: Any, table: Any, tiles_x: int, width: int, height: int, starts: Any, ends: Any, order: Any,
                   records: Any, boxes: Any, slots: Any, rgb: Any, through_out: Any, depth_out: Any, grad_rgb: Any,
                   grad_through: Any, grad_depth: Any, moments: Any, seen: Any) -> None:  # fmt: skip
    """Tiles as tickets are drawn. Writes the `moments` [E MOMENTS] of every entry up to `ends`, and `seen` [E] = 1 there.

    Both are laid out by Gaussian: its tiles row by row from its slot on."""
    planes = np.empty((6 if grad_depth is not None else 5) * PLANE + LANES, np.float32)
    blocks, places = np.empty((LOOK * MOST_BLOCKS, 2), np.int64), np.empty((LOOK * MOST_BLOCKS, 2), np.float32)
    parts, firsts = np.zeros(LOOK * MOST_BLOCKS * MOMENTS, np.float32), np.zeros(LOOK + 1, np.int64)
    numbers, bounds = constants(table), (splat(table[7]), splat(table[8]), splat(table[9]))
    tiles = starts.shape[0] - 1
    while True:
        tile = take_ticket(ticket)
        if tile >= tiles:
            break
        tx, ty = tile % tiles_x, tile // tiles_x
        start, end = starts[tile], ends[tile]
        if start == end:
            continue
        x0, y0 = tx * TILE, ty * TILE
        _load_tile(planes, x0, y0, width, height, rgb, through_out, depth_out, grad_rgb, grad_through, grad_depth)
        for at in range(start, end, LOOK):
            stop, count = min(end, at + LOOK), 0
            for k in range(at, stop):
                ahead = np.int64(order[min(k + AHEAD, end - 1)])
                prefetch(records, ahead * RECORD)
                prefetch(boxes, ahead * 4)
                prefetch(slots, ahead)
                count = plan(records, np.int64(order[k]) * RECORD, x0, y0, ALL_CELLS, blocks, places, count)
                firsts[k - at + 1] = count
            for k in range(count):
                _block(records, blocks[k, 0], blocks[k, 1], places[k, 0], places[k, 1], numbers, bounds, planes, parts,
                       k * MOMENTS, grad_depth)  # fmt: skip
            for k in range(at, stop):
                i = np.int64(order[k])
                slot = slots[i] + (ty - boxes[i, 2]) * (boxes[i, 1] - boxes[i, 0] + 1) + tx - boxes[i, 0]
                seen[slot] = 1
                for half in range(0, MOMENTS, LANES):
                    total = splat(ZERO)
                    for block in range(firsts[k - at], firsts[k - at + 1]):
                        total = total + load(parts, block * MOMENTS + half)
                    store(moments, slot * MOMENTS + half, total)
