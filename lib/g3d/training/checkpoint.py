"""Modules and optimisers <=> named tensors, for state files that resume exactly."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from g3d.errors import G3dError


def pack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`prefix.name` for every tensor."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix`, by their names without it."""
    start = prefix + "."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def pack_optimiser(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of each parameter, numbered in the optimiser's order."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{prefix}.{i}.{name}": torch.as_tensor(value) for i, slots in state.items() for name, value in slots.items()
    }


def unpack_optimiser(prefix: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state back; learning rates come from the schedule, not from here."""
    found = unpack(prefix, tensors)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in found.items():
        index, _, slot = name.partition(".")
        state.setdefault(int(index), {})[slot] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)


def load_module(module: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load weights by name, all of them; `where` names the file when they do not fit."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise G3dError(
            f"the weights of '{where}' do not fit its settings ({' '.join(lines)}); fit the model again"
        ) from error
