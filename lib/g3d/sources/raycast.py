"""Draws a coloured surface by ray casting (colour, coverage, depth) and finds which cells of a grid lie inside it.

Light is fixed in the world: hemisphere ambient dimmed by how much of the sky a point sees, a key light and a fill light.
The three sum to at most about 1, so colours stay those of the object. No torch here: worker processes import this file.

Letters: F triangles, H rows, W columns, S samples (four of colour and one at the pixel's centre), N hits, G cells a side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3d.images import to_u8
from g3d.sources.surface import F32, Colour, Surface

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


class Caster:
    """A surface ready to be drawn. One thread: many of them run side by side."""

    def __init__(self, surface: Surface):
        import open3d as o3d

        self._core = o3d.core
        self._surface = surface
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        faces = np.arange(len(surface.corners) * 3, dtype=np.uint32).reshape(-1, 3)
        points = np.ascontiguousarray(surface.corners.reshape(-1, 3), dtype=np.float32)
        self._scene.add_triangles(o3d.core.Tensor.from_numpy(points), o3d.core.Tensor.from_numpy(faces))
        a, b, c = np.moveaxis(surface.corners.astype(np.float64), 1, 0)
        normals = np.cross(b - a, c - a)
        lengths = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        self._normals: F32 = (normals / lengths).astype(np.float32)  # [F, 3]
        self._low, self._high = points.min(0), points.max(0)
        self._plain = bool((surface.colours == surface.colours[:, :1]).all())
        self._colours = _from_first_corner(surface.colours)
        self._uvs = None if surface.uvs is None else _from_first_corner(surface.uvs)
        self._sky: F32 | None = None

    def draw(self, c2w: F32, intrinsics: F32, width: int, height: int, background: Colour) -> Picture:
        """One view. `c2w` [4, 4], `intrinsics` [4] fx fy cx cy in pixels (OpenCV axes, pixel centres at +0.5)."""
        rgb = np.empty((height, width, 3), np.float32)
        rgb[:] = background
        coverage, depth = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        top, bottom, left, right = self._window(c2w, intrinsics, width, height)
        if top < bottom and left < right:
            rays = _rays(c2w, intrinsics, top, bottom, left, right)  # [S, h, w, 6]
            colours, hits, z = self._samples(rays)
            shown = np.where(hits[..., None], colours, np.array(background, np.float32))
            inside = np.s_[top:bottom, left:right]
            rgb[inside], coverage[inside], depth[inside] = shown.mean(0), hits.mean(0), z
        return Picture(to_u8(rgb), to_u8(coverage), depth)

    def occupancy(self, cells: int = 64) -> NDArray[np.uint8]:
        """[G, G, G] (x, y, z) over [-1, 1]^3: 1 where all of 26 directions from the cell's centre are blocked.

        Right for surfaces with small holes and overlapping parts, where a parity of crossings is not."""
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

    def _samples(self, rays: F32) -> tuple[F32, NDArray[np.bool_], F32]:
        """Rays [5, h, w, 6] => colours [4, h, w, 3] (0 where nothing is hit), hits [4, h, w], camera z [h, w]."""
        answer = self._scene.cast_rays(self._core.Tensor.from_numpy(rays), nthreads=1)
        distance = answer["t_hit"].numpy()  # directions have camera z = 1, so this is camera z
        hits = np.isfinite(distance)
        colours = np.zeros((*distance[:4].shape, 3), np.float32)
        found = np.nonzero(hits[:4].reshape(-1))[0]
        if len(found):
            face = answer["primitive_ids"].numpy()[:4].reshape(-1)[found].astype(np.int64)
            uv = answer["primitive_uvs"].numpy()[:4].reshape(-1, 2)[found]
            flat = rays[:4].reshape(-1, 6)[found]
            base = self._base_colour(face, uv)
            colours.reshape(-1, 3)[found] = base * self._light(flat, distance[:4].reshape(-1)[found], face)[:, None]
        return np.minimum(colours, np.float32(1)), hits[:4], np.where(hits[4], distance[4], np.float32(0))

    def _base_colour(self, face: NDArray[np.int64], uv: F32) -> F32:
        surface = self._surface
        u, v = uv[:, :1], uv[:, 1:]  # weights of the second and the third corner
        origin, along_u, along_v = self._colours
        base: F32 = origin[face] if self._plain else origin[face] + u * along_u[face] + v * along_v[face]
        if self._uvs is not None and surface.texture is not None:
            origin, along_u, along_v = self._uvs
            place = origin[face] + u * along_u[face] + v * along_v[face]
            which = surface.texture[face]
            for number, picture in enumerate(surface.textures):
                at = np.nonzero(which == number)[0]
                if len(at):
                    base[at] *= _texel(picture, place[at])
        return base

    def _light(self, rays: F32, distance: F32, face: NDArray[np.int64]) -> F32:
        """How bright a white surface would be [N]; both sides of a triangle are lit."""
        if self._sky is None:
            self._sky = self._sky_grid()
        normal = self._normals[face]
        away = np.einsum("nc,nc->n", normal, rays[:, 3:]) > 0
        normal = np.where(away[:, None], -normal, normal)
        point = rays[:, :3] + distance[:, None] * rays[:, 3:] + normal * np.float32(2.0 / SKY_CELLS)
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


def _from_first_corner(values: F32) -> tuple[F32, F32, F32]:
    """[F, 3, C] at corners => value at the first corner and its change towards the other two, [F, C] each."""
    first = values[:, 0]
    return np.ascontiguousarray(first), values[:, 1] - first, values[:, 2] - first


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


def _texel(picture: NDArray[np.uint8], uv: F32) -> F32:
    """Colours [N, 3] in [0, 1] between the four nearest texels; the texture repeats."""
    height, width = picture.shape[:2]
    x, y = uv[:, 0] * width - np.float32(0.5), uv[:, 1] * height - np.float32(0.5)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, top = x0.astype(np.int64) % width, y0.astype(np.int64) % height
    right, bottom = (left + 1) % width, (top + 1) % height
    flat = picture.reshape(-1, 3)
    upper = flat[top * width + left] * (1 - fx) + flat[top * width + right] * fx
    lower = flat[bottom * width + left] * (1 - fx) + flat[bottom * width + right] * fx
    colour: F32 = (upper * (1 - fy) + lower * fy) * np.float32(1 / 255)
    return colour


def _trilinear(grid: F32, points: F32) -> F32:
    """Values [N] of a cubic grid over [-1, 1]^3 between cell centres, held constant outside them."""
    cells = grid.shape[0]
    at = np.clip((points + 1) * np.float32(cells / 2) - np.float32(0.5), 0, np.float32(cells - 1.001))
    low = at.astype(np.int32)
    f = at - low
    flat, base = grid.reshape(-1), (low[:, 0] * cells + low[:, 1]) * cells + low[:, 2]
    fx, fy, fz = f.T
    along = [flat[base + d] * (1 - fz) + flat[base + d + 1] * fz for d in (0, cells, cells**2, cells**2 + cells)]
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
