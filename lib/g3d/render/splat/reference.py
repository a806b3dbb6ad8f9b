"""Gaussians drawn densely in plain torch: the definition, slow and differentiable.

3D Gaussian splatting (Kerbl et al. 2023): each Gaussian is projected to the image by the local affine approximation
(EWA, Zwicker et al. 2001), and blended front to back by depth.

Letters: N Gaussians, V views, P pixels of a chunk, K spherical-harmonic coefficients.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.cameras import Cameras
from g3d.scene import Gaussians

NEAR_WORLD = 0.01  # Gaussians whose centre is nearer are not drawn
LOW_PASS_PX2 = 0.3  # added to the projected covariance: no Gaussian is thinner than a pixel
MIN_ALPHA = 1 / 255  # contributions below vanish
MAX_ALPHA = 0.999  # no Gaussian is fully opaque, so that gradients reach what is behind
PIXELS_PER_CHUNK = 1024


def rasterize(
    scene: Gaussians, cameras: Cameras, scale_modifier: float = 1.0, background: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> tuple[Tensor, Tensor, Tensor]:
    """One scene (a batch of one) => rgb [V, H, W, 3], alpha [V, H, W], expected depth [V, H, W] (camera z)."""
    covariances = covariance(scene.log_scales[0] + math.log(max(scale_modifier, 1e-9)), scene.quats[0])
    back = torch.tensor(background, dtype=scene.means.dtype, device=scene.means.device)
    views = [_view(scene, covariances, cameras[v], back) for v in range(len(cameras))]
    rgb, alpha, depth = (torch.stack(parts) for parts in zip(*views, strict=True))
    return rgb, alpha, depth


def covariance(log_scales: Tensor, quats: Tensor) -> Tensor:
    """[N, 3], [N, 4] wxyz => [N, 3, 3] = R diag(s²) Rᵀ."""
    w, x, y, z = F.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    m = torch.stack(rows, dim=-1).unflatten(-1, (3, 3)) * log_scales.exp().unsqueeze(-2)
    result: Tensor = m @ m.transpose(1, 2)
    return result


def _view(scene: Gaussians, covariances: Tensor, camera: Cameras, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    c2w = camera.c2w[0].to(scene.means.dtype)
    rotation = c2w[:3, :3].T  # world => camera
    local = (scene.means[0] - c2w[:3, 3]) @ rotation.T  # [N, 3]
    order = local[:, 2].detach().argsort(stable=True)
    order = order[local[order, 2] > NEAR_WORLD]
    local = local[order]
    z = local[:, 2]
    fx, fy, cx, cy = camera.intrinsics[0].to(local.dtype).unbind()
    centre = torch.stack([fx * local[:, 0] / z + cx, fy * local[:, 1] / z + cy], dim=-1)  # [N, 2] pixels
    conic = _conic(covariances[order], rotation, _within_view(local, camera), fx, fy)
    colour = (sh_colour(scene.sh[0, order], scene.means[0, order] - c2w[:3, 3]) + 0.5).clamp(min=0)
    opacity = scene.opacity_logits[0, order].sigmoid()
    pixels = torch.arange(camera.width * camera.height, device=local.device)
    parts = []
    for part in pixels.split(PIXELS_PER_CHUNK):
        at = torch.stack([part % camera.width, part // camera.width], dim=-1) + 0.5
        d = at[:, None] - centre  # [P, N, 2]
        power = (
            -0.5 * (conic[:, 0] * d[..., 0] ** 2 + conic[:, 2] * d[..., 1] ** 2) - conic[:, 1] * d[..., 0] * d[..., 1]
        )
        a = (opacity * power.exp()).clamp(max=MAX_ALPHA)
        a = torch.where(a >= MIN_ALPHA, a, torch.zeros_like(a))  # [P, N]
        through = torch.cat([torch.ones_like(a[:, :1]), (1 - a).cumprod(dim=1)], dim=1)
        weight = a * through[:, :-1]
        alpha = weight.sum(dim=1)
        depth = (weight * z).sum(dim=1) / alpha.clamp(min=1e-6)
        rgb = weight @ colour + (1 - alpha).unsqueeze(-1) * background
        parts.append((rgb, alpha, torch.where(alpha > 1e-4, depth, 0.0)))
    rgb, alpha, depth = (torch.cat(p) for p in zip(*parts, strict=True))
    shape = (camera.height, camera.width)
    return rgb.clamp(max=1).reshape(*shape, 3), alpha.reshape(shape), depth.reshape(shape)


def _within_view(local: Tensor, camera: Cameras) -> Tensor:
    """Centres [N, 3] for the affine approximation, moved to at most 0.3 half-widths outside the picture.

    Far outside it the approximation would spread a Gaussian over the whole picture (Kerbl et al.'s code does the same)."""
    fx, fy, cx, cy = camera.intrinsics[0].to(local.dtype).unbind()
    x, y, z = local.unbind(-1)
    margin_x, margin_y = 0.3 * 0.5 * camera.width / fx, 0.3 * 0.5 * camera.height / fy
    x = z * (x / z).clamp(-cx / fx - margin_x, (camera.width - cx) / fx + margin_x)
    y = z * (y / z).clamp(-cy / fy - margin_y, (camera.height - cy) / fy + margin_y)
    return torch.stack([x, y, z], dim=-1)


def _conic(covariances: Tensor, rotation: Tensor, local: Tensor, fx: Tensor, fy: Tensor) -> Tensor:
    """The inverse of the projected covariance, [N, 3] = (a, b, c) of [[a, b], [b, c]], in pixels^-2."""
    x, y, z = local.unbind(-1)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], dim=-1).unflatten(-1, (2, 3))
    m = jacobian @ rotation
    cov = m @ covariances @ m.transpose(1, 2)
    a, b, c = cov[:, 0, 0] + LOW_PASS_PX2, cov[:, 0, 1], cov[:, 1, 1] + LOW_PASS_PX2
    det = (a * c - b * b).clamp(min=1e-12)
    return torch.stack([c / det, -b / det, a / det], dim=-1)


def sh_colour(sh: Tensor, directions: Tensor) -> Tensor:
    """Real spherical harmonics [N, K, 3], K = 1, 4, 9 or 16, seen along `directions` [N, 3] => [N, 3]."""
    x, y, z = F.normalize(directions, dim=-1).unbind(-1)
    one = torch.ones_like(x)
    basis = [0.28209479177387814 * one]
    if sh.shape[1] > 1:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if sh.shape[1] > 4:
        basis += [
            1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y),
        ]  # fmt: skip
    if sh.shape[1] > 9:
        basis += [
            -0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * z * z - x * x - y * y),
            0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
            -0.4570457994644658 * x * (4 * z * z - x * x - y * y), 1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]  # fmt: skip
    return (torch.stack(basis, dim=-1).unsqueeze(-1) * sh).sum(dim=1)
