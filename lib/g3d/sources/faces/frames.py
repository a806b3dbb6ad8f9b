"""From where faces are seen: the cameras of MoFaNeRF and INFAMOUS-NeRF, which frame a head, and closer ones, which frame a face.

Letters: V views, K points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, closest
from g3d.sources import Summary
from g3d.sources.faces.model import SCALE, SHIFT_Y_WORLD
from g3d.sources.faces.paint import stream
from g3d.sources.surfaces.surface import F32

DISTANCE_WORLD, NEAR_WORLD, FAR_WORLD = 16.0, 12.0, 20.0
YAWS_DEG, PITCHES_DEG = tuple(range(-90, 90, 9)), tuple(range(-30, 60, 15))
DEPTH_SCALE = FAR_WORLD / 65535
_BOX_MARGIN = 0.03  # of each side


@dataclass(frozen=True)
class Frame:
    """What the pictures show: how long the lens is, and at what every camera looks."""

    focal_share: float  # focal length, of the picture's width
    target: tuple[float, float, float]  # world


FRAMES: Mapping[str, Frame] = {
    "head": Frame(1200 / 512, (0.0, 0.0, 0.0)),
    # The 68 landmarks of all subjects and expressions, from all cameras, and little around them: a mouth is 1.6 times as long.
    "face": Frame(4.2, (0.0, 0.15, 1.4)),
}


def frame(name: str) -> Frame:
    """The frame of this name."""
    if name not in FRAMES:
        raise G3dError(f"--frame '{name}' is unknown{closest(name, FRAMES)}; it is {' or '.join(FRAMES)}")
    return FRAMES[name]


def camera_angles_deg(views: int, test_views: int, seed: int) -> tuple[tuple[int, int], ...]:
    """Yaw and pitch of the training cameras, then of the held-out ones: disjoint parts of the grid, alike for all subjects."""
    grid = [(yaw, pitch) for pitch in PITCHES_DEG for yaw in YAWS_DEG]
    if views + test_views > len(grid):
        raise G3dError(f"--views {views} and --test-views {test_views} are {views + test_views} cameras; the grid has "
                       f"{len(grid)}, so take fewer")  # fmt: skip
    order = stream(seed, 0, "cameras").permutation(len(grid)).tolist()
    chosen = sorted(order[:views]) + sorted(order[views : views + test_views])
    return tuple(grid[i] for i in chosen)


def poses(angles_deg: NDArray[np.float64], target: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> F32:
    """[V, 2] yaw and pitch => [V, 4, 4] cameras that look at `target`; yaw 0 stands on +z, before the face."""
    yaw, pitch = np.radians(angles_deg.astype(np.float64)).T
    away = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
    right = np.stack([np.cos(yaw), np.zeros_like(yaw), -np.sin(yaw)], axis=1)
    c2w = np.tile(np.eye(4), (len(yaw), 1, 1))
    c2w[:, :3, 0], c2w[:, :3, 1], c2w[:, :3, 2] = right, np.cross(-away, right), -away
    c2w[:, :3, 3] = DISTANCE_WORLD * away + np.array(target)
    return (c2w + 0.0).astype(np.float32)


def intrinsics_px(size: int, focal_share: float = FRAMES["head"].focal_share) -> F32:
    """fx fy cx cy."""
    return np.array([focal_share * size, focal_share * size, size / 2, size / 2], np.float32)


def projected(points: F32, c2w: F32, intrinsics: F32) -> F32:
    """[K, 3] => [K, 2] pixels, whether something hides them or not."""
    local = (points.astype(np.float64) - c2w[:3, 3]) @ c2w[:3, :3].astype(np.float64)
    fx, fy, cx, cy = intrinsics.astype(np.float64)
    x, y, z = local.T
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=1).astype(np.float32)


def describe(size: int, seen: Frame, summary: Summary) -> Mapping[str, Any]:
    """What dataset.json says of the whole."""
    from g3d.cameras import CameraPrior

    fov_deg = math.degrees(2 * math.atan(0.5 / seen.focal_share))
    prior = CameraPrior(
        DISTANCE_WORLD, fov_deg, size, size, (float(YAWS_DEG[0]), float(YAWS_DEG[-1])),
        (float(PITCHES_DEG[0]), float(PITCHES_DEG[-1])), "uniform", seen.target, 0.0, 0.0,
    )  # fmt: skip
    margin = _BOX_MARGIN * (summary.high - summary.low)
    return {
        "bounds": [(summary.low - margin).tolist(), (summary.high + margin).tolist()], "camera_prior": prior.as_json(),
        "depth_scale": DEPTH_SCALE, "near_world": NEAR_WORLD, "far_world": FAR_WORLD,
        "normalisation": f"world = model * {SCALE} + (0, {SHIFT_Y_WORLD}, 0)",
    }  # fmt: skip
