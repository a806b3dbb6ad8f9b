"""Priors on latents by name. A prior is a value of the contract below; it knows latents, never methods.

Other packages add theirs by the entry-point group `g3d.priors`.

Letters: N latents, D numbers of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from g3d.config import as_json
from g3d.errors import G3dError
from g3d.latents import Latents, LatentSpace
from g3d.plugins import Registry
from g3d.progress import Tell
from g3d.storage import artifacts
from g3d.training.run import Run

C = TypeVar("C")  # the settings of a prior
P = TypeVar("P")  # a fitted prior, ready to sample


@dataclass(frozen=True)
class Prior(Generic[C, P]):
    """A distribution of latents."""

    kind: str
    config: type[C]  # a frozen dataclass of settings
    sample_settings: type[Any]  # what --set may change for sample
    refuses: Callable[[LatentSpace], str]
    """Why latents of a space cannot be fitted; empty where they can."""
    fit: Callable[[C, Latents, Run], None]
    """Writes prior.safetensors into the run."""
    load: Callable[[artifacts.Artifact, torch.device], P]
    sample: Callable[[P, Sequence[int], int, Any, Sequence[int] | None], Latents]
    """(prior, numbers, seed, settings, class of each or None) => latents; number i depends on (seed, i) and its class alone."""
    classes: Callable[[artifacts.Header], int] | None = None
    """How many classes a fitted prior can be asked for; None for a kind that knows none."""
    presets: Mapping[str, C] = field(default_factory=dict)
    """Settings by name, for --preset; the defaults are those of `config`."""
    best_by: tuple[tuple[str, bool], ...] = (("loss", False),)
    """What the best of a run's checkpoints is chosen by, and whether more of it is better: `figures` in the metadata of the
    prior's file, as far as the kind writes some, and the loss."""
    suited: Callable[[LatentSpace, int], C] | None = None
    """Settings that suit so many latents of a space, where no preset is asked for; None: those of `config` suit all."""
    watched: Callable[[P, Tell], P] | None = None
    """(prior, tell) => the prior that tells how many of its steps are done while it samples; None where that takes no time."""


CALLS: Mapping[str, Sequence[str]] = {
    "refuses": ("space",), "fit": ("settings", "latents", "run"), "load": ("file", "device"),
    "sample": ("prior", "numbers", "seed", "settings", "classes"), "classes": ("header",), "suited": ("space", "count"),
    "watched": ("prior", "tell"),
}  # fmt: skip
"""The functions of a prior and their arguments, which are checked when it is asked for."""

PRIORS: Registry[Prior[Any, Any]] = Registry(
    "prior",
    "g3d.priors",
    {
        "gaussian": "g3d.priors.gaussian:PRIOR",
        "interpolation": "g3d.priors.interpolation:PRIOR",
        "diffusion": "g3d.priors.diffusion:PRIOR",
        "autoregressive": "g3d.priors.autoregressive:PRIOR",
    },
    lambda found: isinstance(found, Prior),
    lambda found: found.kind,
    CALLS,
)


def prior(kind: str) -> Prior[Any, Any]:
    """The prior of this kind, or a sentence with the kinds that there are."""
    return PRIORS.get(kind)


def refuses_tokens(space: LatentSpace) -> str:
    """`refuses` of a prior on numbers."""
    return "" if space.continuous else "tokens, between which there is nothing"


def described(kind: str, latents: Latents, settings: Any) -> dict[str, Any]:
    """The metadata of a prior's file."""
    return {"latent_space": latents.space.as_json(), "kind": kind, "settings": as_json(settings)}


def numbered(space: LatentSpace, flat: Tensor, indices: Sequence[int]) -> Latents:
    """Numbers [n, D] of samples => latents that bear the samples' numbers."""
    return space.of_flat(flat, [f"{index:06d}" for index in indices])


def checked(file: artifacts.Artifact, shapes: Mapping[str, tuple[int | None, ...]]) -> list[Tensor]:
    """The tensors of a prior under these names, each of its shape (None: any size), floating point and finite."""
    found = []
    for name, shape in shapes.items():
        wanted = f"[{', '.join('any' if n is None else str(n) for n in shape)}]"
        if name not in file.values:
            raise G3dError(f"'{file.path}' (prior) lacks the tensor '{name}' {wanted}; fit the prior again")
        value = file.values[name]
        fits = value.dim() == len(shape) and all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
        if not fits or not value.is_floating_point() or not value.isfinite().all():
            raise G3dError(
                f"'{file.path}' (prior): tensor '{name}' has shape {list(value.shape)} of {value.dtype}; wanted are finite "
                f"floats {wanted}, as its latent space has; fit the prior again"
            )
        found.append(value)
    return found
