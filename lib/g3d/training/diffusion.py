"""Denoising diffusion (DDPM, Ho et al. 2020; DDIM, Song et al. 2021) of any tensor, around any noise predictor.

Letters: N samples, T time steps, ... the shape of a sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.seeds import Noise

Predictor = Callable[[Tensor, Tensor], Tensor]
"""x_t [N, ...], t [N] => the noise in it [N, ...]."""


@dataclass(frozen=True)
class Schedule:
    """T time steps with the cumulative signal share `alpha_bar` [T]: x_t = sqrt(ab) x_0 + sqrt(1 - ab) noise."""

    alpha_bar: Tensor

    def to(self, device: torch.device) -> "Schedule":
        """The schedule on another device."""
        return Schedule(self.alpha_bar.to(device))


def linear_schedule(time_steps: int) -> Schedule:
    """Ho et al.: beta from 1e-4 to 0.02 over 1000 steps; scaled so that other lengths end at the same noise."""
    scale = 1000 / time_steps
    beta = torch.linspace(1e-4 * scale, min(0.02 * scale, 0.999), time_steps, dtype=torch.float64)
    return Schedule((1 - beta).cumprod(dim=0).float())


def add_noise(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t (Ho et al., eq. 4)."""
    ab = schedule.alpha_bar[t].view(-1, *[1] * (x0.dim() - 1))
    return ab.sqrt() * x0 + (1 - ab).sqrt() * noise


@torch.no_grad()
def sample_ddpm(predict: Predictor, schedule: Schedule, noise: Noise) -> Tensor:
    """Ancestral sampling over all T steps (Ho et al., algorithm 2; variance beta_t)."""
    ab = schedule.alpha_bar
    x = noise.draw().to(ab.device)
    for t in range(len(ab) - 1, -1, -1):
        before = ab[t - 1] if t else torch.ones_like(ab[0])
        beta = 1 - ab[t] / before
        eps = predict(x, torch.full((len(x),), t, device=x.device))
        x = (x - beta / (1 - ab[t]).sqrt() * eps) / (1 - beta).sqrt()
        if t:
            x = x + beta.sqrt() * noise.draw().to(x.device)
    return x


@torch.no_grad()
def sample_ddim(predict: Predictor, schedule: Schedule, noise: Noise, steps: int) -> Tensor:
    """Deterministic sampling over `steps` of the T steps (Song et al., eq. 12, eta = 0)."""
    ab = schedule.alpha_bar
    x = noise.draw().to(ab.device)
    times = torch.linspace(len(ab) - 1, 0, steps).round().long().tolist()
    for i, t in enumerate(times):
        before = ab[times[i + 1]] if i + 1 < len(times) else torch.ones_like(ab[0])
        eps = predict(x, torch.full((len(x),), t, device=x.device))
        x0 = (x - (1 - ab[t]).sqrt() * eps) / ab[t].sqrt()
        x = before.sqrt() * x0 + (1 - before).sqrt() * eps
    return x
