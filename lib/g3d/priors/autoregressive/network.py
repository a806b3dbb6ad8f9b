"""A transformer that says of every token of a latent how probable it is after those before it.

Letters: B latents, T tokens of each, V different tokens, C classes, W width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from g3d.nets.keyed import draw_keys, dropout
from g3d.nets.transformer import Block, Cache, Change, initialise
from g3d.priors.autoregressive.config import Config
from g3d.seeds import rng


class TokenTransformer(nn.Module):
    """Decoder blocks behind a first place that stands for the class, or for the start where there are none."""

    def __init__(self, tokens: int, vocabulary: int, classes: int, settings: Config):
        super().__init__()
        s, self.settings = settings, settings
        self.start = nn.Embedding(max(classes, 1), s.width)
        self.token = nn.Embedding(vocabulary, s.width)
        self.position = nn.Embedding(tokens, s.width)
        self.blocks = nn.ModuleList(Block(s.width, s.heads, s.head_dim, s.hidden, causal=True) for _ in range(s.layers))
        self.norm = nn.LayerNorm(s.width)
        self.logits = nn.Linear(s.width, vocabulary)
        initialise(self, s.layers)

    def forward(self, first: Tensor, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """first [B], the classes or zeros, and tokens [B, T] => logits [B, T, V], each from what lies before it.

        With keys [B, places, 2] there is dropout, without them none."""
        entered = torch.cat([self.start(first).unsqueeze(1), self.token(tokens[:, :-1])], dim=1)  # [B, T, W]
        x = entered + self.position.weight[: tokens.shape[1]]
        if keys is not None:
            x = dropout(x, keys[:, 0], self.settings.dropout)
        for number, block in enumerate(self.blocks):
            drops = None if keys is None else (self._drop(keys[:, 2 * number + 1]), self._drop(keys[:, 2 * number + 2]))
            if self.settings.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, None, drops, use_reentrant=False)
            else:
                x = block(x, None, drops)
        logits: Tensor = self.logits(self.norm(x))
        return logits

    def following(self, last: Tensor, place: int, caches: list[Cache]) -> Tensor:
        """last [B], the token before `place` (the class or 0 at place 0) => logits [B, V] of the one there; fills the caches."""
        table = self.token if place else self.start
        x = (table(last) + self.position.weight[place]).unsqueeze(1)  # [B, 1, W]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache)
        logits: Tensor = self.logits(self.norm(x[:, 0]))
        return logits

    def caches(self, batch: int) -> list[Cache]:
        """Empty ones, for all blocks and places."""
        like = self.position.weight
        return [b.attention.cache(batch, len(like), like) for b in self.blocks if isinstance(b, Block)]

    def _drop(self, keys: Tensor) -> Change:
        return lambda x: dropout(x, keys, self.settings.dropout)


def build(tokens: int, vocabulary: int, classes: int, settings: Config, seed: int) -> TokenTransformer:
    """The network as a run of this seed starts it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng(seed, 0, "initial weights").initial_seed())  # any whole number => 63 bits
        return TokenTransformer(tokens, vocabulary, classes, settings)


def dropout_keys(batch: int, settings: Config, seed: int, step: int) -> Tensor:
    """[B, places, 2]: the keys of every latent of a step, whichever process and micro-batch it falls to."""
    return draw_keys(batch, 2 * settings.layers + 1, generator=rng(seed, step, "dropout"))


def summed_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy in nats, over all tokens [B, T] of logits [B, T, V]."""
    return F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten(), reduction="sum")
