"""Takes the distortion of a lens out of a picture: OpenCV's radial and tangential terms, as transforms.json gives them.

    x' = x d + 2 p1 x y + p2 (r^2 + 2 x^2)      d = 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8
    y' = y d + p1 (r^2 + 2 y^2) + 2 p2 x y      (FULL_OPENCV: (1 + k1.. k3) / (1 + k4 r^2 + k5 r^4 + k6 r^6))
    (a fisheye: d = a / r (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8) with the angle a = atan r, without p1 p2)

with x y the ideal and x' y' the distorted place, both in focal lengths from the principal point. The ideal picture keeps
the intrinsics and the size of the distorted one, so no inverse is needed: each of its pixels looks up its distorted place.

Letters: H rows, W columns, C channels, N places.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

F64 = NDArray[np.float64]
STRAIGHT = ("", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
BENT = ("OPENCV", "FULL_OPENCV", "RADIAL", "SIMPLE_RADIAL", "OPENCV_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_RADIAL_FISHEYE")
_LISTED = ("k1", "k2", "k3", "k4", "p1", "p2")  # nerfstudio's distortion_params
_TERMS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_ROWS = 16  # sampled at a time, so that what is in the hands stays in the cache


@dataclass(frozen=True)
class Lens:
    """The terms of one lens; all zero is a pinhole."""

    radial: tuple[float, ...]  # of r^2, r^4, ...
    under: tuple[float, ...] = ()  # of the denominator, likewise
    p1: float = 0.0
    p2: float = 0.0
    fisheye: bool = False


def lens_of(frame: Mapping[str, Any], where: str) -> Lens | None:
    """The lens of a frame (`frame` also holds what its file says of all frames); None for a pinhole.

    What is no central projection onto a plane is refused by its name."""
    model = str(frame.get("camera_model", "")).upper()
    odd = [n for n in ("latlong", "orthographic", "equirectangular") if frame.get(n)]
    odd += sorted(n for n in frame if n.startswith("ftheta_"))[:1]
    if odd or model not in STRAIGHT + BENT:
        allowed = ", ".join([*STRAIGHT[1:], *BENT])
        raise G3dError(f"{where} has the camera model {odd[0] if odd else model}, which is not a picture of a pinhole with lens "
                       f"distortion ({allowed}); convert the pictures with the tool that made them")  # fmt: skip
    values = {name: float(frame.get(name, 0)) for name in _TERMS} | _listed(frame, where)
    if not all(map(math.isfinite, values.values())):
        raise G3dError(f"{where} has lens distortion that is not finite ({values}); correct it")
    if model.endswith("FISHEYE") or frame.get("is_fisheye"):
        return _fisheye(values, where)
    if not any(values.values()):
        return None
    if model in STRAIGHT[1:]:
        named = ", ".join(name for name, value in values.items() if value)
        raise G3dError(f"{where} has the camera model {model} and the lens distortion {named}; set one of them right")
    k1, k2, k3, k4, k5, k6, p1, p2 = values.values()
    if model == "FULL_OPENCV":
        return Lens((k1, k2, k3), (k4, k5, k6), p1, p2)
    if k5 or k6:
        raise G3dError(f"{where} has the lens distortion k5 or k6, which has a meaning in the camera model FULL_OPENCV only; "
                       "name the model, or undistort the pictures first")  # fmt: skip
    return Lens((k1, k2, k3, k4), (), p1, p2)


def _fisheye(values: Mapping[str, float], where: str) -> Lens:
    """OpenCV's fisheye, which bends also where all terms are 0."""
    more = [name for name in ("k5", "k6", "p1", "p2") if values[name]]
    if more:
        raise G3dError(f"{where} is of a fisheye and has the lens distortion {', '.join(more)}, which OpenCV's fisheye "
                       "(k1 to k4) has not; undistort the pictures first")  # fmt: skip
    return Lens(tuple(values[f"k{i}"] for i in range(1, 5)), fisheye=True)


def _listed(frame: Mapping[str, Any], where: str) -> dict[str, float]:
    """nerfstudio's list k1 k2 k3 k4 p1 p2; another list of distortion is refused by its name, rather than left aside."""
    named = {name: frame[name] for name in frame if "distort" in name.lower()}
    for name, value in named.items():
        numbers = np.asarray(value, np.float64).reshape(-1)
        if name == "distortion_params" and len(numbers) == len(_LISTED):
            found = dict(zip(_LISTED, numbers.tolist(), strict=True))
            apart = [n for n in _LISTED if n in frame and float(frame[n]) != found[n]]
            if apart:
                raise G3dError(
                    f"{where} has {apart[0]} {frame[apart[0]]} and {found[apart[0]]} in distortion_params; remove one"
                )
            return found
        if numbers.any():
            raise G3dError(f"{where} has {name} of {len(numbers)} numbers, whose meaning is not known; read are k1, k2, ... by "
                           f"name, and distortion_params as {', '.join(_LISTED)}")  # fmt: skip
    return {}


def distorted(lens: Lens, x: F64, y: F64) -> tuple[F64, F64]:
    """Ideal places => where the lens shows them; both in focal lengths from the principal point."""
    r2 = x * x + y * y
    d = _factor(lens, r2)
    xy = 2 * x * y
    return x * d + lens.p1 * xy + lens.p2 * (r2 + 2 * x * x), y * d + lens.p1 * (r2 + 2 * y * y) + lens.p2 * xy


def undistorted(
    pixels: NDArray[Any], lens: Lens, intrinsics: F64, *, nearest: bool = False
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The ideal picture [H, W] or [H, W, C] of the same dtype, and which of its pixels [H, W] the lens had seen.

    `intrinsics` [4] fx fy cx cy, pixels. Pixels that were not seen are 0. Cubic (Catmull-Rom), or the nearest pixel."""
    height, width = pixels.shape[:2]
    u, v, seen = _places(lens, tuple(map(float, intrinsics)), width, height)
    flat = pixels.reshape(height, width, -1)
    found = np.zeros_like(flat)
    for top in range(0, height, _ROWS):
        rows = np.s_[top : top + _ROWS]
        if nearest:
            at = [np.rint(p[rows]).astype(np.intp).clip(0, n - 1) for p, n in ((v, height), (u, width))]
            picked = flat[at[0], at[1]]
        else:
            low, high = np.iinfo(pixels.dtype).min, np.iinfo(pixels.dtype).max
            picked = np.clip(np.rint(_cubic(flat, u[rows], v[rows])), low, high).astype(pixels.dtype)
        found[rows] = np.where(seen[rows][..., None], picked, 0)
    return found.reshape(pixels.shape), seen


@lru_cache(maxsize=2)
def _places(lens: Lens, intrinsics: tuple[float, ...], width: int, height: int) -> tuple[Any, Any, NDArray[np.bool_]]:
    """[H, W] column and row (0 is the centre of the first pixel) of each ideal pixel in the distorted picture."""
    fx, fy, cx, cy = intrinsics
    x, y = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
    bent_x, bent_y = distorted(lens, x, y)
    u, v = bent_x * fx + cx - 0.5, bent_y * fy + cy - 0.5
    seen = (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)
    seen &= np.hypot(x, y) <= _turning_point(lens, float(np.hypot(x, y).max()))
    return u.astype(np.float32), v.astype(np.float32), seen


def _turning_point(lens: Lens, farthest: float) -> float:
    """The radius from which on the polynomial runs back inward: beyond it, it is no lens, and shows the picture twice."""
    r = np.linspace(0, farthest, 4096)
    back = np.diff(r * _factor(lens, r * r)) <= 0
    return float(r[back.argmax()]) if back.any() else math.inf


def _factor(lens: Lens, r2: F64) -> F64:
    """The radial factor d."""
    if lens.fisheye:
        r = np.sqrt(r2)
        angle = np.arctan(r)
        return np.divide(angle * _factor(Lens(lens.radial), angle * angle), r, out=np.ones_like(r), where=r > 1e-12)
    over, under = np.ones_like(r2), np.ones_like(r2)
    for total, terms in ((over, lens.radial), (under, lens.under)):
        power = r2.copy()
        for k in terms:
            total += k * power
            power *= r2
    return over / under


def _cubic(flat: NDArray[Any], u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values [h, w, C] of [H, W, C] at places [h, w] between its pixels; the border repeats."""
    height, width, channels = flat.shape
    left, top = np.floor(u), np.floor(v)
    across, down = _weights(u - left), _weights(v - top)
    columns = [(left.astype(np.intp) + i).clip(0, width - 1) for i in (-1, 0, 1, 2)]
    rows = [(top.astype(np.intp) + i).clip(0, height - 1) * width for i in (-1, 0, 1, 2)]
    texels = flat.reshape(-1, channels)
    total = np.zeros((*u.shape, channels), np.float32)
    for row, weight_v in zip(rows, down, strict=True):
        line = np.zeros_like(total)
        for column, weight_u in zip(columns, across, strict=True):
            line += np.take(texels, row + column, axis=0) * weight_u[..., None]  # take: half the time of texels[...]
        total += line * weight_v[..., None]
    return total


def _weights(t: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Catmull-Rom weights of the pixels at -1, 0, 1, 2 for a place t in [0, 1)."""
    t2, t3 = t * t, t * t * t
    return (2 * t2 - t - t3) / 2, (3 * t3 - 5 * t2 + 2) / 2, (4 * t2 + t - 3 * t3) / 2, (t3 - t2) / 2
