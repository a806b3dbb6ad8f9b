"""What lies inside a triangle mesh that need not be watertight, nor have its triangles turned outwards.

A point is inside if one of two rules says so.

* Hidden: each of 26 directions from it meets a surface. So what nothing outside can see is solid: cabins, hulls of many parts.
* Wound: the winding number of the surface around it is above 1/2. It is the mean over all directions of signed crossings (+1
  where a ray leaves through the outer side of a triangle, -1 where it enters; Jacobson et al. 2013, "Robust inside-outside
  segmentation using generalized winding numbers"), here by the quadrature of Lebedev's 26 points. It closes holes, as if a
  membrane were stretched over them.

Which side of a triangle is the outer one is not taken from the file. Triangles that share edges are one patch, turned alike;
rays from points of each patch say which side of it sees more of the sky. A patch of which both sides see sky alike (paper, a
leaf) or neither does (what lies within a hull) bounds nothing and does not count as winding.

Limits: a wall thinner than a cell falls between the cells' centres; a box without a lid and a bowl are full to the rim if they
are of one layer, hollow if their walls have two; where parts share whole faces, a hole in one of them may stay open.

No torch here: worker processes import this file. Letters: F triangles, P points, G cells a side, L lines, D directions (13).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.sources.surfaces.surface import F32

# Lebedev's quadrature of order 7: weights of the 6 axes, the 12 diagonals of faces, the 8 diagonals of the cube; sum 1.
_WEIGHTS = {1: 1 / 21, 2: 4 / 105, 3: 9 / 280}
_ENOUGH = 0.5 + 1e-3  # of the winding number; exactly 1/2 is the side of an open sheet
_SHEET = 0.4  # a side that sees this much of what the other one sees is a side of a sheet
_HIDDEN = 0.025  # less than this share of the sky is none: rays leak through cracks
_HALF = 13  # directions on one side of a plane
_SAMPLES = 4096  # points on the surface whose sky is looked at
_SAMPLES_EACH = 4  # of every patch
_OFF_SURFACE = 1e-4  # where rays from the surface begin, of the unit sphere's radius
_NUDGE = 3e-6
_MARGIN = 1e-4  # around the bounding box
_JITTER = np.array([1.3e-5, 2.1e-5, 0.7e-5])  # so that lines through cells' centres miss the edges of symmetric meshes


class Solid:
    """A surface within [-1, 1]^3, ready to say what lies inside it."""

    def __init__(self, corners: F32):
        """`corners` [F, 3, 3]."""
        import open3d as o3d

        patch, turn, corner = _patches(corners)
        moved = (corners + _nudges(patch, corner)).astype(np.float32)
        self._tensor = o3d.core.Tensor.from_numpy
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        points = np.ascontiguousarray(moved.reshape(-1, 3))
        self._scene.add_triangles(
            self._tensor(points), self._tensor(np.arange(len(points), dtype=np.uint32).reshape(-1, 3))
        )
        a, b, c = np.moveaxis(moved.astype(np.float64), 1, 0)
        normals = np.cross(b - a, c - a)
        self.areas = np.linalg.norm(normals, axis=1) / 2  # [F]
        self._normals = normals / np.maximum(2 * self.areas, 1e-30)[:, None] * turn[:, None]
        self._corners = moved
        self._low, self._high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
        self._outward = self._normals * self._sides(patch)[:, None]  # 0 where a triangle bounds nothing

    def occupancy(self, cells: int) -> NDArray[np.uint8]:
        """[G, G, G] (x, y, z) over [-1, 1]^3: 1 where the cell's centre is inside.

        Along lines through the centres: one ray answers for a whole row of cells and for two opposite directions."""
        edge_world = 2 / cells
        low = np.ceil((self._low - _MARGIN + 1) / edge_world - 0.5).astype(np.int64).clip(0, cells)
        high = np.floor((self._high + _MARGIN + 1) / edge_world - 0.5).astype(np.int64).clip(-1, cells - 1)
        grid = np.zeros((cells, cells, cells), np.uint8)
        shape = tuple(
            int(n) for n in high - low + 1
        )  # of the cells whose centres lie in the bounding box: none else is inside
        if min(shape) > 0:
            box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
            grid[box] = self._occupied(low, shape, edge_world)
        return grid

    def _occupied(self, low: NDArray[np.int64], shape: tuple[int, ...], edge_world: float) -> NDArray[np.bool_]:
        """Which cells of the box that begins at cell `low` are inside."""
        wound, hidden = np.zeros(np.prod(shape), np.float32), np.ones(np.prod(shape), bool)
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        for step in _half_directions():
            first, lengths = _lines(step, shape)  # [L, 3] cells, [L]
            most = int(lengths.max())
            origins = (first + low - step + 0.5) * edge_world - 1 + _JITTER
            line, along, sign = self._crossings(origins, np.broadcast_to(step * edge_world, first.shape))
            passed = np.clip(np.ceil(along - 1), 0, most).astype(np.int64)  # cells of the line before the crossing
            where, size = line * (most + 1) + passed, len(first) * (most + 1)
            signed = np.bincount(where, sign, size).reshape(-1, most + 1).astype(np.float32)
            count = np.bincount(where, minlength=size).reshape(-1, most + 1).astype(np.int32)
            number = np.arange(most)
            within = number < lengths[:, None]
            flat = ((first @ strides)[:, None] + number * int(step @ strides))[within]
            wound[flat] += _weight(step) * (_after(signed) - _before(signed))[within]
            hidden[flat] &= ((_after(count) > 0) & (_before(count) > 0))[within]
        return (hidden | (wound > _ENOUGH)).reshape(shape)

    def contains(self, points: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Points [P, 3] => labels [P], 1 inside."""
        wound, hidden = np.zeros(len(points)), np.ones(len(points), bool)
        for step in _half_directions():
            for direction in (step, -step):
                turned = _turned(direction)
                ray, _, sign = self._crossings(points, np.broadcast_to(turned, points.shape))
                wound += _weight(step) * np.bincount(ray, sign, len(points))
                hidden &= np.bincount(ray, minlength=len(points)) > 0
        return (hidden | (wound > _ENOUGH)).astype(np.uint8)

    def _crossings(
        self, origins: NDArray[np.floating[Any]], directions: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Of rays [N, 3]: the ray of each crossing, its distance in lengths of the direction, and its sign; 0 for sheets."""
        rays = np.concatenate([origins, directions], axis=1).astype(np.float32)
        found = self._scene.list_intersections(self._tensor(rays), nthreads=1)
        ray = found["ray_ids"].numpy().astype(np.int64)
        face = found["primitive_ids"].numpy().astype(np.int64)
        sign = np.sign(np.einsum("nc,nc->n", self._outward[face], rays[ray, 3:].astype(np.float64)))
        return ray, found["t_hit"].numpy().astype(np.float64), sign

    def _sides(self, patch: NDArray[np.int64]) -> NDArray[np.float64]:
        """[F] 1 where the normal points outwards, -1 where it points inwards, 0 where the triangle bounds nothing."""
        face = _spread(self.areas, patch)
        a, b, c = np.moveaxis(self._corners[face].astype(np.float64), 1, 0)
        share = np.random.default_rng(0).dirichlet((1, 1, 1), len(face))
        points = share[:, :1] * a + share[:, 1:2] * b + share[:, 2:] * c
        normals = self._normals[face]
        free = np.zeros((2, patch.max() + 1))  # rays from the front and from the back of each patch that meet nothing
        for step in _half_directions():
            for direction in (step, -step):
                turned = _turned(direction)
                front = normals @ turned > 0
                starts = points + np.where(front, _OFF_SURFACE, -_OFF_SURFACE)[:, None] * normals
                rays = np.concatenate([starts, np.broadcast_to(turned, starts.shape)], axis=1).astype(np.float32)
                sky = ~self._scene.test_occlusions(self._tensor(rays), nthreads=1).numpy()
                for which, of_side in enumerate((front, ~front)):
                    free[which] += np.bincount(patch[face[of_side & sky]], minlength=free.shape[1])
        front_seen, back_seen = free
        side = np.where(back_seen <= _SHEET * front_seen, 1.0, np.where(front_seen <= _SHEET * back_seen, -1.0, 0.0))
        cast = _HALF * np.bincount(patch[face], minlength=free.shape[1])  # from either side
        side[np.maximum(front_seen, back_seen) < _HIDDEN * cast] = 0
        found: NDArray[np.float64] = side[patch]
        return found


def _patches(corners: F32) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The patch of each triangle [F]; 1 or -1 [F]: turned by it, neighbours within a patch are turned alike; and the numbers
    of its corners [F, 3], alike where corners are at the same place.

    Neighbours share an edge that no third triangle has. Nodes F and above stand for the triangles turned over: of an edge that
    both neighbours follow in the same direction, each is a neighbour of the other one turned over."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(corners)
    corner = _welded(corners)  # [F, 3]
    edges = np.stack([corner, np.roll(corner, -1, axis=1)], axis=-1).reshape(-1, 2)  # [3 F, 2]
    key = edges.min(1) * (corner.max() + 1) + edges.max(1)
    order = np.argsort(key, kind="stable")
    first = np.nonzero(np.diff(key[order], prepend=-1))[0]
    pair = first[np.diff(first, append=len(key)) == 2]
    one, two = order[pair], order[pair + 1]
    over = np.where(edges[one, 0] == edges[two, 0], count, 0)
    f, g = one // 3, two // 3
    rows, columns = np.concatenate([f, f + count]), np.concatenate([g + over, (g + count + over) % (2 * count)])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(2 * count, 2 * count))
    _, label = connected_components(graph, directed=False)
    as_is, turned_over = label[:count].astype(np.int64), label[count:].astype(np.int64)
    _, patch = np.unique(np.minimum(as_is, turned_over), return_inverse=True)
    return patch, np.where(as_is <= turned_over, 1.0, -1.0), corner


def _nudges(patch: NDArray[np.int64], corner: NDArray[np.int64]) -> NDArray[np.float64]:
    """A tiny offset of each corner [F, 3, 3], alike within a patch, so that patches that lie on each other part.

    Of two crossings at the very same distance open3d lists one."""
    _, number = np.unique(patch[:, None] * (corner.max() + 1) + corner, return_inverse=True)
    offsets = np.random.default_rng(1).uniform(-_NUDGE, _NUDGE, (number.max() + 1, 3))
    found: NDArray[np.float64] = offsets[number.reshape(corner.shape)]
    return found


def _welded(corners: F32) -> NDArray[np.int64]:
    """Numbers of the corners [F, 3]; those at the same place to 1e-6 have the same number."""
    grid = np.round((corners.reshape(-1, 3).astype(np.float64) + 1.01) * 1e6).astype(np.int64)  # 21 bits each
    _, number = np.unique((grid[:, 0] << 42) | (grid[:, 1] << 21) | grid[:, 2], return_inverse=True)
    return np.asarray(number.reshape(-1, 3), np.int64)


def _spread(areas: NDArray[np.float64], patch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles to look from: `_SAMPLES` by area over all of them, and `_SAMPLES_EACH` of every patch, as far as those go."""
    cumulated = np.cumsum(areas)
    places = (np.arange(_SAMPLES) + 0.5) / _SAMPLES * cumulated[-1]
    evenly = np.searchsorted(cumulated, places).clip(0, len(areas) - 1)
    order = np.lexsort((-areas, patch))  # the largest triangles of each patch first
    rank = np.arange(len(order)) - np.searchsorted(patch[order], patch[order])
    largest = order[rank < _SAMPLES_EACH]
    each = (
        np.concatenate([largest, order[rank == 0].repeat(_SAMPLES_EACH - 1)])
        if len(largest) <= 4 * _SAMPLES
        else largest
    )
    return np.concatenate([evenly, each[: 4 * _SAMPLES]])


def _half_directions() -> list[NDArray[np.int64]]:
    """One of each pair of opposite directions to the 26 neighbours of a cell [D, 3]."""
    steps = [np.array((x, y, z)) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
    return [s for s in steps if tuple(s) > (0, 0, 0)]


def _weight(step: NDArray[np.int64]) -> float:
    return _WEIGHTS[int(np.abs(step).sum())]


def _turned(step: NDArray[np.int64]) -> NDArray[np.float64]:
    """A unit vector, turned a little: exact axes and diagonals run within the faces of boxes."""
    a, b = 0.0123, 0.0217
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    found: NDArray[np.float64] = step / np.linalg.norm(step) @ turn_y @ turn_x
    return found


def _lines(step: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first cell [L, 3] and the number of cells [L] of each line along `step` through a box of cells."""
    faces = []
    for axis in np.nonzero(step)[0]:
        ranges = [np.arange(n) for n in shape]
        ranges[axis] = ranges[axis][:1] if step[axis] > 0 else ranges[axis][-1:]
        for done in np.nonzero(step)[0][np.nonzero(step)[0] < axis]:  # cells of the faces before this one
            ranges[done] = ranges[done][1:] if step[done] > 0 else ranges[done][:-1]
        faces.append(np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3))
    first = np.concatenate(faces)
    left = np.where(step > 0, np.array(shape) - first, np.where(step < 0, first + 1, max(shape)))
    return first, left.min(1)


def _after(values: NDArray[Any]) -> NDArray[Any]:
    """[L, G + 1] by cells before each crossing => [L, G] sums of what lies behind each cell along the line."""
    found: NDArray[Any] = values[:, ::-1].cumsum(1)[:, ::-1][:, 1:]
    return found


def _before(values: NDArray[Any]) -> NDArray[Any]:
    """... of what lies before each cell."""
    found: NDArray[Any] = values.cumsum(1)[:, :-1]
    return found
