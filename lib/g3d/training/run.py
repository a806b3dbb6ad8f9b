"""A run folder: settings, log, state, and the signals that end a run after saving.

RUN/config.json          what is fitted, with which settings, seed and data
    log.jsonl            one line every few seconds
    state.safetensors    all that --resume needs; written every minute and at a signal
    (what the method writes at each save: model.safetensors, latents.safetensors, ...)
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from g3d import artifacts, files
from g3d.config import differences
from g3d.errors import Diverged, G3dError, Interrupted, from_os_error
from g3d.progress import SILENT, Progress
from g3d.training import distributed

SAVE_EVERY_S = 60.0
LOG_EVERY_S = 2.0


class Run:
    """A run in its folder. Made by `start`; the loop asks it for steps and tells it figures."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], seed: int, device: torch.device, progress: Progress):
        self.folder, self.identity, self.seed, self.device = folder, identity, seed, device
        self.progress = progress if distributed.rank() == 0 else SILENT
        self.resumed: artifacts.Artifact | None = None
        self._step_logged = 0
        self._signal: int | None = None
        self._started = self._saved = self._logged = time.monotonic()
        self._seconds_before = 0.0  # of the processes that this one resumes

    def steps(
        self, total: int, label: str, state: Callable[[], Mapping[str, Tensor]], publish: Callable[[], None]
    ) -> Iterator[int]:
        """The steps that are still to do. Every minute, when a signal arrives, and at the end, `publish` writes what other
        commands read, and the tensors of `state` are kept for --resume; a state that is not finite ends the run instead."""
        first = int(self.resumed.config["step"]) if self.resumed else 0
        self.progress.start(label, total)
        with self._signals():
            for step in range(first, total):
                yield step
                if distributed.any_of(self._signal is not None, self.device):
                    self._save(step + 1, state, publish)
                    sentence = f"stopped by a signal at step {step + 1} of {total}; go on with --resume"
                    raise Interrupted(sentence, self._signal or signal.SIGTERM)
                if time.monotonic() - self._saved > SAVE_EVERY_S:
                    self._save(step + 1, state, publish)
            if first < total or self.resumed is None:
                self._save(total, state, publish)

    def log(self, step: int, total: int, loss: Tensor, items: int, **figures: float | Tensor) -> None:
        """Record a step now and then. A loss that is not finite ends the run; the last saved state stays."""
        now = time.monotonic()
        if now - self._logged < LOG_EVERY_S and step + 1 < total and step > 0:
            return
        value = float(loss)
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value}", step + 1)
        rate = items * max(1, step + 1 - self._step_logged) / max(now - self._logged, 1e-9)
        self._logged, self._step_logged = now, step + 1
        line = {
            "step": step + 1,
            "loss": value,
            "items_per_s": rate,
            "seconds": round(self.seconds(), 1),
            "peak_memory_mb": peak_memory_mb(),
            **{k: float(v) for k, v in figures.items()},
        }
        self.progress.update(step + 1, total, **{k: v for k, v in line.items() if k not in ("step", "seconds")})
        if distributed.rank() == 0:
            try:
                with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line, sort_keys=True) + "\n")
            except OSError as error:
                raise from_os_error(error, f"writing {self.folder / 'log.jsonl'}") from error

    def write(self, name: str, kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Write an artifact of the run; rank 0 alone does. Its parents are the run's inputs."""
        if distributed.rank() == 0:
            parents = self.identity.get("parents", {})
            artifacts.write(self.folder / name, kind, tensors, config, seed=self.seed, parents=parents)

    def seconds(self) -> float:
        """Time spent on the run, by the processes that it was resumed from, too."""
        return self._seconds_before + time.monotonic() - self._started

    def _save(self, step: int, state: Callable[[], Mapping[str, Tensor]], publish: Callable[[], None]) -> None:
        tensors = state()
        for name, value in tensors.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._diverged(f"the tensor '{name}' is not finite any more", step)
        publish()
        self.write("state.safetensors", "state", tensors, {"step": step, "settings": self.identity["settings"]})
        self._saved = time.monotonic()

    def _diverged(self, what: str, step: int) -> Diverged:
        kept = (
            "the last good state is kept there"
            if (self.folder / "state.safetensors").is_file()
            else "no state was saved yet"
        )
        return Diverged(f"{what} at step {step} of '{self.folder}'; {kept}; lower the learning rate (--set lr=…)")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def handler(number: int, frame: FrameType | None) -> None:
            if self._signal is not None and number == signal.SIGINT:  # the second Ctrl-C: at once
                raise KeyboardInterrupt
            self._signal = number

        try:
            old = {n: signal.signal(n, handler) for n in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: a caller from Python keeps its own handlers
            yield
            return
        try:
            yield
        finally:
            for number, previous in old.items():
                signal.signal(number, previous)


def start(
    folder: Path,
    identity: Mapping[str, Any],
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    resume: bool,
    overwrite: bool,
) -> Run:
    """A new run in `folder`, or the one that is there with `resume`.

    `identity` holds `settings` and `parents` and what else must be equal for a resumed run to be the same run."""
    run = Run(folder, identity, seed, device, progress)
    whole = json.loads(json.dumps({**identity, "seed": seed}))
    state = folder / "state.safetensors"
    if resume:
        if not state.is_file():
            raise G3dError(f"'{folder}' holds no state to resume (state.safetensors); start it without --resume")
        old = files.read_json(folder / "config.json", "the settings of the run")
        changed = differences({**old, **old.get("settings", {})}, {**whole, **whole.get("settings", {})})
        if changed:
            changed = [c for c in changed if not c.startswith("settings:")]
            raise G3dError(
                f"'{folder}' was started with other settings ({'; '.join(changed)}); resume it with the same ones"
            )
        run.resumed = artifacts.read(state, "state", role="the state of the run", device=str(device))
        run._step_logged = int(run.resumed.config["step"])
        if distributed.rank() == 0:
            run._seconds_before = _cut_log(folder / "log.jsonl", run._step_logged)
        return run
    if distributed.rank() == 0:  # the other processes looked before they joined; by now the folder may be there
        refuse_foreign_run(folder, overwrite)
        _clear(folder)
        files.write_json(folder / "config.json", whole)
    return run


def check_folder(folder: Path, resume: bool, overwrite: bool, inputs: tuple[Path, ...]) -> None:
    """Refuse, before anything is written, a folder in which the run cannot be."""
    if resume and overwrite:
        raise G3dError("--resume goes on with the run that --overwrite would remove; give one of the two")
    if resume:
        files.refuse_existing(folder, True, inputs)
    else:
        refuse_foreign_run(folder, overwrite, inputs)


def refuse_foreign_run(folder: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a folder that exists, or with `overwrite` one that holds something else than a run."""
    files.refuse_existing(folder, overwrite, inputs)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    config = folder / "config.json"
    ours = config.is_file() and {"settings", "parents", "seed"} <= set(
        files.read_json(config, "the settings of the run")
    )
    if not ours:
        raise G3dError(
            f"'{folder}' holds something else than a run, so --overwrite does not touch it; choose another --out"
        )


def _clear(folder: Path) -> None:
    """Remove what an earlier run wrote here, and nothing else."""
    for path in (folder / "config.json", folder / "log.jsonl", folder / "metrics.json", *folder.glob("*.safetensors")):
        path.unlink(missing_ok=True)


def _cut_log(path: Path, step: int) -> float:
    """Drop what was logged after the state that is resumed, and a line that a kill cut short; return the seconds spent."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            kept += [line] if json.loads(line)["step"] <= step else []
        except (ValueError, KeyError, TypeError):
            continue
    with files.atomic(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return float(json.loads(kept[-1]).get("seconds", 0.0)) if kept else 0.0


def peak_memory_mb() -> float:
    """Peak memory: of the GPU where one is in use, else resident memory of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
