"""Where lips, brows, hair and so on lie on the mean face: masks over its texels, found from geometry and landmarks.

Worked out once a process, on the mean face, so that a texel means the same place on every subject. No torch here.
Lengths are model units (about a centimetre), x to the subject's left, y up, +z ahead.

Letters: P painted texels, R texels a side, N vertices, F triangles, D directions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g3d.sources.faces.model import FaceModel, load
from g3d.sources.surfaces.surface import F32

_TILES = {"face": (("face",), 0), "head": (("head", "mouth_socket", "eye_sockets"), 1)}  # regions, and u of their tile
_EYES = ("left_eye", "right_eye")
_OUTSIDE = ("face", "head", "cut")
_SPREAD = 6  # texels beyond the edge of an island that get its colour, so that bilinear look-ups stay on it
_DIRECTIONS = 192  # for the share of the surroundings that a point sees
_PI = np.float32(np.pi)
# Height of the hairline above the angle around the head's axis, 0 ahead: forehead, temples, before and behind the ear, nape.
_HAIR_ANGLES_DEG = (0, 14, 28, 40, 52, 62, 72, 82, 92, 104, 116, 132, 150, 180)
_HAIR_HEIGHTS = (10.4, 10.5, 10.1, 9.3, 8.0, 6.2, 3.4, 2.4, 3.6, 3.4, -0.5, -3.4, -4.6, -5.0)
_AXIS_Z = 1.0  # of the head


@dataclass(frozen=True)
class Atlas:
    """The painted texels of one texture."""

    place: NDArray[np.int32]  # [R, R] texel => number of the painted texel that colours it; rows from the top of v
    points: F32  # [P, 3] on the mean face


@dataclass(frozen=True)
class Regions:
    """Masks in [0, 1] and coordinates over the painted texels [P] of face and head together."""

    atlases: Mapping[str, Atlas]  # "face", "head", "left_eye", "right_eye"
    starts: Mapping[str, int]  # where the texels of "face" and "head" begin in the arrays
    points: F32  # [P, 3]
    lips: F32
    seam: F32  # the dark line where the lips meet
    brow_along: F32  # 0 at the inner end of a brow to 1 at its tail
    brow_across: F32  # above (+) or below (-) the brow's line
    hair_edge: F32  # above the hairline; negative below it
    ear: F32
    cheek: F32  # where blood shows: cheeks, nose, ears
    freckled: F32
    beard: F32
    lid: F32  # around the eyes
    lid_edge: F32  # the lids' edges, where lashes grow
    inside: F32  # mouth and eye sockets


@lru_cache(maxsize=2)
def regions(folder: Path, texels: int) -> Regions:
    """The masks at `texels` a side."""
    model = load(folder)
    atlases = {name: _atlas(model, parts, tile, texels) for name, (parts, tile) in _TILES.items()}
    for eye in _EYES:
        atlases[eye] = _atlas(model, (eye,), 0, max(64, texels // 4))
    points = np.concatenate([atlases[name].points for name in _TILES])
    starts = {"face": 0, "head": len(atlases["face"].points)}
    marks = model.neutral[model.landmarks]
    x, y, z = points.T
    side = np.abs(x)
    mirrored = np.stack([side, y, z], axis=1)
    lips, seam = _lips(points, marks)
    along, across = _brow(mirrored, marks[22:27])
    ear = _smooth(side - 0.15 * np.clip(y, 0, 3.5), 7.05, 7.25) * _smooth(-y, -4.15, -3.95) * _smooth(y, -3.4, -2.9)
    ear *= _smooth(z, -3.6, -3.0) * _smooth(-z, -2.9, -2.4)
    inside = np.zeros(len(points), np.float32)
    inside[starts["head"] :] = _of_regions(model, atlases["head"], ("mouth_socket", "eye_sockets"))
    eye_distance = _outside_opening(mirrored, marks[42:48])
    cheek = _blob(mirrored, (4.4, 0.3, 8.6), 2.0) + 0.5 * _blob(mirrored, (0, 0.6, 12.9), 1.1) + 0.55 * ear
    return Regions(
        atlases, starts, points, lips, seam, along, across, _above_hairline(mirrored), ear, np.minimum(cheek, 1),
        np.minimum(_blob(mirrored, (3.2, 1.2, 9.6), 2.6) + _blob(mirrored, (0, 2.2, 12), 1.6), 1),
        _beard(mirrored, lips), np.exp(-np.square(np.maximum(eye_distance, 0) / np.float32(0.75))),
        np.exp(-np.square(eye_distance / np.float32(0.1))), inside,
    )  # fmt: skip


@lru_cache(maxsize=1)
def openness(folder: Path) -> F32:
    """[N] the share of its surroundings that a vertex of the mean face sees, 1 on a convex one: nostrils, ears and folds
    are darker in pictures taken under even light, too. Inside the mouth, which may open, it falls with depth."""
    import open3d as o3d

    model = load(folder)
    points = np.ascontiguousarray(model.neutral)
    normals = vertex_normals(model.neutral, model.triangles)
    share = np.ones(len(normals), np.float32)
    for occluders, names in ((_OUTSIDE + _EYES, _OUTSIDE), (("teeth",), ("teeth",))):
        inside = np.concatenate([model.triangles[model.regions[name]] for name in occluders])
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(o3d.core.Tensor.from_numpy(points), o3d.core.Tensor.from_numpy(inside.astype(np.uint32)))
        ids = np.unique(np.concatenate([model.triangles[model.regions[name]] for name in names]))
        free, total = np.zeros(len(ids), np.float32), np.full(len(ids), 1e-6, np.float32)
        for direction in _sphere(_DIRECTIONS):
            weight = normals[ids] @ direction
            at = np.nonzero(weight > 0.02)[0]
            rays = np.empty((len(at), 6), np.float32)
            rays[:, :3], rays[:, 3:] = points[ids[at]] + normals[ids[at]] * np.float32(0.03), direction
            blocked = scene.test_occlusions(o3d.core.Tensor.from_numpy(rays), nthreads=1).numpy()
            total[at] += weight[at]
            free[at] += weight[at] * ~blocked
        share[ids] = free / total
    skin = np.unique(model.triangles[model.regions["face"]])
    for name, near, far in (("teeth", 9.8, 6.0), ("gums", 10.2, 5.0), ("mouth_socket", 10.6, 6.5)):
        inner = np.setdiff1d(model.triangles[model.regions[name]], skin)
        share[inner] *= np.clip((points[inner, 2] - far) / (near - far), 0, 1)
    return share


def vertex_normals(vertices: F32, triangles: NDArray[np.int64]) -> F32:
    """[N, 3] unit normals, the mean of the triangles around a vertex by area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    total = np.zeros((len(vertices), 3), np.float32)
    for axis in range(3):
        weights = np.repeat(normals[:, axis], 3)
        total[:, axis] = np.bincount(triangles.reshape(-1), weights, len(vertices))
    unit: F32 = (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return unit


def _atlas(model: FaceModel, parts: tuple[str, ...], tile: int, texels: int) -> Atlas:
    """Which texels of the tile lie on the parts, and where on the mean face: rays cast down onto the flat mesh of uvs."""
    import open3d as o3d

    ids = np.concatenate([model.regions[name] for name in parts])
    flat = np.zeros((len(ids), 3, 3), np.float32)
    flat[..., :2] = model.uvs[ids] - np.array([tile, 0], np.float32)
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    corners = np.arange(len(ids) * 3, dtype=np.uint32).reshape(-1, 3)
    scene.add_triangles(o3d.core.Tensor.from_numpy(flat.reshape(-1, 3)), o3d.core.Tensor.from_numpy(corners))
    centres = (np.arange(texels, dtype=np.float32) + np.float32(0.5)) / np.float32(texels)
    rays = np.zeros((texels, texels, 6), np.float32)
    rays[..., 0], rays[..., 1] = centres[None], (1 - centres)[:, None]
    rays[..., 2], rays[..., 5] = 1, -1
    answer = scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
    hit = np.isfinite(answer["t_hit"].numpy())
    triangle = ids[answer["primitive_ids"].numpy()[hit].astype(np.int64)]
    u, v = answer["primitive_uvs"].numpy()[hit].T
    corner = model.neutral[model.triangles[triangle]]  # [P, 3, 3]
    points = corner[:, 0] * (1 - u - v)[:, None] + corner[:, 1] * u[:, None] + corner[:, 2] * v[:, None]
    place = np.full((texels, texels), -1, np.int32)
    place[hit] = np.arange(len(points))
    for _ in range(_SPREAD):
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            place = np.where(place < 0, np.roll(place, step, axis), place)
    return Atlas(np.maximum(place, 0), points.astype(np.float32))


def _of_regions(model: FaceModel, atlas: Atlas, names: tuple[str, ...]) -> F32:
    """[P] 1 where a texel's point lies within the box of one of the regions."""
    found = np.zeros(len(atlas.points), bool)
    for name in names:
        corners = model.neutral[model.triangles[model.regions[name]]].reshape(-1, 3)
        found |= ((atlas.points >= corners.min(0)) & (atlas.points <= corners.max(0))).all(1)
    return found.astype(np.float32)


def _lips(points: F32, marks: F32) -> tuple[F32, F32]:
    """Inside the outline of the lips as seen from the front; and the line where they meet."""
    outline = _spline(marks[48:60, :2], closed=True)
    meeting = _spline(marks[[48, 60, 67, 66, 65, 64, 54]][:, :2], closed=False)
    lips, seam = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    around = (points[:, :2] > outline.min(0) - 0.4) & (points[:, :2] < outline.max(0) + 0.4)
    front = np.nonzero(around.all(1) & (points[:, 2] > 8.5))[0]
    lips[front] = _smooth(_signed_distance(points[front, :2], outline), -0.1, 0.12)
    seam[front] = np.exp(-np.square(_distance(points[front, :2], meeting) / np.float32(0.09)))
    return lips, seam


def _brow(mirrored: F32, marks: F32) -> tuple[F32, F32]:
    """Along (0..1) and across (signed by height) the line through a brow's five landmarks, inner end first."""
    line = _spline(marks, closed=False)
    along, across = np.zeros(len(mirrored), np.float32), np.full(len(mirrored), 9, np.float32)
    near = np.nonzero((np.abs(mirrored - marks.mean(0)) < (3.2, 1.6, 2.4)).all(1))[0]
    points, nearest = mirrored[near], np.full(len(near), 9, np.float32)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    for i, (a, b) in enumerate(pairwise(line)):
        t = (points - a) @ (b - a) / float((b - a) @ (b - a))
        t = np.clip(t, -1 if i == 0 else 0, 2 if i == len(line) - 2 else 1)  # a little beyond both ends
        foot = a + t[:, None] * (b - a)
        gap = np.linalg.norm(points - foot, axis=1)
        closer = np.nonzero(gap < nearest)[0]
        nearest[closer] = gap[closer]
        along[near[closer]] = (lengths[i] + t[closer] * (lengths[i + 1] - lengths[i])) / lengths[-1]
        across[near[closer]] = gap[closer] * np.where(points[closer, 1] >= foot[closer, 1], 1, -1)
    return along, across


def _above_hairline(mirrored: F32) -> F32:
    """Signed height above the hairline."""
    angle_deg = np.degrees(np.arctan2(mirrored[:, 0], mirrored[:, 2] - _AXIS_Z))
    heights = np.interp(angle_deg, _HAIR_ANGLES_DEG, _HAIR_HEIGHTS)
    above: F32 = (mirrored[:, 1] - heights).astype(np.float32)
    return above


def _beard(mirrored: F32, lips: F32) -> F32:
    """Jaw, chin and moustache."""
    x, y, z = mirrored.T
    jaw = _smooth(-y, 1.2 + 0.25, 3.2) * _smooth(z, 3.0, 4.6) * _smooth(y, -8.4, -6.9)
    jaw *= _smooth(x + 0.9 * (-y - 3.0), 1.2, 3.4)  # the corners of the mouth downwards, not the cheeks
    moustache = _smooth(-y, 1.25, 1.75) * _smooth(y, -3.4, -3.0) * _smooth(-x, -3.0, -2.2) * _smooth(z, 9, 10)
    hairy: F32 = np.maximum(jaw, moustache) * (1 - lips)
    return hairy


def _outside_opening(mirrored: F32, marks: F32) -> F32:
    """[P] distance outside (+) or inside (-) the outline of an eye's opening, large away from the front of the eyes."""
    distance = np.full(len(mirrored), 9, np.float32)
    near = np.nonzero((np.abs(mirrored - marks.mean(0)) < (2.6, 1.8, 1.6)).all(1))[0]
    distance[near] = -_signed_distance(mirrored[near, :2], _spline(np.array(marks[:, :2]), closed=True))
    return distance


def _spline(knots: F32, *, closed: bool, steps: int = 5) -> F32:
    """A Catmull-Rom curve through `knots` [K, C], `steps` points a piece."""
    padded = (
        np.concatenate([knots[-1:], knots, knots[:2]])
        if closed
        else np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    )
    t = np.arange(steps, dtype=np.float32)[:, None] / np.float32(steps)
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    if not closed:
        pieces.append(knots[-1:])
    curve: F32 = np.concatenate(pieces).astype(np.float32)
    return curve


def _distance(points: F32, curve: F32) -> F32:
    """[P] to the nearest piece of an open curve [K, 2]."""
    nearest = np.full(len(points), np.inf, np.float32)
    for a, b in pairwise(curve):
        along = b - a
        t = np.clip((points - a) @ along / max(float(along @ along), 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.square(points - a - t[:, None] * along).sum(1))
    return np.sqrt(nearest)


def _signed_distance(points: F32, outline: F32) -> F32:
    """[P] to a closed outline [K, 2], positive inside it (crossings to the right of a point are odd)."""
    closed = np.concatenate([outline, outline[:1]])
    inside = np.zeros(len(points), bool)
    for a, b in pairwise(closed):
        if a[1] != b[1]:
            spans = (points[:, 1] < a[1]) != (points[:, 1] < b[1])
            inside ^= spans & (points[:, 0] < a[0] + (points[:, 1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1]))
    return np.where(inside, 1, -1).astype(np.float32) * _distance(points, closed)


def _blob(points: F32, centre: tuple[float, float, float], radius: float) -> F32:
    squared = np.square(points - np.array(centre, np.float32)).sum(1)
    weight: F32 = np.exp(-squared / np.float32(radius * radius)).astype(np.float32)
    return weight


def _smooth(values: F32, low: float, high: float) -> F32:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    step: F32 = (t * t * (3 - 2 * t)).astype(np.float32)
    return step


def _sphere(count: int) -> F32:
    """[D, 3] even directions (a Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, k * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height * height)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=1).astype(np.float32)
