"""One view as a browser asks for it: colour, depth, coverage or normals, in bands of rows so that it can be given up.

Letters: H, W the picture.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.images import U8, resized, to_u8
from g3d.render import Rendering, RenderSettings, empty, render_image_field, render_scene
from g3d.scenes.scene import Gaussians, MlpField, Scene

KINDS = ("colour", "depth", "alpha", "normals")
BAND_PIXELS = 4096  # of a field, between two looks at whether the picture is still wanted
LEAST_ALPHA = 0.05  # where less covers a pixel, its depth means nothing
LEAST_SPAN = 1e-3  # of the nearest depth, from white to black
Wanted = Callable[[], bool]


def drawn(
    scene: Scene,
    camera: Cameras,
    settings: RenderSettings,
    grid: empty.Grid | None,
    show: str,
    wanted: Wanted = lambda: True,
) -> U8 | None:
    """The picture [H, W, 3] of one camera; None where it was not wanted any more before it was done."""
    if isinstance(scene, MlpField) and scene.signal == "image":
        return _image_field(scene, camera.width, camera.height)
    rows = camera.height if isinstance(scene, Gaussians) else max(1, BAND_PIXELS // camera.width)
    bands = []
    for first in range(0, camera.height, rows):
        if not wanted():
            return None
        few = min(rows, camera.height - first)
        part = replace(camera, intrinsics=camera.intrinsics - torch.tensor([0.0, 0, 0, first]), height=few)
        bands.append(render_scene(scene, part, settings, grid))
    whole = Rendering(*(torch.cat(parts, dim=1) for parts in zip(*bands, strict=True)))
    return to_u8(_shown(whole, camera, show).nan_to_num().numpy())


def _shown(found: Rendering, camera: Cameras, show: str) -> Tensor:
    rgb, alpha, depth = (part[0] for part in found)
    covered = (alpha > LEAST_ALPHA) & (depth > 0)
    match show:
        case "depth":
            return _grey(depth, covered)[..., None].expand(-1, -1, 3)
        case "alpha":
            return alpha[..., None].expand(-1, -1, 3)
        case "normals":
            return torch.where(covered[..., None], (_normals(depth, camera) + 1) / 2, torch.zeros_like(rgb))
        case _:
            return rgb


def _grey(depth: Tensor, covered: Tensor) -> Tensor:
    """[H, W]: near is light, far is dark, nothing is black."""
    if not bool(covered.any()):
        return torch.zeros_like(depth)
    near, far = torch.quantile(depth[covered][:: max(1, int(covered.sum()) // 100_000)], torch.tensor([0.01, 0.99]))
    span = torch.maximum(far - near, LEAST_SPAN * near)  # a flat thing is flat, not the rounding of its depths
    grey = 1 - 0.9 * ((depth - near) / span).clamp(0, 1)
    return torch.where(covered, grey, torch.zeros_like(grey))


def _normals(depth: Tensor, camera: Cameras) -> Tensor:
    """World normals [H, W, 3] of the surface that depth [H, W] describes, toward the camera."""
    fx, fy, cx, cy = camera.intrinsics[0]
    height, width = depth.shape
    x = (torch.arange(width) + 0.5 - cx) / fx
    y = (torch.arange(height) + 0.5 - cy) / fy
    points = torch.stack([x.expand(height, -1) * depth, y[:, None].expand(-1, width) * depth, depth], dim=-1)
    if min(height, width) < 2:
        return torch.zeros_like(points)
    down, right = torch.gradient(points, dim=(0, 1))
    normal = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
    # Camera axes: a normal toward the camera has z below 0.
    normal = torch.where(normal[..., 2:] > 0, -normal, normal)
    return normal @ camera.c2w[0, :3, :3].T


def _image_field(scene: MlpField, width: int, height: int) -> U8:
    """As large as it fits into [H, W], on grey."""
    w, h = scene.world.image_size or (64, 64)
    scale = min(width / w, height / h)
    inner = (max(1, round(w * scale)), max(1, round(h * scale)))
    return fitted(to_u8(render_image_field(scene, *inner).nan_to_num().numpy()), width, height)


def fitted(picture: U8, width: int, height: int) -> U8:
    """A picture in the middle of a grey one [H, W, 3], enlarged by whole numbers, or smaller to fit."""
    times = min(height // picture.shape[0], width // picture.shape[1])
    if times:
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
    else:
        scale = min(height / picture.shape[0], width / picture.shape[1])
        picture = resized(picture, max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    page = np.full((height, width, 3), 64, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture[..., :3]
    return page
