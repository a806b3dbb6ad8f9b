"""Lazy regularisation: a penalty every k-th step, k times as strong, and Adam adjusted for the steps more (StyleGAN2,
appendix B).

The penalty has a step of its own, so k steps of the loss are k + 1 of the optimiser: with c = k / (k + 1) the learning
rate becomes c lr and the betas beta^c, and the optimiser forgets and moves as much per k steps of the loss as before.
"""

from collections.abc import Iterable

import torch
from torch import nn


def adam(
    parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], interval: int, eps: float = 1e-8
) -> torch.optim.Adam:
    """Adam for a loss whose penalty comes every `interval` steps; 0 where there is none."""
    c = interval / (interval + 1) if interval else 1.0
    group = {"params": list(parameters), "lr": c * lr, "base_lr": c * lr}
    return torch.optim.Adam([group], betas=(betas[0] ** c, betas[1] ** c), eps=eps, fused=True)


def due(step: int, interval: int) -> bool:
    """Whether the penalty comes at this step: at steps 0, k, 2k, ...; never for k = 0."""
    return interval > 0 and step % interval == 0
