"""What counting alone says of tokens: the models that a transformer must beat, in bits a token of latents that were not counted.

With n the counts among the fitted latents, every one is smoothed toward the one before it (Dirichlet, MacKay and Peto 1995):
* unigram      p(v)     = (n_v + A) / (sum of n + A V)
* by position  p(v | t) = (n_tv + P p(v)) / (n_t + P)
* bigram       p(v | u) = (n_uv + Q p(v)) / (n_u + Q), u the token before; the first one by its unigram.

Letters: N latents, T tokens of each, V different tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor

A, P, Q = 0.1, 10.0, 20.0


class Bits(NamedTuple):
    """Bits a token."""

    unigram: float
    position: float
    bigram: float


def counted(fitted: Tensor, held: Tensor, vocabulary: int) -> Bits:
    """Models of `fitted` [N, T], measured on `held` [M, T]."""
    fitted, held = fitted.long(), held.long()
    count = torch.bincount(fitted.flatten(), minlength=vocabulary).double()
    share = (count + A) / (count.sum() + A * vocabulary)
    alone = share[held]  # [M, T]
    at, at_held = (_joined(torch.arange(x.shape[1]).expand_as(x), x, vocabulary) for x in (fitted, held))
    by_place = (_seen(at, at_held) + P * alone) / (len(fitted) + P)
    pairs, pairs_held = (_joined(x[:, :-1], x[:, 1:], vocabulary) for x in (fitted, held))
    before = torch.bincount(fitted[:, :-1].flatten(), minlength=vocabulary).double()[held[:, :-1]]
    after = (_seen(pairs, pairs_held) + Q * alone[:, 1:]) / (before + Q)
    models = (alone, by_place, torch.cat([alone[:, :1], after], dim=1))
    return Bits(*(float(-model.log2().mean()) for model in models))


def _joined(context: Tensor, token: Tensor, vocabulary: int) -> Tensor:
    return context * vocabulary + token


def _seen(fitted: Tensor, asked: Tensor) -> Tensor:
    """How often each value of `asked` is among `fitted`: a table of V x V counts would not fit where V is large."""
    if not fitted.numel():
        return torch.zeros(asked.shape, dtype=torch.float64)
    values, counts = fitted.flatten().unique(return_counts=True)
    place = torch.searchsorted(values, asked.contiguous()).clamp(max=len(values) - 1)
    return torch.where(values[place] == asked, counts[place], 0).double()
