"""A Gaussian on latents: mean and covariance of the codes, the baseline that every other prior must beat.

Letters: N codes, D numbers of a code, R directions with variance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.config import setting
from g3d.errors import G3dError
from g3d.latents import Latents, LatentSpace, space_of
from g3d.priors import Prior, checked, described, numbered, refuses_tokens
from g3d.seeds import rng
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


def fit(config: Config, latents: Latents, run: Run) -> None:
    """Mean [D] and scaled principal directions [R, D] of latents."""
    codes = latents.flat()
    if len(codes) < 2:
        raise G3dError(f"a gaussian prior needs at least 2 latents, found {len(codes)}; fit the model to more items")

    x = codes.double()
    mean = x.mean(dim=0)
    _, spread, rows = torch.linalg.svd((x - mean) / (len(x) - 1) ** 0.5, full_matrices=False)
    directions = (spread[:, None] * rows)[: config.directions or len(spread)]
    tensors = {"mean": mean.float(), "directions": directions.float()}

    def publish() -> None:
        run.write("prior.safetensors", "prior", tensors, described("gaussian", latents, config))

    for step in run.steps(1, "fit-prior gaussian", lambda: tensors, publish):
        run.log(step, 1, torch.zeros(()), len(codes))


@dataclass(frozen=True)
class Loaded:
    """A fitted prior, ready to sample."""

    space: LatentSpace
    mean: Tensor  # [D]
    directions: Tensor  # [R, D]


def load(file: artifacts.Artifact, device: torch.device) -> Loaded:
    """Read a prior from its file."""
    space = space_of(file)
    mean, directions = checked(file, {"mean": (space.size,), "directions": (None, space.size)})
    return Loaded(space, mean.float().to(device), directions.float().to(device))


def sample(
    loaded: Loaded, indices: Sequence[int], seed: int, settings: SampleSettings, classes: Sequence[int] | None = None
) -> Latents:
    """A latent for each index."""
    mean, directions = loaded.mean, loaded.directions
    z = torch.stack([torch.randn(len(directions), generator=rng(seed, i, "prior")) for i in indices])
    flat = mean + settings.temperature * z.to(mean.device) @ directions
    return numbered(loaded.space, flat, indices)


PRIOR: Prior[Config, Loaded] = Prior("gaussian", Config, SampleSettings, refuses_tokens, fit, load, sample)
