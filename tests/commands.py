"""How tests run commands: in this process or in one of their own, and what a refusal must look like; the sample data."""

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from g3d.storage import artifacts
from g3d_cli.main import main

SHARED_DATA = (
    Path(__file__).resolve().parents[2] / "shared" / "data"
)  # sample data beside the repository, if it is there


@dataclass(frozen=True)
class Pipeline:
    """A folder laid out as the examples of the help texts expect: demo/data, demo/model, demo/prior, demo/scenes."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "demo" / "data"

    @property
    def model(self) -> Path:
        return self.root / "demo" / "model"

    @property
    def prior(self) -> Path:
        return self.root / "demo" / "prior"

    @property
    def scenes(self) -> Path:
        return self.root / "demo" / "scenes"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def g3d(*words: object) -> Result:
    """Run a command as the program's entry point does, in this process (importing torch takes seconds)."""
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with mock.patch.object(sys, "argv", ["g3d", *map(str, words)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int | None)
    return Result(code or 0, out.getvalue(), err.getvalue())


def g3d_process(*words: object, cwd: Path | None = None) -> Result:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "g3d_cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment(), check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process: one thread, so that tests side by side do not wait for each other."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@contextmanager
def unchecked() -> Iterator[None]:
    """Files are written as other hands might: with NaN and infinity."""
    with mock.patch.object(artifacts, "not_finite", lambda tensors: None):
        yield


def made_with_modules(make: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a process of its own makes, and the modules that it has imported for it."""
    for name in ("srn", "eg3d"):
        importlib.import_module(f"g3d.sources.{name}")
    return make(), sorted(sys.modules)


def refused(result: Result, *words: str, code: int = 2) -> None:
    """The contract of a refusal: the code, one sentence on stderr with the given words, nothing on stdout."""
    assert result.code == code, result.err or result.out
    assert "Traceback" not in result.err
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("g3d: "), result.err
    assert not result.out
    for word in words:
        assert word in result.err, f"{word!r} is not in: {result.err}"
