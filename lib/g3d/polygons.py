"""Polygons and strips of mesh files => triangles: convex ones as fans, others by ears, in the plane of the face.

Letters: P points, T triangles, N corners of a polygon.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def cut(points: F64, flat: I64, sizes: I64) -> tuple[I64, I64]:
    """Points [P, 3]; polygons as one list of their corners `flat`, so many each => the polygon that a triangle is of [T], in
    order, and where in `flat` its corners stand [T, 3]. Fewer than three corners are none."""
    sizes = np.asarray(sizes, np.int64)
    starts = np.cumsum(sizes) - sizes
    owners, corners = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.int64)]
    for n in np.unique(sizes[sizes >= 3]).tolist():
        at = np.nonzero(sizes == n)[0]
        fan = np.stack([np.zeros(n - 2, np.int64), np.arange(1, n - 1), np.arange(2, n)], axis=1)
        local = np.tile(fan, (len(at), 1, 1))  # [polygons, n - 2, 3]
        if n > 3:
            index = flat[starts[at][:, None] + np.arange(n)]
            inside = ((index >= 0) & (index < len(points))).all(1)  # others are refused by whoever reads the file
            for i in np.nonzero(inside & ~_fan_fits(points[np.where(inside[:, None], index, 0)]))[0]:
                local[i] = ears(points[index[i]])
        owners.append(at.repeat(n - 2))
        corners.append((local + starts[at][:, None, None]).reshape(-1, 3))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return owner[order], np.concatenate(corners)[order]


def flattened(polygons: Sequence[Any]) -> tuple[I64, I64]:
    """Polygons => all their corners one after the other, and how many each has."""
    sizes = np.array([len(p) for p in polygons], np.int64)
    return (np.concatenate([np.asarray(p, np.int64) for p in polygons]) if len(sizes) else np.zeros(0, np.int64)), sizes


def triangles(points: F64, polygons: Sequence[Any]) -> I64:
    """The triangles [T, 3] of polygons, as numbers of points."""
    flat, sizes = flattened(polygons)
    return flat[cut(points, flat, sizes)[1]]


def strip(numbers: Sequence[int]) -> I64:
    """Triangle strips, -1 between them => triangles [T, 3], each turned as the first."""
    found, run = [], list[int]()
    for number in (*map(int, numbers), -1):
        if number >= 0:
            run.append(number)
            continue
        for i in range(len(run) - 2):
            a, b, c = run[i : i + 3]
            if len({a, b, c}) == 3:
                found.append((a, b, c) if i % 2 == 0 else (b, a, c))
        run = []
    return np.array(found, np.int64).reshape(-1, 3)


def ears(corners: F64) -> I64:
    """One polygon [N, 3], also concave => N - 2 triangles of its corners [N - 2, 3]."""
    normal = _newell(corners[None])[0]
    axis = int(np.abs(normal).argmax())  # seen along it, the polygon is widest
    flat = np.delete(corners, axis, axis=1)
    if (normal[axis] < 0) != (axis == 1):  # leaving out y mirrors the plane
        flat = flat * (1, -1)
    left, found = list(range(len(corners))), []
    while len(left) > 3:
        k = next((k for k in range(len(left)) if _is_ear(flat, left, k)), None)
        if k is None:  # it crosses itself: what is left has no right answer
            break
        found.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    found += [(left[0], left[i], left[i + 1]) for i in range(1, len(left) - 1)]
    return np.array(found, np.int64)


def _is_ear(flat: F64, left: Sequence[int], k: int) -> bool:
    """Whether the corner k of what is left turns to the left, with no other corner in its triangle."""
    a, b, c = (flat[left[j % len(left)]] for j in (k - 1, k, k + 1))
    if not _turn(a, b, c) > 0:
        return False
    others = flat[[v for j, v in enumerate(left) if j not in (k, (k - 1) % len(left), (k + 1) % len(left))]]
    within = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    same = (others == a).all(1) | (others == b).all(1) | (others == c).all(1)  # a seam that is walked twice
    return not (within & ~same).any()


def _turn(a: F64, b: F64, c: F64) -> Any:
    """Twice the area of a b c, above 0 where it turns to the left."""
    return (b[0] - a[0]) * (c[..., 1] - a[1]) - (b[1] - a[1]) * (c[..., 0] - a[0])


def _newell(corners: F64) -> F64:
    """Twice the area of polygons [., N, 3] along their normal [., 3]."""
    total: F64 = np.cross(corners - corners[:, :1], np.roll(corners, -1, 1) - corners[:, :1]).sum(1)
    return total


def _fan_fits(corners: F64) -> NDArray[np.bool_]:
    """Of polygons [., N, 3]: whether all triangles from the first corner are turned as the whole is."""
    edges = corners[:, 1:] - corners[:, :1]
    turned: NDArray[np.bool_] = (
        np.einsum("pnc,pc->pn", np.cross(edges[:, :-1], edges[:, 1:]), _newell(corners)) >= 0
    ).all(1)
    return turned
