"""Learning-rate schedules as functions of the step."""

import math

import torch


def cosine(step: int, total: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Share of the base rate at `step` of `total`: linear from 0 over `warmup` steps, then a half cosine from 1 to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    return floor + (1 - floor) * (0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))))


def set_lr(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its `base_lr`."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor
