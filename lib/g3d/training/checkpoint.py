"""What training changes <=> named tensors, for state files that resume exactly."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from g3d.errors import G3dError
from g3d.storage import artifacts

_SHOWN = 4  # misfits that a sentence names


@dataclass(frozen=True)
class State:
    """All that --resume needs, by the names that it has in the state file: what training changes and no step can tell again.

    Tensors are put back in their place; numbers into the table, from which the loop reads them."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: MutableMapping[str, float] = field(default_factory=dict)

    def pack(self) -> dict[str, Tensor]:
        """The tensors of the state file; those of modules and optimisers are their own, no copies."""
        found = dict(self.tensors)
        for name, value in self.numbers.items():
            found[name] = torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)
        for name, module in self.modules.items():
            found |= pack(name, module.state_dict())
        for name, optimiser in self.optimisers.items():
            found |= pack_optimiser(name, optimiser)
        return found

    def trained(self) -> int:
        """How many numbers the optimisers move."""
        groups = (group for optimiser in self.optimisers.values() for group in optimiser.param_groups)
        return sum(parameter.numel() for group in groups for parameter in group["params"])

    @torch.no_grad()
    def resume(self, file: artifacts.Artifact) -> None:
        """Put everything back, or nothing: refuses a file that does not fit. Learning rates come from the schedule."""
        kept = file.values
        bad = list(self._misfits(kept))
        if bad:
            raise G3dError(
                f"'{file.path}' does not fit this run ({listed(bad)}): its settings or its data have changed; resume it with "
                "those of before"
            )
        for name, module in self.modules.items():
            module.load_state_dict(unpack(name, kept))
        for name, optimiser in self.optimisers.items():
            unpack_optimiser(name, optimiser, kept)
        for name, tensor in self.tensors.items():
            tensor.copy_(kept[name])
        for name in self.numbers:
            self.numbers[name] = kept[name].item()

    def _misfits(self, kept: Mapping[str, Tensor]) -> Iterator[str]:
        for name, module in self.modules.items():
            yield from misfits(unpack(name, kept), module.state_dict(), f"{name}.")
        alone = {**self.tensors, **dict.fromkeys(self.numbers, torch.zeros(()))}
        yield from misfits({name: kept[name] for name in alone if name in kept}, alone)
        for name, optimiser in self.optimisers.items():
            shapes = [p.shape for group in optimiser.param_groups for p in group["params"]]
            for slot, value in unpack(name, kept).items():
                place = slot.partition(".")[0]
                shape = shapes[int(place)] if place.isdigit() and int(place) < len(shapes) else None
                if shape is None:
                    yield f"'{name}.{slot}' belongs to none of the {len(shapes)} parameters"
                elif value.dim() and value.shape != shape:
                    yield f"'{name}.{slot}' has shape {list(value.shape)}, wanted is {list(shape)}"


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


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load weights by name, all of them; `where` names the file when they do not fit."""
    bad = misfits(tensors, module.state_dict())
    if bad:
        raise G3dError(f"the weights of '{where}' do not fit its settings ({listed(bad)}); fit the model again")
    module.load_state_dict(dict(tensors))


def misfits(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], prefix: str = "") -> list[str]:
    """What is wrong with tensors that are to have the names and shapes of `wanted`, one by one."""
    shapes = [
        f"'{prefix}{name}' has shape {list(found[name].shape)}, wanted is {list(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    lacking = [f"'{prefix}{name}' {list(wanted[name].shape)} is missing" for name in wanted if name not in found]
    return shapes + lacking + [f"'{prefix}{name}' is unknown here" for name in sorted(found) if name not in wanted]


def listed(bad: list[str]) -> str:
    """The first of many misfits, and how many there are."""
    more = f"; {len(bad)} misfits in all" if len(bad) > _SHOWN else ""
    return "; ".join(bad[:_SHOWN]) + more
