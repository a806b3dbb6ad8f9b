"""A prior that fits nothing: a sample lies between a code and one of its neighbours (mNIF, appendix C, eq. 11; after GEM).

What the paper leaves open is a setting: how many neighbours a code has, and in which scale they are near.

Letters: N codes, D numbers of a code, K neighbours.
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

ROWS = 256  # codes whose distances to all others are in memory at once


@dataclass(frozen=True)
class Config:
    """Settings of the fit."""

    neighbours: int = setting(
        8, "K, nearest other codes kept of each (at most all others; the paper gives none)", low=1
    )
    normalise: bool = setting(False, "measure distances after dividing each number of the codes by its spread")


@dataclass(frozen=True)
class SampleSettings:
    """Settings of sampling."""

    neighbours: int = setting(0, "draw among this many of the nearest; 0: among all that were kept", low=0)


def nearest(codes: Tensor, count: int) -> Tensor:
    """Rows [N, count] of the nearest other codes by Euclidean distance, the nearest first; equal ones in their order."""
    x = codes.double()
    x = x - x.mean(dim=0)
    size = x.square().sum(dim=1)
    found = []
    for start in range(0, len(x), ROWS):
        rows = torch.arange(start, min(start + ROWS, len(x)), device=x.device)
        distance = size + size[rows, None] - 2 * x[rows] @ x.T  # [rows, N] squared
        distance[rows - start, rows] = torch.inf  # a code is no neighbour of itself
        found.append(distance.sort(dim=1, stable=True).indices[:, :count])
    return torch.cat(found)


def fit(config: Config, latents: Latents, run: Run) -> None:
    """Keep the codes [N, D] and the neighbours of each."""
    codes = latents.flat()
    if len(codes) < 2:
        raise G3dError(
            f"an interpolation prior needs at least 2 latents, found {len(codes)}; fit the model to more items"
        )
    scale = codes.std(dim=0).clamp(min=1e-12) if config.normalise else 1.0
    rows = nearest(codes / scale, min(config.neighbours, len(codes) - 1))
    tensors = {"codes": codes, "neighbours": rows}

    def publish() -> None:
        run.write("prior.safetensors", "prior", tensors, described("interpolation", latents, config))

    for step in run.steps(1, "fit-prior interpolation", lambda: tensors, publish):
        run.log(step, 1, torch.zeros(()), len(codes))


@dataclass(frozen=True)
class Loaded:
    """The codes and their neighbours, ready to sample."""

    space: LatentSpace
    codes: Tensor  # [N, D]
    neighbours: Tensor  # [N, K] rows of `codes`, the nearest first


def load(file: artifacts.Artifact, device: torch.device) -> Loaded:
    """Read a prior from its file."""
    space = space_of(file)
    (codes,) = checked(file, {"codes": (None, space.size)})
    rows = file.values.get("neighbours")
    fits = rows is not None and not rows.is_floating_point() and rows.dim() == 2 and len(rows) == len(codes)
    if rows is None or not fits or not rows.numel() or rows.min() < 0 or rows.max() >= len(codes):
        found = "is not there" if rows is None else f"has shape {list(rows.shape)} of {rows.dtype}"
        raise G3dError(
            f"'{file.path}' (prior): tensor 'neighbours' {found}; wanted are numbers of codes [{len(codes)}, any], each below "
            f"{len(codes)}; fit the prior again"
        )
    return Loaded(space, codes.float().to(device), rows.long().to(device))


def sample(
    loaded: Loaded, indices: Sequence[int], seed: int, settings: SampleSettings, classes: Sequence[int] | None = None
) -> Latents:
    """A latent for each index: alpha phi_i + (1 - alpha) phi_j, j among the neighbours of i, alpha in [0, 1) (eq. 11)."""
    kept = loaded.neighbours.shape[1]
    if settings.neighbours > kept:
        raise G3dError(
            f"the interpolation prior keeps {kept} neighbours of a code, not {settings.neighbours}; set neighbours to at most "
            f"{kept}, or fit it again with more"
        )
    count = settings.neighbours or kept
    drawn = []
    for index in indices:
        g = rng(seed, index, "prior")
        first, other = (int(torch.randint(n, (), generator=g)) for n in (len(loaded.codes), count))
        drawn.append((first, other, float(torch.rand((), generator=g))))
    device = loaded.codes.device
    row, place = (torch.tensor([d[i] for d in drawn], dtype=torch.int64, device=device) for i in (0, 1))
    alpha = torch.tensor([d[2] for d in drawn], device=device).unsqueeze(1)
    a, b = loaded.codes[row], loaded.codes[loaded.neighbours[row, place]]
    return numbered(loaded.space, alpha * a + (1 - alpha) * b, indices)


PRIOR: Prior[Config, Loaded] = Prior("interpolation", Config, SampleSettings, refuses_tokens, fit, load, sample)
