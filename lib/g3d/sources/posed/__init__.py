"""What sources of posed pictures share: checks of cameras, a world with y up, the camera prior and the box of the scene.

Worker processes import this file, so it needs numpy alone; torch is imported where a `CameraPrior` is made.

Letters: N cameras.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.sources import Made, Summary

F64 = NDArray[np.float64]
UPS = ("auto", "x", "y", "z", "-x", "-y", "-z")
FARTHEST = 1e12  # world units or pixels: single precision cannot square 1e20
_ROTATION_TOLERANCE = 1e-2  # of R R^T - 1: text files with few digits pass, a scale or a shear does not
_SINGULAR = 1e-6  # determinant
_SNAP_DEG = 5.0  # an axis found nearer than this to a coordinate axis is that axis
_NEAR_ORIGIN = 0.02  # of the radius: a target so near to the origin is the origin
_AROUND_GAP_DEG = 120.0  # cameras without a larger gap in azimuth go around; three evenly spaced ones do
_FRONTAL_DEG = 180.0  # cameras within so much azimuth are a frontal set
_POLE_DEG = 85.0  # above it, azimuth means nothing


@dataclass(frozen=True)
class World:
    """How the world of the files was turned so that y is up: ours = rotation @ theirs."""

    rotation: F64  # [3, 3]
    up_axis: tuple[float, float, float]  # of their world
    found: str  # "given", "from the cameras", "the dialect's own"

    def turned(self, c2w: F64) -> F64:
        """Poses [N, 4, 4] in our world."""
        return self.matrix @ c2w

    @property
    def matrix(self) -> F64:
        """Their world => ours, [4, 4]."""
        whole = np.eye(4)
        whole[:3, :3] = self.rotation
        return whole

    def as_json(self) -> dict[str, Any]:
        """What dataset.json keeps: the way there and the way back."""
        return {
            "source_to_world": self.matrix.tolist(), "world_to_source": self.matrix.T.tolist(),  # a rotation
            "source_up": list(self.up_axis), "source_up_is": self.found,
        }  # fmt: skip


def check_poses(c2w: F64, name: Callable[[int], str]) -> None:
    """Refuse the first pose of [N, 4, 4] that is not a rotation and a translation; `name(i)` names its file or frame."""
    with np.errstate(all="ignore"):
        rotation = c2w[:, :3, :3]
        determinant = np.linalg.det(rotation)
        skew = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
        faults = (
            (~np.isfinite(c2w).all((1, 2)), "has numbers that are not finite"),
            (~(np.abs(c2w[:, :3, 3]).max(1) < FARTHEST), f"stands {FARTHEST:g} or more from the origin"),
            (np.abs(c2w[:, 3] - [0, 0, 0, 1]).max(1) > 1e-4, "has a last row that is not 0 0 0 1"),
            (np.abs(determinant) < _SINGULAR, "is singular"),
            (determinant < 0, "is left-handed: it mirrors the world"),
            (~(skew <= _ROTATION_TOLERANCE), "scales or shears: its upper left 3x3 is not a rotation"),
        )
    bad = np.stack([fault for fault, _ in faults])  # [faults, N]
    if bad.any():
        first = int(bad.any(0).argmax())
        fault = faults[int(bad[:, first].argmax())][1]
        raise G3dError(f"the camera of {name(first)} {fault}; correct it or take it away")


def check_intrinsics(k: F64, name: Callable[[int], str]) -> None:
    """Refuse the first of fx fy cx cy [N, 4] that no camera has."""
    bad = ~(np.abs(k) < FARTHEST).all(1) | ~(k[:, :2] > 1 / FARTHEST).all(1)  # less is 0 in single precision
    if bad.any():
        first = int(bad.argmax())
        raise G3dError(f"the camera of {name(first)} has the intrinsics {k[first].tolist()} (fx fy cx cy); they are below "
                       f"{FARTHEST:g}, and focal lengths are above 0; correct it")  # fmt: skip


def matrix_of(numbers: Sequence[Any], sides: Sequence[int], name: str) -> F64:
    """Numbers, flat or in rows, => a square matrix with one of the allowed sides."""
    allowed = " or ".join(f"{s}x{s}" for s in sides)
    try:
        flat = np.asarray(numbers, np.float64)
    except (TypeError, ValueError) as error:
        raise G3dError(f"the matrix of {name} is not one of numbers ({error}); wanted is {allowed}") from error
    for side in sides:
        if flat.shape in ((side * side,), (side, side)):
            return flat.reshape(side, side)
    shape = "x".join(map(str, flat.shape)) if flat.ndim > 1 else f"{flat.size} numbers"
    raise G3dError(f"the matrix of {name} has the size {shape}; wanted is {allowed}")


def find_world(c2w: F64, up: str, own: str) -> World:
    """Turn what is up in their world to y. `up` is one of UPS; `own` is the axis where poses [N, 4, 4] show none."""
    if up not in UPS:
        raise G3dError(f"--up is '{up}'; it is one of {', '.join(UPS)}")
    axis, found = (_up_of(c2w), "from the cameras") if up == "auto" else (_axis(up), "given")
    if axis is None:
        axis, found = _axis(own), "the dialect's own"
    x, y, z = (float(v) for v in axis)
    return World(_to_y(axis), (x, y, z), found)


def _up_of(c2w: F64) -> F64 | None:
    """The axis that is orthogonal to the x axes of all cameras (photographers hold them level), signed by their mean up."""
    if len(c2w) < 2:
        return None
    right, upward = c2w[:, :3, 0], -c2w[:, :3, 1].mean(0)
    spread, axes = np.linalg.eigh(right.T @ right / len(right))
    axis: F64 = axes[:, 0]
    if spread[1] < 1e-3 or spread[0] > 0.25 * spread[1] or abs(axis @ upward) < 0.1:
        return None  # all look the same way, or they roll
    axis = axis * np.sign(axis @ upward)
    nearest = int(np.abs(axis).argmax())
    if abs(axis[nearest]) > math.cos(math.radians(_SNAP_DEG)):
        axis = np.sign(axis[nearest]) * np.eye(3)[nearest]
    return axis


def _axis(word: str) -> F64:
    """The word -z => 0 0 -1."""
    axis: F64 = np.eye(3)["xyz".index(word[-1])] * (-1.0 if word.startswith("-") else 1.0)
    return axis + 0.0  # no -0


def _to_y(axis: F64) -> F64:
    """The smallest rotation [3, 3] that takes a unit vector to y; z up becomes (x, z, -y)."""
    x, y, z = axis
    if y < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, -x, 0], [x, 0, z], [0, -z, 0]])  # of axis x (0, 1, 0) = (-z, 0, x)
    turn: F64 = np.eye(3) + cross + cross @ cross / (1 + y) + 0.0
    return turn


def target_of(c2w: F64) -> tuple[F64, float]:
    """The point nearest to all optical axes (least squares), and the mean distance of the cameras [N, 4, 4] from it."""
    eye, forward = c2w[:, :3, 3].astype(np.float64), c2w[:, :3, 2].astype(np.float64)
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]  # [N, 3, 3] takes away what lies along the axis
    total = across.mean(0)
    if np.linalg.eigvalsh(total)[0] < 1e-6:  # parallel axes: the point of the mean axis that is nearest to the origin
        middle, axis = eye.mean(0), forward.mean(0) / max(float(np.linalg.norm(forward.mean(0))), 1e-9)
        along = float(-middle @ axis)
        target: F64 = middle + axis * (along if along > 1e-6 else 1.0)
    else:
        target = np.linalg.solve(total, np.einsum("nij,nj->i", across, eye) / len(eye))
    radius = float(np.linalg.norm(eye - target, axis=1).mean())
    if np.linalg.norm(target) < _NEAR_ORIGIN * radius:
        target = np.zeros(3)
        radius = float(np.linalg.norm(eye, axis=1).mean())
    return target, radius


def half_fov_rad(intrinsics: F64, width: int, height: int) -> F64:
    """[N] the angle from the optical axis to the nearest border."""
    fx, fy, cx, cy = intrinsics.astype(np.float64).T
    sides = [cx / fx, (width - cx) / fx, cy / fy, (height - cy) / fy]
    angle: F64 = np.arctan(np.maximum(np.min(sides, axis=0), 1e-6))
    return angle


def bounds_of(c2w: F64, intrinsics: F64, width: int, height: int, box: float | None) -> list[list[float]]:
    """Low and high corner of a cube around the target: as large as what every camera sees, or of half side `box`."""
    if box is not None and not 0 < box < math.inf:
        raise G3dError(f"--box is {box}; it is half the side of the box around the scene, in world units, and above 0")
    target, _ = target_of(c2w)
    distance = np.linalg.norm(c2w[:, :3, 3] - target, axis=1)
    half = box or max(float((distance * np.sin(half_fov_rad(intrinsics, width, height))).min()), 1e-6)
    return [[round(float(t) - half, 6) for t in target], [round(float(t) + half, 6) for t in target]]


def prior_of(c2w: F64, intrinsics: F64, width: int, height: int) -> dict[str, Any]:
    """Where the cameras stand, as the JSON of a `CameraPrior`."""
    from g3d.cameras import CameraPrior

    target, radius = target_of(c2w)
    away = c2w[:, :3, 3].astype(np.float64) - target
    elevation = np.degrees(np.arcsin(np.clip(away[:, 1] / np.maximum(np.linalg.norm(away, axis=1), 1e-12), -1, 1)))
    azimuth = np.degrees(np.arctan2(away[:, 0], away[:, 2]))
    level = azimuth[np.abs(elevation) < _POLE_DEG]
    first, length = _arc_deg(level if len(level) else azimuth)
    unrolled = first + (azimuth - first) % 360
    unrolled = np.where(unrolled > first + length + 1e-9, first, unrolled)  # those at the poles
    low, high = (float(elevation.min()), float(elevation.max()))
    azimuths, elevations = (first, first + length), (low, high)
    distribution: Literal["area", "uniform", "normal"] = "uniform"
    middle = (first + length / 2, (low + high) / 2)
    if length >= 360 - _AROUND_GAP_DEG:
        azimuths, distribution = (0.0, 360.0), "area"
        middle = (CameraPrior.default_azimuth_deg, min(max(CameraPrior.default_elevation_deg, low), high))
    elif length <= _FRONTAL_DEG:
        middle = (float(unrolled.mean()), float(elevation.mean()))
        spread = (float(unrolled.std()), float(elevation.std()))
        azimuths, elevations = ((m - s, m + s) for m, s in zip(middle, spread, strict=True))
        distribution = "normal"
    fov_deg = math.degrees(2 * math.atan(0.5 * width / float(intrinsics[:, 0].astype(np.float64).mean())))
    prior = CameraPrior(
        _round(radius), _round(fov_deg), width, height, _rounded(azimuths), _rounded(elevations),
        distribution, _rounded(target), _round(middle[0]), _round(middle[1]),
    )  # fmt: skip
    return prior.as_json()


def _arc_deg(azimuth_deg: F64) -> tuple[float, float]:
    """Start and length of the shortest arc that holds all angles; the start lies in [-180, 180)."""
    order = np.sort((azimuth_deg + 180) % 360)
    gaps = np.diff(order, append=order[0] + 360)
    widest = int(gaps.argmax())
    return float(order[(widest + 1) % len(order)]) - 180, float(360 - gaps[widest])


def _round(value: float) -> float:
    return round(float(value), 6) + 0.0


def _rounded(values: Any) -> Any:
    return tuple(_round(v) for v in values)


def describe(world: World, box: float | None, extra: Mapping[str, Any], summary: Summary) -> dict[str, Any]:
    """What dataset.json says of the whole: box, camera prior, how the world was turned, and `extra`."""
    assert summary.cameras is not None
    cameras = summary.cameras
    c2w, k = cameras.c2w.double().numpy(), cameras.intrinsics.double().numpy()
    size = (cameras.width, cameras.height)
    return {
        "bounds": bounds_of(c2w, k, *size, box), "camera_prior": prior_of(c2w, k, *size), "world": world.as_json(), **extra,
    }  # fmt: skip


def stamp(*parts: Any) -> str:
    """A short digest of what an item is made of: strings, numbers, bytes, arrays."""
    digest = hashlib.sha256()
    for part in parts:
        data = np.ascontiguousarray(part).tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(data + b"|")
    return digest.hexdigest()[:16]


def changed(path: Path) -> int:
    """When a file or a folder changed, for a stamp; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def bad(sentence: str) -> Made:
    """The item that cannot be made: known when the files were listed, told when its turn comes."""
    raise G3dError(sentence)
