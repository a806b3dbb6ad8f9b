"""Diffusion with the exact noise predictor of a known distribution: the samples must have its moments."""

import math

import pytest
import torch
from g3d.seeds import Noise
from g3d.training.diffusion import Predictor, Schedule, add_noise, linear_schedule, sample_ddim, sample_ddpm
from torch import Tensor

MEAN = torch.tensor([1.5, -0.5, 0.0])
STD = torch.tensor([0.5, 1.0, 2.0])
COUNT = 4000
# Samples of a mean and a standard deviation, 5 standard errors; plus what the steps of the schedule cost.
MEAN_ERROR = 5 * STD / COUNT**0.5
STD_ERROR = 5 * STD / (2 * COUNT) ** 0.5


def exact(schedule: Schedule) -> Predictor:
    """E[noise | x_t] for data N(MEAN, STD^2): x_t is N(sqrt(ab) MEAN, ab STD^2 + 1 - ab)."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        ab = schedule.alpha_bar[t].unsqueeze(-1)
        return (1 - ab).sqrt() * (x - ab.sqrt() * MEAN) / (ab * STD**2 + 1 - ab)

    return predict


def test_the_linear_schedule_of_ho_et_al() -> None:
    ab = linear_schedule(1000).alpha_bar.double()
    product, wanted = 1.0, []
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        wanted.append(product)
    torch.testing.assert_close(ab, torch.tensor(wanted, dtype=torch.float64), atol=1e-6, rtol=1e-5)
    assert float(ab[-1]) == pytest.approx(4.04e-5, rel=0.01)  # known of this schedule
    for steps in (50, 200, 4000):
        other = linear_schedule(steps).alpha_bar
        assert len(other) == steps and (other.diff() < 0).all() and 0 < float(other[-1]) < 1e-4


def test_add_noise_against_the_formula_and_its_variance() -> None:
    schedule = linear_schedule(100)
    x0, noise = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    t = torch.tensor([0, 50, 99])
    found = add_noise(schedule, x0, noise, t)
    for i in range(3):
        ab = float(schedule.alpha_bar[t[i]])
        torch.testing.assert_close(found[i], math.sqrt(ab) * x0[i] + math.sqrt(1 - ab) * noise[i])
    g = torch.Generator().manual_seed(0)
    n = 20000
    x = MEAN + STD * torch.randn(n, 3, generator=g)
    for step in (5, 40, 95):
        ab = float(schedule.alpha_bar[step])
        noisy = add_noise(schedule, x, torch.randn(n, 3, generator=g), torch.full((n,), step))
        wanted = ab * STD**2 + 1 - ab
        assert ((noisy.var(dim=0) - wanted).abs() < 5 * wanted * (2 / n) ** 0.5).all()
        assert ((noisy.mean(dim=0) - ab**0.5 * MEAN).abs() < 5 * (wanted / n) ** 0.5).all()


def test_ddpm_samples_have_the_mean_and_spread_of_the_data() -> None:
    schedule = linear_schedule(200)
    x = sample_ddpm(exact(schedule), schedule, Noise(0, range(COUNT), "z", (3,)))
    assert x.shape == (COUNT, 3)
    assert ((x.mean(dim=0) - MEAN).abs() < MEAN_ERROR + 0.02).all()
    assert ((x.std(dim=0) - STD).abs() < STD_ERROR + 0.03 * STD).all()
    assert float(torch.corrcoef(x.T).fill_diagonal_(0).abs().max()) < 5 / COUNT**0.5


@pytest.mark.parametrize(("steps", "loss"), [(200, 0.02), (50, 0.06)])
def test_ddim_samples_have_the_mean_and_spread_of_the_data(steps: int, loss: float) -> None:
    schedule = linear_schedule(200)
    x = sample_ddim(exact(schedule), schedule, Noise(0, range(COUNT), "z", (3,)), steps)
    assert ((x.mean(dim=0) - MEAN).abs() < MEAN_ERROR + loss).all()
    assert ((x.std(dim=0) - STD).abs() < STD_ERROR + loss * STD).all()


def test_ddim_is_the_map_of_the_probability_flow() -> None:
    """For Gaussian data the deterministic path keeps the standard score: x_0 = MEAN + STD * (first noise)."""
    schedule = linear_schedule(1000)
    first = Noise(0, range(100), "z", (3,)).draw()
    x = sample_ddim(exact(schedule), schedule, Noise(0, range(100), "z", (3,)), 1000)
    torch.testing.assert_close(x, MEAN + STD * first, atol=0.05, rtol=0.02)


def test_ddim_uses_the_steps_that_were_asked_for() -> None:
    schedule = linear_schedule(100)
    for steps, wanted in ((1, [99]), (2, [99, 0]), (4, [99, 66, 33, 0]), (100, list(range(99, -1, -1)))):
        asked: list[int] = []

        def predict(x: Tensor, t: Tensor, asked: list[int] = asked) -> Tensor:
            asked.append(int(t[0]))
            assert t.shape == (len(x),) and (t == t[0]).all()
            return torch.zeros_like(x)

        sample_ddim(predict, schedule, Noise(0, [0], "z", (2,)), steps)
        assert asked == wanted


def test_a_predictor_that_knows_the_picture_gets_it_back() -> None:
    """With the noise towards one x_0, the last step of both samplers lands on it."""
    schedule, x0 = linear_schedule(50), torch.tensor([[0.3, -2.0]])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        ab = schedule.alpha_bar[t].unsqueeze(-1)
        return (x - ab.sqrt() * x0) / (1 - ab).sqrt()

    for x in (sample_ddpm(predict, schedule, Noise(1, range(8), "z", (2,))),
              sample_ddim(predict, schedule, Noise(1, range(8), "z", (2,)), 7)):  # fmt: skip
        torch.testing.assert_close(x, x0.expand(8, 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_sample_does_not_depend_on_its_batch(sampler: str) -> None:
    schedule = linear_schedule(80)

    def draw(indices: list[int]) -> Tensor:
        noise = Noise(7, indices, "z", (3,))
        if sampler == "ddpm":
            return sample_ddpm(exact(schedule), schedule, noise)
        return sample_ddim(exact(schedule), schedule, noise, 20)

    together = draw([0, 1, 2, 3, 4])
    torch.testing.assert_close(draw([3])[0], together[3], atol=1e-6, rtol=0)
    torch.testing.assert_close(draw([4, 0]), together[[4, 0]], atol=1e-6, rtol=0)
    assert not torch.allclose(together[0], together[1])


def test_steps_so_small_that_float32_would_lose_them() -> None:
    """A slow float64 reference of eq. 7 with the exact predictor of N(0, 1), the same noise."""
    schedule, count = linear_schedule(2000), 500
    x = sample_ddpm(lambda x, t: (1 - schedule.alpha_bar[t]).sqrt().float()[:, None] * x, schedule,
                    Noise(0, range(count), "z", (1,)))  # fmt: skip
    noise, ab = Noise(0, range(count), "z", (1,)), schedule.alpha_bar.double()
    wanted = noise.draw().double()
    for t in range(1999, -1, -1):
        before = ab[t - 1] if t else torch.ones(()).double()
        beta = 1 - ab[t] / before
        x0 = (wanted - (1 - ab[t]) * wanted) / ab[t].sqrt()
        wanted = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * wanted) / (1 - ab[t])
        if t:
            wanted = wanted + beta.sqrt() * noise.draw().double()
    assert ab.dtype == torch.float64 and x.dtype == torch.float32
    torch.testing.assert_close(x.double(), wanted, atol=2e-5, rtol=0)
