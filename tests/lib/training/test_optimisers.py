"""Schedules and AdamW with two groups, by numbers worked out by hand."""

import math

import pytest
import torch
from g3d.training import checkpoint, optimisers, schedules
from torch import Tensor, nn


def test_the_cosine_falls_to_its_floor() -> None:
    """10 steps after 4 of warm-up: a quarter a step up; in the middle half way from 1 to 0.2, at the end 0.2."""
    seen = [schedules.cosine(step, 14, 4, 0.2) for step in range(15)]
    assert seen[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert seen[9] == pytest.approx(0.6) and seen[14] == pytest.approx(0.2)
    assert seen[6] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 5)))
    assert sorted(seen[4:], reverse=True) == seen[4:]
    assert [schedules.cosine(step, 8, floor=1.0) for step in range(9)] == [1.0] * 9


def test_without_a_floor_the_cosine_has_the_bits_that_it_had() -> None:
    for step in range(1000):
        wanted = (step + 1) / 7 if step < 7 else 0.5 * (1 + math.cos(math.pi * (step - 7) / 993))
        assert schedules.cosine(step, 1000, 7) == wanted


def test_the_rate_of_every_group_is_a_share_of_its_own() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    found = torch.optim.SGD([{"params": [p], "lr": lr, "base_lr": lr} for p, lr in ((a, 0.5), (b, 2.0))])
    schedules.set_lr(found, schedules.cosine(9, 14, 4, 0.2))
    assert [group["lr"] for group in found.param_groups] == pytest.approx([0.3, 1.2])


class Model(nn.Module):
    """One of each kind; the head shares its matrix with the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.linear = nn.Linear(4, 4)
        self.kernel = nn.Conv2d(1, 2, 3)
        self.norms = nn.ModuleList([nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.BatchNorm1d(4), nn.RMSNorm((2, 2))])
        self.scale = nn.Parameter(torch.ones(()))
        self.head = nn.Linear(4, 5)
        self.head.weight = self.words.weight


def test_matrices_and_kernels_decay_and_nothing_else() -> None:
    model = Model()
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, spared = optimisers.decay_groups([model, model.linear])  # a module twice, its parameters once
    assert [names[id(p)] for p in decayed] == ["linear.weight", "kernel.weight"]
    assert {names[id(p)] for p in spared} == set(names.values()) - {"linear.weight", "kernel.weight"}
    assert len(spared) + len(decayed) == len(names)


def test_a_step_of_adamw_by_hand() -> None:
    """The first step of Adam moves every number by lr against the sign of its gradient; decay takes lr * 0.5 of a weight."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -4.0]]))
        layer.bias.fill_(1.0)
    found = optimisers.adamw([layer], 0.1, (0.9, 0.99), 0.5)
    assert [(g["weight_decay"], g["lr"], g["base_lr"], g["betas"]) for g in found.param_groups] == [
        (0.5, 0.1, 0.1, (0.9, 0.99)), (0.0, 0.1, 0.1, (0.9, 0.99)),
    ]  # fmt: skip
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0, -7.0]]), torch.tensor([5.0])
    found.step()
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[2.0 * 0.95 - 0.1, -4.0 * 0.95 + 0.1]]))
    torch.testing.assert_close(layer.bias.detach(), torch.tensor([0.9]))


def test_a_model_without_matrices_has_one_group_and_the_state_goes_round() -> None:
    def moved(optimiser: torch.optim.Optimizer, norm: nn.Module, gradient: Tensor) -> None:
        for p in norm.parameters():
            p.grad = gradient.clone()
        optimiser.step()

    one, two = nn.LayerNorm(3), nn.LayerNorm(3)
    first, second = (optimisers.adamw([norm], 0.1, (0.9, 0.95), 0.5) for norm in (one, two))
    assert [group["weight_decay"] for group in first.param_groups] == [0.0]
    moved(first, one, torch.tensor([1.0, -2.0, 0.5]))
    two.load_state_dict(one.state_dict())
    kept = {name: value.clone() for name, value in checkpoint.pack_optimiser("o", first).items()}
    checkpoint.unpack_optimiser("o", second, kept)
    for optimiser, norm in ((first, one), (second, two)):
        moved(optimiser, norm, torch.tensor([-1.0, 0.1, 0.2]))
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
