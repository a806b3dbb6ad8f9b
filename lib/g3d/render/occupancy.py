"""Occupancy fields drawn by first hit, with shading by the surface normal.

Letters: R rays, S steps of a ray.
"""

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.render import rays
from g3d.scenes.scene import MlpField, query_output

STEPS = 96
RAYS_PER_CHUNK = 512
BASE_COLOUR = (0.62, 0.66, 0.72)


def first_hit(scene: MlpField, cameras: Cameras, background: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """rgb [V, H, W, 3], alpha and depth [V, H, W] of the surface where occupancy first passes 1/2."""
    views = [_view(scene, cameras[v], torch.tensor(background, device=cameras.c2w.device)) for v in range(len(cameras))]
    rgb, alpha, depth = (torch.stack(parts) for parts in zip(*views, strict=True))
    return rgb, alpha, depth


def _view(scene: MlpField, camera: Cameras, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    origin, directions = rays.camera_rays(camera)
    low, high = (torch.tensor(c, device=origin.device) for c in scene.world.bounds)
    near, far = rays.clip_to_box(origin, directions, low, high, scene.world.near_world, scene.world.far_world)
    rgb = background.repeat(len(directions), 1)
    alpha, depth = torch.zeros_like(near), torch.zeros_like(near)
    for part in (far > near).nonzero().squeeze(1).split(RAYS_PER_CHUNK):
        t, found = _march(scene, origin, directions[part], near[part], far[part])
        hit = part[found]
        depth[hit], alpha[hit] = t[found], 1.0
        rgb[hit] = _shade(scene, origin + directions[hit] * t[found].unsqueeze(-1), directions[hit])
    shape = (camera.height, camera.width)
    return rgb.reshape(*shape, 3), alpha.reshape(shape), depth.reshape(shape)


def _march(scene: MlpField, origin: Tensor, directions: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """t [R] of the first crossing of 1/2, by even steps and linear interpolation, and whether there is one."""
    u = torch.linspace(0, 1, STEPS, device=origin.device)
    t = near.unsqueeze(-1) + (far - near).unsqueeze(-1) * u  # [R, S]
    points = origin + directions.unsqueeze(1) * t.unsqueeze(-1)
    value = query_output(scene, points.reshape(1, -1, 3), "occupancy").reshape(t.shape)
    inside = value > 0.5
    first = inside.float().argmax(dim=1, keepdim=True)  # 0 also where there is none
    before = (first - 1).clamp(min=0)
    v0, v1 = value.gather(1, before), value.gather(1, first)
    t0, t1 = t.gather(1, before), t.gather(1, first)
    share = ((0.5 - v0) / (v1 - v0).clamp(min=1e-6)).clamp(0, 1)
    return torch.where(first > 0, t0 + (t1 - t0) * share, t1).squeeze(1), inside.any(dim=1)


def _shade(scene: MlpField, points: Tensor, directions: Tensor) -> Tensor:
    """Grey under a light at the camera; the normal is minus the gradient of the occupancy."""
    if not len(points):
        return points
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        value = query_output(scene, x.unsqueeze(0), "occupancy").sum()
        (gradient,) = torch.autograd.grad(value, x)
    normal = -torch.nn.functional.normalize(gradient, dim=-1)
    facing = -(normal * torch.nn.functional.normalize(directions, dim=-1)).sum(dim=-1, keepdim=True)
    return torch.tensor(BASE_COLOUR, device=points.device) * (0.35 + 0.65 * facing.clamp(0, 1))
