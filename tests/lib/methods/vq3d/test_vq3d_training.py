"""VQ3D's stage 1: batches, parts of a batch, the phases of the game, exact resume, every loss off, refusals."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import environment, g3d, refused
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import Interrupted
from g3d.losses.lpips import load_lpips
from g3d.methods import settings_of
from g3d.methods.vq3d import Config, objective, training
from g3d.methods.vq3d.batches import PictureSource, unit_range
from g3d.steps import fit_stage1
from g3d.storage import artifacts
from g3d.training import gan
from safetensors.torch import save_file
from toy_lpips import stand_in

CPU = torch.device("cpu")
FILES = ("model.safetensors", "state.safetensors")


@pytest.fixture(scope="module")
def data(pictures: Path) -> Dataset:
    return open_dataset(pictures)


def made(data: Dataset, *pairs: str) -> tuple[training.Game, PictureSource]:
    config: Config = settings_of("vq3d", "smoke", list(pairs))
    return training.start(config, training.check(config, data), 0, CPU), PictureSource(config, data, 0)


def test_batches_are_shares_of_one(data: Dataset) -> None:
    _, source = made(data)
    whole, part = source.draw(3, slice(0, 4)), source.draw(3, slice(1, 3))
    for name in ("pictures", "disparity", "jitter", "novel_jitter", "novel"):
        assert torch.equal(getattr(whole, name)[1:3], getattr(part, name)), name
    assert torch.equal(whole.pixels, part.pixels) and len(whole.pixels) == 64
    assert not torch.equal(whole.pixels, source.draw(4, slice(0, 4)).pixels)
    assert whole.disparity.amin() == 0 and whole.disparity.amax() == 1


def test_a_mirrored_picture_has_mirrored_depth(data: Dataset) -> None:
    config = replace(made(data)[1].config, batch=6)
    plain, flipped = (PictureSource(replace(config, flip=flip), data, 0).draw(0, slice(0, 6)) for flip in (False, True))
    changed = (plain.pictures != flipped.pictures).flatten(1).any(dim=1)
    assert changed.any() and not changed.all()
    for i in changed.nonzero().flatten().tolist():
        assert torch.equal(plain.pictures[i].flip(2), flipped.pictures[i])
        assert torch.equal(plain.disparity[i].view(16, 16).flip(1), flipped.disparity[i].view(16, 16))


def test_depth_is_stretched_picture_by_picture() -> None:
    found = unit_range(torch.tensor([[[2.0, 4.0], [3.0, 6.0]], [[5.0, 5.0], [5.0, 5.0]]]))
    assert found.tolist() == [[[0.0, 0.5], [0.25, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]


@pytest.mark.parametrize("step", [0, 18])
def test_parts_of_a_batch_move_as_the_whole(data: Dataset, step: int) -> None:
    """Step 18 has both discriminators, here without the deviation among a minibatch, which sees its part alone."""
    after = []
    for size in (0, 1):
        game, source = made(data, f"micro_batch={size}")
        game.main.group = game.novel.group = 1
        batch, phase = source.draw(step, slice(0, 4)), training.phase_of(game.config, step)
        assert phase.whole == (step == 18)
        training.autoencoder_step(game, batch, phase, CPU)
        if phase.whole:
            training.discriminator_step(game, batch, phase, CPU, penalise=True)
        after.append(game)
    for name in ("model", "main", "novel"):
        one, other = (game.modules[name].state_dict() for game in after)
        for key, value in one.items():
            assert torch.allclose(value, other[key], atol=2e-4), f"{name}.{key}"


def test_the_second_discriminator_does_not_change_the_canonical_view(data: Dataset) -> None:
    """Its real side is the reconstruction behind a stop-gradient; its fake side reaches the scene by novel views alone."""
    game, source = made(data)
    batch = source.draw(18, slice(0, 4))
    with torch.enable_grad():
        _, planes = game.model(batch.pictures)
        scene = game.model.scene(planes, game.world)
        game.novel.requires_grad_(True)
        training.discriminator_step(game, batch, training.Phase(False, True), CPU, penalise=False)
    assert all(p.grad is None for p in game.model.parameters())
    assert any(p.grad is not None and p.grad.any() for p in game.novel.parameters())
    other = training._elsewhere(game, scene, batch)
    assert training._judged(game.config, other).shape == (4, 4, 16, 16)
    here = training._canonical(game, scene, batch, None)
    assert float((other.rgb - here.rgb).abs().mean().detach()) > 1e-4  # another view


@pytest.mark.parametrize(
    ("pair", "gone"),
    [
        ("laplace_weight=0", "laplace"), ("distortion_weight=0", "distortion"), ("interlevel_weight=0", "interlevel"),
        ("gan_weight=0", "gan"), ("novel_weight=0", "gan_novel"), ("depth_weight=0", None), ("scale_weight=0", None),
        ("depth_loss=accumulated", None),
    ],
)  # fmt: skip
def test_each_loss_can_be_left_out(data: Dataset, pair: str, gone: str | None) -> None:
    figures = []
    for pairs in ((), (pair,)):
        game, source = made(data, *pairs)
        batch, phase = source.draw(18, slice(0, 4)), training.phase_of(game.config, 18)
        figures.append(training.autoencoder_step(game, batch, phase, CPU)[0])
    before, after = figures
    assert float(before["loss"]) != float(after["loss"])
    assert gone is None or (gone in before and gone not in after)
    assert float(before["mse"]) == float(after["mse"])


def test_terms_are_those_of_their_weights(data: Dataset) -> None:
    game, source = made(data)
    batch = source.draw(0, slice(0, 4))
    found, planes = game.model(batch.pictures)
    view = training._canonical(game, game.model.scene(planes, game.world), batch, None)
    c, cost = game.config, objective.terms(game.config, batch, found, view, None, None)
    names = {
        "mse": c.mse_weight, "vq": c.vq_weight, "laplace": c.laplace_weight, "depth": c.depth_weight,
        "scale": c.scale_weight, "distortion": c.distortion_weight, "interlevel": c.interlevel_weight,
    }  # fmt: skip
    torch.testing.assert_close(cost.total, sum(weight * cost.shown[name] for name, weight in names.items()))
    wanted = (objective.picture_of(view.rgb) - batch.pictures).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(cost.shown["mse"], wanted)


def test_the_perceptual_distance_has_a_gradient(data: Dataset) -> None:
    game, source = made(data, "perceptual_weight=0.1")
    for step in (0, 18):  # also where the discriminators do not ask for whole pictures yet
        batch, phase = source.draw(step, slice(0, 4)), training.phase_of(game.config, step)
        figures, _ = training.autoencoder_step(game, batch, phase, CPU)
        assert float(figures["perceptual"]) > 0


def test_discriminators_move_at_their_rate(data: Dataset) -> None:
    """R1 has no step of its own, so that nothing is to be made up for (lazy regularisation would: 16 of 17)."""
    game, _ = made(data)
    (group,) = game.d_optimiser.param_groups
    assert game.config.r1_interval == 16 and group["lr"] == game.config.d_lr and group["betas"] == gan.BETAS


def test_lpips_of_a_file_moves_the_decoder(data: Dataset, tmp_path: Path) -> None:
    """A VGG with random filters, as the package's files have it."""
    save_file(stand_in("vgg"), tmp_path / "vgg.safetensors")
    words = ("perceptual_weight=0.1", "perceptual=lpips", f"perceptual_file={tmp_path / 'vgg.safetensors'}")
    game, source = made(data, *words)
    batch = source.draw(0, slice(0, 4))
    found, planes = game.model(batch.pictures)
    view = training._canonical(game, game.model.scene(planes, game.world), batch, None)
    cost = objective.terms(game.config, batch, found, view, None, game.perceptual)
    wanted = load_lpips(tmp_path / "vgg.safetensors")(objective.picture_of(view.rgb), batch.pictures)
    assert torch.equal(cost.shown["perceptual"], wanted) and float(wanted.detach().min()) > 0
    (gradient,) = torch.autograd.grad(cost.shown["perceptual"].sum(), planes)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


def options(data: Path, out: Path, **changes: Any) -> fit_stage1.Options:
    return replace(fit_stage1.Options("vq3d", data, out, preset="smoke", device="cpu"), **changes)


def test_an_interrupted_run_resumes_to_the_same_bytes(
    pictures: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the game: codes, their counts, both discriminators and their optimiser are in the state."""
    calls, step = [], training.autoencoder_step

    def interrupted(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 18:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*words)

    monkeypatch.setattr(training, "autoencoder_step", interrupted)
    with pytest.raises(Interrupted):
        fit_stage1.run(options(pictures, tmp_path / "cut"))
    assert artifacts.header(tmp_path / "cut" / "state.safetensors").config["step"] == 18
    fit_stage1.run(options(pictures, tmp_path / "cut", resume=True))
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (fitted / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(pictures: Path, tmp_path: Path) -> None:
    """Codes are means over all processes, dead ones are replaced alike; pictures one by one, so that critics see the same."""
    words = ["fit-stage1", "vq3d", "--data", str(pictures), "--preset", "smoke", "--device", "cpu"]
    pairs = ["micro_batch=1", "lr=1e-6", "d_lr=1e-6", "steps=8", "reset_every=2"]  # Adam makes much of tiny gradients
    words += [word for pair in pairs for word in ("--set", pair)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command, out in (([*torchrun, "-m", "g3d_cli.main"], "two"), ([sys.executable, "-m", "g3d_cli.main"], "one")):
        line = [*command, *words, "--out", str(tmp_path / out)]
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
    one, two = (artifacts.read(tmp_path / n / "state.safetensors", "state").values for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_a_run_starts_from_the_weights_of_a_model(pictures: Path, fitted: Path, tmp_path: Path) -> None:
    fit_stage1.run(options(pictures, tmp_path / "on", settings=["steps=0"], init=fitted))
    before, after = (artifacts.read(run / "model.safetensors", "model").values for run in (fitted, tmp_path / "on"))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_refusals(pictures: Path, tmp_path: Path) -> None:
    def fit(data: Path, *pairs: str) -> Any:
        words = [word for pair in pairs for word in ("--set", pair)]
        return g3d("fit-stage1", "vq3d", "--data", data, "--preset", "smoke", *words, "--out", tmp_path / "m")

    refused(
        fit(pictures.parent / "rgb"),
        "no inverse depth",
        "prepare-data depth",
        "--set depth_weight=0 --set scale_weight=0",
    )
    refused(fit(pictures, "resolution=32"), "resolution' is 32", "16 x 16", "--size 32")
    refused(fit(pictures, "perceptual=lpips"), "perceptual=lpips has no effect with perceptual_weight=0")
    refused(fit(pictures, "perceptual_weight=0.1", "perceptual=lpips"), "needs a file of weights")
    refused(fit(pictures, "cnn_blocks=1"), "cnn_blocks=1 has no effect with backbone=vit")
    refused(fit(pictures, "perceptual_weight=0.1", "rays=8"), "rays=8 has no effect with perceptual_weight=0.1")
    refused(fit(pictures, "vq_weight=0", "commitment=1"), "commitment=1.0 has no effect with vq_weight=0")
    refused(fit(pictures, "scene=implicit", "backbone=cnn"), "backbone=cnn has not")
    refused(fit(pictures, "plane_size=18"), "no multiple of the 4 tokens")
    refused(fit(pictures, "patch=5"), "no multiple of patch=5")
    assert not (tmp_path / "m").exists()
    assert fit(pictures.parent / "rgb", "depth_weight=0", "scale_weight=0", "steps=1").code == 0
