"""Gaussians drawn densely in plain torch: the definition of `rule.py` in code, slow, differentiable, of any precision.

Every pixel looks at every Gaussian; there are no tiles.

Letters: B scenes, V views, N Gaussians, P pixels of a chunk.
"""

import torch
from torch import Tensor

from g3d.render.splat import rule
from g3d.render.splat.inputs import Inputs, Sums

PIXELS_PER_CHUNK = 1024


def draw(inputs: Inputs) -> Sums:
    """All views of all scenes, one after another."""
    scenes, views = inputs.w2c.shape[:2]
    found = [_view(inputs, b, v) for b in range(scenes) for v in range(views)]
    shape = (scenes, views, inputs.height, inputs.width)
    rgb, through, far = (torch.stack(parts) for parts in zip(*found, strict=True))
    return Sums(rgb.view(*shape, 3), through.view(shape), far.view(shape) if inputs.depth else None)


def covariance(log_scales: Tensor, quats: Tensor) -> Tensor:
    """[N, 3], [N, 4] wxyz => [N, 3, 3] = R diag(s^2) R^T."""
    m = axes(log_scales, quats)
    result: Tensor = m @ m.transpose(1, 2)
    return result


def axes(log_scales: Tensor, quats: Tensor) -> Tensor:
    """[..., 3], [..., 4] wxyz of any length => R diag(s) [..., 3, 3]: the frame of each Gaussian."""
    square = (quats * quats).sum(dim=-1, keepdim=True)
    long = square >= rule.MIN_QUAT**2
    unit = torch.where(long, quats / torch.where(long, square, 1.0).sqrt(), 0.0)  # zero gives the identity below
    w, x, y, z = unit.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    turn = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    result: Tensor = turn * log_scales.clamp(max=rule.MAX_LOG_SCALE).exp().unsqueeze(-2)
    return result


def _view(inputs: Inputs, b: int, v: int) -> tuple[Tensor, Tensor, Tensor]:
    rotation, shift = inputs.w2c[b, v, :, :3], inputs.w2c[b, v, :, 3]
    local = inputs.means[b] @ rotation.T + shift  # [N, 3]
    order = local[:, 2].detach().argsort(stable=True)
    order = order[local[order, 2] > rule.NEAR_WORLD]
    local = local[order]
    z = local[:, 2]
    fx, fy, cx, cy = inputs.intrinsics[b, v].unbind()
    centre = torch.stack([fx * local[:, 0] / z + cx, fy * local[:, 1] / z + cy], dim=-1)  # [N, 2] pixels
    across = (
        _jacobian(inputs, local, fx, fy, cx, cy) @ rotation @ axes(inputs.log_scales[b, order], inputs.quats[b, order])
    )
    conic, factor = _conic(across)
    opacity = inputs.logits[b, order].sigmoid() * (factor if inputs.antialiased else 1)
    colour, parts = inputs.colours[b, v, order], []
    for part in torch.arange(inputs.width * inputs.height, device=local.device).split(PIXELS_PER_CHUNK):
        at = torch.stack([part % inputs.width, part // inputs.width], dim=-1) + 0.5
        d = at[:, None] - centre  # [P, N, 2]
        power = (
            -0.5 * (conic[:, 0] * d[..., 0] ** 2 + conic[:, 2] * d[..., 1] ** 2) - conic[:, 1] * d[..., 0] * d[..., 1]
        )
        a = (opacity * power.exp()).clamp(max=rule.MAX_ALPHA)
        a = torch.where(a >= rule.MIN_ALPHA, a, torch.zeros_like(a))  # [P, N]
        through = torch.cat([torch.ones_like(a[:, :1]), (1 - a).cumprod(dim=1)], dim=1)
        taken = through[:, :-1].detach() > rule.MIN_THROUGH
        weight = torch.where(taken, a * through[:, :-1], 0.0)
        left = torch.where(taken, 1 - a, 1.0).prod(dim=1)
        rgb = weight @ colour + left.unsqueeze(-1) * inputs.background[b, v]
        parts.append((rgb, left, weight @ z))
    rgb, left, far = (torch.cat(p) for p in zip(*parts, strict=True))
    return rgb, left, far


def _jacobian(inputs: Inputs, local: Tensor, fx: Tensor, fy: Tensor, cx: Tensor, cy: Tensor) -> Tensor:
    """Of the projection at the centres [N, 3] => [N, 2, 3]; x/z and y/z at most MARGIN half-widths outside the picture.

    Far outside it the approximation would spread a Gaussian over the whole picture."""
    x, y, z = local.unbind(-1)
    margin_x, margin_y = rule.MARGIN * 0.5 * inputs.width / fx, rule.MARGIN * 0.5 * inputs.height / fy
    tx = (x / z).clamp(-cx / fx - margin_x, (inputs.width - cx) / fx + margin_x)
    ty = (y / z).clamp(-cy / fy - margin_y, (inputs.height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    rows = torch.stack([fx / z, zero, -fx * tx / z, zero, fy / z, -fy * ty / z], dim=-1)
    result: Tensor = rows.unflatten(-1, (2, 3))
    return result


def _conic(across: Tensor) -> tuple[Tensor, Tensor]:
    """Projected axes [N, 2, 3] => the inverse covariance (a, b, c) of [[a, b], [b, c]] [N, 3] in pixels^-2, and the factor
    [N] of the opacity that makes up for the low-pass."""
    m, n = across.unbind(1)
    e = rule.LOW_PASS_PX2
    xx, xy, yy = (m * m).sum(-1) + e, (m * n).sum(-1), (n * n).sum(-1) + e
    bare = torch.linalg.cross(m, n).square().sum(-1)
    det = bare + e * (xx + yy - e)
    ratio = bare / det
    factor = torch.where(ratio > 0, torch.where(ratio > 0, ratio, 1.0).sqrt(), 0.0)
    return torch.stack([yy / det, -xy / det, xx / det], dim=-1), factor
