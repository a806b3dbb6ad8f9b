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
    """T time steps with the cumulative signal share `alpha_bar` [T]: x_t = sqrt(ab) x_0 + sqrt(1 - ab) noise.

    In float64: beta = 1 - ab_t / ab_(t-1) is 1e-4 and less, of which float32 would keep three digits."""

    alpha_bar: Tensor  # [T] float64

    def to(self, device: torch.device) -> "Schedule":
        """The schedule on another device."""
        return Schedule(self.alpha_bar.to(device))


def linear_schedule(time_steps: int) -> Schedule:
    """Ho et al.: beta from 1e-4 to 0.02 over 1000 steps; scaled so that other lengths end at the same noise."""
    scale = 1000 / time_steps
    beta = torch.linspace(1e-4 * scale, min(0.02 * scale, 0.999), time_steps, dtype=torch.float64)
    return Schedule((1 - beta).cumprod(dim=0))


def add_noise(schedule: Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t (Ho et al., eq. 4)."""
    ab = schedule.alpha_bar[t].view(-1, *[1] * (x0.dim() - 1))
    return ab.sqrt().to(x0.dtype) * x0 + (1 - ab).sqrt().to(x0.dtype) * noise


Range = tuple[Tensor, Tensor]
"""Lowest and highest value of every number of a sample."""


@torch.no_grad()
def sample_ddpm(predict: Predictor, schedule: Schedule, noise: Noise, within: Range | None = None) -> Tensor:
    """Ancestral sampling over all T steps (Ho et al., eq. 6-7; variance beta_t).

    `within` keeps the predicted sample in the range of the data: at high noise a small error of the predictor is
    multiplied by up to 1 / sqrt(alpha_bar), which a prior that was fitted to few codes does not survive."""
    ab: list[float] = schedule.alpha_bar.tolist()
    x = noise.draw().to(schedule.alpha_bar.device)
    for t in range(len(ab) - 1, -1, -1):
        before = ab[t - 1] if t else 1.0
        beta = 1 - ab[t] / before
        x0 = _predicted(predict, x, t, ab[t], within)
        x = (before**0.5 * beta * x0 + (1 - beta) ** 0.5 * (1 - before) * x) / (1 - ab[t])
        if t:
            x = x + beta**0.5 * noise.draw().to(x.device)
    return x


@torch.no_grad()
def sample_ddim(
    predict: Predictor, schedule: Schedule, noise: Noise, steps: int, within: Range | None = None
) -> Tensor:
    """Deterministic sampling over `steps` of the T steps (Song et al., eq. 12, eta = 0); `within` as above."""
    ab: list[float] = schedule.alpha_bar.tolist()
    x = noise.draw().to(schedule.alpha_bar.device)
    times = torch.linspace(len(ab) - 1, 0, steps).round().long().tolist()
    for i, t in enumerate(times):
        before = ab[times[i + 1]] if i + 1 < len(times) else 1.0
        x0 = _predicted(predict, x, t, ab[t], within)
        eps = (x - ab[t] ** 0.5 * x0) / (1 - ab[t]) ** 0.5
        x = before**0.5 * x0 + (1 - before) ** 0.5 * eps
    return x


def _predicted(predict: Predictor, x: Tensor, t: int, ab: float, within: Range | None) -> Tensor:
    """The sample that x at step t seems to come from."""
    eps = predict(x, torch.full((len(x),), t, device=x.device)).to(x.dtype)
    x0 = (x - (1 - ab) ** 0.5 * eps) / ab**0.5
    return x0 if within is None else torch.minimum(torch.maximum(x0, within[0]), within[1])
