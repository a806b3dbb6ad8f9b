"""Where a camera stands, from points of known place and their pixels (perspective n points); and points, from their pixels in
several cameras.

A pose starts from the direct linear transform (Hartley and Zisserman, section 7.1) of normalised pixels, and is then moved by
Levenberg and Marquardt's steps to the least sum of squared distances in the picture. Double precision throughout.

Letters: K points, V views.
"""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
LEAST = 6  # points that the linear start needs; they must not lie in one plane
_ROUNDS, _ENOUGH = 50, 1e-12


def camera(points: F64, pixels: F64, intrinsics: F64, weights: F64 | None = None) -> tuple[F64, float]:
    """c2w [4, 4] of the camera (OpenCV axes) that sees points [K, 3] at pixels [K, 2] by fx fy cx cy, and the root mean square
    distance that remains, in pixels. `weights` [K] are 0 for points that do not count.

    Raises ValueError where fewer than six count, or where they lie in a plane."""
    use = np.ones(len(points), bool) if weights is None else weights > 0
    if int(use.sum()) < LEAST:
        raise ValueError(f"{int(use.sum())} points are known in the picture; a pose needs {LEAST}")
    x, uv = points[use].astype(np.float64), pixels[use].astype(np.float64)
    w = np.ones(len(x)) if weights is None else np.sqrt(weights[use])
    focal, centre = np.asarray(intrinsics[:2], np.float64), np.asarray(intrinsics[2:], np.float64)
    rotation, shift = _linear(x, (uv - centre) / focal)
    rotation, shift = _refined(x, uv, rotation, shift, focal, centre, w)
    rest = _residuals(x, uv, rotation, shift, focal, centre, w)
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation.T, -rotation.T @ shift
    return c2w, float(np.sqrt((rest**2).sum() / max((w**2).sum(), 1e-12)))


def triangulated(pixels: F64, seen: NDArray[np.bool_], c2w: F64, intrinsics: F64) -> F64:
    """Points [K, 3] from their pixels [V, K, 2] in cameras [V, 4, 4] with fx fy cx cy [V, 4]: where the rays of those that see a
    point are nearest to each other. NaN for points that fewer than two views see."""
    found = np.full((pixels.shape[1], 3), np.nan)
    local = (pixels - intrinsics[:, None, 2:]) / intrinsics[:, None, :2]
    way = np.concatenate([local, np.ones((*local.shape[:2], 1))], axis=2) @ c2w[:, :3, :3].transpose(0, 2, 1)
    way /= np.linalg.norm(way, axis=2, keepdims=True)  # [V, K, 3]
    for k in range(len(found)):
        use = seen[:, k]
        across = np.eye(3) - way[use, k, :, None] * way[use, k, None, :]  # onto the plane across each ray
        matrix, right = across.sum(0), (across @ c2w[use, :3, 3, None]).sum(0)[:, 0]
        if use.sum() >= 2 and np.linalg.cond(matrix) < 1e6:
            found[k] = np.linalg.solve(matrix, right)
    return found


def _linear(x: F64, uv: F64) -> tuple[F64, F64]:
    """World => camera from the null vector of two equations a point, its left part made a rotation."""
    middle, spread = x.mean(0), x.std(axis=0).mean()
    ones = np.concatenate([(x - middle) / spread, np.ones((len(x), 1))], axis=1)  # [K, 4]
    none = np.zeros_like(ones)
    rows = np.concatenate(
        [
            np.concatenate([ones, none, -uv[:, :1] * ones], axis=1),
            np.concatenate([none, ones, -uv[:, 1:] * ones], axis=1),
        ]
    )
    _, values, basis = np.linalg.svd(rows)
    if values[-2] < 1e-9 * values[0]:
        raise ValueError("the points lie in one plane, or on one line, so that no single pose fits them")
    matrix = basis[-1].reshape(3, 4)
    matrix = matrix * np.sign((ones @ matrix[2]).sum())  # most points lie in front of the camera
    u, scale, v = np.linalg.svd(matrix[:, :3])
    rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    return rotation, matrix[:, 3] / scale.mean() * spread - rotation @ middle


def _refined(x: F64, uv: F64, rotation: F64, shift: F64, focal: F64, centre: F64, w: F64) -> tuple[F64, F64]:
    damping, rest = 1e-3, _residuals(x, uv, rotation, shift, focal, centre, w)
    for _ in range(_ROUNDS):
        slope = _slope(x, rotation, shift, focal, w)  # [2 K, 6]
        normal, right = slope.T @ slope, -slope.T @ rest
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), right)
        moved = _turn(step[:3]) @ rotation, shift + step[3:]
        new = _residuals(x, uv, *moved, focal, centre, w)
        if new @ new < rest @ rest:
            better = rest @ rest - new @ new
            (rotation, shift), rest, damping = moved, new, damping / 5
            if better < _ENOUGH * (1 + rest @ rest):
                break
        else:
            damping *= 10
            if damping > 1e12:
                break
    return rotation, shift


def _residuals(x: F64, uv: F64, rotation: F64, shift: F64, focal: F64, centre: F64, w: F64) -> F64:
    """[2 K] differences in the picture, weighted; x's first."""
    local = x @ rotation.T + shift
    z = np.where(np.abs(local[:, 2]) < 1e-9, 1e-9, local[:, 2])
    found: F64 = ((focal * local[:, :2] / z[:, None] + centre - uv) * w[:, None]).T.reshape(-1)
    return found


def _slope(x: F64, rotation: F64, shift: F64, focal: F64, w: F64) -> F64:
    """Of the residuals by a small turn from the left (three numbers) and by the shift."""
    turned = x @ rotation.T
    local = turned + shift
    z = np.where(np.abs(local[:, 2]) < 1e-9, 1e-9, local[:, 2])
    found = np.zeros((2, len(x), 6))
    for axis in range(2):
        by_local = np.zeros((len(x), 3))
        by_local[:, axis] = focal[axis] / z
        by_local[:, 2] = -focal[axis] * local[:, axis] / z**2
        found[axis, :, :3] = np.cross(turned, by_local)  # d(omega x p) . g = omega . (p x g)
        found[axis, :, 3:] = by_local
    return (found * w[None, :, None]).reshape(-1, 6)


def _turn(omega: NDArray[np.floating]) -> F64:
    """The rotation about a vector by its length (Rodrigues)."""
    angle = np.linalg.norm(omega)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = omega / angle
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    found: F64 = np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across
    return found
