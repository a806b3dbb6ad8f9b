"""An autoregressive prior on tokens: a transformer predicts each from those before it, behind the class or a start token.

Its settings and presets follow VIM (Yu et al. 2022). Any latents of tokens can be fitted, in the order in which they lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from g3d.config import from_json
from g3d.errors import G3dError
from g3d.latents import TOKENS, Latents, LatentSpace, space_of
from g3d.priors import Prior, checked, numbered
from g3d.priors.autoregressive.config import PRESETS, Config, SampleSettings
from g3d.priors.autoregressive.held_out import BITS
from g3d.priors.autoregressive.network import TokenTransformer
from g3d.priors.autoregressive.sampling import draw, drawn_classes, token_keys
from g3d.priors.autoregressive.training import fit
from g3d.priors.classes import recorded, told
from g3d.progress import Tell
from g3d.storage import artifacts
from g3d.training import checkpoint

__all__ = ["PRESETS", "PRIOR", "Config", "Loaded", "SampleSettings", "fit", "load", "sample"]


@dataclass(frozen=True)
class Loaded:
    """A fitted prior, ready to sample."""

    space: LatentSpace
    network: TokenTransformer
    class_counts: Tensor  # [C], none of a prior without classes
    class_names: Sequence[str] = ()  # where the data had some
    tell: Tell | None = None  # of the tokens that are drawn

    @property
    def vocabulary(self) -> int:
        """V, how many different tokens there are."""
        return self.network.token.num_embeddings


def refuses(space: LatentSpace) -> str:
    """Why latents of a space cannot be fitted; empty where they can."""
    if set(space.parts) != {TOKENS}:
        return "numbers, not tokens"
    if not space.parts[TOKENS].vocabulary:
        return "tokens of an unknown vocabulary"
    return "" if space.size else "latents of no tokens"


def load(file: artifacts.Artifact, device: torch.device) -> Loaded:
    """Read a prior from its file."""
    fitted = from_json(Config, file.config["settings"], f"the prior '{file.path}'")
    space = space_of(file)
    why = refuses(space)
    if why:
        raise G3dError(
            f"'{file.path}' (prior) is autoregressive, but its latent space holds {why}; fit the prior again"
        )
    (counts,) = checked(file, {"class_counts": (None,)})
    if (counts < 0).any() or (len(counts) and not counts.sum() > 0):
        raise G3dError(f"'{file.path}' (prior): the tensor 'class_counts' counts nothing; fit the prior again")
    vocabulary = space.parts[TOKENS].vocabulary
    assert vocabulary is not None
    with torch.device("meta"):
        network = TokenTransformer(space.size, vocabulary, len(counts), fitted)
    checked(file, {f"network.{name}": tuple(value.shape) for name, value in network.state_dict().items()})
    network = network.to_empty(device=device)
    checkpoint.load_module(network, checkpoint.unpack("network", file.values), str(file.path))
    return Loaded(space, network.eval().requires_grad_(False), counts, recorded(file))


def sample(
    loaded: Loaded, indices: Sequence[int], seed: int, settings: SampleSettings, classes: Sequence[int] | None = None
) -> Latents:
    """A latent for each index, of the class that is given for it, or of one that is drawn."""
    if settings.top_k > loaded.vocabulary:
        raise G3dError(
            f"top_k is {settings.top_k}, but the prior knows {loaded.vocabulary} tokens; give at most that, or 0 for all"
        )
    if classes is None and len(loaded.class_counts):
        classes = drawn_classes(indices, seed, loaded.class_counts)
    _check_classes(loaded, classes)
    device = loaded.network.position.weight.device
    first = torch.tensor([0] * len(indices) if classes is None else list(classes), dtype=torch.int64)
    keys = token_keys(indices, seed, loaded.space.size).to(device)
    found = numbered(loaded.space, draw(loaded.network, first.to(device), keys, settings, loaded.tell), indices)
    return replace(found, classes=None if classes is None else first.to(device))


def classes(head: artifacts.Header) -> int:
    """How many classes a fitted prior can be asked for."""
    _, shape = head.tensors.get("class_counts", ("", (0,)))
    return shape[0] if shape else 0


def _check_classes(loaded: Loaded, classes: Sequence[int] | None) -> None:
    """Refuse classes that the prior has seen nothing of."""
    if classes is None:
        return
    counts = loaded.class_counts.tolist()
    odd = [number for number in classes if not 0 <= number < len(counts) or not counts[number]]
    if odd:
        fitted = [number for number, count in enumerate(counts) if count]
        known = (
            "knows no classes"
            if not fitted
            else f"was fitted to {len(fitted)} classes from {fitted[0]} to {fitted[-1]}"
        )
        raise G3dError(
            f"the prior {known}, and saw nothing of class {told(odd[:1], loaded.class_names)}; choose another --class, or leave "
            "it out"
        )


PRIOR: Prior[Config, Loaded] = Prior(
    "autoregressive",
    Config,
    SampleSettings,
    refuses,
    fit,
    load,
    sample,
    classes,
    PRESETS,
    ((BITS, False), ("loss", False)),
    watched=lambda loaded, tell: replace(loaded, tell=tell),
)
