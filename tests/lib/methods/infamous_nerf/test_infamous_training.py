"""Fitting: it learns, resumes bit by bit with its maps of losses, starts from another model, and refuses what it cannot use."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import environment, g3d, refused
from g3d import latents
from g3d.data.opening import open_dataset
from g3d.errors import Diverged
from g3d.methods import settings_of
from g3d.methods.infamous_nerf import encoding, objective, rays, training
from g3d.methods.infamous_nerf.codec import Model
from g3d.methods.infamous_nerf.field import FIELDS
from g3d.methods.infamous_nerf.subjects import remember_means
from g3d.steps import fit_stage1
from g3d.storage import artifacts
from toy_faces import write_dataset


def test_figures_and_latents_of_the_run(heads: Path, fitted: Path) -> None:
    figures = json.loads((fitted / "metrics.json").read_text())
    assert 5 < figures["psnr_db"] < 30 and 5 < figures["psnr_test_views_db"] < 30
    found = latents.read(latents.check(fitted))
    assert set(found.tensors) == {f"fields.{name}" for name in FIELDS} and len(found) == 8
    assert found.names[:3] == ["s0/neutral", "s0/open", "s0/wide"] and "s1/wide" not in found.names
    values = found.tensors
    assert torch.equal(values["fields.identity_appearance"], values["fields.identity_shape"])
    for name in ("appearance", "shape", "identity_shape"):  # one of each subject
        assert torch.equal(values[f"fields.{name}"][0], values[f"fields.{name}"][2])
        assert not torch.equal(values[f"fields.{name}"][0], values[f"fields.{name}"][3])
    epsilon = values["fields.expression"]  # one of each expression, whoever has it
    assert torch.equal(epsilon[0], epsilon[3]) and torch.equal(epsilon[2], epsilon[7])
    assert not torch.equal(epsilon[0], epsilon[1])


def test_the_model_remembers_the_means_of_its_codes(fitted: Path) -> None:
    model, found = artifacts.read(fitted / "model.safetensors", "model").values, latents.read(latents.check(fitted))
    for name in ("appearance", "shape", "expression"):
        assert torch.allclose(model[f"mean_{name}"], found.tensors[f"fields.{name}"].mean(0), atol=1e-6)


def test_in_the_naive_arm_every_subject_has_its_own_expressions(heads: Path, tmp_path: Path) -> None:
    words = ["--preset", "smoke", "--set", "steps=3", "--set", "expression_table=naive", "--out", tmp_path / "m"]
    assert g3d("fit-stage1", "infamous-nerf", "--data", heads, *words).code == 0
    epsilon = latents.read(latents.check(tmp_path / "m")).tensors["fields.expression"]
    assert not torch.equal(epsilon[0], epsilon[3])
    assert "expression" not in artifacts.header(tmp_path / "m" / "model.safetensors").tensors


class _Here:
    seed, device = 0, torch.device("cpu")


@pytest.mark.slow
def test_it_learns_the_heads(heads: Path) -> None:
    pairs = ["width=32", "last_width=16", "rays=64", "points=16", "steps=200", "sampling=mask", "surface_weight=0"]
    config, dataset = settings_of("infamous-nerf", "smoke", pairs), open_dataset(heads)
    known, world = training.check(config, dataset)
    source = rays.PairSource(config, dataset, known, 0)
    now = training.start(config, known, source, world, _Here())  # type: ignore[arg-type]
    found = [
        float(training.one_step(now, source.draw(step, range(2), None), _Here.device, slice(0, 2))["psnr_db"])
        for step in range(200)
    ]
    assert sum(found[-20:]) / 20 > sum(found[:5]) / 5 + 8
    remember_means(now.model, now.codes, known)
    model, test = Model(now.model, config, world), encoding.items(Model(now.model, config, world), dataset, "test")
    mse = [encoding.encoder(model, dataset, test, encoding.EncodeSettings(steps=n), 0)([0]).mse for n in (0, 100)]
    assert float(mse[1]) < 0.5 * float(mse[0])


def test_resuming_goes_on_bit_by_bit(heads: Path, tmp_path: Path) -> None:
    """Stop in the middle by an exception in the loop, go on: model, codes, optimiser, maps are those of a run in one piece."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = {"preset": "smoke", "settings": ["steps=14", "adaptive_reset=3"], "device": "cpu"}
    fit_stage1.run(fit_stage1.Options("infamous-nerf", heads, whole, **options))  # type: ignore[arg-type]
    step, calls = training.one_step, []

    def stopped(*args):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return step(*args)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "one_step", stopped)
        fit_stage1.run(fit_stage1.Options("infamous-nerf", heads, parts, save_every_s=0.0, **options))  # type: ignore[arg-type]
    assert int(artifacts.header(parts / "state.safetensors").config["step"]) == 8
    fit_stage1.run(fit_stage1.Options("infamous-nerf", heads, parts, resume=True, **options))  # type: ignore[arg-type]
    a, b = (artifacts.read(p / "state.safetensors", "state").values for p in (whole, parts))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert float(a["maps.losses"].sum()) > 0 and int(a["maps.visits"].max()) > 3


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(heads: Path, tmp_path: Path) -> None:
    """The maps of losses are those of all processes, so that each draws what one process would have drawn."""
    words = ["fit-stage1", "infamous-nerf", "--data", str(heads), "--preset", "smoke", "--device", "cpu"]
    for pair in ("steps=8", "lr=1e-6", "hyper_lr=1e-6", "code_lr=1e-6"):  # Adam makes much of tiny gradients
        words += ["--set", pair]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command, out in (([*torchrun, "-m", "g3d_cli.main"], "two"), ([sys.executable, "-m", "g3d_cli.main"], "one")):
        line = [*command, *words, "--out", str(tmp_path / out)]
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
    one, two = (artifacts.read(tmp_path / n / "state.safetensors", "state").values for n in ("one", "two"))
    assert torch.equal(one["maps.pixels"], two["maps.pixels"]) and torch.equal(one["maps.visits"], two["maps.visits"])
    assert float(one["maps.losses"].sum()) > 0
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_starting_from_a_model_takes_its_expressions_and_its_means(heads: Path, fitted: Path, tmp_path: Path) -> None:
    words = ["--preset", "smoke", "--set", "steps=2", "--set", "expressions_learn=false", "--init", fitted]
    found = g3d("fit-stage1", "infamous-nerf", "--data", heads, *words, "--out", tmp_path / "m")
    assert found.code == 0 and "start at the means" in found.err
    old, new = (artifacts.read(p / "model.safetensors", "model").values for p in (fitted, tmp_path / "m"))
    assert torch.equal(old["expression"], new["expression"])
    assert not torch.equal(old["hypernetwork.first_bias"], new["hypernetwork.first_bias"])
    codes = latents.read(latents.check(tmp_path / "m")).tensors["fields.shape"]
    assert (codes - old["mean_shape"]).abs().max() < 0.1


def test_photographs_use_the_expressions_of_the_model_and_no_others(heads: Path, fitted: Path, tmp_path: Path) -> None:
    """One view each, no L_sur, own theta, alpha and beta; numbers that mean another expression are refused."""
    words = ["infamous-nerf", "--preset", "smoke", "--set", "steps=2", "--set", "views=1", "--set", "surface_weight=0",
             "--set", "expressions_learn=false", "--init", fitted, "--out", tmp_path / "m"]  # fmt: skip
    single = write_dataset(tmp_path / "single", views=1, test_views=0)
    assert g3d("fit-stage1", *words, "--data", single).code == 0
    epsilon = latents.read(latents.check(tmp_path / "m")).tensors["fields.expression"]
    table = artifacts.read(fitted / "model.safetensors", "model").values["expression"]
    assert torch.equal(epsilon[:3], table[:3])
    info = json.loads((single / "dataset.json").read_text())
    info["names"]["expression"] = ["neutral", "wide", "open"]
    (single / "dataset.json").write_text(json.dumps(info))
    refused(g3d("fit-stage1", *words, "--data", single, "--overwrite"), "expression 1 is 'wide'", "1 open")


def test_a_density_that_died_ends_the_run(heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bias far below 0 the ReLU is 0 at every point: all figures are finite, nothing learns (but colours by L_sur)."""
    monkeypatch.setattr(training, "STANDSTILL_EVERY", 3)
    dead = ["density=relu", "density_bias=-50", "surface_weight=0", "steps=20"]
    with pytest.raises(Diverged, match="density is 0 everywhere"):
        fit_stage1.run(fit_stage1.Options("infamous-nerf", heads, tmp_path / "m", "smoke", dead, device="cpu"))
    assert training.refuse_standstill(3, torch.tensor(0.1), 1) == 0
    assert training.refuse_standstill(4, torch.tensor(0.0), 1) == 1


def test_few_visits_are_said_and_many_are_not(heads: Path) -> None:
    said: list[str] = []

    run, dataset = SimpleNamespace(progress=SimpleNamespace(log=said.append)), open_dataset(heads)
    for steps, loud in ((20, True), (5000, False)):
        config = settings_of("infamous-nerf", "smoke", [f"steps={steps}"])
        source = rays.PairSource(config, dataset, training.check(config, dataset)[0], 0)
        training.warn_of_few_visits(config, source, run)  # type: ignore[arg-type]
        assert bool(said) == loud
        said.clear()


def test_rays_around_landmarks_that_are_not_there_are_said(heads: Path) -> None:
    said: list[str] = []
    run, data = SimpleNamespace(progress=SimpleNamespace(log=said.append)), open_dataset(heads)
    bare = replace(data, labels={name: value for name, value in data.labels.items() if name != "landmarks"})
    config = settings_of("infamous-nerf", "smoke", [])
    training.warn_of_no_landmarks(config, data, run)  # type: ignore[arg-type]
    training.warn_of_no_landmarks(replace(config, landmark_share=0.0), bare, run)  # type: ignore[arg-type]
    assert not said
    training.warn_of_no_landmarks(config, bare, run)  # type: ignore[arg-type]
    assert len(said) == 1 and "landmark_share=0.5 has no effect" in said[0]


def test_what_cannot_be_fitted_is_refused_in_one_sentence(heads: Path, tmp_path: Path) -> None:
    words = ["infamous-nerf", "--preset", "smoke", "--data"]
    out = ["--out", tmp_path / "m"]
    refused(g3d("fit-stage1", *words, heads, *out, "--set", "expressions=2"), "setting 'expressions' is 2", "number 2")
    refused(g3d("fit-stage1", *words, heads, *out, "--set", "views=1"), "surface_weight", "views is 1")
    refused(
        g3d("fit-stage1", *words, heads, *out, "--set", "pairs=3", "--set", "together=2"), "no multiple of together=2"
    )
    refused(
        g3d("fit-stage1", *words, heads, *out, "--set", "hypernetwork=none", "--set", "rank=3"), "rank=3 has no effect"
    )
    for settings in (
        ("hypernetwork=full", "lr=1e-3"),
        ("expression_table=naive", "expressions_learn=false"),
        ("views=1", "surface_weight=0", "pairing=near"),
    ):
        given = [word for setting in settings for word in ("--set", setting)]
        refused(g3d("fit-stage1", *words, heads, *out, *given), "has no effect with " + settings[0].split("=")[0])
    refused(g3d("fit-stage1", *words, heads, *out, "--set", "recon_weight=0", "--set", "mse_weight=0"), "both 0")
    assert g3d("prepare-data", "procedural", "cars", "--num", 2, "--views", 2, "--size", 16, "--workers", 1, "--out",
               tmp_path / "cars").code == 0  # fmt: skip
    refused(g3d("fit-stage1", *words, tmp_path / "cars", *out), "does not say which expression")
    assert not (tmp_path / "m").exists()


def test_landmarks_may_lack_their_visibility_or_be_absent(tmp_path: Path) -> None:
    data = open_dataset(write_dataset(tmp_path / "data", views=2))
    config = settings_of("infamous-nerf", "smoke", [])
    for missing in ({"landmarks_visible"}, {"landmarks_visible", "landmarks"}):
        labels = {name: value for name, value in data.labels.items() if name not in missing}
        less = replace(data, labels=labels)
        source = rays.PairSource(config, less, training.check(config, less)[0], 0)
        assert source.draw(0, range(2), None).pixels.shape == (2, 2, config.rays)
    assert isinstance(objective.Frame(training.world_of(config, data), 16, 16), tuple)
