"""A Gaussian on latents: mean and covariance of the codes, the baseline that every other prior must beat.

Letters: N codes, D numbers of a code, R directions with variance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from g3d.config import as_json, setting
from g3d.errors import G3dError
from g3d.priors import checked, code_size
from g3d.seeds import generator
from g3d.storage import artifacts
from g3d.training.run import Run


@dataclass(frozen=True)
class Config:
    """Settings of the fit."""

    directions: int = setting(0, "principal directions kept; 0 keeps all", low=0)


@dataclass(frozen=True)
class SampleSettings:
    """Settings of sampling."""

    temperature: float = setting(1.0, "factor on the standard deviation", low=0)


def fit(config: Config, codes: Tensor, run: Run, about: Mapping[str, Any]) -> None:
    """Mean [D] and scaled principal directions [R, D] of `codes` [N, D]."""
    if len(codes) < 2:
        raise G3dError(f"a gaussian prior needs at least 2 latents, found {len(codes)}; fit the model to more items")

    x = codes.double()
    mean = x.mean(dim=0)
    _, spread, rows = torch.linalg.svd((x - mean) / (len(x) - 1) ** 0.5, full_matrices=False)
    directions = (spread[:, None] * rows)[: config.directions or len(spread)]
    tensors = {"mean": mean.float(), "directions": directions.float()}

    def publish() -> None:
        run.write("prior.safetensors", "prior", tensors, {**about, "kind": "gaussian", "settings": as_json(config)})

    for step in run.steps(1, "fit-prior gaussian", lambda: tensors, publish):
        run.log(step, 1, torch.zeros(()), len(codes))


def load(file: artifacts.Artifact, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean [D] and directions [R, D]."""
    size = code_size(file)
    mean, directions = checked(file, {"mean": (size,), "directions": (None, size)})
    return mean.float().to(device), directions.float().to(device)


def sample(loaded: tuple[Tensor, Tensor], indices: Sequence[int], seed: int, settings: SampleSettings) -> Tensor:
    """Codes [len(indices), D]."""
    mean, directions = loaded
    z = torch.stack([torch.randn(len(directions), generator=generator(seed, i, "prior")) for i in indices])
    return mean + settings.temperature * z.to(mean.device) @ directions
