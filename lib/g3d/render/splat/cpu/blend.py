"""Every tile front to back: lists of ellipses => colour, transmittance and depth of its pixels.

A tile's planes lie in the first-level cache, a row of pixels PITCH floats apart. An ellipse is gone through in columns of
LANES pixels that begin at its own left edge, not at a multiple of LANES, and only along the rows where the column crosses
the ellipse: most lanes do useful work. What hangs over the tile's right edge falls into the pitch and is thrown away.

Letters: N Gaussians, E entries of all lists, H, W the picture.
"""

import math
from typing import Any

import numpy as np

from g3d.render.splat import rule
from g3d.render.splat.cpu.bins import DIGITS, sort_by_depth
from g3d.render.splat.cpu.compile import inner, kernel
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.lanes import (
    EXP2,
    any_of,
    exp2_by,
    fma,
    iota,
    load,
    minimum,
    prefetch,
    select,
    splat,
    store,
    take_ticket,
)
from g3d.render.splat.cpu.project import (
    BEND,
    BLUE,
    CENTRE_X,
    CENTRE_Y,
    DEPTH,
    GREEN,
    HALF_X,
    HALF_Y,
    LOG2_MIN_ALPHA,
    PEAK,
    RECORD,
    RED,
    TILE,
    P,
    Q,
    R,
    first_inside,
    last_inside,
)  # fmt: skip

PITCH = TILE
PLANE = PITCH * TILE + 168  # floats; so that equal pixels of two planes do not differ by a few rows modulo 4 KB
AHEAD = 6  # records are asked for so many entries before their turn
CELL = 8  # pixels; tiles forget cells that are opaque
CELLS = TILE // CELL
ALL_CELLS = (1 << CELLS * CELLS) - 1
LOOK = 32  # entries between two looks for opaque cells
MIN_THROUGH = np.float32(rule.MIN_THROUGH)
TABLE = np.array([*EXP2, rule.MAX_ALPHA, rule.MIN_ALPHA, rule.MIN_THROUGH], np.float32)  # numbers of the inner loops
ROWS, MIDDLE = 8, 3  # rows that are done together, and the one among them whose alpha is computed by exp2
MOST_BLOCKS = (TILE // LANES) * (TILE // ROWS)  # of an entry
LEAST_EXPONENT = np.float32(-120)
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


@inner
def cells_of(x0: int, x1: int, y0: int, y1: int) -> int:
    """The bits of the cells that a box of pixels touches, ends included."""
    columns = (2 << x1 // CELL) - (1 << x0 // CELL)
    found = 0
    for row in range(y0 // CELL, y1 // CELL + 1):
        found |= columns << row * CELLS
    return found


@inner
def still_open(through: Any, cells: int) -> int:
    """Those of `cells` in which some pixel still takes Gaussians."""
    found = cells
    for cell in range(CELLS * CELLS):
        if cells >> cell & 1:
            at = cell // CELLS * CELL * PITCH + cell % CELLS * CELL
            most = load(through, at)
            for row in range(1, CELL):
                more = load(through, at + row * PITCH)
                most = select(more > most, more, most)
            lane = iota()
            if not any_of((most > MIN_THROUGH) & (lane <= np.float32(CELL - 1))):
                found &= ~(1 << cell)
    return found


@inner
def rows_crossed(left: Any, right: Any, p: Any, q: Any, r: Any, above: Any, half_y: Any) -> Any:
    """The least and greatest dy of an ellipse within columns of dx from `left` to `right`."""
    a = q * q + r * r
    inverse = ONE / a
    tip = -(q * half_y) / p  # dx where the ellipse is highest; it is lowest at -tip
    top, bottom = min(max(tip, left), right), min(max(-tip, left), right)
    rp2 = r * r * p * p
    high = (-(p * q * top) + np.float32(math.sqrt(max(a * above - rp2 * top * top, ZERO)))) * inverse
    low = (-(p * q * bottom) - np.float32(math.sqrt(max(a * above - rp2 * bottom * bottom, ZERO)))) * inverse
    return low, high


@inner
def open_pixels(through: Any, x0: int, y0: int, width: int, height: int) -> Any:
    """A fresh tile: transmittance 1 within the picture, 0 outside; returns the cells within."""
    rows, columns = min(TILE, height - y0), min(TILE, width - x0)
    for y in range(TILE):
        for x in range(PITCH):
            through[y * PITCH + x] = ONE if x < columns and y < rows else ZERO
    return cells_of(0, columns - 1, 0, rows - 1)


@inner
def constants(table: Any) -> Any:
    """The numbers of the inner loops, from an array, so that they are values and not addresses: those of `exp2_by`."""
    return (splat(table[0]), splat(table[1]), splat(table[2]), splat(table[3]), splat(table[4]), splat(table[5]),
            splat(table[6]))  # fmt: skip


@kernel
def blend(ticket: Any, table: Any, tiles_x: int, width: int, height: int, longest: int, starts: Any, order: Any,
          depth_keys: Any, records: Any, background: Any, rgb: Any, through_out: Any, depth_out: Any, ends: Any,
          work: Any) -> None:  # fmt: skip
    """Tiles as tickets are drawn.

    Sorts `order`, writes `rgb` [H W 3] over the background, `through_out` [H W], `depth_out` [H W] (the weighted sum of
    depths; None: not wanted) and `ends` [tiles]: where in its list a tile was full."""
    keys, more_keys = np.empty(longest, np.int32), np.empty(longest, np.int32)
    more_ids, tally = np.empty(longest, np.int32), np.empty(DIGITS, np.int32)
    planes = np.empty((5 if depth_out is not None else 4) * PLANE + LANES, np.float32)
    blocks, places = np.empty((LOOK * MOST_BLOCKS, 2), np.int64), np.empty((LOOK * MOST_BLOCKS, 2), np.float32)
    numbers, bounds = constants(table), (splat(table[7]), splat(table[8]), splat(table[9]))
    tiles = starts.shape[0] - 1
    vectors = 0
    while True:
        tile = take_ticket(ticket)
        if tile >= tiles:
            break
        x0, y0 = tile % tiles_x * TILE, tile // tiles_x * TILE
        start, end = starts[tile], starts[tile + 1]
        sort_by_depth(order, start, end, depth_keys, keys, more_keys, more_ids, tally)
        planes[PLANE:] = ZERO
        cells = open_pixels(planes, x0, y0, width, height)
        at = start
        while at < end and cells:
            stop, count = min(end, at + LOOK), 0
            for k in range(at, stop):
                prefetch(records, np.int64(order[min(k + AHEAD, end - 1)]) * RECORD)
                count = plan(records, np.int64(order[k]) * RECORD, x0, y0, cells, blocks, places, count)
            for k in range(count):
                _block(
                    records, blocks[k, 0], blocks[k, 1], places[k, 0], places[k, 1], numbers, bounds, planes, depth_out
                )
            vectors += count * ROWS
            at = stop
            if at < end:
                cells = still_open(planes, cells)
        ends[tile] = at
        for y in range(min(TILE, height - y0)):
            for x in range(min(TILE, width - x0)):
                k, pixel = y * PITCH + x, (y0 + y) * width + x0 + x
                t = planes[k]
                through_out[pixel] = t
                for channel in range(3):
                    rgb[3 * pixel + channel] = planes[(1 + channel) * PLANE + k] + t * background[channel]
                if depth_out is not None:
                    depth_out[pixel] = planes[4 * PLANE + k]
    work[0] = vectors


@inner
def seed(numbers: Any, pdx: Any, dy: Any, p: Any, q: Any, r: Any, peak: Any) -> Any:
    """Alpha of a row, before its clamp, and its ratios to the next row's and to the one before.

    The others follow by multiplication, and the ratios by BEND. Four rows on, where alpha counts, the exponent here is
    above -82: q^2 + r^2 is at most log2(e) / 2 / LOW_PASS_PX2. So what is cut off here counts nowhere."""
    u, v = fma(q, dy, pdx), r * dy
    exponent = peak - fma(u, u, v * v)
    onward = -fma(q, fma(splat(TWO), u, q), r * fma(splat(TWO), v, r))
    back = fma(q, fma(splat(TWO), u, -q), r * fma(splat(TWO), v, -r))
    alpha = select(exponent >= LEAST_EXPONENT, exp2_by(exponent, numbers), ZERO)
    return alpha, exp2_by(onward, numbers), exp2_by(back, numbers)


@inner
def groups(first: int, last: int, size: int, limit: int) -> Any:
    """The first of whole groups of `size` that cover first..last and end before `limit`, and how many they are."""
    count = (last - first + size) // size
    return min(first, limit - count * size), count


@inner
def _row(planes: Any, k: int, alpha: Any, bounds: Any, colour: Any, depth_out: Any) -> None:
    """Blend one row of LANES pixels."""
    most, least, full = bounds
    red, green, blue, far = colour
    t = load(planes, k)
    weight = select((alpha >= least) & (t > full), minimum(alpha, most) * t, ZERO)
    new_red = fma(weight, red, load(planes, k + PLANE))
    new_green = fma(weight, green, load(planes, k + 2 * PLANE))
    new_blue = fma(weight, blue, load(planes, k + 3 * PLANE))
    store(planes, k, t - weight)
    store(planes, k + PLANE, new_red)
    store(planes, k + 2 * PLANE, new_green)
    store(planes, k + 3 * PLANE, new_blue)
    if depth_out is not None:
        store(planes, k + 4 * PLANE, fma(weight, far, load(planes, k + 4 * PLANE)))


@inner
def plan(records: Any, g: int, x0: int, y0: int, cells: int, blocks: Any, places: Any, count: int) -> Any:
    """Append the blocks of LANES x ROWS pixels that cover the ellipse of the record at `g` within a tile.

    `blocks` [., 2]: record and pixel; `places` [., 2]: dx of the first lane, dy of the middle row. Returns how many there
    are now. All that can be guessed wrongly by the processor happens here, before the long computations."""
    half_x, half_y = records[g + HALF_X], records[g + HALF_Y]
    cx, cy = records[g + CENTRE_X] - np.float32(x0) - HALF, records[g + CENTRE_Y] - np.float32(y0) - HALF
    left, right = first_inside(cx - half_x), last_inside(cx + half_x, TILE)
    top, bottom = first_inside(cy - half_y), last_inside(cy + half_y, TILE)
    if left > right or top > bottom or not (cells_of(left, right, top, bottom) & cells):
        return count
    column, columns = groups(left, right, LANES, TILE)
    for _ in range(columns):
        y_from, y_to = top, bottom
        offset = np.float32(column) - cx
        if columns > 1:
            low, high = rows_crossed(
                offset, offset + np.float32(LANES - 1), records[g + P], records[g + Q], records[g + R],
                records[g + PEAK] - LOG2_MIN_ALPHA, half_y,
            )  # fmt: skip
            y_from = max(top, first_inside(cy + low - np.float32(0.01)))
            y_to = min(bottom, last_inside(cy + high + np.float32(0.01), TILE))
        y, times = groups(y_from, y_to, ROWS, TILE)
        for _ in range(times):
            blocks[count, 0], blocks[count, 1] = g, y * PITCH + column
            places[count, 0], places[count, 1] = offset, np.float32(y + MIDDLE) - cy
            y += ROWS
            count += 1
        column += LANES
    return count


@inner
def _block(
    records: Any, g: int, k: int, dx: Any, dy: Any, numbers: Any, bounds: Any, planes: Any, depth_out: Any
) -> None:
    """Blend the ellipse of the record at `g` into the block whose first pixel is `k`."""
    vp, vq, vr, peak = splat(records[g + P]), splat(records[g + Q]), splat(records[g + R]), splat(records[g + PEAK])
    bend = splat(records[g + BEND])
    colour = (splat(records[g + RED]), splat(records[g + GREEN]), splat(records[g + BLUE]), splat(records[g + DEPTH]))
    middle, onward, back = seed(numbers, (iota() + dx) * vp, splat(dy), vp, vq, vr, peak)
    alpha = middle
    for row in range(MIDDLE, ROWS):
        _row(planes, k + row * PITCH, alpha, bounds, colour, depth_out)
        alpha, onward = alpha * onward, onward * bend
    alpha = middle
    for row in range(MIDDLE):
        alpha, back = alpha * back, back * bend
        _row(planes, k + (MIDDLE - 1 - row) * PITCH, alpha, bounds, colour, depth_out)
