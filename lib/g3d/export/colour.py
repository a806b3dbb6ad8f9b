"""The colour that a radiance field shows at its surface, seen from outside.

A field's colour **at** the level is that of its thin shell, where the background shines through; a picture shows what lies
behind it. So the colour of a surface point is rendered along a short ray inwards, from the point on.

Letters: P points, S steps inwards.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.export.mesh import PointFunction

RadianceQuery = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""points [P, 3], unit directions [P, 3] => rgb [P, 3], density [P]."""
STEPS = 8


def surface_colour(query: RadianceQuery, depth_world: float) -> PointFunction:
    """Points [P, 3] => colours [P, 3]: volume rendering over `depth_world` along the inward normal."""
    step = depth_world / STEPS

    def colour(points: Tensor) -> Tensor:
        inward = _inward(query, points, step / 2)
        total, through = torch.zeros_like(points), torch.ones_like(points[:, :1])
        for s in range(STEPS):
            rgb, density = query(points + inward * (step * (s + 0.5)), inward)
            alpha = -torch.expm1(-density * step).unsqueeze(-1)
            total, through = total + through * alpha * rgb, through * (1 - alpha)
        return (total / (1 - through).clamp(min=1e-6)).clamp(0, 1)

    return colour


def _inward(query: RadianceQuery, points: Tensor, h: float) -> Tensor:
    """Unit direction [P, 3] in which the density grows, by central differences."""
    down = torch.tensor([0.0, -1.0, 0.0], device=points.device).expand_as(points)
    offsets = torch.eye(3, device=points.device) * h
    slopes = [query(points + o, down)[1] - query(points - o, down)[1] for o in offsets]
    return F.normalize(torch.stack(slopes, dim=-1), dim=-1)
