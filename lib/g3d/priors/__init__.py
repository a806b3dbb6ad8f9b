"""Priors on latents by name. A prior is a module with the contract below; it knows codes, never methods.

Config                    a frozen dataclass of settings
fit(config, codes, run, about)      writes prior.safetensors into the run; codes [N, D]
SampleSettings            what --set may change for sample
load(file, device)        a prior file => what sample takes
sample(loaded, indices, seed, settings)   => codes [len(indices), D]; code i depends on (seed, i) alone
"""

import importlib
import math
from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

from g3d.errors import G3dError, did_you_mean
from g3d.storage import artifacts

PRIORS = {
    "gaussian": "g3d.priors.gaussian",
    "interpolation": "g3d.priors.interpolation",
    "diffusion": "g3d.priors.diffusion",
}


def prior(kind: str) -> ModuleType:
    """The module of a prior, or a sentence with the kinds that there are."""
    if kind not in PRIORS:
        raise G3dError(f"there is no prior of kind '{kind}'{did_you_mean(kind, PRIORS)}; kinds: {', '.join(PRIORS)}")
    return importlib.import_module(PRIORS[kind])


def code_size(file: artifacts.Header) -> int:
    """D, the numbers of a code of the latent space that a prior file serves."""
    space = file.config["latent_space"]
    shape = space.get("shape") if isinstance(space, dict) else None
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise G3dError(f"'{file.path}' (prior): the metadata 'latent_space' is {space}; wanted is one with a shape")
    return math.prod(shape)


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
