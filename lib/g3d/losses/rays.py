"""What keeps the weights of rays tidy: distortion and interlevel loss (mip-NeRF 360, Barron et al. 2022).

Each is a value a ray, [...]; the caller takes the mean. Distances are s, 0 at near and 1 at far, so that a metre before
the camera counts more than one at the horizon (`render.volume.normalised` with spacing "disparity").

Letters: S intervals of the last round, M of a proposal round.
"""

import torch
from torch import Tensor


def distortion(weights: Tensor, s_edges: Tensor) -> Tensor:
    """Mean distance of two places of the ray: sum_ij w_i w_j |m_i - m_j| + sum_i w_i^2 width_i / 3 (eq. 15), [...].

    `weights` [..., S], `s_edges` [..., S + 1] in order. In O(S): of two intervals the later one has the larger middle."""
    middle, width = (s_edges[..., 1:] + s_edges[..., :-1]) / 2, s_edges.diff(dim=-1)
    heavy = weights.cumsum(dim=-1) - weights  # weight before interval i
    moment = (weights * middle).cumsum(dim=-1) - weights * middle
    between = 2 * (weights * (middle * heavy - moment)).sum(dim=-1)
    return between + (weights.square() * width).sum(dim=-1) / 3


def interlevel(weights: Tensor, s_edges: Tensor, round_weights: Tensor, round_edges: Tensor) -> Tensor:
    """How much weight the proposal has missed: sum_i max(0, w_i - bound_i)^2 / w_i (eq. 13), [...].

    bound_i is the proposal's weight of all intervals that overlap interval i. Only the proposal learns from it: `weights`
    [..., S] and both sets of edges [..., S + 1], [..., M + 1] are constants, `round_weights` [..., M] are not."""
    wanted = weights.detach()
    missed = (wanted - bound(s_edges, round_edges, round_weights)).clamp(min=0)
    return (missed.square() / (wanted + torch.finfo(wanted.dtype).eps)).sum(dim=-1)  # a weight of 0 misses nothing


def bound(s_edges: Tensor, round_edges: Tensor, round_weights: Tensor) -> Tensor:
    """Weight [..., S] of all intervals of a round that overlap an interval; those that only touch it do not count.

    An interval without width lies in the one of the round that starts there, or in the last."""
    starts, ends = s_edges[..., :-1].detach().contiguous(), s_edges[..., 1:].detach().contiguous()
    count, places = round_weights.shape[-1], round_edges.detach().contiguous()
    first = torch.searchsorted(places, starts, right=True).sub(1).clamp(0, count - 1)
    last = torch.maximum(torch.searchsorted(places, ends).clamp(max=count), first + 1)
    before = torch.cat([torch.zeros_like(round_weights[..., :1]), round_weights.cumsum(dim=-1)], dim=-1)
    return before.gather(-1, last) - before.gather(-1, first)
