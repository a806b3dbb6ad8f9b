"""Draws a coloured surface by ray casting (colour, coverage, depth, normals) and finds which cells of a grid lie inside it.

Without another light, that of a studio is fixed in the world: hemisphere ambient dimmed by how much of the sky a point sees,
a key light and a fill light, which sum to at most about 1, so colours stay those of the object.

No torch here: worker processes import this file.

Letters: F triangles, H rows, W columns, S samples (four of colour and one at the pixel's centre), N hits, G cells a side.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.images import to_u8
from g3d.sources.surfaces.surface import F32, Colour, Surface
from g3d.sources.surfaces.texture import Paint, between, from_first_corner

_LAYERS_MOST = 64  # holes behind each other
_BEHIND = 1e-5  # where a ray goes on, of the distance and of the unit sphere
SKY_CELLS = 32  # cells a side of the grid of sky visibility over [-1, 1]^3
OPEN3D_INSTALL = (
    "install it with pip install open3d (on Linux, open3d from 0.20 on also needs the system library libusb-1.0; "
    "the package open3d-cpu 0.19 does not)"
)
_KEY = np.array([0.5, 0.66, 0.56]) / np.linalg.norm([0.5, 0.66, 0.56])  # towards the light
_FILL = np.array([-0.75, 0.25, -0.45]) / np.linalg.norm([-0.75, 0.25, -0.45])
_AMBIENT, _KEY_GAIN, _FILL_GAIN = 0.68, 0.36, 0.18
# Where a pixel is sampled, x and y: four times for colour, and at its centre for depth.
_OFFSETS_PX = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5))


@dataclass(frozen=True)
class Picture:
    """One view of one object."""

    rgb: NDArray[np.uint8]  # [H, W, 3] over the background
    mask: NDArray[np.uint8]  # [H, W] coverage
    depth_world: F32  # [H, W] camera z at the pixel's centre, 0 where nothing is hit
    normals: F32  # [H, W, 3] of the world, unit, towards the camera, at the pixel's centre; 0 where nothing is hit


Light = Callable[[F32], F32]  # unit normals [N, 3] towards the camera => how bright a white surface is, [N] or [N, 3]


class Caster:
    """A surface ready to be drawn. One thread: many of them run side by side."""

    def __init__(self, surface: Surface, light: Light | None = None):
        """`light` takes the place of the studio's."""
        import open3d as o3d

        self._core = o3d.core
        self._surface, self._lamp = surface, light
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        faces = np.arange(len(surface.corners) * 3, dtype=np.uint32).reshape(-1, 3)
        points = np.ascontiguousarray(surface.corners.reshape(-1, 3), dtype=np.float32)
        self._scene.add_triangles(o3d.core.Tensor.from_numpy(points), o3d.core.Tensor.from_numpy(faces))
        a, b, c = np.moveaxis(surface.corners.astype(np.float64), 1, 0)
        normals = np.cross(b - a, c - a)
        lengths = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        self._normals: F32 = (normals / lengths).astype(np.float32)  # [F, 3]
        self._low, self._high = points.min(0), points.max(0)
        self._paint = Paint(surface, lengths[:, 0])
        self._glow = None if surface.glow is None else Paint(surface.glow, lengths[:, 0])
        self._smooth = None if surface.normals is None else from_first_corner(surface.normals)
        self._sky: F32 | None = None

    def draw(
        self,
        c2w: F32,
        intrinsics: F32,
        width: int,
        height: int,
        background: Colour | NDArray[np.uint8],
        normals: bool = False,
    ) -> Picture:
        """One view. `c2w` [4, 4], `intrinsics` [4] fx fy cx cy in pixels (OpenCV axes, pixel centres at +0.5).

        `background` is a colour or a picture [H, W, 3]. Without `normals` those of the picture stay 0."""
        rgb = np.empty((height, width, 3), np.float32)
        if isinstance(background, np.ndarray):
            rgb[:] = background * np.float32(1 / 255)
        else:
            rgb[:] = background
        coverage, depth = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        facing = np.zeros((height, width, 3), np.float32)
        top, bottom, left, right = self._window(c2w, intrinsics, width, height)
        if top < bottom and left < right:
            rays = _rays(c2w, intrinsics, top, bottom, left, right)  # [S, h, w, 6]
            inside = np.s_[top:bottom, left:right]
            spacing = np.float32(0.5 / max(float(intrinsics[0]), float(intrinsics[1])))  # of samples, at camera z = 1
            colours, hits, depth[inside], facing[inside] = self._samples(rays, normals, spacing)
            rgb[inside], coverage[inside] = np.where(hits[..., None], colours, rgb[inside]).mean(0), hits.mean(0)
        return Picture(to_u8(rgb), to_u8(coverage), depth, facing)

    def gap_world(self, points: F32, eye: F32) -> F32:
        """[N] how far each of `points` [N, 3] lies behind what a camera at `eye` [3] sees in its place; not above 0 where
        nothing is before it."""
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3], rays[:, 3:] = eye, points - eye
        reached = self._scene.cast_rays(self._core.Tensor.from_numpy(rays), nthreads=1)["t_hit"].numpy()  # 1: the point
        gap: F32 = (1 - reached) * np.linalg.norm(rays[:, 3:], axis=1)
        return gap

    def relit(self, light: Light | None) -> "Caster":
        """The same surface under another light; nothing is built again."""
        other = copy.copy(self)
        other._lamp = light
        return other

    def occupancy(self, cells: int = 64) -> NDArray[np.uint8]:
        """[G, G, G] (x, y, z) over [-1, 1]^3: 1 where all of 26 directions from the cell's centre are blocked.

        Right for closed parts that overlap, where a parity of crossings is not; `inside.py` also closes holes."""
        centres = _cell_centres(cells)
        grid = np.zeros((cells, cells, cells), np.uint8)
        box = [np.nonzero((centres > self._low[i]) & (centres < self._high[i]))[0] for i in range(3)]
        index = np.stack(np.meshgrid(*box, indexing="ij"), axis=-1).reshape(-1, 3)
        for direction in directions():
            index = index[self._blocked(centres[index], direction)]
        grid[tuple(index.T)] = 1
        return grid

    def _window(self, c2w: F32, intrinsics: F32, width: int, height: int) -> tuple[int, int, int, int]:
        """Rows and columns that the bounding box can touch: rays elsewhere are not cast."""
        choose = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)
        box = np.where(choose == 1, self._high, self._low)
        x, y, z = ((box - c2w[:3, 3]) @ c2w[:3, :3]).T
        if z.min() < 1e-3:
            return 0, height, 0, width
        fx, fy, cx, cy = intrinsics
        u, v = fx * x / z + cx, fy * y / z + cy
        top, bottom = max(0, int(np.floor(v.min()))), min(height, int(np.ceil(v.max())) + 1)
        return top, bottom, max(0, int(np.floor(u.min()))), min(width, int(np.ceil(u.max())) + 1)

    def _samples(self, rays: F32, normals: bool, spacing: np.float32) -> tuple[F32, NDArray[np.bool_], F32, F32]:
        """Rays [5, h, w, 6] => of the four: colours [4, h, w, 3] (0 where nothing is hit) and hits [4, h, w]; of the fifth, at
        the pixel's centre: camera z [h, w] and normals [h, w, 3]."""
        distance, faces, uvs = self._cast(rays)  # directions have camera z = 1, so the distance is camera z
        hits = np.isfinite(distance)
        colours = np.zeros((*distance[:4].shape, 3), np.float32)
        found = np.nonzero(hits[:4].reshape(-1))[0]
        if len(found):
            face, uv = faces.reshape(-1).take(found).astype(np.int64), uvs.reshape(-1, 2).take(found, 0)
            z = distance.reshape(-1).take(found)
            base = self._paint.colours(face, uv, z * spacing)
            lit = self._light(rays.reshape(-1, 6).take(found, 0), z, face, uv)
            colours.reshape(-1, 3)[found] = base * (lit[:, None] if lit.ndim == 1 else lit)
            if self._glow is not None:
                colours.reshape(-1, 3)[found] += self._glow.colours(face, uv, z * spacing)
        centre = np.zeros((*distance.shape[1:], 3), np.float32)
        if normals and hits[4].any():
            face, uv = faces[4][hits[4]].astype(np.int64), uvs[4][hits[4]]
            centre[hits[4]] = self._shading_normal(face, uv, self._facing(face, rays[4][hits[4]]))
        return np.minimum(colours, np.float32(1)), hits[:4], np.where(hits[4], distance[4], np.float32(0)), centre

    def _cast(self, rays: F32) -> tuple[F32, NDArray[Any], F32]:
        """Distance, triangle and place on it of the first hit of each ray [..., 6] that goes through no hole."""
        answer = self._scene.cast_rays(self._core.Tensor.from_numpy(rays), nthreads=1)
        distance, faces, uvs = (answer[n].numpy() for n in ("t_hit", "primitive_ids", "primitive_uvs"))
        if not self._paint.has_holes:
            return distance, faces, uvs
        flat, far, which, place = rays.reshape(-1, 6), distance.reshape(-1), faces.reshape(-1), uvs.reshape(-1, 2)
        at = np.nonzero(np.isfinite(far))[0]
        for _ in range(_LAYERS_MOST):
            at = at[self._paint.in_hole(which.take(at).astype(np.int64), place.take(at, 0))]
            if not len(at):
                break
            passed = far.take(at) * np.float32(1 + _BEHIND) + np.float32(_BEHIND)
            onward = flat.take(at, 0)
            onward[:, :3] += passed[:, None] * onward[:, 3:]
            answer = self._scene.cast_rays(self._core.Tensor.from_numpy(onward), nthreads=1)
            far[at], which[at] = passed + answer["t_hit"].numpy(), answer["primitive_ids"].numpy()
            place[at] = answer["primitive_uvs"].numpy()
            at = at[np.isfinite(far.take(at))]
        far[at] = np.inf  # behind so many holes nothing is looked for
        return distance, faces, uvs

    def _facing(self, face: NDArray[np.int64], rays: F32) -> F32:
        """Normals [N, 3] of the triangles on the side from which the rays come."""
        normal = self._normals.take(face, 0)
        away = np.einsum("nc,nc->n", normal, rays[:, 3:]) > 0
        return np.where(away[:, None], -normal, normal)

    def _shading_normal(self, face: NDArray[np.int64], uv: F32, facing: F32) -> F32:
        """The normals of the file between the corners, on the side of `facing`; or `facing` where it has none."""
        if self._smooth is None:
            return facing
        normal = between(self._smooth, face, uv)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        side = np.where(np.einsum("nc,nc->n", normal, facing) < 0, np.float32(-1), np.float32(1))[:, None]
        found: F32 = np.where(length > 1e-6, side * normal / np.maximum(length, np.float32(1e-6)), facing)
        return found

    def _light(self, rays: F32, distance: F32, face: NDArray[np.int64], uv: F32) -> F32:
        """How bright a white surface would be, [N] or [N, 3]; both sides of a triangle are lit."""
        facing = self._facing(face, rays)
        normal = self._shading_normal(face, uv, facing)
        if self._lamp is not None:
            return self._lamp(normal)
        if self._sky is None:
            self._sky = self._sky_grid()
        point = rays[:, :3] + distance[:, None] * rays[:, 3:] + facing * np.float32(2.0 / SKY_CELLS)
        hemisphere = np.float32(0.78) + np.float32(0.22) * normal[:, 1]
        ambient = _AMBIENT * hemisphere * (np.float32(0.5) + np.float32(0.5) * _trilinear(self._sky, point))
        key = np.maximum(normal @ _KEY.astype(np.float32), 0)
        fill = np.maximum(normal @ _FILL.astype(np.float32), 0)
        light: F32 = (ambient + _KEY_GAIN * key + _FILL_GAIN * fill).astype(np.float32)
        return light

    def _sky_grid(self) -> F32:
        """The share of the upward directions that is free, from each cell of a coarse grid.

        Cells inside the object take the mean of their neighbours outside it, so that nothing dark leaks through walls."""
        upward = [d for d in directions() if d[1] > -0.1]
        centres = _cell_centres(SKY_CELLS)
        index = np.stack(np.meshgrid(*[np.arange(SKY_CELLS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        near = ((centres[index] > self._low - 0.25) & (centres[index] < self._high + 0.25)).all(1)
        free = np.ones(len(index), np.float32)
        points = centres[index[near]]
        free[near] = 1 - np.mean([self._blocked(points, d) for d in upward], axis=0, dtype=np.float32)
        sky = free.reshape(SKY_CELLS, SKY_CELLS, SKY_CELLS)
        known = (sky > 0).astype(np.float32)
        for _ in range(2):
            total, count = _box_sum(sky * known), _box_sum(known)
            sky = np.where(known > 0, sky, total / np.maximum(count, 1))
            known = np.maximum(known, (count > 0).astype(np.float32))
        bright: F32 = np.minimum(np.float32(1), sky * np.float32(1.5))
        return bright

    def _blocked(self, points: F32, direction: F32) -> NDArray[np.bool_]:
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3], rays[:, 3:] = points, direction
        blocked: NDArray[np.bool_] = self._scene.test_occlusions(self._core.Tensor.from_numpy(rays), nthreads=1).numpy()
        return blocked


def directions() -> F32:
    """The 26 directions to the neighbours of a cell, turned a little: exact axes and diagonals hit edges of boxes."""
    steps = np.stack(np.meshgrid([0, 1, -1], [0, 1, -1], [0, 1, -1], indexing="ij"), axis=-1).reshape(-1, 3)[1:]
    a, b = 0.0123, 0.0217
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    found: F32 = (steps / np.linalg.norm(steps, axis=1, keepdims=True) @ turn_y @ turn_x).astype(np.float32)
    return found


def _rays(c2w: F32, intrinsics: F32, top: int, bottom: int, left: int, right: int) -> F32:
    """[S, h, w, 6] origin and direction, the directions with camera z = 1; one matmul in float32."""
    fx, fy, cx, cy = intrinsics
    rows, columns = np.arange(top, bottom, dtype=np.float32), np.arange(left, right, dtype=np.float32)
    local = np.ones((len(_OFFSETS_PX), len(rows), len(columns), 3), np.float32)
    for s, (x, y) in enumerate(_OFFSETS_PX):
        local[s, ..., 0] = (columns + np.float32(x) - cx) / fx
        local[s, ..., 1] = ((rows + np.float32(y) - cy) / fy)[:, None]
    rays = np.empty((*local.shape[:3], 6), np.float32)
    rays[..., :3] = c2w[:3, 3]
    rays[..., 3:] = (local.reshape(-1, 3) @ c2w[:3, :3].T).reshape(local.shape)
    return rays


def _trilinear(grid: F32, points: F32) -> F32:
    """Values [N] of a cubic grid over [-1, 1]^3 between cell centres, held constant outside them."""
    cells = grid.shape[0]
    at = np.clip((points + 1) * np.float32(cells / 2) - np.float32(0.5), 0, np.float32(cells - 1.001))
    low = at.astype(np.int32)
    f = at - low
    flat, base = grid.reshape(-1), (low[:, 0] * cells + low[:, 1]) * cells + low[:, 2]
    fx, fy, fz = f.T
    along = [
        flat.take(base + d) * (1 - fz) + flat.take(base + d + 1) * fz for d in (0, cells, cells**2, cells**2 + cells)
    ]
    value: F32 = (along[0] * (1 - fy) + along[1] * fy) * (1 - fx) + (along[2] * (1 - fy) + along[3] * fy) * fx
    return value


def _box_sum(grid: F32) -> F32:
    """Sums over 3 x 3 x 3 neighbours."""
    for axis in range(3):
        padded = np.concatenate([np.zeros_like(grid.take([0], axis)), grid, np.zeros_like(grid.take([0], axis))], axis)
        grid = sum(padded.take(np.arange(k, k + grid.shape[axis]), axis) for k in range(3))  # type: ignore[assignment]
    return grid


def _cell_centres(cells: int) -> F32:
    return ((np.arange(cells, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / cells) - 1).astype(np.float32)
