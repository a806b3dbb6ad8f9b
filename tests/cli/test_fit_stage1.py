"""`g3d fit-stage1`: the same bytes again, exact resume, two processes as one, refusals."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Pipeline, environment, g3d, g3d_process, refused
from g3d.errors import Diverged, G3dError
from g3d.steps import fit_stage1
from g3d.storage import artifacts, files
from g3d.training import run as runs

FILES = ("model.safetensors", "latents.safetensors", "state.safetensors")


def options(pipeline: Pipeline, out: Path, *settings: str) -> fit_stage1.Options:
    return fit_stage1.Options(
        "mnif", pipeline.data, out, preset="smoke", settings=["epochs=6", *settings], device="cpu"
    )


def words_of(pipeline: Pipeline, *settings: str) -> list[object]:
    """The command line of a smoke run, without its output."""
    words: list[object] = ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--device", "cpu"]
    return words + [word for pair in settings for word in ("--set", pair)]


def test_same_inputs_and_seed_give_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    fit_stage1.run(options(pipeline, tmp_path / "a"))
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (pipeline.model / name).read_bytes()
    fit_stage1.run(replace(options(pipeline, tmp_path / "b"), seed=1))
    assert (tmp_path / "b" / FILES[0]).read_bytes() != (pipeline.model / FILES[0]).read_bytes()


def test_the_run_folder_holds_its_settings_log_and_figures(pipeline: Pipeline) -> None:
    config = files.read_json(pipeline.model / "config.json", "config")
    assert config["method"] == "mnif" and config["settings"]["width"] == 16
    lines = [json.loads(line) for line in (pipeline.model / "log.jsonl").read_text().splitlines()]
    assert lines[0]["step"] == 1 and lines[-1]["step"] == 6 and all(line["loss"] > 0 for line in lines)
    figures = files.read_json(pipeline.model / "metrics.json", "figures")
    assert 5 < figures["psnr_db"] < 30 and 5 < figures["psnr_test_views_db"] < 30
    assert figures["mean_image_psnr_db"] > 5


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_tensors(pipeline: Pipeline, tmp_path: Path) -> None:
    """SIGTERM saves and ends with 143; --resume then reaches what an undisturbed run reaches, bit for bit."""
    words = words_of(pipeline, "epochs=400")
    undisturbed = g3d_process(*words, "--out", tmp_path / "whole")
    assert undisturbed.code == 0, undisturbed.err
    command = [sys.executable, "-m", "g3d_cli.main", *map(str, words), "--out", str(tmp_path / "cut")]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "cut" / "log.jsonl").is_file():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    error = process.communicate()[1]
    assert process.returncode == 143 and "--resume" in error
    stopped = artifacts.header(tmp_path / "cut" / "state.safetensors").config["step"]
    assert 0 < stopped < 400, "the signal came too late to test anything"
    refused(g3d(*words, "--set", "lr=0.5", "--out", tmp_path / "cut", "--resume"), "lr: 0.001 -> 0.5")
    kept = json.loads((tmp_path / "cut" / "config.json").read_text())
    older = {**kept, "settings": {k: v for k, v in kept["settings"].items() if k not in ("clip", "compile")}}
    (tmp_path / "cut" / "config.json").write_text(json.dumps(older))  # as before there were these settings
    refused(g3d(*words, "--set", "clip=1", "--out", tmp_path / "cut", "--resume"), "(clip: 0.0 -> 1.0)")
    resumed = g3d_process(*words, "--out", tmp_path / "cut", "--resume")
    assert resumed.code == 0 and "as it did without them: clip=0.0, compile=False" in resumed.err
    assert json.loads((tmp_path / "cut" / "config.json").read_text()) == kept
    for name in FILES:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    tensors = artifacts.header(tmp_path / "cut" / "state.safetensors").tensors
    assert {name.split(".")[0] for name in tensors} == {"model", "codes", "optimiser", "run"}  # as states always had


def test_a_state_of_other_data_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    cars = ["procedural", "cars", "--workers", 1, "--num", 3, "--views", 6, "--size", 24]
    prepared = g3d("prepare-data", *cars, "--out", tmp_path / "data")
    assert prepared.code == 0, prepared.err
    fit_stage1.run(options(pipeline, tmp_path / "run"))
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    words = [
        *words_of(pipeline, "epochs=12"),
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "run",
        "--resume",
        "--allow-change",
    ]
    refused_ = g3d(*words)
    assert refused_.code == 2 and "'codes' has shape [4, 8], wanted is [3, 8]" in refused_.err, refused_.err
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(pipeline: Pipeline, tmp_path: Path) -> None:
    """Shares of the same batch, summed gradients: equal up to the order of floating-point sums. Batch 3 splits unevenly."""
    words = words_of(pipeline, "epochs=6", "batch=3")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "g3d_cli.main", *map(str, words), "--out", str(tmp_path / "two")],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert g3d(*words, "--out", tmp_path / "one").code == 0
    for name in FILES[:2]:
        one, two = (artifacts.read(tmp_path / who / name, name.split(".")[0]).values for who in ("one", "two"))
        assert set(one) == set(two)
        for key in one:
            torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_signal_to_two_processes_saves_first(pipeline: Pipeline, tmp_path: Path) -> None:
    """They agree on the step to stop at, so that none waits for another; the state is that of one process."""
    words = words_of(pipeline, "epochs=4000")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "g3d_cli.main", *map(str, words), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "log.jsonl").is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    error = process.communicate()[1]
    assert process.returncode != 0
    assert "stopped by a signal at step" in error and "is gone" not in error
    stopped = artifacts.header(tmp_path / "run" / "state.safetensors").config["step"]
    assert 0 < stopped < 4000


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_state(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(
        Diverged, match=r"the (loss|gradient norm) was not finite at step \d+ of .*no state was saved yet; lower"
    ):
        fit_stage1.run(options(pipeline, tmp_path / "run", "lr=1e30", "epochs=40"))


def test_divergence_keeps_the_last_good_state_and_ends_with_3(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data turns bad after a while (a rate that explodes at once would leave no state to keep)."""
    from g3d.methods.mnif import training

    steps = iter(range(1000))
    honest = training.adaptation.joint_backward

    def fails_at_5(*values: Any) -> torch.Tensor:
        loss = honest(*values)
        return loss * float("nan") if next(steps) >= 5 else loss

    monkeypatch.setattr(training.adaptation, "joint_backward", fails_at_5)
    monkeypatch.setattr(runs, "LOG_EVERY_S", 0.0)
    words = words_of(pipeline)
    result = g3d(*words, "--save-every", 0, "--out", tmp_path / "run")
    assert result.code == 3
    assert "the loss was not finite at step 6" in result.err and "last good state is kept" in result.err
    file = artifacts.read(tmp_path / "run" / "state.safetensors", "state")
    assert file.config["step"] == 5 and all(v.isfinite().all() for v in file.values.values())


def test_a_picture_that_is_met_exactly_is_no_infinity(pipeline: Pipeline, tmp_path: Path) -> None:
    """White views of nothing: their PSNR is infinite, for which JSON has no word."""
    import shutil

    from g3d import images

    shutil.copytree(pipeline.data, tmp_path / "data")
    for path in (tmp_path / "data" / "images").iterdir():
        images.write_image(path, np.full((24, 24, 3), 255, np.uint8))
    data = replace(options(pipeline, tmp_path / "run", "epochs=0"), data=tmp_path / "data")
    assert "psnr_db" in fit_stage1.run(data)


def test_overwrite_touches_nothing_but_a_run(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"my": "settings"}')
    words = [
        "fit-stage1",
        "mnif",
        "--data",
        pipeline.data,
        "--preset",
        "smoke",
        "--out",
        tmp_path / "mine",
        "--overwrite",
    ]
    refused(g3d(*words), "something else than a run")
    assert (tmp_path / "mine" / "config.json").read_text() == '{"my": "settings"}'
    refused(g3d(*words, "--resume"), "one of the two")


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused(g3d("fit-stage1", "mnfi", "--data", pipeline.data, "--out", out), "mnfi", "did you mean 'mnif'")
    refused(g3d("fit-stage1", "mnif", "--data", tmp_path / "no", "--out", out), "does not exist")
    refused(g3d("fit-stage1", "mnif", "--data", pipeline.scenes, "--out", out), "not a dataset folder")
    refused(
        g3d("fit-stage1", "mnif", "--data", pipeline.data, "--out", pipeline.model), "exists", "--resume", "--overwrite"
    )
    refused(g3d("fit-stage1", "mnif", "--data", pipeline.data, "--out", pipeline.data / "x"), "input")
    refused(g3d("fit-stage1", "mnif", "--data", pipeline.data, "--out", out, "--resume"), "no run to resume")
    refused(g3d("fit-stage1", "mnif", "--data", pipeline.data, "--out", out, "--preset", "dmeo"), "did you mean 'demo'")
    for pair, words in {
        "widht=8": "did you mean 'width'",
        "width=8.5": "not a whole number",
        "width=0": "at least 1",
        "mixture=latnet": "did you mean 'latent'",
        "adaptation=metal": "allowed: meta, meta-first-order, autodecode",
        "signal=picture": "allowed: image, voxel, radiance",
        "width": "key=value",
    }.items():
        refused(g3d("fit-stage1", "mnif", "--data", pipeline.data, "--out", out, "--set", pair), words)
    assert not out.exists()


def test_dry_run_prints_the_settings_and_writes_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    result = g3d(
        "fit-stage1", "mnif", "--data", pipeline.data, "--out", tmp_path / "run", "--set", "width=24", "--dry-run"
    )
    assert result.code == 0 and result.json["settings"]["width"] == 24 and result.json["settings"]["bases"] == 256
    assert not (tmp_path / "run").exists()


def test_data_without_cameras_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pipeline.data, tmp_path / "data")
    (tmp_path / "data" / "cameras.safetensors").unlink()
    with pytest.raises(G3dError, match=r"has no cameras.* use --preset flowers or --set signal=image"):
        fit_stage1.run(replace(options(pipeline, tmp_path / "run"), data=tmp_path / "data"))
    words = ["fit-stage1", "mnif", "--data", tmp_path / "data", "--out", tmp_path / "run", "--dry-run"]
    for how in (["--preset", "flowers"], ["--set", "signal=image"]):
        assert g3d(*words, *how).json["settings"]["signal"] == "image"
