"""GSGAN's game: losses by hand, batches, cameras and their swaps, gradients by parts, exact resume, refusals."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline, environment, g3d, refused
from g3d import distributed
from g3d.cameras import CameraPrior, camera_conditioning
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import Interrupted
from g3d.losses import adversarial
from g3d.methods import gsgan as g
from g3d.methods import settings_of
from g3d.methods.gsgan import losses, training
from g3d.methods.gsgan.batches import Source, deviations_deg, swap_p, widened
from g3d.render import render_scene
from g3d.scenes.scene import pick
from g3d.steps import fit_stage1
from g3d.storage import artifacts
from pretended import processes
from torch import Tensor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(pipeline: Pipeline) -> Dataset:
    return open_dataset(pipeline.data)


def made(data: Dataset, *pairs: str) -> tuple[training.Game, Source]:
    config: g.Config = settings_of("gsgan", "smoke", list(pairs))
    return training.start(config, training.check(config, data), 0, CPU), Source(config, data, 0)


def lively(game: training.Game) -> training.Game:
    """Layer scales that are not zero, so that the style matters."""
    with torch.no_grad():
        for name, p in game.generator.named_parameters():
            if "scale_by_w" in name or name.endswith(".scale"):
                p.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return game


def test_the_pose_loss_by_hand() -> None:
    """eq. 9 for two pictures: cosines 1 and 0, tau 0.5."""
    pictures, cameras = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    wanted = -torch.tensor(2.0).exp().div(torch.tensor(2.0).exp() + 1).log()
    torch.testing.assert_close(losses.pose_contrast(pictures, cameras, 0.5), wanted.expand(2))
    worse = losses.pose_contrast(pictures, cameras.flip(0), 0.5)
    assert (worse > wanted).all() and float(losses.pose_contrast(pictures[:1], cameras[:1], 0.1)) == 0


def test_the_losses_of_anchors_by_hand() -> None:
    anchors = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [0, 2.0, 0]]])
    torch.testing.assert_close(losses.centre(anchors), torch.tensor([(1 / 9) + (4 / 9)]))
    torch.testing.assert_close(losses.nearness(anchors, 1), torch.tensor([(1 + 1 + 4) / 3]))
    torch.testing.assert_close(losses.nearness(anchors, 64), torch.tensor([(1 + 4 + 1 + 5 + 4 + 5) / 6]))


def test_a_generated_picture_is_what_render_draws(data: Dataset) -> None:
    game, source = made(data)
    lively(game)
    wanted = source.draw(0, slice(0, 3)).for_generator
    with torch.no_grad():
        _, images, w = training.generate(game, wanted, 10**9)
    model = g.Model(game.generator, game.config, game.world)
    scenes = g.decode(g.conditioned(model, training.numbers_of(wanted, game.config)), game.generator.styles(w))
    cameras = wanted.cameras(24, 24)
    for b in range(3):
        seen = render_scene(pick(scenes, b), cameras[b]).rgb[0].permute(2, 0, 1)
        torch.testing.assert_close(seen, ((images[b] + 1) / 2).clamp(0, 1), atol=1e-5, rtol=0)
        assert seen.std() > 0.01


def test_shares_see_what_one_process_sees(data: Dataset) -> None:
    _, source = made(data, "pose_augment_p=0.5")
    whole, part = source.draw(7, slice(0, 4)), source.draw(7, slice(1, 3))
    assert torch.equal(whole.real[1:3], part.real) and torch.equal(whole.real_cameras[1:3], part.real_cameras)
    for a, b in zip(whole.for_generator, part.for_generator, strict=True):
        assert torch.equal(a[1:3], b)
    assert (whole.for_generator.z != whole.for_discriminator.z).all()


def among_views(numbers: Tensor, source: Source) -> Tensor:
    """Which cameras [B, 25] are those of a training view."""
    return ((numbers.unsqueeze(1) - source.numbers).abs().amax(dim=2) < 1e-5).any(dim=1)


@pytest.mark.parametrize(("swap", "widen"), [(0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (0.0, 0.4)])
def test_cameras_are_those_of_views_swapped_and_widened_as_often_as_asked(
    data: Dataset, swap: float, widen: float
) -> None:
    _, source = made(data, f"swap_p={swap}", f"pose_augment_p={widen}", "batch=600")
    wanted = source.draw(0, slice(0, 600)).for_generator
    own = camera_conditioning(wanted.cameras(24, 24))
    other = (wanted.seen_by_mapping != own).any(dim=1)
    known = among_views(own, source)
    among = 1 - 1 / len(source.views)  # a swap may give the same view
    assert float(other.float().mean()) == pytest.approx(swap * among, abs=0.08)
    assert float((~known).float().mean()) == pytest.approx(widen, abs=0.08)
    assert float(among_views(wanted.seen_by_mapping, source).float().mean()) >= 1 - widen - 0.08


def test_widened_cameras_have_the_deviations_of_the_appendix() -> None:
    config = replace(g.PRESETS["ffhq256"], yaw_std_deg=16.0, pitch_std_deg=8.0)
    prior = CameraPrior(2.7, 13.4, 64, 64, target=(0, 0, 0.2), azimuth_deg=(-10, 10), elevation_deg=(-5, 5))
    cameras = widened(config, prior, prior.sample(0, range(9))).sample(0, range(4000)).c2w[:, :3, 3] - torch.tensor(
        [0, 0, 0.2]
    )
    torch.testing.assert_close(cameras.norm(dim=1), torch.full((4000,), 2.7), atol=1e-4, rtol=0)
    yaw = torch.rad2deg(torch.atan2(cameras[:, 0], cameras[:, 2]))
    pitch = torch.rad2deg(torch.asin(cameras[:, 1] / 2.7))
    assert float(yaw.std()) == pytest.approx(16, abs=0.7) and float(yaw.mean()) == pytest.approx(0, abs=0.8)
    assert float(pitch.abs().max()) <= 24.01 and float(pitch.std()) == pytest.approx(48 / 12**0.5, abs=0.4)


def test_cameras_are_widened_by_the_deviations_of_the_data() -> None:
    """A.1: those of the data set, where none are given; spread by hand around a mean that is not the front."""
    prior = CameraPrior(2.7, 13.4, 64, 64, target=(0, 0, 0.2))
    yaw, pitch = torch.tensor([10.0, -14.0, 22.0, 2.0]), torch.tensor([1.0, 5.0, -3.0, 9.0])
    cameras = prior.at(yaw, pitch)
    assert deviations_deg(prior, cameras) == pytest.approx(
        (float(yaw.std(correction=0)), float(pitch.std(correction=0))), abs=1e-3
    )
    wide = widened(g.PRESETS["ffhq256"], prior, cameras)
    assert wide.azimuth_deg[1] == pytest.approx(13.0767, abs=1e-3) and wide.elevation_deg[1] == pytest.approx(
        3 * 20**0.5, abs=1e-3
    )
    half = widened(replace(g.PRESETS["ffhq256"], yaw_std_deg=16.0), prior, cameras)
    assert half.azimuth_deg == (-16, 16) and half.elevation_deg == wide.elevation_deg


def test_swaps_fade_from_all_to_those_asked_for() -> None:
    """EG3D: 1 at first, swap_p after 1,000 kimg, a straight line between."""
    ffhq, ours = g.PRESETS["ffhq256"], g.PRESETS["cars64"]
    assert [swap_p(ffhq, n) for n in (0, 250_000, 1_000_000, 5_000_000)] == [1, 0.875, 0.5, 0.5]
    assert swap_p(g.PRESETS["afhq256"], 500_000) == pytest.approx(0.9) and swap_p(ours, 0) == 0.5


def test_swaps_of_a_batch_fade(data: Dataset) -> None:
    _, source = made(data, "swap_p=0", "swap_fade_kimg=1.2", "batch=600")
    shares = []
    for step in (0, 1, 2):
        wanted = source.draw(step, slice(0, 600)).for_generator
        own = camera_conditioning(wanted.cameras(24, 24))
        shares.append(float((wanted.seen_by_mapping != own).any(dim=1).float().mean()))
    among = 1 - 1 / len(source.views)
    assert shares == [pytest.approx(among, abs=0.05), pytest.approx(among / 2, abs=0.08), 0]


def test_the_losses_of_anchors_are_sums_or_a_third(data: Dataset) -> None:
    """As the text says, or as the public code computes: both figures stay, their weight in the gradient is a third."""
    found = []
    for pair in ("anchor_losses=sum", "anchor_losses=mean"):
        game, source = made(data, pair, "pose_weight=0", "center_weight=3", "knn_weight=5", "g_clip=0", "batch=2")
        game.discriminator.real.out.weight.data.zero_()  # no adversarial gradient
        figures = training.generator_step(game, source.draw(0, slice(0, 2)).for_generator, 0, CPU)
        head = game.generator.anchor_heads[0].layers["xyz"].weight.grad  # type: ignore[index, union-attr]
        found.append((head, figures["knn_loss"]))
    assert found[0][0].abs().max() > 0 and found[0][1] == found[1][1]
    torch.testing.assert_close(found[1][0], found[0][0] / 3, rtol=1e-4, atol=1e-9)


def test_the_public_blur_is_the_default() -> None:
    """2^-(x / 10)^2 is a Gaussian of deviation 10 / sqrt(2 ln 2)."""
    assert g.Config().blur_px == pytest.approx(10 / (2 * math.log(2)) ** 0.5, abs=1e-3)


def test_the_blur_fades_and_is_a_gaussian() -> None:
    config = replace(g.Config(), blur_px=10.0, blur_kimg=200.0)
    assert [training.blur_px(config, n) for n in (0, 50_000, 200_000, 300_000)] == [10, 7.5, 0, 0]
    impulse = torch.zeros(1, 3, 41, 41)
    impulse[:, :, 20, 20] = 1
    found = training.blurred(impulse, 3.0)[0, 0]
    x = torch.arange(41.0) - 20
    spread = (found.sum(dim=0) * x.square()).sum().sqrt()
    assert float(found.sum()) == pytest.approx(1, abs=1e-4) and float(spread) == pytest.approx(3.0, abs=0.08)
    flat = torch.full((1, 3, 8, 8), 0.7)
    torch.testing.assert_close(training.blurred(flat, 10.0), flat)  # wider than the picture
    assert training.blurred(flat, 0.0) is flat


PAIRS = ("augment=fixed", "augment_p=0.5", "g_clip=1e9", "d_clip=1e9")


def gradients(data: Dataset, *pairs: str, batch: int = 4, group: int = 1) -> list[Tensor]:
    """Of one step of each kind, seen by optimisers that do not move; and its figures. `group`: of the minibatch deviation."""
    game, source = made(data, *PAIRS, f"batch={batch}", *pairs)
    lively(game).discriminator.real.group = group
    drawn, found = source.draw(0, distributed.share(torch.arange(batch))), []
    for optimiser in (game.g_optimizer, game.d_optimizer):
        optimiser.param_groups[0]["lr"] = 0.0
    figures = [training.generator_step(game, drawn.for_generator, 0, CPU)]
    found += [p.grad.clone() for p in game.generator.parameters() if p.grad is not None]
    figures.append(training.discriminator_step(game, drawn, 0, CPU))
    found += [p.grad.clone() for p in game.discriminator.parameters() if p.grad is not None]
    figures.append({"r1": training.r1_step(game, drawn, 0, CPU)})
    found += [p.grad.clone() for p in game.discriminator.parameters() if p.grad is not None]
    assert len(found) > 60
    return [*found, *(value for some in figures for value in some.values())]


@pytest.fixture(scope="module")
def whole(data: Dataset) -> list[Tensor]:
    """Of six pictures in one part, in two groups of three."""
    return gradients(data, batch=6, group=3)


@pytest.mark.parametrize("pair", ["micro_batch=1", "micro_batch=3"])
def test_parts_do_not_change_gradients(data: Dataset, pair: str) -> None:
    """The pose loss compares with the cameras of the whole batch (eq. 9), in whatever parts it comes."""
    for a, b in zip(gradients(data), gradients(data, pair), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-6)


@pytest.mark.parametrize(("count", "micro"), [(1, 1), (2, 0), (2, 2), (3, 1)])
def test_processes_and_parts_compare_the_whole_batch(
    data: Dataset, whole: list[Tensor], count: int, micro: int
) -> None:
    """With deviation=batch every gradient is that of one process that holds all pictures: groups of three lie across parts and
    processes (uneven ones), also in R1, whose slope at a picture depends on the others of its group."""
    for found in processes(
        count, lambda _: gradients(data, "deviation=batch", f"micro_batch={micro}", batch=6, group=3)
    ):
        for a, b in zip(whole, found, strict=True):
            torch.testing.assert_close(a, b, rtol=5e-3, atol=5e-6)


def test_without_it_parts_compare_their_own_pictures(data: Dataset, whole: list[Tensor]) -> None:
    """The test above can fail: the same parts with deviation=part have other gradients; without the deviation, they agree."""
    parts, alone = gradients(data, "micro_batch=1", batch=6, group=3), gradients(data, batch=6)
    assert any((a - b).abs().max() > 1e-3 * a.abs().max() for a, b in zip(whole, parts, strict=True))
    for found in processes(2, lambda _: gradients(data, "micro_batch=2", batch=6)):
        for a, b in zip(alone, found, strict=True):
            torch.testing.assert_close(a, b, rtol=5e-3, atol=5e-6)


def test_gradients_are_clipped(data: Dataset) -> None:
    game, source = made(data, "g_clip=0.001", "d_clip=0.002")
    batch = source.draw(0, slice(0, 4))
    training.generator_step(game, batch.for_generator, 0, CPU)
    norm = torch.stack([p.grad.norm() for p in game.generator.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.001, rel=1e-3)
    training.discriminator_step(game, batch, 0, CPU)
    norm = torch.stack([p.grad.norm() for p in game.discriminator.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.002, rel=1e-3)


def test_the_penalty_is_r1_times_gamma_times_the_interval(data: Dataset) -> None:
    game, source = made(data, "r1_gamma=0.7", "r1_interval=5", "d_clip=1e9", "blur_px=0")
    game.d_optimizer.param_groups[0]["lr"] = 0.0
    batch = source.draw(0, slice(0, 4))
    value = training.r1_step(game, batch, 0, CPU)
    real = batch.real.clone().requires_grad_()
    wanted = adversarial.r1(game.discriminator(real)[0], real).mean()
    assert float(value) == pytest.approx(float(wanted.detach()), rel=1e-4)
    weight = game.discriminator.real.conv.weight
    found = weight.grad.clone() if weight.grad is not None else torch.zeros(())
    (slope,) = torch.autograd.grad(wanted * 0.7 * 5, weight)
    torch.testing.assert_close(found, slope, rtol=1e-3, atol=1e-7)


def test_the_background_comes_in_when_it_is_time(data: Dataset) -> None:
    game, source = made(data, "background=true", "background_from_kimg=1")
    wanted = source.draw(0, slice(0, 2)).for_generator
    with torch.no_grad():
        assert not training.generate(game, wanted, 999)[0].background
        assert not game.average.background.begun  # type: ignore[union-attr]
        assert len(training.generate(game, wanted, 1000)[0].background) == 2


def test_a_discriminator_alone_learns_to_tell_pictures_and_cameras(data: Dataset) -> None:
    game, source = made(data, "d_lr=0.01", "blur_px=0", "batch=8")
    found = [training.discriminator_step(game, source.draw(step % 3, slice(0, 8)), 0, CPU) for step in range(40)]
    first, last = found[0], found[-1]
    assert float(last["d_loss"]) < 0.5 * float(first["d_loss"]) and float(last["real_sign"]) == 1
    assert float(last["d_pose_loss"]) < 0.7 * float(first["d_pose_loss"])


def options(pipeline: Pipeline, out: Path, *pairs: str, **more: Any) -> fit_stage1.Options:
    return fit_stage1.Options("gsgan", pipeline.data, out, preset="smoke", settings=pairs, device="cpu", **more)


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_bytes(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = ("kimg=0.032", "augment=ada", "augment_set=flip_crop", "augment_p=0.2", "ada_kimg=1", "r1_interval=3")
    fit_stage1.run(options(pipeline, tmp_path / "whole", *pairs))
    calls, step = [], training.generator_step

    def interrupted(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*words)

    monkeypatch.setattr(training, "generator_step", interrupted)
    with pytest.raises(Interrupted):
        fit_stage1.run(options(pipeline, tmp_path / "cut", *pairs))
    assert artifacts.header(tmp_path / "cut" / "state.safetensors").config["step"] == 5
    fit_stage1.run(options(pipeline, tmp_path / "cut", *pairs, resume=True))
    for name in ("model.safetensors", "state.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    tensors = artifacts.header(tmp_path / "whole" / "state.safetensors").tensors
    assert {name.split(".")[0] for name in tensors} == {
        "generator",
        "discriminator",
        "average",
        "g_optimiser",
        "d_optimiser",
        "augment",
        "run",
    }  # fmt: skip  (the names that states have always had)


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(pipeline: Pipeline, tmp_path: Path) -> None:
    """Two processes, pictures one by one, against one that holds all: equal up to the order of sums."""
    words = ["fit-stage1", "gsgan", "--data", str(pipeline.data), "--preset", "smoke", "--device", "cpu"]
    pairs = ["kimg=0.02", "background=true", "background_from_kimg=0.008", "g_lr=1e-6", "d_lr=1e-6"]
    words += [word for pair in pairs for word in ("--set", pair)]
    parts = {"one": [], "two": ["--set", "micro_batch=1", "--set", "deviation=batch"]}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command, out in (([*torchrun, "-m", "g3d_cli.main"], "two"), ([sys.executable, "-m", "g3d_cli.main"], "one")):
        whole = [*command, *words, *parts[out], "--out", str(tmp_path / out)]
        done = subprocess.run(whole, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
    one, two = (artifacts.read(tmp_path / n / "state.safetensors", "state").values for n in ("one", "two"))
    assert one["average.background.begun"] == 1
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_the_log_and_the_figures_of_a_run(splat_gan: Path) -> None:
    lines = [json.loads(line) for line in (splat_gan / "log.jsonl").read_text().splitlines()]
    wanted = {
        "loss",
        "generator_loss",
        "pose_loss",
        "d_pose_loss",
        "center_loss",
        "knn_loss",
        "fake_logit",
        "fake_logit_std",
    }
    assert wanted <= lines[0].keys() and lines[-1]["step"] >= 1
    figures = json.loads((splat_gan / "metrics.json").read_text())
    assert figures["frechet_random"] > 0 and figures["kernel_efficientnet"] > 0 and figures["generated_views"] == 24
    assert (splat_gan / "grid.png").is_file()


def test_what_cannot_be_trained_is_one_sentence(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["fit-stage1", "gsgan", "--data", pipeline.data, "--out", tmp_path / "run", "--device", "cpu"]
    refused(g3d(*base), "resolution", "24 x 24", "set resolution=24")
    refused(g3d(*base, "--preset", "ffhq265"), "did you mean 'ffhq256'")
    refused(g3d(*base, "--preset", "smoke", "--set", "anchor=false"), "did you mean 'anchors'")
    refused(g3d(*base, "--preset", "smoke", "--set", "scale=log"), "relative, clipped, free")
    refused(g3d(*base, "--preset", "smoke", "--set", "heads=3"), "multiple of heads=3")
    refused(g3d(*base, "--preset", "smoke", "--set", "augment_p=0.5"), "augment is none")
    refused(g3d(*base, "--preset", "smoke", "--set", "d_channel_base=8"), "no channels are left")
    unposed = tmp_path / "unposed"
    how = ["--workers", 1, "--size", 16]
    assert g3d("prepare-data", "images", pipeline.data / "images", *how, "--out", unposed).code == 0
    words = [
        "fit-stage1",
        "gsgan",
        "--data",
        unposed,
        "--preset",
        "smoke",
        "--out",
        tmp_path / "run",
        "--device",
        "cpu",
    ]
    refused(g3d(*words), "no cameras", "posed views")
    assert not (tmp_path / "run").exists()
