"""Lists of the Gaussians that touch a tile, and their order by depth.

Every list is filled by ascending index and then sorted stably by depth: the same list on any number of threads.

Letters: N Gaussians, E entries of all lists.
"""

from typing import Any

import numpy as np

from g3d.render.splat.cpu.compile import inner, kernel
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.project import TILE

FEW = 24  # shorter lists are sorted by insertion
DIGIT = 11  # bits that one pass of the radix sort looks at
DIGITS = 1 << DIGIT


@kernel
def lay_out(counts: Any, totals: Any, starts: Any) -> int:
    """Counts of each share and tile => where each writes (in place), `starts` [tiles + 1], shares' first slots (in place
    of their totals); returns the length of the longest list."""
    parts, tiles = counts.shape
    at, longest = 0, 0
    for tile in range(tiles):
        starts[tile] = at
        for part in range(parts):
            found = counts[part, tile]
            counts[part, tile] = at
            at += found
        longest = max(longest, at - starts[tile])
    starts[tiles] = at
    before = 0
    for part in range(parts):
        found = totals[part]
        totals[part] = before
        before += found
    return longest


@kernel
def fill(part: int, parts: int, boxes: Any, width: int, places: Any, firsts: Any, slots: Any, order: Any) -> None:
    """Write the indices of share `part` into the lists `order` [E], and make its `slots` count from the start of all."""
    n = boxes.shape[0]
    tiles_x = (width + TILE - 1) // TILE
    blocks = (n + LANES - 1) // LANES
    for i in range(blocks * part // parts * LANES, min(n, blocks * (part + 1) // parts * LANES)):
        slots[i] += firsts[part]
        x0, x1 = boxes[i, 0], boxes[i, 1]
        if x0 > x1:
            continue
        for ty in range(boxes[i, 2], boxes[i, 3] + 1):
            for tx in range(x0, x1 + 1):
                tile = ty * tiles_x + tx
                at = places[part, tile]
                places[part, tile] = at + 1
                order[at] = i


@inner
def sort_by_depth(order: Any, start: int, end: int, depth_keys: Any, keys: Any, more_keys: Any, more_ids: Any,
                  tally: Any) -> None:  # fmt: skip
    """Sort order[start:end] by depth, equal depths by index; the other arrays are scratch as long as the list."""
    n = end - start
    least, most = np.int32(2147483647), np.int32(0)
    for k in range(n):
        key = depth_keys[order[start + k]]
        keys[k] = key
        least, most = min(least, key), max(most, key)
    if n <= FEW:
        for k in range(1, n):
            key, found, j = keys[k], order[start + k], k - 1
            while j >= 0 and keys[j] > key:
                keys[j + 1], order[start + j + 1] = keys[j], order[start + j]
                j -= 1
            keys[j + 1], order[start + j + 1] = key, found
        return
    span, shift, flipped = most - least, 0, False  # the common part of all depths costs no pass
    while span >> shift:
        for digit in range(DIGITS):
            tally[digit] = 0
        if flipped:
            _pass(more_keys, more_ids, 0, keys, order, start, n, least, shift, tally)
        else:
            _pass(keys, order, start, more_keys, more_ids, 0, n, least, shift, tally)
        flipped, shift = not flipped, shift + DIGIT
    if flipped:
        for k in range(n):
            order[start + k] = more_ids[k]


@inner
def _pass(keys: Any, ids: Any, at: int, to_keys: Any, to_ids: Any, to: int, n: int, least: Any, shift: int,
          tally: Any) -> None:  # fmt: skip
    """One stable pass over one digit; ids[at:at + n] => to_ids[to:to + n]."""
    for k in range(n):
        tally[((keys[k] - least) >> shift) & (DIGITS - 1)] += 1
    before = 0
    for digit in range(DIGITS):
        found = tally[digit]
        tally[digit] = before
        before += found
    for k in range(n):
        digit = ((keys[k] - least) >> shift) & (DIGITS - 1)
        place = tally[digit]
        tally[digit] = place + 1
        to_keys[place] = keys[k]
        to_ids[to + place] = ids[at + k]
