"""Optimisers with groups of parameters: AdamW whose weight decay spares what has no matrix in it."""

from collections.abc import Iterable

import torch
from torch import nn

_SPARED = (
    nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase,
)  # fmt: skip


def adamw(
    modules: Iterable[nn.Module], lr: float, betas: tuple[float, float], weight_decay: float, eps: float = 1e-8
) -> torch.optim.AdamW:
    """AdamW (Loshchilov, Hutter 2019) with two groups: matrices and kernels decay; biases, norms, embeddings and whatever has
    one axis or none do not. A parameter that two modules share is one parameter, and spared if one of them spares it."""
    decayed, spared = decay_groups(modules)
    groups = [
        {"params": some, "lr": lr, "base_lr": lr, "weight_decay": decay}
        for some, decay in ((decayed, weight_decay), (spared, 0.0))
        if some
    ]
    return torch.optim.AdamW(groups, betas=betas, eps=eps, fused=True)


def decay_groups(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters of all modules, each once, in their order: those that decay, and those that are spared."""
    modules = list(modules)
    parts = [part for module in modules for part in module.modules()]
    spared = {id(p) for part in parts if isinstance(part, _SPARED) for p in part.parameters(recurse=False)}
    every = {id(p): p for module in modules for p in module.parameters()}
    matrix = {key: p.dim() > 1 and key not in spared for key, p in every.items()}
    return [p for key, p in every.items() if matrix[key]], [p for key, p in every.items() if not matrix[key]]
