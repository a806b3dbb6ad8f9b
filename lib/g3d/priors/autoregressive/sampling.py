"""Drawing latents token after token, with the keys and values of earlier tokens kept.

Letters: B latents, T tokens of each, V different tokens, C classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.nets.keyed import draw_keys, uniform
from g3d.priors.autoregressive.config import SampleSettings
from g3d.priors.autoregressive.network import TokenTransformer
from g3d.progress import Tell
from g3d.seeds import rng


def filtered(logits: Tensor, settings: SampleSettings) -> Tensor:
    """Logits [B, V] => the probabilities of what may be drawn, not summing to one where some is taken away.

    Temperature, top-k, softmax, top-p, in this order (Esser et al. 2021, as VIM samples). Tokens that are as probable as the last
    one that stays also stay: which of equals comes first would depend on the device."""
    logits = logits.double()
    top_k = settings.top_k
    if settings.temperature == 0:
        top_k = 1
    else:
        logits = (logits - logits.amax(dim=1, keepdim=True)) / settings.temperature  # the largest is 0, never infinite
    if top_k:
        last = logits.topk(top_k, dim=1).values[:, -1:]
        logits = logits.masked_fill(logits < last, -torch.inf)
    probable = logits.softmax(dim=1)
    if settings.top_p < 1:
        falling = probable.sort(dim=1, descending=True).values
        before = falling.cumsum(dim=1) - falling  # the sum without the token itself: the one that crosses p stays
        last = falling.masked_fill(before >= settings.top_p, torch.inf).amin(dim=1, keepdim=True)
        probable = probable.masked_fill(probable < last, 0)
    return probable


def raced(probable: Tensor, keys: Tensor) -> Tensor:
    """Draw from probabilities [B, V], not necessarily summing to one, by keys [B, 2] => tokens [B].

    Token v arrives after a time of -log(u_v) / p_v; the first one is drawn. Compared with the inverse of the cumulative
    distribution, which a rounding of one logit moves at every later token, a rounding matters only where the two first ones
    arrive together: so a batch of another size, whose products are rounded otherwise, draws the same."""
    times = -uniform(keys, probable.shape[1]).log() / probable
    return times.argmin(dim=1)


@torch.no_grad()
def draw(
    network: TokenTransformer, first: Tensor, keys: Tensor, settings: SampleSettings, tell: Tell | None = None
) -> Tensor:
    """first [B], the classes or zeros, keys [B, T, 2] => tokens [B, T]; refuses logits that are not finite."""
    caches, last, found = network.caches(len(first)), first, []
    for place in range(keys.shape[1]):
        logits = network.following(last, place, caches)
        if not bool(logits.isfinite().all()):
            raise G3dError(
                f"the prior's logits of token {place} hold NaN or infinity: its weights overflow; fit it again, or take another"
            )
        last = raced(filtered(logits, settings), keys[:, place])
        found.append(last)
        if tell is not None:
            tell(place + 1, keys.shape[1])
    return torch.stack(found, dim=1)


def token_keys(indices: Sequence[int], seed: int, tokens: int) -> Tensor:
    """[B, T, 2]: what sample i draws its tokens by, from its own stream."""
    return torch.stack([draw_keys(tokens, generator=rng(seed, i, "prior")) for i in indices])


def drawn_classes(indices: Sequence[int], seed: int, counts: Tensor) -> list[int]:
    """A class for every sample, as often as each is among `counts` [C], from a stream of its own."""
    ends = counts.double().cumsum(dim=0)
    shares = [torch.rand((), generator=rng(seed, i, "prior class"), dtype=torch.float64) for i in indices]
    return [int(torch.searchsorted(ends, share * ends[-1], right=True)) for share in shares]
