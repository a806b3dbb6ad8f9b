"""A run that is killed while its folder comes into being: the same command starts it, or --resume goes on with it."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.errors import G3dError
from g3d.progress import SILENT
from g3d.storage import files
from g3d.training import folder as folders
from g3d.training import run as runs

IDENTITY = {"settings": {"lr": 0.1}, "parents": {"data": "sha256:0"}}


def start(folder: Path, resume: bool, until: str = "end") -> None:
    """A run of a step, of a method that takes its time before."""
    how = runs.Start(0, torch.device("cpu"), resume)
    folders.check_folder(folder, resume, False, ())
    with runs.start(folder, IDENTITY, how, SILENT) as run:
        if until == "fit":
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in run.steps(1, "toy", lambda: {"x": torch.zeros(1)}, lambda: None):
            pass


def child(work: Callable[[], None]) -> int:
    """The exit code of `work` in a forked child."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


CALLS = (
    *((Path, name) for name in ("mkdir", "rename", "replace", "touch", "chmod", "unlink")),
    (tempfile, "mkdtemp"), (os, "close"), (os, "fsync"),
)  # fmt: skip


@contextmanager
def dying(at: int, before: bool) -> Iterator[None]:
    """SIGKILL at the `at`th change that is made on the disk, just before it or just behind it."""
    seen = 0

    def wrapped(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            mine = seen == at
            if mine and before:
                os.kill(os.getpid(), signal.SIGKILL)
            found = change(*words, **more)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return run

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, wrapped(getattr(owner, name)))
        yield


@pytest.mark.parametrize("empty", [False, True])
def test_killed_at_any_change_before_the_first_step(empty: bool, tmp_path: Path) -> None:
    """As the recipe for SLURM does it: with --resume where there is a config.json, else without."""
    kills = 0
    for at in range(1, 60):
        for before in (True, False):
            out = tmp_path / f"{at}{before}" / "run"
            out.parent.mkdir()
            if empty:
                out.mkdir()

            def cut(out: Path = out, at: int = at, before: bool = before) -> None:
                with dying(at, before):
                    start(out, False)

            code = child(cut)
            if code == 0:
                assert kills > 20, "the kills hit nothing"
                return
            assert code == -signal.SIGKILL
            kills += 1
            whole = (out / "config.json").is_file()
            assert whole or not out.exists() or folders.half_born(out)
            assert child(lambda out=out, whole=whole: start(out, whole)) == 0, f"stuck behind change {at}"
            assert files.read_json(out / "config.json", "config")["settings"] == {"lr": 0.1}
            assert not [p for p in (*out.rglob(".*"), *out.parent.glob(".*")) if p.name.endswith(".partial")]
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("resume", [False, True])
def test_killed_between_the_folder_and_the_first_step(resume: bool, tmp_path: Path) -> None:
    out = tmp_path / "run"
    if resume:  # of a version that made the folder first
        out.mkdir()
    assert child(lambda: start(out, resume, until="fit")) == -signal.SIGKILL
    assert [p.name for p in out.iterdir()] == ["config.json"]
    with pytest.raises(G3dError, match="exists"):
        start(out, False)
    start(out, True)
    assert (out / "state.safetensors").is_file()


def test_what_is_no_rest_of_a_start_is_not_taken_for_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for resume, words in ((False, "exists"), (True, "no run to resume")):
        with pytest.raises(G3dError, match=words):
            start(out, resume)
    assert [p.name for p in out.iterdir()] == ["notes.txt"]


def test_two_starts_at_once_are_one_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with runs.start(out, IDENTITY, runs.Start(0, torch.device("cpu")), SILENT):
        with pytest.raises(G3dError, match="another run is writing"):
            folders.make(out, IDENTITY)
        with pytest.raises(G3dError, match="exists"):
            start(out, False)
    assert not out.exists()
