"""A book of unit codes: each latent becomes the nearest of them, and passes its gradient straight through (ViT-VQGAN, sec. 3.2).

Letters: B pictures, T tokens, K codes, D numbers of a code, W features.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d import distributed
from g3d.methods.vq3d.config import Config

_USE_DECAY = 0.99  # of the counts that usage and perplexity are taken from


class Quantised(NamedTuple):
    """`codes` [B, T, D] of norm 1, with the gradient of the latents; `tokens` [B, T]; `loss` [B]; the `latents` [B, T, D]."""

    codes: Tensor
    tokens: Tensor
    loss: Tensor
    latents: Tensor


class Tally(NamedTuple):
    """What the latents of a step say of the codes: how many chose each [K], their sum [K, D]."""

    counts: Tensor
    sums: Tensor


class Quantiser(nn.Module):
    """Latents [B, T, D] => codes. Moved by `learn` (means) or by the loss (gradient)."""

    used: Tensor
    chosen: Tensor
    mean_counts: Tensor
    mean_sums: Tensor

    def __init__(self, config: Config, rng: torch.Generator | None = None):
        super().__init__()
        self.config = config
        start = F.normalize(torch.randn(config.codes, config.code_dim, generator=rng), dim=-1)
        self.codes = nn.Parameter(start, requires_grad=config.codebook == "gradient")
        self.register_buffer("used", torch.zeros(config.codes))  # decaying counts, for the log
        self.register_buffer("chosen", torch.zeros(config.codes))  # since the last reset
        self.register_buffer("mean_counts", torch.ones(config.codes))
        self.register_buffer("mean_sums", start.clone())

    def book(self) -> Tensor:
        """[K, D], of norm 1."""
        return F.normalize(self.codes, dim=-1)

    def forward(self, raw: Tensor) -> Quantised:
        """The nearest codes by Euclidean distance, which among unit vectors is the largest product."""
        z = F.normalize(raw.float(), dim=-1)
        book = self.book()
        with torch.no_grad():
            tokens = (z.detach().flatten(0, -2) @ book.T).argmax(dim=1).view(z.shape[:-1])
        near = book[tokens]
        commitment = (z - near.detach()).square().mean(dim=(1, 2))
        loss = self.config.commitment * commitment
        if self.config.codebook == "gradient":
            loss = loss + (near - z.detach()).square().mean(dim=(1, 2))
        return Quantised(z + (near - z).detach(), tokens, loss, z)

    def lookup(self, tokens: Tensor) -> Tensor:
        """Codes [B, T, D] of tokens."""
        return self.book()[tokens]

    @torch.no_grad()
    def tally(self, found: Quantised) -> Tally:
        """Counts and sums of the latents of some pictures."""
        flat, tokens = found.latents.detach().flatten(0, -2), found.tokens.flatten()
        counts = torch.bincount(tokens, minlength=self.config.codes).to(flat)
        return Tally(counts, torch.zeros_like(self.codes).index_add_(0, tokens, flat))

    @torch.no_grad()
    def learn(self, tally: Tally) -> None:
        """After a step, of all processes' tallies: counts for the log and the reset; codes where they are means."""
        counts, sums = distributed.sum_value(tally.counts), distributed.sum_value(tally.sums)
        self.used.mul_(_USE_DECAY).add_(counts, alpha=1 - _USE_DECAY)
        self.chosen += counts
        if self.config.codebook == "ema":
            decay = self.config.codebook_decay
            self.mean_counts.mul_(decay).add_(counts, alpha=1 - decay)
            self.mean_sums.mul_(decay).add_(sums, alpha=1 - decay)
            self.codes.copy_(self.mean_sums / self.mean_counts.clamp(min=1e-3).unsqueeze(1))

    @torch.no_grad()
    def replace(self, which: Tensor, latents: Tensor, rng: torch.Generator) -> None:
        """Codes `which` [K] (bool) become latents [N, D] of unit norm, drawn; a little noise tells those apart that are alike."""
        count = int(which.sum())
        if not count:
            return
        rows = torch.randint(len(latents), (count,), generator=rng)
        noise = 0.01 * torch.randn(count, latents.shape[1], generator=rng)
        new = F.normalize(latents[rows.to(latents.device)] + noise.to(latents), dim=-1)
        self.codes[which], self.mean_sums[which], self.mean_counts[which] = new, new, 1.0

    @torch.no_grad()
    def reset(self, latents: Tensor, rng: torch.Generator) -> int:
        """Codes that nobody has chosen since the last reset become latents [N, D] of this step; returns how many."""
        dead = self.chosen == 0
        self.replace(dead, latents, rng)
        self.chosen.zero_()
        return int(dead.sum())

    def usage(self) -> tuple[Tensor, Tensor]:
        """Codes in use of late (at least once in a thousand choices of an even book), and their perplexity."""
        share = self.used / self.used.sum().clamp(min=1e-12)
        perplexity = torch.exp(-(share * share.clamp(min=1e-12).log()).sum())
        return (share > 1e-3 / self.config.codes).sum(), perplexity


def spread(latents: Tensor) -> Tensor:
    """Root of the summed variance of unit latents [B, T, D] over all of them: 1 where they point everywhere, 0 where all are
    alike, which full usage can hide."""
    return latents.flatten(0, -2).var(dim=0, unbiased=False).sum().sqrt()
