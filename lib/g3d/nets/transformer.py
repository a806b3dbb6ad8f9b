"""A pre-LN transformer block (Vaswani et al. 2017; norms first: Xiong et al. 2020), with or without a causal mask, and its cache.

Letters: B sequences, T tokens, W width, H heads, E numbers of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Change = Callable[[Tensor], Tensor]


@dataclass
class Cache:
    """Keys and values [B, H, T, E] of the tokens that a causal attention has seen; `seen` of the T places are filled."""

    keys: Tensor
    values: Tensor
    seen: int = 0

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the next tokens [B, H, t, E] => those of all so far."""
        end = self.seen + keys.shape[2]
        self.keys[:, :, self.seen : end], self.values[:, :, self.seen : end] = keys, values
        self.seen = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class Attention(nn.Module):
    """x [B, T, W] => [B, T, W]: queries, keys and values without biases, then one product."""

    def __init__(self, width: int, heads: int, head_dim: int, *, causal: bool = False):
        super().__init__()
        self.heads, self.head_dim, self.causal = heads, head_dim, causal
        self.qkv = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, width)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """With a cache, x is what follows the tokens in it: one token, or as many as there are at its start."""
        apart = self.qkv(x).unflatten(2, (3, self.heads, self.head_dim))  # [B, T, 3, H, E]
        q, k, v = apart.permute(2, 0, 3, 1, 4)  # [B, H, T, E] each
        many = x.shape[1] > 1
        if cache is not None:
            assert self.causal and not (many and cache.seen)
            k, v = cache.extended(k, v)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and many)
        mixed: Tensor = self.out(seen.transpose(1, 2).flatten(2))  # => [B, T, H E] => [B, T, W]
        return mixed

    def cache(self, batch: int, tokens: int, like: Tensor) -> Cache:
        """An empty cache, on the device and of the type of `like`."""
        shape = (batch, self.heads, tokens, self.head_dim)
        return Cache(like.new_empty(shape), like.new_empty(shape))


class Block(nn.Module):
    """x [B, T, W] => [B, T, W]: attention, then a feed-forward part of `hidden` numbers, each behind a norm and added to x."""

    def __init__(self, width: int, heads: int, head_dim: int, hidden: int, *, causal: bool = False):
        super().__init__()
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, head_dim, causal=causal)
        self.enter, self.leave = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, cache: Cache | None = None, drops: tuple[Change, Change] | None = None) -> Tensor:
        """`drops`: dropout of what attention adds, and of what the feed-forward part adds."""
        first, second = drops or (_same, _same)
        x = x + first(self.attention(self.norm_attention(x), cache))
        return x + second(self.leave(F.gelu(self.enter(self.norm_feed(x)))))


@torch.no_grad()
def initialise(module: nn.Module, blocks: int, std: float = 0.02) -> None:
    """Normal weights, biases of 0; what a block adds is smaller by the root of how many are added (Radford et al. 2019)."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    for block in (part for part in module.modules() if isinstance(part, Block)):
        for last in (block.attention.out, block.leave):
            nn.init.normal_(last.weight, std=std / (2 * blocks) ** 0.5)


def _same(x: Tensor) -> Tensor:
    return x
