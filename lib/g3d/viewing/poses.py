"""The browser's camera <=> ours. It has OpenCV's axes, a vertical field of view in radians, an aspect ratio."""

import math
from typing import Any

import torch

from g3d.cameras import Cameras
from g3d.render.splat.turn import rotations

MOST_ASPECT = 8.0
LEAST_ROLL = 1e-4  # the height of the axis to the right, a unit long, above the horizon


def camera_of(handle: Any, height: int) -> Cameras:
    """The browser's camera as a picture of `height` rows and its own aspect ratio."""
    aspect = min(max(float(handle.aspect), 1 / MOST_ASPECT), MOST_ASPECT)
    width = max(1, round(height * aspect))
    c2w = torch.eye(4, dtype=torch.float64)
    c2w[:3, :3] = rotations(torch.tensor([[float(x) for x in handle.wxyz]], dtype=torch.float64))[0]
    c2w[:3, 3] = torch.tensor([float(x) for x in handle.position], dtype=torch.float64)
    focal_px = 0.5 * height / math.tan(float(handle.fov) / 2)
    k = torch.tensor([[focal_px, focal_px, width / 2, height / 2]])
    return Cameras(c2w[None].float(), k, width, height)


def move(handle: Any, camera: Cameras, distance_world: float) -> None:
    """Put the browser's camera where ours (one view) stands, turning about what lies `distance_world` ahead."""
    c2w = camera.c2w[0].double()
    eye, forward, up = c2w[:3, 3], c2w[:3, 2], -c2w[:3, 1]
    # Without a roll it stands upright, and is turned about the vertical; with one, "up" is where its own top is.
    upright = abs(float(c2w[1, 0])) < LEAST_ROLL and float(up[1]) > 0 and abs(float(forward[1])) < 0.999
    handle.up_direction = (0.0, 1.0, 0.0) if upright else tuple(up.tolist())
    handle.position = tuple(eye.tolist())
    handle.look_at = tuple((eye + distance_world * forward).tolist())
    handle.fov = fov_rad(camera)


def ahead_world(cameras: Cameras, number: int) -> float:
    """How far ahead of one camera lies what they all look at: the point nearest to all of their axes, in least squares."""
    eyes, axes = cameras.c2w[:, :3, 3].double(), cameras.c2w[:, :3, 2].double()  # [V, 3]
    across = torch.eye(3).double() - axes[:, :, None] * axes[:, None, :]  # [V, 3, 3]
    point = torch.linalg.pinv(across.sum(dim=0)) @ torch.einsum("vij,vj->i", across, eyes)
    far = float((point - eyes[number]) @ axes[number])
    return far if far > 0 else 1.0  # of cameras that look away from each other, or of one, nothing is known


def fov_rad(camera: Cameras) -> float:
    """Vertical, of a view."""
    return 2 * math.atan(0.5 * camera.height / float(camera.intrinsics[0, 1]))
