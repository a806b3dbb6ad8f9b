"""The adversarial game: patches at every offset, patches that are crops of whole views, gradients by parts, exact resume."""

import json
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
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError, Interrupted
from g3d.losses import adversarial
from g3d.methods import hypernerfgan as h
from g3d.methods import settings_of
from g3d.methods.hypernerfgan import patches, training
from g3d.methods.hypernerfgan.cameras import world_of
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


def settings(*pairs: str) -> h.Config:
    found: h.Config = settings_of("hypernerfgan", "smoke", list(pairs))
    return found


def made(data: Dataset, *pairs: str) -> tuple[training.Game, patches.PatchSource]:
    config = settings(*pairs)
    world = training.check(config, data)
    assert world.camera_prior is not None
    source = patches.PatchSource(config, data, world, world.camera_prior, 0)
    return training.start(config, world, 0, CPU), source


def fogged(game: training.Game) -> training.Game:
    """Some density everywhere, so that nothing is hidden in empty space."""
    with torch.no_grad():
        game.generator.layers[-1].bias[3] = 3.0  # type: ignore[index]
    return game


@pytest.mark.parametrize(("size", "side"), [((24, 24), 24), ((9, 12), 8), ((24, 24), 20)])
def test_crops_lie_at_every_offset_with_the_same_chance(size: tuple[int, int], side: int) -> None:
    """Also at the last one, also where the crop is the whole picture."""
    places = [(r, c) for r in range(size[0] - side + 1) for c in range(size[1] - side + 1)]
    draws = 400 * len(places)
    seen = dict.fromkeys(places, 0)
    stream = torch.Generator().manual_seed(0)
    for _ in range(draws):
        seen[patches.offset(size, side, stream)] += 1  # a place outside would be a KeyError
    chi2 = sum((n - 400) ** 2 / 400 for n in seen.values())
    assert chi2 < len(places) + 4 * (2 * len(places)) ** 0.5, seen


def test_real_crops_are_pixels_of_training_pictures(data: Dataset) -> None:
    _, source = made(data, "batch=5", "patch_size=9")
    pictures = torch.from_numpy(data.pictures(source.views)).permute(0, 3, 1, 2)
    batch = source.draw(3, slice(0, 5))
    assert batch.real.shape == (5, 3, 9, 9) and batch.real.min() >= -1 and batch.real.max() <= 1
    windows = pictures.unfold(2, 9, 1).unfold(3, 9, 1)  # [V, 3, rows, columns, 9, 9]
    for crop in batch.real:
        wanted = ((crop + 1) * 127.5).round().to(torch.uint8)
        assert (windows == wanted[None, :, None, None]).flatten(4).all(dim=-1).all(dim=1).any()


def test_the_training_views_are_those_of_the_split(data: Dataset) -> None:
    views = made(data)[1].views
    assert len(views) == 24 and not set(views.tolist()) & {int(v) for i in range(4) for v in data.views(i, "test")}


def test_shares_see_what_one_process_sees(data: Dataset) -> None:
    _, source = made(data, "batch=5")
    whole, part = source.draw(7, slice(0, 5)), source.draw(7, slice(2, 4))
    assert torch.equal(whole.real[2:4], part.real)
    for a, b in zip(whole.for_generator, part.for_generator, strict=True):
        assert torch.equal(a[2:4], b)
    assert (whole.for_generator.z != whole.for_discriminator.z).all()


@pytest.mark.parametrize("rays", ["box", "shell"])
def test_a_generated_patch_is_a_crop_of_the_whole_view(data: Dataset, rays: str) -> None:
    """The same pixels that `render` draws of the scene, once jitter and noise are out of the way."""
    game, source = made(data, "batch=3", "patch_size=11", f"rays={rays}", "density_noise=0", "points_per_chunk=100")
    views = source.draw(0, slice(0, 3)).for_generator
    fogged(game)
    views = views._replace(jitter=torch.full_like(views.jitter, 0.5))
    with torch.no_grad():
        images, w = training.generate(game.generator, views, game.config, game.world)
    model = h.Model(game.generator, game.config, game.world)
    scenes = h.decode(model, w)
    cameras = source.prior.sample(0, range(3), "generator camera")
    found = 0
    for b in range(3):
        whole = render_scene(pick(scenes, b), cameras[b]).rgb[0].permute(2, 0, 1)  # [3, 24, 24]
        windows = whole.unfold(1, 11, 1).unfold(2, 11, 1)  # [3, 14, 14, 11, 11]
        error = (windows - (images[b, :, None, None] + 1) / 2).abs().amax(dim=(0, 3, 4))
        found += float(error.min()) < 1e-5
        assert images[b].std() > 0.01
    assert found == 3


def test_rays_that_miss_the_box_show_the_background(data: Dataset) -> None:
    game, source = made(data, "batch=2", "patch_size=24")
    views = source.draw(0, slice(0, 2)).for_generator
    with torch.no_grad():
        images, _ = training.generate(fogged(game).generator, views, game.config, game.world)
    miss = (views.far <= views.near).view(2, 1, 24, 24).expand(-1, 3, -1, -1)
    assert 0.1 < miss.float().mean() < 0.9
    assert (images[miss] == 1).all() and (images[~miss] < 1).float().mean() > 0.5


def gradients(data: Dataset, *pairs: str, batch: int = 4, group: int = 1) -> list[Tensor]:
    """Of one step of each kind, seen by optimisers that do not move; and its figures. `group`: of the minibatch deviation."""
    game, source = made(data, f"batch={batch}", "augment=fixed", "augment_p=0.5", "augment_set=bgc", *pairs)
    game.discriminator.group = group
    drawn, found = source.draw(0, distributed.share(torch.arange(batch))), []
    for optimiser in (game.g_optimizer, game.d_optimizer):
        optimiser.param_groups[0]["lr"] = 0.0
    figures = [*training.generator_step(game, drawn.for_generator, CPU)]
    found += [p.grad.clone() for p in game.generator.parameters() if p.grad is not None]
    figures += training.discriminator_step(game, drawn, CPU)
    found += [p.grad.clone() for p in game.discriminator.parameters() if p.grad is not None]
    figures.append(training.r1_step(game, drawn, CPU))
    found += [p.grad.clone() for p in game.discriminator.parameters() if p.grad is not None]
    assert len(found) > 30
    return found + figures


@pytest.mark.parametrize("pair", ["micro_batch=1", "micro_batch=3", "checkpoint=true", "points_per_chunk=64"])
def test_parts_and_checkpointing_do_not_change_gradients(data: Dataset, pair: str) -> None:
    for a, b in zip(gradients(data), gradients(data, pair), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("count", "micro"), [(1, 1), (2, 2)])
def test_processes_and_parts_compare_the_whole_batch(data: Dataset, count: int, micro: int) -> None:
    """With deviation=batch every gradient is that of one process that holds all pictures."""
    one = gradients(data, batch=6, group=3)
    parts = gradients(data, "micro_batch=1", batch=6, group=3)
    assert any((a - b).abs().max() > 1e-3 * a.abs().max() for a, b in zip(one, parts, strict=True))  # it matters
    for found in processes(
        count, lambda _: gradients(data, "deviation=batch", f"micro_batch={micro}", batch=6, group=3)
    ):
        for a, b in zip(one, found, strict=True):
            torch.testing.assert_close(a, b, rtol=5e-3, atol=5e-6)


def test_the_penalty_is_r1_times_gamma_times_the_interval(data: Dataset) -> None:
    game, source = made(data, "batch=4", "augment=none", "r1_gamma=0.7", "r1_interval=5")
    game.d_optimizer.param_groups[0]["lr"] = 0.0
    batch = source.draw(0, slice(0, 4))
    value = training.r1_step(game, batch, CPU)
    real = batch.real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(game.discriminator(real).sum(), real)
    assert float(value) == pytest.approx(0.5 * float(slope.square().sum()) / 4, rel=1e-4)
    found = {n: p.grad.clone() for n, p in game.discriminator.named_parameters() if p.grad is not None}
    game.discriminator.zero_grad()
    (0.7 * 5 * adversarial.r1(game.discriminator(real), real).mean()).backward()
    wanted = {n: p.grad for n, p in game.discriminator.named_parameters() if p.grad is not None}
    assert found.keys() - wanted.keys() == {"out.bias"} and found["out.bias"] == 0  # no step of Adam leaves it out
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7)


def test_a_discriminator_alone_learns_to_tell_them_apart(data: Dataset) -> None:
    game, source = made(data, "batch=4", "augment=none", "d_lr=0.01", "patch_size=16")
    losses = []
    for step in range(15):
        loss, signs = training.discriminator_step(game, source.draw(step, slice(0, 4)), CPU)
        losses.append(float(loss))
    assert losses[0] > 1.0 and losses[-1] < 0.5 * losses[0] and float(signs) == 4


def test_ada_raises_p_where_the_discriminator_is_sure(data: Dataset) -> None:
    game, _ = made(data, "augment=ada", "ada_kimg=0.1")
    for step in range(8):
        game.controller.see(torch.tensor(4.0), 4)
        game.controller.adjust(step, 4)
    assert float(game.controller.p) == pytest.approx(0.32)
    assert made(data, "augment=none")[0].controller.p == 0 and not made(data, "augment=none")[0].kinds


def test_where_cameras_stand(data: Dataset) -> None:
    world = world_of(settings(), data)
    assert world.camera_prior == data.camera_prior and world.bounds == data.bounds
    celeba: h.Config = replace(h.PRESETS["celeba"], patch_size=24)
    world = world_of(celeba, data)
    prior = world.camera_prior
    assert prior is not None and (prior.default_azimuth_deg, prior.default_elevation_deg) == (0, 0)
    cameras = prior.sample(0, range(4000)).c2w
    azimuth = torch.rad2deg(torch.atan2(cameras[:, 0, 3], cameras[:, 2, 3]))
    elevation = torch.rad2deg(torch.asin(cameras[:, 1, 3] / 4))
    assert float(azimuth.std()) == pytest.approx(5, abs=0.2) and float(azimuth.mean()) == pytest.approx(0, abs=0.3)
    assert float(elevation.abs().max()) <= 2.001 and float(elevation.std()) == pytest.approx(2 / 3**0.5, abs=0.05)
    # nothing that a camera sees between near and far lies outside the box
    corner = (3.5**2 + 2 * (4.5 * 0.36) ** 2) ** 0.5
    assert world.bounds[1][0] > 2.3 and corner > world.bounds[1][0]


FILES = ("model.safetensors", "state.safetensors")


def options(pipeline: Pipeline, out: Path, *pairs: str, **more: Any) -> fit_stage1.Options:
    return fit_stage1.Options(
        "hypernerfgan", pipeline.data, out, preset="smoke", settings=["kimg=0.08", *pairs], device="cpu", **more
    )


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_bytes(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adaptive augmentation moves, R1 comes between, the average has its buffers: all of it is in the state."""
    pairs = ("augment_p=0.2", "ada_kimg=1")
    fit_stage1.run(options(pipeline, tmp_path / "whole", *pairs))
    calls, step = [], training.generator_step

    def interrupted(*words: Any) -> Any:
        calls.append(1)
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*words)

    monkeypatch.setattr(training, "generator_step", interrupted)
    with pytest.raises(Interrupted):
        fit_stage1.run(options(pipeline, tmp_path / "cut", *pairs))
    assert artifacts.header(tmp_path / "cut" / "state.safetensors").config["step"] == 7
    fit_stage1.run(options(pipeline, tmp_path / "cut", *pairs, resume=True))
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    p = artifacts.read(tmp_path / "whole" / "state.safetensors", "state").values["augment"][0]
    assert float(p) not in (0.0, 0.2)
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
    words = ["fit-stage1", "hypernerfgan", "--data", str(pipeline.data), "--preset", "smoke", "--device", "cpu"]
    pairs = [
        "kimg=0.02",
        "augment_p=0.5",
        "g_lr=1e-6",
        "d_lr=1e-6",
    ]  # Adam makes much of tiny gradients
    words += [word for pair in pairs for word in ("--set", pair)]
    parts = {"one": [], "two": ["--set", "micro_batch=1", "--set", "deviation=batch"]}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command, out in (([*torchrun, "-m", "g3d_cli.main"], "two"), ([sys.executable, "-m", "g3d_cli.main"], "one")):
        done = subprocess.run(
            [*command, *words, *parts[out], "--out", str(tmp_path / out)],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 0, done.stderr
    one, two = (artifacts.read(tmp_path / n / "state.safetensors", "state").values for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_the_log_and_the_figures_of_a_run(gan: Path) -> None:
    lines = [json.loads(line) for line in (gan / "log.jsonl").read_text().splitlines()]
    assert {"loss", "generator_loss", "r1", "augment_p", "real_sign"} <= lines[0].keys()
    figures = json.loads((gan / "metrics.json").read_text())
    assert figures["frechet_random"] > 0 and 0 <= figures["recall"] <= 1 and figures["generated_views"] == 24
    assert figures["halo"] is not None and 0 <= figures["cloudy_share"] <= 1 and "fid" not in figures
    assert (gan / "grid.png").is_file() and not (gan / "latents.safetensors").exists()


@pytest.mark.slow
def test_what_cannot_be_trained_is_one_sentence(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["fit-stage1", "hypernerfgan", "--data", pipeline.data, "--out", tmp_path / "run", "--device", "cpu"]
    refused(g3d(*base), "patch_size", "24", "set patch_size=24 or less")
    refused(g3d(*base, "--preset", "cars"), "did you mean 'cars64'")
    refused(g3d(*base, "--set", "D_kwarg.r1_gamma=0.5"), "did you mean 'r1_gamma'")
    refused(g3d(*base, "--set", "augment=some"), "none, fixed, ada")
    unposed = tmp_path / "unposed"
    images = ["prepare-data", "--workers", 1, "images", pipeline.data / "images", "--size", 16, "--out", unposed]
    assert g3d(*images).code == 0
    smoke = ["fit-stage1", "hypernerfgan", "--data", unposed, "--preset", "smoke", "--device", "cpu"]
    refused(g3d(*smoke, "--out", tmp_path / "run"), "camera_prior", "cameras=settings")
    assert not (tmp_path / "run").exists()
    found = g3d(
        *smoke, "--set", "cameras=settings", "--set", "rays=shell", "--set", "kimg=0.008", "--out", tmp_path / "run"
    )
    assert found.code == 0, found.err  # pictures without cameras suffice


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (
            ["cameras=data", "radius_world=3"],
            "radius_world=3.0 has no effect with cameras=data; it belongs to cameras=settings",
        ),
        (["augment=none", "augment_set=bgc"], "it belongs to augment other than none"),
        (["augment=fixed", "ada_target=0.5"], "it belongs to augment=ada"),
        (["r1_interval=0", "r1_gamma=3"], "r1_gamma=3.0 has no effect with r1_interval=0"),
    ],
)
def test_settings_without_effect_are_refused(pairs: list[str], sentence: str) -> None:
    with pytest.raises(G3dError, match=sentence):
        settings_of("hypernerfgan", None, pairs)


def test_the_low_memory_presets_are_the_report_s() -> None:
    """Tables 2 to 4 and section 4.3: P = N_s = 32, gamma 1 for chairs, too, ADA from 0.5, one picture in memory at a time."""
    low = [h.PRESETS[name] for name in ("t4", "t4-cars", "t4-planes", "t4-chairs")]
    for one in low:
        assert (one.patch_size, one.n_samples, one.r1_gamma, one.kimg, one.g_lr, one.d_lr) == (
            32,
            32,
            1.0,
            200,
            2e-3,
            2e-3,
        )
        assert (one.augment, one.augment_p, one.augment_set) == ("ada", 0.5, "bgc")
        assert (one.batch, one.micro_batch) == (4, 1)
    assert [one.layers for one in low] == [4, 8, 4, 8]
    assert (h.PRESETS["t4-batch1"].batch, h.PRESETS["shapenet-chairs"].r1_gamma) == (1, 0.1)


def test_presets_can_be_changed_where_their_own_settings_become_idle() -> None:
    assert settings_of("hypernerfgan", "cars64", ["augment=none"]).augment == "none"
    assert settings_of("gsgan", "cars64", ["background=true", "background_points=7"]).background_points == 7
    with pytest.raises(G3dError, match="background_points=7 has no effect with background=False"):
        settings_of("gsgan", "cars64", ["background_points=7"])
