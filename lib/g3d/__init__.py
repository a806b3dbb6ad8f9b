"""g3d: small commands for generative models of 3D. Files on disk are the only interface between them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from g3d.api import Model

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: str | Path, *, prior: str | Path | None = None, device: str = "auto") -> "Model":
    """The model of a run (or its file), with the prior of another run, where it draws its latents from one; see `g3d.api`."""
    from g3d import api  # imports torch, which the command line's help does not wait for

    return api.load(path, prior=prior, device=device)
