"""Depth up to scale and shift, for weights along rays: the least-squares alignment, its loss, and what the scale may be (VQ3D,
Sargent et al. 2023, eqs. 1 to 3).

Sums are taken over all rays and samples of a picture and divided by the rays before the ridge, in single precision.

Letters: B pictures, R rays, S samples of a ray.
"""

from typing import NamedTuple

import torch
from torch import Tensor

RIDGE = 1e-5  # beside the determinant, which is 0 where the depth of a picture is flat


class Alignment(NamedTuple):
    """`scale` and `shift` [B] that bring a picture's inverse depth nearest to the given one; the mean squared `residual` [B]."""

    scale: Tensor
    shift: Tensor
    residual: Tensor


def pointwise(weights: Tensor, disparity: Tensor, wanted: Tensor) -> Alignment:
    """argmin over s, t of 1/R sum_r sum_k W_rk (s D_rk + t - d_r)^2 (eq. 1), and that sum at it (eq. 2).

    `weights`, `disparity` [B, R, S], `wanted` [B, R]. Gradients pass through s and t, too: they vanish for the residual (it is
    smallest there) and are all that a loss of the scale has."""
    w, d, wanted = weights.float(), disparity.float(), wanted.float()
    first, second = (w * d).sum(dim=-1), (w * d.square()).sum(dim=-1)
    return aligned(w.sum(dim=-1), first, second, wanted)


def accumulated(weights: Tensor, disparity: Tensor, wanted: Tensor) -> Alignment:
    """The same for the mean inverse depth of each ray, sum_k W_rk D_rk: what a depth map is usually compared by."""
    mean = (weights.float() * disparity.float()).sum(dim=-1)
    return aligned(torch.ones_like(mean), mean, mean.square(), wanted.float())


def aligned(weight: Tensor, first: Tensor, second: Tensor, wanted: Tensor) -> Alignment:
    """The alignment from the sums of each ray [B, R]: of W, of W D and of W D^2; `wanted` [B, R]."""
    a, b, c = second.mean(dim=1), first.mean(dim=1), weight.mean(dim=1)
    e, f = (first * wanted).mean(dim=1), (weight * wanted).mean(dim=1)
    scale = (c * e - b * f) / (a * c - b * b + RIDGE)
    shift = (f - b * scale) / c.clamp(min=1e-6)
    s, t = scale.unsqueeze(1), shift.unsqueeze(1)
    rest = s.square() * second + 2 * s * (t - wanted) * first + (t - wanted).square() * weight
    return Alignment(scale, shift, rest.mean(dim=1))


def scale_loss(scale: Tensor, small: float) -> Tensor:
    """eq. 3, [B]: against inverse depth that runs backward, and, times `small`, against depth that becomes flat (s > 1)."""
    return torch.relu(-scale) + small * torch.relu(scale - 1)


def accuracy(disparity: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of two maps [B, R], each standardised: 2 (1 - their correlation), [B]; 2 where either is flat."""

    def standardised(x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x.double() - x.double().mean(dim=1, keepdim=True)
        deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
        return centred / deviation.clamp(min=1e-12), deviation.squeeze(1) > 1e-6

    (x, varies), (y, wanted_varies) = standardised(disparity), standardised(wanted)
    return torch.where(varies & wanted_varies, (x - y).square().mean(dim=1), 2.0).float()
