"""Runs killed at random moments, again and again, also in the middle of a write: what they end with is what an undisturbed
run ends with, bit for bit.

Children are forked from this process, which has torch in memory: a start costs nothing, so a kill can come at any moment.
`make torture` does it to every kind of run of every method (`tests/torture.py`).
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from commands import Pipeline
from g3d.storage import artifacts
from torture import child, ended, next_words, some_moment, undisturbed

KILLS = int(os.environ.get("G3D_KILLS", "20"))


def campaign(words: list[object], out: Path, kills: int, log: Path) -> tuple[int, set[int]]:
    """Kill at random moments and go on; returns the kills that hit, and the steps that were resumed at."""
    hits, steps, stream = 0, set(), random.Random(0)
    for _ in range(kills):
        if (out / "state.safetensors").is_file():
            steps.add(int(artifacts.header(out / "state.safetensors").config["step"]))
        pid = child(next_words(words, out), log)
        some_moment(pid, out, stream)
        code = ended(pid)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            hits += 1
            continue
        assert code == 0, log.read_text()
        return hits, steps  # it was done before the kill came
    finish(next_words(words, out), log)
    return hits, steps


def finish(words: list[object], log: Path) -> None:
    assert undisturbed(words, log) == 0, log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit-stage1", "fit-prior"])
def test_killed_at_random_moments_it_ends_with_the_same_tensors(
    command: str, pipeline: Pipeline, tmp_path: Path
) -> None:
    if command == "fit-stage1":
        words: list[object] = ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--set", "epochs=60"]
        names = [
            "model.safetensors",
            "latents.safetensors",
            "best/model.safetensors",
            "checkpoints/000040/model.safetensors",
        ]
    else:
        words = [
            "fit-prior",
            pipeline.model,
            "--kind",
            "diffusion",
            "--set",
            "width=64",
            "--set",
            "epochs=800",
            "--set",
            "ema=0.9",
        ]
        names = ["prior.safetensors", "best/prior.safetensors", "checkpoints/000100/prior.safetensors"]
    words += ["--device", "cpu", "--checkpoint-every", 20, "--keep", 2, "--out"]
    log = tmp_path / "log.txt"
    finish([*words, tmp_path / "whole"], log)
    words = [*words[:-1], "--save-every", 0, "--out"]  # most kills fall into a write
    hits, steps = campaign([*words, tmp_path / "cut"], tmp_path / "cut", KILLS, log)
    assert hits >= min(KILLS, 15) and len(steps) >= 8, f"{hits} kills at {sorted(steps)} test too little"
    for name in [*names, "state.safetensors", "best/metrics.json"]:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not [p for p in (tmp_path / "cut").rglob(".*") if p.name.endswith(".partial")]


@pytest.mark.slow
def test_a_full_disk_keeps_the_state_and_resume_goes_on(pipeline: Pipeline, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the state does not fit any more when the next save comes."""
    words: list[object] = [
        "fit-stage1",
        "mnif",
        "--data",
        pipeline.data,
        "--preset",
        "smoke",
        "--set",
        "epochs=60",
        "--device",
        "cpu",
    ]
    log = tmp_path / "log.txt"
    finish([*words, "--out", tmp_path / "whole"], log)
    words += ["--save-every", 0]
    out = tmp_path / "run"
    pid = child([*words, "--out", out], log)
    while not (out / "state.safetensors").is_file():
        assert ended(pid) is None
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    before = (out / "state.safetensors").read_bytes()
    log.write_text("")
    pid = child([*words, "--out", out, "--resume"], log, most_bytes=len(before) // 2)
    _, status = os.waitpid(pid, 0)
    said = log.read_text().splitlines()
    assert (
        os.waitstatus_to_exitcode(status) == 1
        and said[-1].startswith("g3d: writing ")
        and "Traceback" not in log.read_text()
    )
    assert (out / "state.safetensors").read_bytes() == before and not list(out.glob(".*.partial"))
    finish([*words, "--out", out, "--resume"], log)
    for name in ("model.safetensors", "latents.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
