"""Gradients of what compares the pictures of a step, as if they were all in one process and one part.

A discriminator's minibatch deviation makes each logit depend on other pictures. Here they may lie in other micro-batches and
other processes: features come first, without a graph; the head sees those of the whole batch; and what the loss says of
features is handed to each part when its graph is there. Everything before the head is computed once more than in one part.

Letters: B pictures of a step, b of them ours, F features of a picture before the head.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d import distributed

Head = Callable[[Tensor], Tensor]  # features [n, F...] => logits [n], which depend on all n pictures
Look = Callable[[slice], Tensor]  # a part of ours => its features


@dataclass(frozen=True)
class Judged:
    """Logits [b] of our pictures, and the gradient [b, F...] by their features of the sum of all losses of the batch."""

    logits: Tensor
    slopes: Tensor


def ours(batch: int) -> slice:
    """Which of the B pictures of a step are ours."""
    return distributed.share(torch.arange(batch))


def gathered(own: Tensor, batch: int) -> Tensor:
    """[b, ...] of each process => [B, ...] in all of them; without a graph."""
    if distributed.world() == 1:
        return own.detach()
    whole = own.new_zeros(batch, *own.shape[1:])
    whole[ours(batch)] = own.detach()
    return distributed.sum_value(whole)


def returned(gradient: Tensor | None, batch: int) -> Tensor:
    """The gradients by [B, ...] of all processes, added up => those by ours [b, ...]."""
    assert gradient is not None
    return distributed.sum_value(gradient)[ours(batch)]


def judged(look: Look, head: Head, loss: Head, parts: Sequence[slice], batch: int) -> Judged:
    """Our logits among those of the whole batch. Leaves the gradient of the head's parameters behind, of `loss` over B."""
    leaf = gathered(_features(look, parts), batch).requires_grad_()
    logits = head(leaf)[ours(batch)]
    # All processes see all features, but each counts the losses of its own pictures alone.
    (loss(logits).sum() / batch).backward()
    return Judged(logits.detach(), returned(leaf.grad, batch) * batch)


def seen(features: Tensor, part: slice, head: Head, loss: Head, known: Judged | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [n] of a part, its losses [n], and a sum whose gradient by the features is that of the losses; the part compares
    its own pictures, or is one of what `known` compares."""
    if known is None:
        logits = head(features)
        losses = loss(logits)
        return logits, losses, losses.sum()
    logits = known.logits[part]
    return logits, loss(logits), (features * known.slopes[part]).sum()


def r1(
    look: Callable[[Tensor, slice], Tensor], head: Head, real: Tensor, parts: Sequence[slice], batch: int, weight: float
) -> Tensor:
    """R1 of our pictures [b, ...] over B, where logits depend on other pictures; leaves the gradients of `weight` times it.

    With u = dS / dfeatures of the sum S of all logits, the slope at a picture is that of u . features; so it reaches the
    parameters along two ways: through the picture's own features, and through u, which depends on everybody's."""
    leaf = gathered(_features(lambda part: look(real[part], part), parts), batch).requires_grad_()
    (whole,) = torch.autograd.grad(head(leaf).sum(), leaf, create_graph=True)
    u = whole[ours(batch)]
    held, value = u.detach().requires_grad_(), real.new_zeros(())
    for part in parts:
        x = real[part].detach().requires_grad_()
        (slope,) = torch.autograd.grad(look(x, part), x, held[part], create_graph=True)
        found = 0.5 * slope.square().sum() / batch
        (found * weight).backward()
        value = value + found.detach()
    u.backward(held.grad)
    slopes = returned(leaf.grad, batch)
    for part in parts:
        (look(real[part], part) * slopes[part]).sum().backward()
    return value


@torch.no_grad()
def _features(look: Look, parts: Sequence[slice]) -> Tensor:
    return torch.cat([look(part) for part in parts])
