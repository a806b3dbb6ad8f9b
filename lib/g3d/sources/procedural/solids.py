"""Solids from which the procedural shapes are put together: boxes, cylinders, ellipsoids, lofts, panels.

Units are the shape's own (metres), y up. Parts may overlap: the ray caster and the occupancy take that well.

Letters: R rings of a loft, K points of a ring, F triangles.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.sources.surfaces.surface import Colour, Surface

Point = tuple[float, float, float]
F64 = NDArray[np.float64]


class Solids:
    """Collects coloured triangles."""

    def __init__(self) -> None:
        self._corners: list[F64] = []
        self._colours: list[F64] = []

    def surface(self, traits: Mapping[str, Any]) -> Surface:
        """Everything added so far."""
        corners, colours = np.concatenate(self._corners), np.concatenate(self._colours)
        return Surface(corners.astype(np.float32), colours.astype(np.float32), traits=traits)

    def triangles(self, corners: Any, colour: Colour) -> None:
        """Triangles [F, 3, 3] of one colour."""
        found = np.asarray(corners, dtype=np.float64)
        self._corners.append(found)
        self._colours.append(np.broadcast_to(np.clip(colour, 0, 1), found.shape).copy())

    def quad(self, a: Any, b: Any, c: Any, d: Any, colour: Colour) -> None:
        """A flat or slightly bent quadrilateral, corners in order around it."""
        self.triangles([[a, b, c], [a, c, d]], colour)

    def loft(self, rings: Any, colour: Colour, caps: bool = True) -> None:
        """Skin over closed rings [R, K, 3], with flat ends."""
        rings = np.asarray(rings, dtype=np.float64)
        a, b = rings[:-1], rings[1:]
        a_next, b_next = np.roll(a, -1, axis=1), np.roll(b, -1, axis=1)
        first, second = np.stack([a, b, b_next], axis=2), np.stack([a, b_next, a_next], axis=2)
        self.triangles(np.concatenate([first, second]).reshape(-1, 3, 3), colour)
        if caps:
            for ring in (rings[0], rings[-1]):
                middle = np.broadcast_to(ring.mean(0), ring.shape)
                self.triangles(np.stack([middle, ring, np.roll(ring, -1, axis=0)], axis=1), colour)

    def box(self, centre: Point, size: Point, colour: Colour, top: tuple[float, float] = (1.0, 1.0)) -> None:
        """An axis-aligned box; `top` scales its upper face in x and z."""
        x, y, z = (s / 2 for s in size)
        base, rise = np.array([[-x, 0, -z], [x, 0, -z], [x, 0, z], [-x, 0, z]]), np.array([0, y, 0])
        upper = base * (top[0], 1, top[1])
        self.loft(np.stack([base - rise, upper + rise]) + centre, colour)

    def rod(
        self, start: Point, end: Point, radius: float, colour: Colour, end_radius: float | None = None, sides: int = 8
    ) -> None:
        """A round bar or cone between two points."""
        a, b = np.array(start, dtype=np.float64), np.array(end, dtype=np.float64)
        along = (b - a) / np.linalg.norm(b - a)
        across = np.cross(along, [0.0, 1, 0] if abs(along[1]) < 0.9 else [1.0, 0, 0])
        across /= np.linalg.norm(across)
        other = np.cross(along, across)
        angle = (np.arange(sides) + 0.5) * 2 * np.pi / sides
        circle = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other
        self.loft([a + radius * circle, b + (radius if end_radius is None else end_radius) * circle], colour)

    def ellipsoid(self, centre: Point, radii: Point, colour: Colour, rows: int = 6, sides: int = 12) -> None:
        """A rounded blob."""
        polar = np.linspace(0.06, np.pi - 0.06, rows)
        angle = np.arange(sides) * 2 * np.pi / sides
        rings = [[(np.sin(p) * np.cos(a), np.cos(p), np.sin(p) * np.sin(a)) for a in angle] for p in polar]
        self.loft(np.array(rings) * radii + centre, colour)

    def slab(self, outline: Sequence[tuple[float, float]], low: float, high: float, axis: int, colour: Colour) -> None:
        """A polygon in the two other axes (in cyclic order), extruded along `axis` from `low` to `high`."""
        flat = np.asarray(outline, dtype=np.float64)
        rings = np.empty((2, len(flat), 3))
        rings[0, :, axis], rings[1, :, axis] = low, high
        rings[:, :, (axis + 1) % 3], rings[:, :, (axis + 2) % 3] = flat[:, 0], flat[:, 1]
        self.loft(rings, colour)

    def panel(self, face: Any, u: tuple[float, float], v: tuple[float, float], lift: float, colour: Colour) -> None:
        """Part of a four-cornered face [4, 3] (around it from lower left), lifted off it: a window, a stripe.

        `u` runs from the first corner to the second, `v` from the first to the fourth."""
        a, b, c, d = np.asarray(face, dtype=np.float64)
        normal = np.cross(b - a, d - a)
        normal /= np.linalg.norm(normal)

        def at(s: float, t: float) -> F64:
            point: F64 = (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c) + lift * normal
            return point

        self.quad(at(u[0], v[0]), at(u[1], v[0]), at(u[1], v[1]), at(u[0], v[1]), colour)


def rounded(half_u: float, half_v: float, corner: float) -> F64:
    """Outline [8, 2] of a rectangle with cut corners; `corner` is the share of each half side that is cut."""
    cu, cv = half_u * (1 - corner), half_v * (1 - corner)
    u, v = half_u, half_v
    return np.array([(-cu, -v), (cu, -v), (u, -cv), (u, cv), (cu, v), (-cu, v), (-u, cv), (-u, -cv)])
