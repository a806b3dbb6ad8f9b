"""A run in its folder: the loop asks it for steps and tells it figures; it saves, logs, evaluates, and ends well.

Nothing here steers the training: the loop of each method stays visible in the method's own file.
"""

import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.config import differences
from g3d.errors import Diverged, G3dError, Interrupted, from_os_error
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files, locks
from g3d.training import folder as folders
from g3d.training import initial
from g3d.training.checkpoint import State
from g3d.training.forecast import Forecast
from g3d.training.log import Clipping, Figure, Log, Watch, cut_log, now
from g3d.training.signals import Signals

SAVE_EVERY_S = 60.0
LOG_EVERY_S = 2.0


@dataclass(frozen=True)
class Checkpoints:
    """Every `every` steps (0: never) the run is evaluated and what it publishes is kept: the last `keep`, and the best."""

    every: int = 0
    keep: int = 0
    best_by: tuple[tuple[str, bool], ...] = (("loss", False),)
    """What the best is chosen by, and whether more of it is better: the first of these that the evaluation returns."""


class Run:
    """A run in its folder. Made by `start`."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], seed: int, device: torch.device, progress: Progress):
        self.folder, self.identity, self.seed, self.device = folder, identity, seed, device
        self.writes = distributed.rank() == 0
        self.progress = progress if self.writes else SILENT
        self.resumed: artifacts.Artifact | None = None
        self.initial: artifacts.Header | None = None  # that a new run starts from, until `restore` has put it in
        self.checkpoints, self.save_every_s = Checkpoints(), SAVE_EVERY_S
        self.evaluate: Callable[[Run, int], Mapping[str, Any]] | None = None
        self._signals, self._watch, self._clipping = Signals(), Watch(), Clipping()
        self._forecast = Forecast()
        self._log: Log | None = None
        self._published: set[str] = set()
        self._losses = torch.zeros(2, dtype=torch.float64)  # sum and number since the last checkpoint
        self._log_due = False
        self._stepped = False
        self._begin: Callable[[], None] | None = None  # removes an earlier run: only when the first step comes
        self._changed: Mapping[str, Any] | None = None  # what config.json says once something is saved
        self._step_logged = 0
        self._started = self._saved = self._logged = now()
        self._seconds_before = 0.0  # of the processes that this one resumes

    def restore(self, state: State, fitted: Sequence[nn.Module] = ()) -> bool:
        """Put back what is resumed; else, with --init, the weights of that model into each of `fitted`: whether it did this."""
        self._forecast.parameters = state.trained()
        if self.resumed:
            state.resume(self.resumed)
        elif self.initial and fitted:
            initial.load(self.initial, fitted)
            changed = differences(self.initial.config["settings"], self.identity["settings"])
            more = f"; settings that differ from its own: {'; '.join(changed)}" if changed else ""
            self.progress.log(f"starting from the weights of '{self.initial.path}'{more}")
            self.initial = None
            return True
        return False

    def steps(
        self, total: int, label: str, state: Callable[[], Mapping[str, Tensor]], publish: Callable[[], None]
    ) -> Iterator[int]:
        """The steps that are still to do. Every `save_every_s` seconds, when a signal arrives, and at the end, `publish` writes
        what other commands read, and the tensors of `state` are kept for --resume; one not finite ends the run instead."""
        if self.initial and not self.resumed:
            raise G3dError(
                f"what '{self.initial.path}' holds is not where this method can start from; leave --init out"
            )
        self._stepped = True
        if self._begin:
            self._begin()
            self._begin = None
        first = int(self.resumed.config["step"]) if self.resumed else 0
        if self.resumed:
            self._losses = self.resumed.values.get("run.losses", self._losses)
            self.resumed = replace(self.resumed, values={})  # its tensors are put back, their memory is free
        self.progress.start(label, total)
        if first:
            self.progress.update(first, total)
        if self.writes:
            self._log = Log(self.folder, self.progress, first)
        try:
            with self._signals:
                finished = self._finish_checkpoint(first, publish)
                for step in range(first, total):
                    edge = step in (0, first) or step + 1 == total
                    mine = self.writes  # one clock for all processes, so that they log and save at the same steps
                    stop, save, self._log_due = distributed.agree(
                        self._signals.raised is not None, mine and now() - self._saved > self.save_every_s,
                        edge or (mine and now() - self._logged > LOG_EVERY_S),
                    )  # fmt: skip
                    if stop:
                        self._save(step, state, publish)
                        sentence = f"stopped by a signal at step {step} of {total}; go on with --resume"
                        raise Interrupted(sentence, self._signals.exit_signal())
                    if save:
                        self._save(step, state, publish)
                    yield step
                    line = self._forecast.line(step + 1 - first, total - first, peak_memory_mb) if self.writes else None
                    if line is not None:
                        self.progress.log(line)
                    if self.checkpoints.every and (step + 1) % self.checkpoints.every == 0:
                        self._save(step + 1, state, publish)  # before the evaluation, which may take long
                        self._checkpoint(step + 1)
                if first < total or self.resumed is None or finished:
                    self._save(total, state, publish)
        finally:
            if self._log is not None:
                self._log.close()

    def log(self, step: int, total: int, loss: Figure, items: int, *, clip: float = 0.0, **figures: Figure) -> None:
        """The figures of a step; now and then a line of them. One that is not finite ends the run; the last saved state stays.

        `gradient_norm` is that before clipping at `clip` (0: not clipped)."""
        seen: dict[str, Figure] = {"loss": loss, **figures}
        self._watch.see(step + 1, seen)
        if self.checkpoints.every:
            value = loss.detach() if isinstance(loss, Tensor) else torch.tensor(loss)
            self._losses = self._losses.to(value.device) + torch.stack(
                [value.double(), torch.ones_like(value.double())]
            )
        norm = figures.get("gradient_norm")
        if isinstance(norm, Tensor):
            self._clipping.see(norm, clip or float("inf"))
        if not self._log_due:
            return
        self._refuse_divergence()
        rate = items * max(1, step + 1 - self._step_logged) / max(now() - self._logged, 1e-9)
        self._logged, self._step_logged = now(), step + 1
        statistics = {k: v for k, v in self._clipping.take().items() if clip or k != "clipped_share"}
        line = {
            **{k: float(v) for k, v in seen.items()}, **statistics, "items_per_s": rate, "seconds": round(self.seconds(), 1),
            "peak_memory_mb": peak_memory_mb(),
        }  # fmt: skip
        if self._log is not None:
            self._log.line(step + 1, total, line)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """The spread of many numbers, e.g. of latent codes, for TensorBoard; drawn when a line of the log is due."""
        if self._log_due and self._log is not None:
            self._log.histogram(name, values, step + 1)

    def picture(self, name: str, pixels: Any, step: int) -> None:
        """A picture [H, W, 3], 8-bit, for TensorBoard."""
        if self._log is not None:
            self._log.picture(name, pixels, step)

    def write(self, name: str, kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Write an artifact of the run; rank 0 alone does. Its parents are the run's inputs."""
        if self.writes:
            parents = self.identity.get("parents", {})
            artifacts.write(self.folder / name, kind, tensors, config, seed=self.seed, parents=parents)
            self._published.add(name)

    def seconds(self) -> float:
        """Time spent on the run, by the processes that it was resumed from, too."""
        return self._seconds_before + now() - self._started

    def _save(self, step: int, state: Callable[[], Mapping[str, Tensor]], publish: Callable[[], None]) -> None:
        self._refuse_divergence()
        tensors = {**state(), "run.losses": self._losses}
        for name, value in tensors.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise self._diverged(f"the tensor '{name}' is not finite any more", step)
        publish()
        if self.writes:
            config = {"step": step, "settings": self.identity["settings"]}
            artifacts.write(self.folder / "state.safetensors", "state", tensors, config, seed=self.seed)
            if self._changed is not None:
                files.write_json(self.folder / "config.json", self._changed)
                self._changed = None
        self._saved = now()

    def _finish_checkpoint(self, step: int, publish: Callable[[], None]) -> bool:
        """Make the checkpoint of the step that is resumed, where a kill came between its save and its end: losses that were
        saved are those of a checkpoint that was still to be made. Whether that was so."""
        every = self.checkpoints.every
        if self.resumed is None or not every or step % every or not self._losses[1] > 0:
            return False
        if self.writes:
            cut_log(self.folder / "log.jsonl", step, evaluated=False)
        publish()
        self._checkpoint(step)
        return True

    def _checkpoint(self, step: int) -> None:
        """Evaluate what was published, keep it. The step alone decides when, so a resumed run keeps what an undisturbed one
        keeps."""
        (total, count), self._losses = self._losses.tolist(), torch.zeros_like(self._losses)
        if not self.writes:
            return
        figures = {"loss": total / max(count, 1), **(self.evaluate(self, step) if self.evaluate else {})}
        if self._log is not None:
            self._log.evaluation(step, figures)
        place = self.folder / "checkpoints" / f"{step:06d}"
        self._keep(place)
        known = sorted((p for p in place.parent.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
        for old in known[: max(0, len(known) - self.checkpoints.keep)]:
            folders.thin_out(old, self._published)
        self._keep_best(step, figures)

    def _keep_best(self, step: int, figures: Mapping[str, Any]) -> None:
        metric, more = next((name, more) for name, more in self.checkpoints.best_by if figures.get(name) is not None)
        record, value = self.folder / "best" / "metrics.json", float(figures[metric])
        old = files.read_json(record, "the best figures") if record.is_file() else None
        if old is not None and (value <= old["value"] if more else value >= old["value"]):
            return  # also when a run that goes on before its best comes to that step again
        self._keep(self.folder / "best", {"step": step, "metric": metric, "value": value})

    def _keep(self, place: Path, record: Mapping[str, Any] | None = None) -> None:
        """What was published last, in a folder of its own; the same bytes on disk, not a copy, where the system can."""
        new = place.with_name(f".{place.name}.partial")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for name in sorted(self._published):
                try:
                    (new / name).hardlink_to(self.folder / name)
                except OSError:
                    shutil.copy2(self.folder / name, new / name)
            if record is not None:
                files.write_json(new / "metrics.json", record)
            folders.replace_folder(place, new)
        except OSError as error:
            raise from_os_error(error, f"writing {place}") from error

    def _refuse_divergence(self) -> None:
        first = self._watch.first()
        if first is not None:
            raise self._diverged(f"the {first[0].replace('_', ' ')} was not finite", first[1])

    def _diverged(self, what: str, step: int) -> Diverged:
        kept = (
            "the last good state is kept there"
            if (self.folder / "state.safetensors").is_file()
            else "no state was saved yet"
        )
        return Diverged(f"{what} at step {step} of '{self.folder}'; {kept}; lower the learning rate (--set lr=…)")


@dataclass(frozen=True)
class Start:
    """How a run begins."""

    seed: int
    device: torch.device
    resume: bool = False
    overwrite: bool = False
    allow_change: bool = False
    initial: artifacts.Header | None = None  # --init
    save_every_s: float = SAVE_EVERY_S  # no part of what the run is: it may change on the way
    before: Mapping[str, Any] = field(default_factory=dict)  # `config.before` of the settings


@contextmanager
def start(
    folder: Path,
    identity: Mapping[str, Any],
    how: Start,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
    evaluate: "Callable[[Run, int], Mapping[str, Any]] | None" = None,
) -> Iterator[Run]:
    """A new run in `folder`, or the one that is there; no second one can be in the folder at the same time.

    `identity` holds `settings` and `parents` and what else must be equal for a resumed run to be the same run. `evaluate`
    returns figures of what was published last; it is called at every checkpoint, in the process that writes."""
    run = Run(folder, identity, how.seed, how.device, progress)
    run.checkpoints, run.evaluate = checkpoints or Checkpoints(), evaluate
    run.save_every_s, run.initial = how.save_every_s, how.initial
    whole = folders.plain({**identity, "seed": how.seed})
    if not run.writes:
        if how.resume and not folders.half_born(folder):
            folders.check_resumed(folder, whole, how.allow_change, SILENT, how.before)
            run.resumed = _state(folder)
        yield run
        return
    made = not folder.exists()
    if not how.resume:
        folders.refuse_foreign_run(folder, how.overwrite)
        if made:
            folders.make(folder, whole)
    elif not folder.is_dir():
        raise G3dError(f"'{folder}' holds no run to resume (config.json); start it without --resume")
    with locks.locked(folder, folder):
        folders.sweep(folder)
        if folders.half_born(folder):  # empty, or left by a kill before there was a run
            files.write_json(folder / "config.json", whole)
        elif how.resume:
            run._changed = folders.check_resumed(folder, whole, how.allow_change, progress, how.before)
            run.resumed = _state(folder)
            run._step_logged = int(run.resumed.config["step"]) if run.resumed else 0
            run._seconds_before = cut_log(folder / "log.jsonl", run._step_logged)
        elif not made:
            folders.refuse_foreign_run(folder, how.overwrite)  # again: another run may have come since
            run._begin = partial(folders.begin, folder, whole)
        try:
            yield run
        finally:
            if made and not run._stepped:  # the method refused before its first step
                folders.unmake(folder)


def check_times(every: int, keep: int, save_every_s: float) -> None:
    """Refuse counts and seconds that mean nothing."""
    if not 0 <= save_every_s < float("inf"):
        raise G3dError(
            f"--save-every {save_every_s}: wanted are seconds, 0 (at every step) or more; leave it out for 60"
        )
    if every < 0 or keep < 0:
        raise G3dError(f"--checkpoint-every {every} --keep {keep}: counts are 0 or more")
    if keep and not every:
        raise G3dError("--keep keeps what --checkpoint-every STEPS makes; give both")


def _state(folder: Path) -> artifacts.Artifact | None:
    """What is to be resumed; None in a run that was killed before its first save, which begins again."""
    if not (folder / "state.safetensors").is_file():
        return None
    return artifacts.read(folder / "state.safetensors", "state", role="the state of the run")


def peak_memory_mb() -> float:
    """Peak memory: of the GPU where one is in use, else resident memory of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
