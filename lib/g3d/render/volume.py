"""Volume rendering along rays, of any callable (NeRF, Mildenhall et al. 2020, eq. 3).

Letters: B scenes, R rays of each, S samples of a ray.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Query = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""points [B, P, 3], unit directions [B, P, 3] => rgb [B, P, 3], density [B, P]."""
Proposal = Callable[[Tensor], Tensor]
"""points [B, P, 3] => density [B, P], only to place samples."""
Spacing = Literal["world", "disparity"]
End = Literal["finite", "infinite", "opaque"]
"""The last interval of a ray: as long as it is; without end, so that any density there hides the background and none does not
(NeRF's public code); or opaque whatever its density, so that weights always sum to one."""

NOTHING = 1e-4  # alpha up to which a ray has no depth


@dataclass(frozen=True)
class Sampling:
    """How samples are placed on a ray."""

    samples: int
    proposal_samples: int = 0
    spacing: Spacing = "world"
    end: End = "finite"  # of every round


class Round(NamedTuple):
    """What a proposal round found: `weights` [B, R, S], with gradients to who proposed, of the intervals between `t_edges`
    [B, R, S + 1] (camera z)."""

    weights: Tensor
    t_edges: Tensor


class Rays(NamedTuple):
    """`rgb` [B, R, 3] over the background, `alpha` [B, R], expected `depth` [B, R] (camera z; 0 where alpha is 0).

    For losses: `weights` [B, R, S] of the intervals between `t_edges` [B, R, S + 1]; `t` [B, R, S], where in them the field
    was asked (their middles, or the jittered places); and the proposal `rounds` before. No edge has a gradient to a
    proposal: it is what a round's weights are compared with that teaches it (mip-NeRF 360, sec. 3)."""

    rgb: Tensor
    alpha: Tensor
    depth: Tensor
    weights: Tensor
    t: Tensor
    t_edges: Tensor
    rounds: tuple[Round, ...] = ()


def render_rays(
    query: Query,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    sampling: Sampling,
    background: Tensor,
    *,
    jitter: Tensor | None = None,
    proposal: Proposal | None = None,
) -> Rays:
    """Colour, alpha and depth of rays `origins`, `directions` [B, R, 3] (camera z = 1) between `near` and `far` [B, R].

    Intervals are even (or placed by `proposal`); the sample is the middle of its interval, or, while training, at
    `jitter` [B, R, S] in [0, 1) of it: an unbiased estimate of the integral. `background` is a colour [3]."""
    norm = directions.norm(dim=-1)  # [B, R] world length of a unit of t
    rounds: tuple[Round, ...] = ()
    if proposal is not None:
        coarse = edges(near, far, sampling.proposal_samples, sampling.spacing)
        middle = (coarse[..., 1:] + coarse[..., :-1]) / 2
        density = proposal(_points(origins, directions, middle)).view_as(middle)
        weights, _ = weights_of(
            density, coarse.diff(dim=-1), norm, sampling.end
        )  # as the last round: it is to bound it
        t_edges = resample(coarse, weights, sampling.samples)
        rounds = (Round(weights, coarse),)
    else:
        t_edges = edges(near, far, sampling.samples, sampling.spacing)
    width = t_edges.diff(dim=-1)  # [B, R, S]
    t = t_edges[..., :-1] + width * (0.5 if jitter is None else jitter)
    along = (directions / norm.unsqueeze(-1)).unsqueeze(2).expand(*t.shape, 3)
    rgb, density = query(_points(origins, directions, t), along.flatten(1, 2))
    weights, alpha = weights_of(density.view_as(t), width, norm, sampling.end)
    colour = (weights.unsqueeze(-1) * rgb.view(*t.shape, 3)).sum(dim=2)
    depth = torch.where(alpha > NOTHING, (weights * t).sum(dim=-1) / alpha.clamp(min=1e-6), 0.0)
    return Rays(colour + (1 - alpha).unsqueeze(-1) * background, alpha, depth, weights, t, t_edges, rounds)


def heaviest(rays: Rays) -> Tensor:
    """The other kind of depth, `max_weight` [B, R]: the middle of the heaviest interval, the first of equals; 0: nothing."""
    at = rays.weights.argmax(dim=-1, keepdim=True)
    middle = (rays.t_edges.gather(-1, at) + rays.t_edges.gather(-1, at + 1)).squeeze(-1) / 2
    return torch.where(rays.alpha > NOTHING, middle, 0.0)


def disparity_sums(rays: Rays, near_world: float, far_world: float) -> tuple[Tensor, Tensor]:
    """sum_k W_k D_k and sum_k W_k D_k^2 of each ray [B, R]; D is inverse depth, 1 at `near_world` and 0 at `far_world` (VQ3D,
    section 3.2). With alpha, the sum of W, all that an alignment by scale and shift needs."""
    disparity = (1 / rays.t - 1 / far_world) / (1 / near_world - 1 / far_world)
    weighted = rays.weights * disparity
    return weighted.sum(dim=-1), (weighted * disparity).sum(dim=-1)


def edges(near: Tensor, far: Tensor, count: int, spacing: str) -> Tensor:
    """Edges [B, R, count + 1] of intervals that are even in t, or in 1 / t."""
    u = torch.linspace(0, 1, count + 1, dtype=near.dtype, device=near.device)
    near, far = near.unsqueeze(-1), far.unsqueeze(-1)
    if spacing == "disparity":
        return 1 / ((1 - u) / near + u / far)
    return near + (far - near) * u


def normalised(t: Tensor, near: Tensor, far: Tensor, spacing: str) -> Tensor:
    """Camera z `t` [B, R, S] => s [B, R, S], 0 at `near` and 1 at `far` [B, R], in which `edges` are even."""
    near, far = near.unsqueeze(-1), far.unsqueeze(-1)
    if spacing == "disparity":
        return (1 / near - 1 / t) / (1 / near - 1 / far)  # mip-NeRF 360, eq. 11 with g = 1 / t
    return (t - near) / (far - near)


def weights_of(density: Tensor, width: Tensor, norm: Tensor, end: End) -> tuple[Tensor, Tensor]:
    """Weights [B, R, S] of the samples and their sum, alpha [B, R].

    alpha_i = 1 - exp(-density_i * length_i), weight_i = alpha_i * prod_{j<i} (1 - alpha_j)."""
    tau = density * width * norm.unsqueeze(-1)
    before = torch.cat([torch.zeros_like(tau[..., :1]), tau[..., :-1].cumsum(dim=-1)], dim=-1)
    if end == "infinite":
        tau = torch.cat([tau[..., :-1], density[..., -1:] * 1e10], dim=-1)
    opacity = -torch.expm1(-tau)
    if end == "opaque":  # by construction: a density, however it comes about, may be too small for any length
        opacity = torch.cat([opacity[..., :-1], torch.ones_like(opacity[..., -1:])], dim=-1)
    through = torch.exp(-before)  # transmittance up to the sample
    weights = through * opacity
    return weights, weights.sum(dim=-1)


def resample(t_edges: Tensor, weights: Tensor, count: int) -> Tensor:
    """New edges [B, R, count + 1] so that each interval holds the same share of `weights` [B, R, S] (inverse CDF)."""
    share = weights.detach() + 1e-5
    cdf = torch.cat([torch.zeros_like(share[..., :1]), share.cumsum(dim=-1)], dim=-1)
    cdf = cdf / cdf[..., -1:]
    u = (
        torch.linspace(0, 1, count + 1, dtype=cdf.dtype, device=cdf.device)
        .expand(*cdf.shape[:-1], count + 1)
        .contiguous()
    )
    right = torch.searchsorted(cdf, u, right=True).clamp(1, cdf.shape[-1] - 1)
    c0, c1 = cdf.gather(-1, right - 1), cdf.gather(-1, right)
    t0, t1 = t_edges.gather(-1, right - 1), t_edges.gather(-1, right)
    return t0 + (t1 - t0) * ((u - c0) / (c1 - c0).clamp(min=1e-9)).clamp(0, 1)


def _points(origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
    """[B, R * S, 3]"""
    return (origins.unsqueeze(2) + directions.unsqueeze(2) * t.unsqueeze(-1)).flatten(1, 2)
