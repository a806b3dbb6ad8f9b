"""Checkpoints as the public code writes them: pickled objects whose classes come with their source, storages in bytes."""

import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def official_state(layers: int = 2, width: int = 6, rank: int = 2, z_dim: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """A generator of the public code, by its names: 2 frequencies, random weights."""
    stream = torch.Generator().manual_seed(seed)
    state = {f"mapping.fc{i}.weight": torch.randn(z_dim, z_dim, generator=stream) * 100 for i in range(2)}
    state |= {f"mapping.fc{i}.bias": torch.randn(z_dim, generator=stream) for i in range(2)}
    for i in range(layers + 1):
        name = f"synthesis.pts_linears.{i}" if i < layers else "synthesis.output_linear"
        inputs = 15 if i == 0 else width + 15 * (i == 5)
        outputs = width if i < layers else 4
        state[f"{name}.weight"] = torch.randn(outputs, inputs, generator=stream)
        state[f"{name}.bias"] = torch.randn(outputs, generator=stream) * 0.1
        state[f"{name}.affine.weight"] = torch.randn(rank * (outputs + inputs), z_dim, generator=stream)
        state[f"{name}.affine.bias"] = torch.randn(rank * (outputs + inputs), generator=stream) * 0.1
    return state


@contextmanager
def public_packages() -> Iterator[tuple[Any, Any]]:
    """torch_utils.persistence and dnnlib.util as far as pickling needs them, for as long as it takes."""
    persistence, util = ModuleType("torch_utils.persistence"), ModuleType("dnnlib.util")
    source = "def _reconstruct_persistent_obj(meta): raise AssertionError('executed')"
    exec(source, persistence.__dict__)
    exec("class EasyDict(dict): pass", {"__name__": "dnnlib.util"}, util.__dict__)
    names = {"torch_utils": ModuleType("torch_utils"), "torch_utils.persistence": persistence}
    names |= {"dnnlib": ModuleType("dnnlib"), "dnnlib.util": util}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        yield persistence._reconstruct_persistent_obj, util.EasyDict
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def write_snapshot(path: Path, state: Mapping[str, Tensor], more: Mapping[str, Any] | None = None) -> None:
    """network-snapshot.pkl with G, D and G_ema, as nested persistent modules."""
    with public_packages() as (rebuild, easy):

        class Persistent:
            def __init__(self, state: Mapping[str, Any]):
                self.state = state

            def __reduce__(self) -> Any:
                source = "raise AssertionError('the source of a checkpoint was executed')"
                meta = easy(type="class", version=6, module_src=source, class_name="Generator", state=self.state)
                return rebuild, (meta,), None

        def module(tensors: Mapping[str, Tensor]) -> Persistent:
            own = {n: torch.nn.Parameter(t) for n, t in tensors.items() if "." not in n}
            inner: dict[str, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                first, dot, rest = name.partition(".")
                if dot:
                    inner.setdefault(first, {})[rest] = tensor
            modules = OrderedDict((n, module(part)) for n, part in inner.items())
            parts = {"_parameters": OrderedDict(own), "_buffers": OrderedDict(), "_modules": modules, "training": False}
            return Persistent(parts)

        content = {
            "G": module({}),
            "D": torch.nn.Linear(2, 2),
            "G_ema": module(state),
            "training_set_kwargs": easy(a=1),
        }
        path.write_bytes(pickle.dumps({**content, **(more or {})}))
