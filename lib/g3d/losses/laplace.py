"""The logit-Laplace loss of pictures (Ramesh et al. 2021, appendix A.3, without its scale; ViT-VQGAN, eq. 1)."""

import torch
from torch import Tensor

MARGIN = 0.1  # values in [0, 1] => [0.1, 0.9], where the logit is tame


def logit_laplace(found: Tensor, wanted: Tensor) -> Tensor:
    """|logit x' - logit y'| with x' = 0.8 x + 0.1, elementwise; `found` may leave [0, 1] a little."""
    return (_logit(found) - _logit(wanted)).abs()


def _logit(x: Tensor) -> Tensor:
    return torch.logit((1 - 2 * MARGIN) * x + MARGIN, eps=1e-6)
