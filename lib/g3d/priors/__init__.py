"""Priors on latents by name. A prior is a module with the contract below; it knows codes, never methods.

Config                    a frozen dataclass of settings
fit(config, codes, run, about)      writes prior.safetensors into the run; codes [N, D]
SampleSettings            what --set may change for sample
load(file, device)        a prior file => what sample takes
sample(loaded, indices, seed, settings)   => codes [len(indices), D]; code i depends on (seed, i) alone
"""

import importlib
from types import ModuleType

from g3d.errors import G3dError, did_you_mean

PRIORS = {
    "gaussian": "g3d.priors.gaussian",
    "diffusion": "g3d.priors.diffusion",
}


def prior(kind: str) -> ModuleType:
    """The module of a prior, or a sentence with the kinds that there are."""
    if kind not in PRIORS:
        raise G3dError(f"there is no prior of kind '{kind}'{did_you_mean(kind, PRIORS)}; kinds: {', '.join(PRIORS)}")
    return importlib.import_module(PRIORS[kind])
