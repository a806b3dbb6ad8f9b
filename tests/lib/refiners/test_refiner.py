"""The refiner against slow float64 references: what it is fitted to, how it draws, batches, and that pairs teach it something."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3d.config import override
from g3d.errors import G3dError
from g3d.progress import SILENT
from g3d.refiners import PRESETS, Config, Loaded, PairSource, SampleSettings, fit, load, refine
from g3d.refiners.pairs import Pairs, signed, unsigned
from g3d.refiners.sampling import noise_of
from g3d.refiners.training import build, target
from g3d.seeds import rng
from g3d.storage import artifacts
from g3d.training import diffusion
from g3d.training import run as runs
from torch import Tensor

TINY = Config(
    channels=8,
    multipliers=(1, 2),
    attention=(),
    time_steps=20,
    predict="x0",
    patch=8,
    batch=4,
    steps=4,
    ddim_steps=5,
    warmup=1,
)


def source(count: int = 6, size: int = 12) -> PairSource:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return PairSource([f"p{i}" for i in range(count)], lambda i: (true[i] // 2, true[i]))


def loaded(config: Config) -> Loaded:
    torch.manual_seed(0)
    network = build(config, 0)
    with torch.no_grad():
        for p in network.parameters():
            if not p.abs().sum():
                p.normal_(0, 0.05)
    scale = 0.3 if config.noised == "change" else None
    return Loaded(config, network.eval(), diffusion.linear_schedule(config.time_steps), 12, 12, scale)


# --- what is told


def test_levels_come_back_and_the_range_is_minus_one_to_one() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert (unsigned(signed(levels)) == levels).all() and signed(levels).min() == -1 and signed(levels).max() == 1
    assert unsigned(torch.full((3, 1, 1), 7.0)).max() == 255 and unsigned(torch.full((3, 1, 1), -7.0)).max() == 0


@pytest.mark.parametrize("predict", ["epsilon", "x0", "v"])
def test_what_the_network_tells_is_turned_into_the_noise(predict: str) -> None:
    """`target` of x_t, told exactly, gives the very noise: the same formula from two sides, in numbers by hand."""
    config = override(TINY, [f"predict={predict}"], "test")
    schedule = diffusion.linear_schedule(20)
    x0, noise, t = torch.randn(3, 3, 4, 4).double(), torch.randn(3, 3, 4, 4).double(), torch.tensor([0, 9, 19])
    x = diffusion.add_noise(schedule, x0, noise, t)
    told = target(config, schedule, x0, noise, t)
    torch.testing.assert_close(noise_of(config, schedule, told, x, t), noise, atol=1e-9, rtol=0)
    ab = float(schedule.alpha_bar[9])
    by_hand = {"epsilon": noise[1], "x0": x0[1], "v": ab**0.5 * noise[1] - (1 - ab) ** 0.5 * x0[1]}
    torch.testing.assert_close(told[1], by_hand[predict])


# --- batches


def test_batches_are_squares_of_pairs_mirrored_alike() -> None:
    """Every square is found in its pair, coarse and true in the same place and mirrored together."""
    pairs = Pairs(source(), TINY)
    mirrored = 0
    for step in range(12):
        coarse, true, noise, t = pairs.batch(TINY, 3, step)
        assert coarse.shape == true.shape == noise.shape == (4, 3, 8, 8) and t.max() < 20
        for a, b in zip(unsigned(coarse), unsigned(true), strict=True):
            places = [
                (turn, i) for i in range(6) for y in range(5) for x in range(5) for turn in (1, -1)
                if all((side[y : y + 8, x : x + 8][:, ::turn] == part).all() for side, part in zip(pairs[i], (a, b), strict=True))
            ]  # fmt: skip
            assert len(places) == 1
            mirrored += places[0][0] < 0
    assert 12 < mirrored < 36
    again = pairs.batch(TINY, 3, 5)
    assert all((x == y).all() for x, y in zip(again, pairs.batch(TINY, 3, 5), strict=True))
    assert (again[2] != pairs.batch(TINY, 4, 5)[2]).any()


def test_whole_pictures_and_pairs_of_other_sizes() -> None:
    whole = override(TINY, ["patch=0", "flip=false"], "test")
    coarse, _, _, _ = Pairs(source(), whole).batch(whole, 0, 0)
    assert coarse.shape == (4, 3, 12, 12)
    with pytest.raises(G3dError, match="patch is 16, but the pictures are 12 x 12"):
        Pairs(source(), override(TINY, ["patch=16"], "test"))
    sizes = [12, 10]
    odd = PairSource(["a", "b"], lambda i: (np.zeros((sizes[i], 12, 3), np.uint8),) * 2)
    with pytest.raises(G3dError, match="'b' is 12 x 10, the first one 12 x 12"):
        Pairs(odd, TINY)[1]


# --- drawing


def by_hand(refiner: Loaded, coarse: Any, name: str, seed: int, steps: int) -> Any:
    """One picture, in float64 with loops: DDPM (steps = 0) or DDIM, from the formulas of the papers."""
    T = refiner.config.time_steps
    beta = torch.linspace(1e-4 * 1000 / T, min(0.02 * 1000 / T, 0.999), T, dtype=torch.float64)
    ab = torch.cumprod(1 - beta, 0)
    network = refiner.network.double()
    g = rng(seed, name, "refine")
    shape = (1, 3, *coarse.shape[:2])
    condition = (torch.from_numpy(coarse).permute(2, 0, 1)[None].double() / 127.5) - 1
    x = torch.randn(shape, generator=g).double()

    def x0_of(x: Tensor, t: int) -> Tensor:
        told = network(torch.cat([x, condition], 1), torch.tensor([t]))
        a = ab[t]
        match refiner.config.predict:
            case "x0":
                found = told
            case "epsilon":
                found = (x - (1 - a).sqrt() * told) / a.sqrt()
            case "v":
                found = a.sqrt() * x - (1 - a).sqrt() * told
        if refiner.scale:
            return ((refiner.scale * found + condition).clamp(-1, 1) - condition) / refiner.scale
        return found.clamp(-1, 1)

    with torch.no_grad():
        if steps:
            times = torch.linspace(T - 1, 0, steps).round().long().tolist()
            for i, t in enumerate(times):
                x0 = x0_of(x, t)
                eps = (x - ab[t].sqrt() * x0) / (1 - ab[t]).sqrt()
                before = ab[times[i + 1]] if i + 1 < steps else torch.ones(()).double()
                x = before.sqrt() * x0 + (1 - before).sqrt() * eps
        else:
            for t in range(T - 1, -1, -1):
                x0 = x0_of(x, t)
                before = ab[t - 1] if t else torch.ones(()).double()
                mean = (
                    before.sqrt() * beta[t] / (1 - ab[t]) * x0 + (1 - beta[t]).sqrt() * (1 - before) / (1 - ab[t]) * x
                )
                x = mean + (beta[t].sqrt() * torch.randn(shape, generator=g).double() if t else 0)
    refiner.network.float()
    x = refiner.scale * x + condition if refiner.scale else x
    return ((x[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).numpy()


@pytest.mark.parametrize("noised", ["picture", "change"])
@pytest.mark.parametrize(
    ("predict", "steps"), [("x0", 5), ("epsilon", 7), ("v", 3), ("x0", 0), ("v", 0), ("epsilon", 0)]
)
def test_pictures_are_those_of_a_float64_reference(predict: str, steps: int, noised: str) -> None:
    refiner = loaded(override(TINY, [f"predict={predict}", f"noised={noised}"], "test"))
    coarse = np.random.default_rng(2).integers(0, 256, (1, 10, 13, 3), dtype=np.uint8)
    found = refine(refiner, coarse, ["a/b"], 7, SampleSettings(ddim_steps=steps))
    wanted = by_hand(refiner, coarse[0], "a/b", 7, steps)
    assert np.abs(found[0].astype(float) - wanted).max() < 0.6 and found.std() > 5


def test_small_changes_are_left_out() -> None:
    refiner = loaded(TINY)
    coarse = np.random.default_rng(2).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    names = list("abc")
    plain = refine(refiner, coarse, names, 0, SampleSettings())
    least = int(np.median(np.abs(plain.astype(int) - coarse).max(axis=3)))
    kept = refine(refiner, coarse, names, 0, SampleSettings(least_change=least))
    assert kept.dtype == np.uint8 and least > 3
    for picture in range(3):
        for row, column in np.ndindex(12, 12):
            at = (picture, row, column)
            small = max(abs(int(plain[at][c]) - int(coarse[at][c])) for c in range(3)) <= least
            assert (kept[at] == (coarse if small else plain)[at]).all()
    assert 0.3 < (kept == coarse).all(axis=3).mean() < 0.7


def test_a_picture_depends_on_seed_name_and_itself_alone() -> None:
    refiner = loaded(TINY)
    coarse = np.random.default_rng(1).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    names = list("abcde")
    together = refine(refiner, coarse, names, 0, SampleSettings()).astype(int)
    alone = np.concatenate(
        [refine(refiner, coarse[i : i + 1], names[i : i + 1], 0, SampleSettings()) for i in range(5)]
    )
    turned = refine(refiner, coarse[::-1].copy(), names[::-1], 0, SampleSettings())[::-1]
    assert np.abs(together - alone).max() <= 1 and np.abs(together - turned).max() <= 1  # a level, by rounding
    assert np.abs(together - refine(refiner, coarse, names, 1, SampleSettings())).max() > 3
    assert np.abs(together - refine(refiner, coarse, list("vwxyz"), 0, SampleSettings())).max() > 3


# --- fitting


def fitted(
    config: Config, pairs: PairSource, folder: Path, save_every_s: float = 60, resume: bool = False
) -> artifacts.Artifact:
    how = runs.Start(0, torch.device("cpu"), resume, save_every_s=save_every_s)
    with runs.start(folder, {"settings": {}, "parents": {}}, how, SILENT) as run:
        fit(config, pairs, run)
    return artifacts.read(folder / "refiner.safetensors", "refiner")


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_the_loss_of_a_step_is_eq_4(tmp_path: Path, kind: str) -> None:
    """One step from the first weights: the gradient is that of eq. 4 by autograd over single pairs, so Adam's step is, too; and
    with absolute distances."""
    config = override(
        TINY, ["predict=epsilon", f"loss={kind}", "steps=1", "ema=0", "clip=0", "lr_floor=1", "micro_batch=3"], "test"
    )
    moved = fitted(config, source(), tmp_path / "run")
    network = build(config, 0)
    coarse, true, noise, t = Pairs(source(), config).batch(config, 0, 0)
    schedule = diffusion.linear_schedule(20)
    loss = torch.zeros(())
    for i in range(4):
        ab = float(schedule.alpha_bar[t[i]])
        x = ab**0.5 * true[i] + (1 - ab) ** 0.5 * noise[i]
        told = network(torch.cat([x, coarse[i]])[None], t[i : i + 1])[0]
        off = told - noise[i]
        loss = loss + (off.square() if kind == "l2" else off.abs()).mean() / 4
    loss.backward()
    for name, p in network.named_parameters():
        step = moved.values[f"network.{name}"] - p.detach()
        assert p.grad is not None
        clear = p.grad.abs() > 1e-6  # Adam's first step is lr, against the gradient's sign
        assert (step[clear].sign() == -p.grad[clear].sign()).all() or not clear.any(), name
        assert step.abs().max() < 1.01e-3 * config.lr / 1e-3 * 1.1
    assert moved.config["settings"]["predict"] == "epsilon" and moved.config["pictures"] == {
        "width": 12,
        "height": 12,
        "change_std": None,
    }


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(override(TINY, ["steps=8"], "test"), source(), tmp_path / "whole")
    taken = 0
    original = diffusion.add_noise

    def interrupted(*words: Any) -> Tensor:
        nonlocal taken
        taken += 1
        if taken == 5:
            raise KeyboardInterrupt
        return original(*words)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(diffusion, "add_noise", interrupted)
        fitted(override(TINY, ["steps=8"], "test"), source(), tmp_path / "cut", save_every_s=0)
    assert artifacts.header(tmp_path / "cut" / "state.safetensors").config["step"] == 4
    again = fitted(override(TINY, ["steps=8"], "test"), source(), tmp_path / "cut", resume=True)
    assert whole.values.keys() == again.values.keys() and len(whole.values) > 20
    assert all(torch.equal(value, again.values[name]) for name, value in whole.values.items())


def striped(i: int) -> Any:
    """True pictures are stripes where the coarse ones are grey of their mean; their direction is told by the grey."""
    base = 60 + 120 * (i % 2)
    stripes = np.where(np.arange(16)[:, None, None] % 4 < 2, 50, -50)
    true = base + (stripes if i % 2 else stripes.transpose(1, 0, 2))
    return np.full((16, 16, 3), base, np.uint8), np.broadcast_to(np.clip(true, 0, 255), (16, 16, 3)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(("predict", "noised"), [("x0", "picture"), ("x0", "change"), ("v", "picture")])
def test_pairs_teach_what_the_coarse_picture_lacks(tmp_path: Path, predict: str, noised: str) -> None:
    """Not told as the noise, which takes far longer to be right where almost all is noise."""
    more = ["channels=16", "steps=500", "batch=8", "lr=3e-3", "patch=0", "flip=false", "ema=0.98", "ddim_steps=10"]
    config = override(TINY, [f"predict={predict}", f"noised={noised}", *more], "test")
    refiner = load(
        fitted(config, PairSource([str(i) for i in range(8)], striped), tmp_path / "run"), torch.device("cpu")
    )
    for i in (0, 1):
        coarse, true = striped(i)
        found = refine(refiner, coarse[None], [f"new {i}"], 0, SampleSettings())[0]
        off = np.abs(found.astype(float) - true).mean()
        assert off < 0.4 * np.abs(coarse.astype(float) - true).mean(), (predict, noised, off)


def test_settings_that_make_no_network_are_refused() -> None:
    with pytest.raises(G3dError, match="attention names level 2, of 2 levels"):
        override(TINY, ["attention=2"], "the refiner")
    with pytest.raises(G3dError, match="multipliers is empty"):
        override(TINY, ["multipliers="], "the refiner")
    assert PRESETS["paper"] == Config() and Config().channels == 128 and Config().time_steps == 1000
    assert Config().predict == "epsilon" and Config().ddim_steps == 100
