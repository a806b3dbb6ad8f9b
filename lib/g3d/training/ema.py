"""Exponential moving averages of weights: what is published, while the raw weights are trained."""

import copy

import torch
from torch import Tensor, nn


def averaged(module: nn.Module) -> nn.Module:
    """A copy that `update` moves; it takes no gradients."""
    return copy.deepcopy(module).requires_grad_(False).eval()


def half_life_decay(batch: int, half_life_items: float, items_seen: float, ramp_up: float | None = None) -> float:
    """Decay of one step for a half-life counted in items (StyleGAN2-ADA's `ema_kimg`); early on it follows the items seen."""
    half_life = half_life_items if ramp_up is None else min(half_life_items, items_seen * ramp_up)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update(average: nn.Module, module: nn.Module, decay: float) -> None:
    """average <= decay * average + (1 - decay) * module; buffers are copied."""
    pairs = [(a, m) for a, m in zip(average.parameters(), module.parameters(), strict=True)]
    ours: list[Tensor] = [a for a, _ in pairs]
    torch._foreach_lerp_(ours, [m.detach() for _, m in pairs], 1 - decay)
    for a, m in zip(average.buffers(), module.buffers(), strict=True):
        a.copy_(m)
