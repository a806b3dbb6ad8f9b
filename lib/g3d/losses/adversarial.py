"""The adversarial game: the non-saturating logistic loss (Goodfellow et al. 2014) and R1 (Mescheder et al. 2018).

Each is a value a picture, [B]; the caller divides by the batch, of which it may hold a part.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(fake)), [B]."""
    return F.softplus(-fake_logits)


def fake_loss(fake_logits: Tensor) -> Tensor:
    """The discriminator's on generated pictures: -log(1 - sigmoid(D(fake))), [B]."""
    return F.softplus(fake_logits)


def real_loss(real_logits: Tensor) -> Tensor:
    """The discriminator's on real pictures: -log sigmoid(D(real)), [B]."""
    return F.softplus(-real_logits)


def r1(real_logits: Tensor, real: Tensor) -> Tensor:
    """Half the squared norm of the gradient at the real pictures, [B]; times gamma it is the penalty.

    `real` [B, ...] must require a gradient. What comes back can be differentiated again, with respect to the weights."""
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return 0.5 * slope.square().flatten(1).sum(dim=1)
