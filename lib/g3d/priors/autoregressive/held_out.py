"""Which latents a fit does not see, and what it says of them: bits a token, beside what counting says.

Letters: N latents, T tokens of each.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.latents import TEST, TOKENS, Latents
from g3d.priors.autoregressive.config import Config
from g3d.priors.autoregressive.counts import Bits, counted
from g3d.priors.autoregressive.network import TokenTransformer, summed_loss
from g3d.seeds import rng
from g3d.training.prefetch import sent

MOST = 1024  # latents that are measured, drawn by seed where more are held out
BITS = "held_out_bits_per_token"
_AT_ONCE = 16384  # tokens that go through the network at once


@dataclass(frozen=True)
class Sequences:
    """Tokens [N, T] int32 in memory, and the first place of each [N]: its class, or 0."""

    tokens: Tensor
    first: Tensor

    def batch(self, rows: Tensor | slice, device: torch.device) -> tuple[Tensor, Tensor]:
        """The first places [B] and tokens [B, T] of some, int64 on the device."""
        first, tokens = (sent(values[rows], device).long() for values in (self.first, self.tokens))
        return first, tokens


@dataclass(frozen=True)
class Data:
    """What is fitted and what is held out. `classes` is how many there are, 0 for none."""

    fitted: Sequences
    held: Sequences
    vocabulary: int
    classes: int

    @property
    def class_counts(self) -> Tensor:
        """[C], how often each class is among what is fitted."""
        return torch.bincount(self.fitted.first, minlength=self.classes)[: self.classes].double()


def divided(latents: Latents, settings: Config, seed: int) -> Data:
    """The latents of a fit: those of the test split held out, or else a share of all."""
    if len(latents) < 2:
        raise G3dError(f"an autoregressive prior needs at least 2 latents, found {len(latents)}; encode more items")
    tokens, vocabulary = latents.flat().to(torch.int32), latents.space.parts[TOKENS].vocabulary
    assert vocabulary is not None
    classes = 0 if latents.classes is None else int(latents.classes.max()) + 1
    if latents.classes is not None and int(latents.classes.min()) < 0:
        raise G3dError(f"the latents have a class {int(latents.classes.min())}; classes are 0 or more: encode again")
    first = torch.zeros(len(tokens), dtype=torch.int64) if latents.classes is None else latents.classes
    test = torch.zeros(len(tokens), dtype=torch.bool) if latents.split is None else latents.split >= TEST
    if not test.any() or test.all():
        test = torch.zeros(len(tokens), dtype=torch.bool)
        count = min(round(settings.held_out * len(tokens)), len(tokens) - 1)
        test[torch.randperm(len(tokens), generator=rng(seed, 0, "held out"))[:count]] = True
    held = test.nonzero().squeeze(1)
    if len(held) > MOST:
        held = held[torch.randperm(len(held), generator=rng(seed, 0, "measured"))[:MOST].sort().values]
    return Data(Sequences(tokens[~test], first[~test]), Sequences(tokens[held], first[held]), vocabulary, classes)


@dataclass(frozen=True)
class Judge:
    """Measures a network on what is held out."""

    held: Sequences
    counted: Bits | None  # None where nothing is held out
    device: torch.device
    precision: str

    @torch.no_grad()
    def __call__(self, network: TokenTransformer) -> Mapping[str, float]:
        """Bits a token by the network and by counting; nothing where nothing is held out."""
        if self.counted is None:
            return {}
        low_precision = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        total, size = 0.0, max(1, _AT_ONCE // max(1, self.held.tokens.shape[1]))
        for start in range(0, len(self.held.tokens), size):
            first, tokens = self.held.batch(slice(start, start + size), self.device)
            with low_precision:
                logits = network(first, tokens)
            total += float(summed_loss(logits, tokens))
        bits = total / math.log(2) / self.held.tokens.numel()
        return {BITS: bits, **{f"held_out_{name}_bits": value for name, value in self.counted._asdict().items()}}


def judge(data: Data, settings: Config, device: torch.device) -> Judge:
    """The judge of a fit."""
    found = counted(data.fitted.tokens, data.held.tokens, data.vocabulary) if len(data.held.tokens) else None
    return Judge(data.held, found, device, settings.precision)
