"""The inner loop of meta-learning: exact second-order gradients, first order, chunks; codes of items; spread at the start."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from g3d.errors import G3dError
from g3d.methods import settings_of
from g3d.methods.contract import refuse_idle
from g3d.methods.mnif import METHOD, PRESETS, Config, MixtureOfSirens, adaptation, signals, training
from g3d.methods.mnif.config import refuse_still
from g3d.methods.mnif.networks import layer_sizes
from g3d.methods.mnif.point_source import PointBatch
from g3d.methods.mnif.training import spread
from g3d.scenes.scene import World
from torch import Tensor

SETTINGS = replace(PRESETS["smoke-image"], batch=3, inner_steps=2, inner_lr=0.05, latent_std=0.5, omega0=3.0)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _in_float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def batch(items: int = 3, points: int = 20) -> PointBatch:
    g = torch.Generator().manual_seed(1)
    x = torch.rand(items, points, 2, generator=g) * 2 - 1
    return PointBatch(x, torch.rand(items, points, 3, generator=g), torch.ones(items, points))


def network(settings: Config) -> MixtureOfSirens:
    return MixtureOfSirens(settings, torch.Generator().manual_seed(7))


def gradients(settings: Config, seen: PointBatch) -> tuple[float, list[Tensor]]:
    net = network(settings)
    start = adaptation.starts(settings, 0, 0, range(len(seen.x)))
    loss = adaptation.meta_backward(net, start, seen, settings, signals.loss(settings, World(), CPU))
    return float(loss), [p.grad for p in net.parameters() if p.grad is not None]


def plain_loss(net: MixtureOfSirens, settings: Config, seen: PointBatch) -> float:
    """Algorithm 1 written out: each item alone, its own loss, its own inner steps; then the mean."""
    loss_of, total = signals.loss(settings, World(), CPU), 0.0
    for item in range(len(seen.x)):
        one = PointBatch(*(part[item : item + 1] for part in seen))
        phi = adaptation.starts(settings, 0, 0, [item])
        for _ in range(settings.inner_steps):
            leaf = phi.detach().requires_grad_()
            mse = loss_of(net.mix(leaf), one, torch.full((1, one.x.shape[1]), 1 / (3 * one.x.shape[1])))
            phi = phi.detach() - settings.inner_lr * torch.autograd.grad(mse, leaf)[0]
        with torch.no_grad():
            total += float(loss_of(net.mix(phi), one, torch.full((1, one.x.shape[1]), 1 / (3 * one.x.shape[1]))))
    return total / len(seen.x)


def test_second_order_gradients_are_those_of_the_whole_inner_loop() -> None:
    """Central differences of the loss behind the inner loop, for some entries of every parameter."""
    seen = batch()
    loss, found = gradients(SETTINGS, seen)
    net = network(SETTINGS)
    assert loss == pytest.approx(plain_loss(net, SETTINGS, seen), rel=1e-10)
    g, h, checked = torch.Generator().manual_seed(5), 1e-5, 0
    for parameter, gradient in zip(net.parameters(), found, strict=True):
        for index in torch.randint(parameter.numel(), (3,), generator=g).tolist():
            entry = parameter.data.view(-1)
            entry[index] += h
            above = plain_loss(net, SETTINGS, seen)
            entry[index] -= 2 * h
            below = plain_loss(net, SETTINGS, seen)
            entry[index] += h
            assert float(gradient.view(-1)[index]) == pytest.approx((above - below) / (2 * h), rel=2e-5, abs=1e-9)
            checked += 1
    assert checked >= 21


def test_first_order_takes_the_codes_as_constants() -> None:
    settings, seen = replace(SETTINGS, adaptation="meta-first-order"), batch()
    loss, found = gradients(settings, seen)
    second, exact = gradients(SETTINGS, seen)
    assert loss == pytest.approx(second, rel=1e-10)  # the same codes
    net, loss_of = network(settings), signals.loss(settings, World(), CPU)
    start = adaptation.starts(settings, 0, 0, range(3))
    codes = adaptation.inner_loop(net, start, seen, settings, loss_of, 2, 0.05).detach()
    (loss_of(net.mix(codes), seen, signals.shares(settings, seen)) / 3).backward()
    for parameter, gradient in zip(net.parameters(), found, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-9, atol=1e-14)
    assert any(float((a - b).norm() / b.norm()) > 1e-3 for a, b in zip(found, exact, strict=True))


def test_chunks_of_points_do_not_change_first_order_gradients() -> None:
    settings, seen = replace(SETTINGS, adaptation="meta-first-order"), batch(points=23)
    _, whole = gradients(settings, seen)
    _, parts = gradients(replace(settings, points_per_chunk=5), seen)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("mixture", ["shared", "layer", "latent"])
def test_the_inner_loop_brings_every_mixture_nearer(mixture: Any) -> None:
    settings = replace(SETTINGS, mixture=mixture, inner_steps=5, latent_std=0.2)
    net, seen, loss_of = network(settings), batch(), signals.loss(settings, World(), CPU)
    start, share = adaptation.starts(settings, 0, 0, range(3)), signals.shares(settings, seen)
    codes = adaptation.inner_loop(net, start, seen, settings, loss_of, 5, 0.02)
    assert bool(loss_of(net.mix(codes), seen, share) < loss_of(net.mix(start), seen, share))


def test_starts_have_their_spread_and_their_own_streams() -> None:
    settings = replace(SETTINGS, latent_dim=2000, latent_std=0.3)
    codes = adaptation.starts(settings, 0, 4, [1, 2])
    assert float(codes.std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(codes[1:], adaptation.starts(settings, 0, 4, [2])) and not torch.equal(codes[0], codes[1])


def spreads(latent_std: float, projection_std: float) -> list[float]:
    settings = replace(
        PRESETS["celebahq64-s"], latent_dim=256, latent_std=latent_std, projection_std=projection_std, lr=1e-4
    )
    code = adaptation.starts(settings, 0, 0, [0])
    return spread(MixtureOfSirens(settings), code, World(), 0)


@pytest.mark.parametrize("name", ["celebahq64-l", "shapenet64-s", "srncars"])
def test_alpha_begins_as_one_over_m_or_spread_around_it(name: str) -> None:
    """A.2.4 to the letter, or a spread of 1 / sqrt(M) (meta-learning) that section 4.1's random codes make here."""
    row = replace(PRESETS[name], bases=64, width=8, latent_dim=512)
    row = (
        replace(row, latent_std=(3 / 64) ** 0.5, projection_std=(3 * 512) ** -0.5) if row.adaptation == "meta" else row
    )
    net = network(row)
    with torch.no_grad():
        even = net.coefficients(adaptation.starts(replace(row, alpha_start="even"), 0, 0, range(8)))
        spread_out = net.coefficients(adaptation.starts(row, 0, 0, range(8)))
        jointly = net.coefficients(training._first_codes(replace(row, alpha_start="even"), 8, 0))
    torch.testing.assert_close(even, torch.full_like(even, 1 / 64))
    torch.testing.assert_close(jointly, even)
    wanted = 1 / 8 if row.adaptation == "meta" else row.latent_std * row.projection_std * 512**0.5
    assert float(spread_out.std()) == pytest.approx(wanted, rel=0.05)
    assert float(spread_out.mean()) == pytest.approx(1 / 64, abs=0.1 * wanted)


def test_coefficients_whose_squares_sum_to_one_keep_the_spread_of_a_single_siren() -> None:
    """The mean of M independent bases (a zero code) has nearly no activation left in the deeper layers; the presets have."""
    collapsed, kept = spreads(0.0, 0.036), spreads(math.sqrt(3 / 256), (3 * 256) ** -0.5)
    assert collapsed[0] < 0.35 and max(collapsed[2:]) < 0.01
    assert min(kept) > 0.25
    settings = PRESETS["celebahq64-s"]
    alpha = MixtureOfSirens(settings).coefficients(adaptation.starts(settings, 0, 0, range(16)))
    assert float(alpha.detach().square().sum(dim=-1).mean()) == pytest.approx(1, rel=0.15)


def test_the_papers_rows_are_presets() -> None:
    """Appendices A.2.1 and A.2.2."""
    rows = {
        "celebahq64-s": ("image", (4, 64, 256, 1024), 0, 800), "celebahq64-l": ("image", (5, 128, 384, 512), 0, 800),
        "shapenet64-s": ("voxel", (4, 64, 256, 512), 4096, 400), "shapenet64-l": ("voxel", (5, 128, 512, 1024), 4096, 400),
    }  # fmt: skip
    for name, (signal, sizes, points, epochs) in rows.items():
        p = PRESETS[name]
        assert (p.signal, (p.hidden_layers, p.width, p.bases, p.latent_dim)) == (signal, sizes)
        assert (p.points_per_item, p.epochs, p.batch, p.lr, p.warmup) == (points, epochs, 32, 1e-4, 0)
        assert (p.adaptation, p.inner_steps, p.inner_lr, p.omega0, p.mixture) == ("meta", 3, 1.0, 30.0, "latent")
        assert len(layer_sizes(p)) == sizes[0] + 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"signal": "image", "views_per_item": 4}, "views_per_item=4 has no effect with signal=image"),
        ({"points_per_item": 5}, "it belongs to signal=image or voxel"),
        ({"inner_steps": 5}, "has no effect with adaptation=autodecode"),
        ({"adaptation": "meta"}, "inner_lr=0.0001 would leave the codes"),
        ({"adaptation": "meta", "inner_lr": 1.0, "compile": True}, "compile=true cannot take the second-order gradients"),
        ({"mixture": "shared", "projection_lr": 0.1}, "belongs to mixture=latent"),
    ],
)  # fmt: skip
def test_settings_without_effect_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(G3dError, match=sentence):
        settings = settings_of("mnif", None, [f"{key}={value}" for key, value in changes.items()])
        refuse_still(settings)


def test_presets_have_no_settings_without_effect() -> None:
    for preset in PRESETS.values():
        given = [spec.name for spec in fields(preset)]
        refuse_idle(METHOD, preset, Config(), given)
        refuse_still(preset)
