"""What a state file holds: the names that it has always had, everything put back, and nothing that does not fit."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.errors import G3dError
from g3d.storage import artifacts
from g3d.training.checkpoint import State, load_module
from torch import Tensor, nn


def made(seed: int, width: int = 3, codes: int = 4) -> tuple[State, dict[str, float]]:
    """A model with buffers, an optimiser of two groups that has stepped, codes, and two numbers."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
    table, numbers = nn.Parameter(torch.randn(codes, 2)), {"seen": 2**53 + seed, "strength": 0.1 + seed}
    groups = [{"params": list(model.parameters()), "lr": 0.1}, {"params": [table], "lr": 0.2}]
    optimiser = torch.optim.Adam(groups)
    (model(torch.randn(5, width)).square().sum() + table.sum()).backward()
    optimiser.step()
    return State({"model": model, "average": copy.deepcopy(model)}, {"adam": optimiser}, {"codes": table}, numbers), (
        numbers
    )


def by_hand(state: State, numbers: dict[str, float]) -> dict[str, Tensor]:
    """The names that state files have, as they were spelled before one value knew them all."""
    found: dict[str, Any] = {"codes": state.tensors["codes"].detach()}
    for name in ("model", "average"):
        found |= {f"{name}.{key}": value for key, value in state.modules[name].state_dict().items()}
    slots = state.optimisers["adam"].state_dict()["state"]
    for i in range(5):
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            found[f"adam.{i}.{slot}"] = slots[i][slot]
    found["seen"] = torch.tensor(numbers["seen"], dtype=torch.int64)
    found["strength"] = torch.tensor(numbers["strength"], dtype=torch.float64)
    return found


def written(path: Path, tensors: dict[str, Tensor]) -> artifacts.Artifact:
    artifacts.write(path, "state", tensors, {"step": 1, "settings": {}})
    return artifacts.read(path, "state")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)


def test_the_names_of_a_state_and_all_of_it_comes_back(tmp_path: Path) -> None:
    one, numbers = made(0)
    assert same(one.pack(), by_hand(one, numbers))
    file = written(tmp_path / "state.safetensors", {**by_hand(one, numbers), "run.losses": torch.zeros(2)})
    two, others = made(1)
    assert not same(two.pack(), one.pack())
    places = [two.tensors["codes"].data_ptr(), *(p.data_ptr() for p in two.modules["model"].parameters())]
    two.resume(file)
    assert same(two.pack(), one.pack()) and others == numbers and type(others["seen"]) is int
    assert places == [two.tensors["codes"].data_ptr(), *(p.data_ptr() for p in two.modules["model"].parameters())]
    for state in (one, two):  # the optimisers go on alike
        for p in state.modules["model"].parameters():
            p.grad = torch.ones_like(p)
        state.optimisers["adam"].step()
    assert same(two.pack(), one.pack())


def test_what_does_not_fit_is_named_and_nothing_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    one, numbers = made(0)
    tensors = by_hand(one, numbers)
    cases: list[tuple[dict[str, Tensor], set[str], str]] = [
        ({"codes": torch.zeros(6, 2)}, set(), r"'codes' has shape \[6, 2\], wanted is \[4, 2\]"),
        ({}, {"codes"}, r"'codes' \[4, 2\] is missing"),
        ({}, {"seen"}, r"'seen' \[\] is missing"),
        ({}, {"average.0.weight"}, r"'average.0.weight' \[3, 3\] is missing"),
        ({"model.2.bias": torch.zeros(1)}, set(), "'model.2.bias' is unknown here"),
        ({"adam.1.exp_avg": torch.zeros(7)}, set(), r"'adam.1.exp_avg' has shape \[7\], wanted is \[3\]"),
        ({"adam.5.exp_avg": torch.zeros(7)}, set(), "'adam.5.exp_avg' belongs to none of the 5 parameters"),
        ({"adam.x": torch.zeros(7)}, set(), "'adam.x' belongs to none"),
    ]
    for more, less, sentence in cases:
        file = written(path, {n: v for n, v in {**tensors, **more}.items() if n not in less})
        two, others = made(1)
        before = copy.deepcopy(two.pack())
        with pytest.raises(G3dError, match=rf"state.safetensors' does not fit this run \({sentence}.*those of before"):
            two.resume(file)
        assert same(two.pack(), before) and others == made(1)[1]


def test_many_misfits_are_counted(tmp_path: Path) -> None:
    small, numbers = made(0)
    file = written(tmp_path / "state.safetensors", by_hand(small, numbers))
    with pytest.raises(
        G3dError, match=r"'model.0.weight' has shape \[3, 3\], wanted is \[5, 5\].*; 2\d misfits in all"
    ):
        made(0, width=5)[0].resume(file)
    with pytest.raises(
        G3dError, match=r"the weights of 'x' do not fit its settings \('weight' \[2, 2\] is missing; 'bias'"
    ):
        load_module(nn.Linear(2, 2), {}, "x")


def test_a_state_without_steps_resumes(tmp_path: Path) -> None:
    """Of a run of no step: the optimiser remembers nothing yet."""
    layer = nn.Linear(2, 2)
    state = State({"model": layer}, {"adam": torch.optim.Adam(layer.parameters())})
    state.resume(written(tmp_path / "s.safetensors", state.pack()))
    assert state.pack().keys() == {"model.weight", "model.bias"}
