"""A prior in one file, as another package would add it: a sample is one of the latents that it was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from g3d.latents import Latents, LatentSpace, space_of
from g3d.priors import Prior, described, numbered
from g3d.seeds import rng
from g3d.storage.artifacts import Artifact
from g3d.training.run import Run
from torch import Tensor


@dataclass(frozen=True)
class NoSettings:
    """Nothing can be changed."""


@dataclass(frozen=True)
class Loaded:
    space: LatentSpace
    flat: Tensor


def fit(config: NoSettings, latents: Latents, run: Run) -> None:
    tensors = {"flat": latents.flat()}
    about = described("shuffled", latents, config)
    for step in run.steps(
        1, "shuffled", lambda: tensors, lambda: run.write("prior.safetensors", "prior", tensors, about)
    ):
        run.log(step, 1, torch.zeros(()), 1)


def load(file: Artifact, device: torch.device) -> Loaded:
    return Loaded(space_of(file), file.values["flat"].to(device))


def sample(
    loaded: Loaded, indices: Sequence[int], seed: int, how: NoSettings, classes: Sequence[int] | None
) -> Latents:
    rows = [int(torch.randint(len(loaded.flat), (1,), generator=rng(seed, i, "shuffled"))) for i in indices]
    return numbered(loaded.space, loaded.flat[rows], indices)


PRIOR: Prior[NoSettings, Loaded] = Prior("shuffled", NoSettings, NoSettings, lambda space: "", fit, load, sample)
