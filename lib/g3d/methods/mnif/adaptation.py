"""How an item's code is found: the inner loop of meta-learning (algorithm 1), and gradients shared by both algorithms.

Gradients go through the mixed weights: they are mixed once, the points pass in chunks that stay in cache, each chunk's gradient
stops at the mixed weights, and the sum goes back through the mix once. Second order needs the graph of all steps at once, so
there the points of an item are not cut; `micro_batch` bounds the memory.

Letters: S items, P points or rays of each, D numbers of a code.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from g3d.methods.mnif import batches, signals
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import MixtureOfSirens, code_size
from g3d.seeds import rng


def starts(config: Config, seed: int, step: int, places: Sequence[int]) -> Tensor:
    """Codes [S, D] from which the inner loop starts: phi ~ N(0, sigma^2 I), each place of a step from its own stream; or 0."""
    if config.alpha_start == "even":
        return torch.zeros(len(places), code_size(config))
    drawn = [torch.randn(code_size(config), generator=rng(seed, batches.key(step, place), "phi")) for place in places]
    return torch.stack(drawn) * config.latent_std


def joint_backward(
    mixture: MixtureOfSirens, codes: Tensor, batch: Any, config: Config, loss_of: signals.Loss
) -> Tensor:
    """Auto-decoding: gradients of bases, T and codes [S, D] of the mean loss of a step; returns our share of that loss.

    Each item counts 1 / config.batch, also when other processes hold the rest of the batch."""
    mixed = mixture.mix(codes)
    loss, gradients = through_mixed(mixed, batch, config, loss_of)
    decay = config.latent_decay * codes.square().mean(dim=1).sum()
    torch.autograd.backward(
        [*mixed, decay], [*(g / config.batch for g in gradients), decay.new_tensor(1 / config.batch)]
    )
    return loss / config.batch


def meta_backward(mixture: MixtureOfSirens, start: Tensor, batch: Any, config: Config, loss_of: signals.Loss) -> Tensor:
    """Meta-learning: gradients of bases and T of the mean loss behind the inner loop; returns our share of that loss."""
    codes = inner_loop(mixture, start, batch, config, loss_of, config.inner_steps, config.inner_lr)
    if config.adaptation == "meta-first-order":  # the codes count as constants
        mixed = mixture.mix(codes)
        loss, gradients = through_mixed(mixed, batch, config, loss_of)
        torch.autograd.backward(mixed, [g / config.batch for g in gradients])
        return loss / config.batch
    loss = loss_of(mixture.mix(codes), batch, signals.shares(config, batch)) / config.batch
    loss.backward()
    return loss.detach()


def inner_loop(
    mixture: MixtureOfSirens, start: Tensor, batch: Any, config: Config, loss_of: signals.Loss, steps: int, lr: float,
    *, learns: bool = True,
) -> Tensor:  # fmt: skip
    """Codes [S, D] after plain gradient steps on each item's own loss (algorithm 1, lines 6-8).

    With adaptation=meta they can be differentiated by the mixture's parameters, if it `learns`."""
    codes = start
    if learns and config.adaptation == "meta":
        share, codes = signals.shares(config, batch), start.requires_grad_()
        for _ in range(steps):
            (gradient,) = torch.autograd.grad(loss_of(mixture.mix(codes), batch, share), codes, create_graph=True)
            codes = codes - lr * gradient
        return codes
    for _ in range(steps):
        codes = codes - lr * code_gradient(mixture, codes, batch, config, loss_of)[1]
    return codes


def code_gradient(
    mixture: MixtureOfSirens, codes: Tensor, batch: Any, config: Config, loss_of: signals.Loss
) -> tuple[Tensor, Tensor]:
    """The sum of the items' losses, and its gradient by the codes [S, D]."""
    with torch.enable_grad():
        leaf = codes.detach().requires_grad_()
        mixed = mixture.mix(leaf)
        loss, gradients = through_mixed(mixed, batch, config, loss_of)
        (gradient,) = torch.autograd.grad(mixed, leaf, gradients)
    return loss, gradient


def through_mixed(
    mixed: Sequence[Tensor], batch: Any, config: Config, loss_of: signals.Loss
) -> tuple[Tensor, list[Tensor]]:
    """The sum of the items' losses, and its gradient by the mixed weights; few points are in memory at a time."""
    leaves = [w.detach().requires_grad_() for w in mixed]
    share, size = signals.shares(config, batch), signals.chunk(config)
    total = torch.zeros((), device=leaves[0].device)
    for start in range(0, share.shape[1], size):
        some = slice(start, start + size)
        loss = loss_of(leaves, batches.points(batch, some), share[:, some])
        loss.backward()
        total += loss.detach()
    return total, [leaf.grad for leaf in leaves if leaf.grad is not None]
