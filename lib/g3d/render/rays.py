"""Rays of pinhole cameras, and where they pass a box.

Directions have camera z = 1, so the ray parameter t **is** the camera z of a point; lengths along a ray are t * |d|.

Letters: R rays, V views.
"""

import torch
from torch import Tensor

from g3d.cameras import Cameras


def camera_rays(camera: Cameras, pixels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Origin [3] and directions [R, 3] of one view, through all pixels row by row or through `pixels` [R] (flat index)."""
    if pixels is None:
        pixels = torch.arange(camera.width * camera.height, device=camera.c2w.device)
    directions = pixel_directions(camera.intrinsics, camera.c2w, pixels[None], camera.width)
    return camera.c2w[0, :3, 3], directions[0]


def pixel_directions(intrinsics: Tensor, c2w: Tensor, pixels: Tensor, width: int) -> Tensor:
    """World directions [V, R, 3] with camera z = 1 of `pixels` [V, R] (flat index; centres at +0.5)."""
    fx, fy, cx, cy = intrinsics[:, None].unbind(-1)  # [V, 1] each
    x = (pixels % width + 0.5 - cx) / fx
    y = (torch.div(pixels, width, rounding_mode="floor") + 0.5 - cy) / fy
    return torch.stack([x, y, torch.ones_like(x)], dim=-1) @ c2w[:, :3, :3].transpose(1, 2)


def clip_to_box(
    origins: Tensor, directions: Tensor, low: Tensor, high: Tensor, near: float, far: float, unbounded: bool = False
) -> tuple[Tensor, Tensor]:
    """t where rays [..., 3] enter and leave the box, within [near, far]; entry >= exit where they miss it."""
    shape = directions.shape[:-1]
    start = torch.full(shape, near, dtype=directions.dtype, device=directions.device)
    end = torch.full(shape, far, dtype=directions.dtype, device=directions.device)
    if unbounded:
        return start, end
    # A component of 0 would divide by zero; 1e-12 sends its slab to +-infinity on the right sides.
    safe = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
    a, b = (low - origins) / safe, (high - origins) / safe
    enter, leave = torch.minimum(a, b).amax(dim=-1), torch.maximum(a, b).amin(dim=-1)
    return torch.maximum(start, enter), torch.minimum(end, leave)
