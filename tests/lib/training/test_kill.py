"""Runs killed at random moments, again and again, also in the middle of a write: what they end with is what an undisturbed
run ends with, bit for bit.

Children are forked from this process, which has torch in memory: a start costs nothing, so a kill can come at any moment.
`make torture` runs the same with many more kills (G3D_KILLS).
"""

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import pytest
from commands import Pipeline
from g3d.storage import artifacts
from g3d_cli.main import main

KILLS = int(os.environ.get("G3D_KILLS", "20"))


def child(words: list[object], log: Path, most_bytes: int | None = None) -> int:
    """Run a command in a forked child, which may not write files larger than `most_bytes`; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        sys.stdout = sys.stderr = log.open("a", buffering=1)
        sys.argv = ["g3d", *map(str, words)]
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def ended(pid: int) -> int | None:
    """The exit code of a child that has ended by itself, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def next_words(words: list[object], out: Path) -> list[object]:
    if (out / "config.json").is_file():
        return [*words, "--resume"]  # also before the first save
    return [*words, "--overwrite"] if out.exists() else words


def some_moment(pid: int, state: Path, stream: random.Random) -> None:
    """Wait for a random moment: early in the start, or some time after the state was saved once or twice."""
    saves = stream.randrange(4)
    if not saves:
        time.sleep(stream.uniform(0, 0.3))
        return
    for _ in range(min(saves, 2)):
        before = state.stat().st_mtime_ns if state.is_file() else 0
        while (state.stat().st_mtime_ns if state.is_file() else 0) == before:
            if (
                not Path(f"/proc/{pid}").exists()
                or Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
            ):
                return  # it has ended by itself
            time.sleep(0.001)
    time.sleep(stream.uniform(0, 0.02))


def campaign(words: list[object], out: Path, kills: int, log: Path) -> tuple[int, set[int]]:
    """Kill at random moments and go on; returns the kills that hit, and the steps that were resumed at."""
    hits, steps, stream = 0, set(), random.Random(0)
    for _ in range(kills):
        if (out / "state.safetensors").is_file():
            steps.add(int(artifacts.header(out / "state.safetensors").config["step"]))
        pid = child(next_words(words, out), log)
        some_moment(pid, out / "state.safetensors", stream)
        code = ended(pid)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            hits += 1
            continue
        assert code == 0, log.read_text()
        return hits, steps  # it was done before the kill came
    undisturbed(next_words(words, out), log)
    return hits, steps


def undisturbed(words: list[object], log: Path) -> None:
    pid = child(words, log)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, log.read_text()


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
    undisturbed([*words, tmp_path / "whole"], log)
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
    undisturbed([*words, "--out", tmp_path / "whole"], log)
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
    undisturbed([*words, "--out", out, "--resume"], log)
    for name in ("model.safetensors", "latents.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
