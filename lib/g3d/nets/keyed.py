"""Random numbers that are functions of keys: the same on any device, in any batch, however often they are asked for.

A counter goes through the rounds of an integer hash (the idea: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3";
the round: Wellons 2018, a search for 32-bit hashes). A step's dropout is then the same when a batch is cut into
micro-batches or shared by processes, when a block is computed again for its gradient, and when a run is resumed.

Letters: B samples, each with its two keys [B, 2] int32.
"""

import torch
from torch import Tensor

_WEYL, _FIRST, _SECOND = (n - 2**32 if n >= 2**31 else n for n in (0x9E3779B9, 0x7FEB352D, 0x846CA68B))
KEYS = 2


def draw_keys(*shape: int, generator: torch.Generator) -> Tensor:
    """[*shape, 2] keys, on the CPU."""
    return torch.randint(-(2**31), 2**31, (*shape, KEYS), dtype=torch.int32, generator=generator)


def bits(keys: Tensor, count: int) -> Tensor:
    """[B, 2] => [B, count] int32, every value as likely as any other."""
    counter = torch.arange(count, dtype=torch.int32, device=keys.device) * _WEYL  # int32 wraps around
    return _round(_round(counter + keys[:, :1]) ^ keys[:, 1:])


def uniform(keys: Tensor, count: int) -> Tensor:
    """[B, 2] => [B, count] float64 in (0, 1), multiples of 2^-33."""
    return (bits(keys, count).double() + (2**31 + 0.5)) / 2**32


def dropout(x: Tensor, keys: Tensor, share: float) -> Tensor:
    """x [B, ...] with that share of its numbers set to 0, the others scaled so that the mean stays (Srivastava et al. 2014)."""
    if share == 0:
        return x
    kept = bits(keys, x[0].numel()).view_as(x) >= round(share * 2**32) - 2**31
    return x * kept.to(x.dtype) / (1 - share)


def _round(x: Tensor) -> Tensor:
    """A bijection of int32; the masks make of the shift, which copies the sign, one that does not."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * _FIRST
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _SECOND
    return x ^ ((x >> 16) & 0xFFFF)
