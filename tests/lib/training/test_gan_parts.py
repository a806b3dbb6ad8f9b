"""Parts of adversarial training: the augmentation's controller, Adam for a lazy penalty, the average's ramp-up, a step."""

import pytest
import torch
from g3d import distributed
from g3d.errors import G3dError
from g3d.training import ema, gan, lazy
from g3d.training.ada import Controller
from torch import nn

CPU = torch.device("cpu")


def simulate(controller: Controller, steps: int, overfitting: float, batch: int = 4) -> list[float]:
    """A discriminator whose sign statistic is `overfitting` less p: it falls as the augmentation grows stronger."""
    seen, stream = [], torch.Generator().manual_seed(0)
    for step in range(steps):
        positive = (1 + overfitting - controller.p) / 2  # P(D(real) > 0), so that E[sign] = overfitting - p
        signs = torch.where(torch.rand(batch, generator=stream) < positive, 1.0, -1.0)
        controller.see(signs.sum(), batch)
        controller.adjust(step, batch)
        seen.append(float(controller.p))
    return seen


def test_the_controller_finds_the_strength_that_gives_the_target() -> None:
    seen = simulate(Controller(0.0, CPU, target=0.6, full_range_items=10_000), 6000, overfitting=0.9)
    assert sum(seen[3000:]) / 3000 == pytest.approx(0.3, abs=0.05)  # 0.9 - 0.3 = 0.6
    assert max(seen[3000:]) - min(seen[3000:]) < 0.2


def test_the_controller_moves_no_faster_than_its_range_and_stays_in_0_to_1() -> None:
    seen = simulate(Controller(0.0, CPU, full_range_items=1600), 800, overfitting=3.0)  # signs are always 1
    assert seen[399] == pytest.approx(1.0) and seen[199] == pytest.approx(0.5, abs=0.01)  # 400 steps of 4 pictures
    assert max(seen) == 1.0
    assert simulate(Controller(0.1, CPU, full_range_items=1000), 400, overfitting=-2.0)[-1] == 0


def test_the_controller_waits_between_moves_and_resumes_from_its_state() -> None:
    controller = Controller(0.2, CPU, every_steps=4, full_range_items=100)
    for step in range(4):
        controller.see(torch.tensor(4.0), 4)
        controller.adjust(step, 4)
        assert float(controller.p) == pytest.approx(0.2 if step < 3 else 0.36)
    controller.see(torch.tensor(2.0), 4)
    other = Controller(0.0, CPU, every_steps=4, full_range_items=100)
    other.state.copy_(controller.state)
    for one in (controller, other):
        one.see(torch.tensor(0.0), 12)
        one.adjust(7, 4)
    assert float(controller.p) == float(other.p) == pytest.approx(0.2)


def test_lazy_adam_corrects_rate_and_betas() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    group = lazy.adam([weight], 2e-3, (0.0, 0.99), 16).param_groups[0]
    assert group["lr"] == pytest.approx(2e-3 * 16 / 17) and group["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))
    assert group["betas"][1] ** 17 == pytest.approx(0.99**16)  # 17 steps forget what 16 forgot
    plain = lazy.adam([weight], 2e-3, (0.0, 0.99), 0).param_groups[0]
    assert plain["lr"] == 2e-3 and plain["betas"] == (0.0, 0.99)
    assert [s for s in range(40) if lazy.due(s, 16)] == [0, 16, 32] and not any(lazy.due(s, 0) for s in range(9))


def test_the_average_follows_closely_at_first() -> None:
    """Half-life 20k pictures; with a ramp-up of 5 % it is at most a twentieth of the pictures seen."""
    full = ema.half_life_decay(4, 20_000, 1e6, 0.05)
    assert full == ema.half_life_decay(4, 20_000, 1e6) == pytest.approx(0.5 ** (4 / 20_000))
    early = ema.half_life_decay(4, 20_000, 1000, 0.05)
    assert early == pytest.approx(0.5 ** (4 / 50))  # half-life 50 pictures
    assert ema.half_life_decay(4, 20_000, 0, 0.05) == 0  # at the first step the average is the weights
    steps = 0.5 / -torch.log2(torch.tensor(full)) * 4 * 2
    assert float(steps) == pytest.approx(20_000, rel=1e-3)  # full ** (20000 / 4) is one half


def test_a_batch_for_fewer_pictures_than_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 3)
    distributed.check_batch(3)
    with pytest.raises(G3dError, match="3 processes cannot share a batch of 2; set batch to at least that"):
        distributed.check_batch(2)


def test_a_step_is_clipped_and_a_missing_gradient_is_zero() -> None:
    """Two weights, one without a gradient: SGD of rate 1 moves the other by the clipped gradient."""
    a, b = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor([1.0]))
    a.grad = torch.tensor([30.0, 40.0])
    gan.optimizer_step(torch.optim.SGD([a, b], lr=1.0), [a, b], clip=5.0)
    torch.testing.assert_close(a.detach(), torch.tensor([0.0, 0.0]))
    assert b.item() == 1 and b.grad is not None and float(b.grad) == 0
