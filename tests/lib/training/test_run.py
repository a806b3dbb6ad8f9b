"""The parts of a training loop: watch, clipping, log, checkpoints, averages, the folder; a toy loop shows them together."""

import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.errors import Diverged, Failure, G3dError, Interrupted
from g3d.progress import SILENT
from g3d.storage import artifacts, files, formats
from g3d.training import checkpoint, ema
from g3d.training import run as runs
from g3d.training.log import Clipping, Watch, cut_log
from g3d.training.run import Checkpoints, Run, Start
from torch import nn

CPU = torch.device("cpu")
IDENTITY = {"settings": {"lr": 0.1}, "parents": {"data": "sha256:0"}}


@contextmanager
def started(folder: Path, *, resume: bool = False, identity: dict[str, Any] = IDENTITY, **more: Any) -> Iterator[Run]:
    known = ("overwrite", "allow_change", "save_every_s", "before")
    how = Start(0, CPU, resume, **{k: more.pop(k) for k in known if k in more})
    with runs.start(folder, identity, how, SILENT, **more) as run:
        yield run


def fit(run: Run, total: int = 30, *, bad: int = -1, stop: int = -1, value: float = float("nan")) -> None:
    """A toy with all that must survive: weights, their average, an optimiser, and a strength that the losses steer."""
    weights = nn.Linear(3, 1)
    with torch.no_grad():
        weights.weight.fill_(0.5)
        weights.bias.zero_()
    average, strength = ema.averaged(weights), torch.zeros(())
    optimiser = torch.optim.Adam(weights.parameters(), lr=0.1)
    counts: dict[str, float] = {"seen": 0, "mean": 0.0}
    state = checkpoint.State(
        {"weights": weights, "average": average}, {"optimiser": optimiser}, {"strength": strength}, counts
    )
    if run.resumed:
        state.resume(run.resumed)

    def publish() -> None:
        run.write(
            "prior.safetensors", "prior", average.state_dict(), {"kind": "toy", "settings": {}, "latent_space": "z"}
        )

    for step in run.steps(total, "toy", state.pack, publish):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        loss = (weights(x).squeeze(1) - x.sum(dim=1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights.parameters(), 1.0)
        optimiser.step()
        ema.update(average, weights, 0.9)
        strength += 0.01 * torch.sign(loss.detach() - 0.5)
        counts["seen"] += 8
        counts["mean"] += (loss.item() - counts["mean"]) / counts["seen"]
        if step == bad:
            loss = loss * value
        if step == stop:
            os.kill(os.getpid(), signal.SIGUSR1)
        run.log(step, total, loss.detach(), 8, clip=1.0, gradient_norm=norm)


def test_the_watch_names_what_left_the_finite_numbers_first() -> None:
    watch = Watch()
    for step in range(1, 10):
        watch.see(
            step,
            {"loss": torch.tensor(math.inf if step == 7 else 1.0), "r1": torch.tensor(math.nan if step >= 5 else 0.0)},
        )
        watch.see(step, {"plain": 1.0 if step < 6 else math.nan})
    assert watch.first() == ("r1", 5)
    fine = Watch()
    fine.see(1, {"loss": torch.tensor(2.0), "lr": 0.1})
    assert fine.first() is None


def test_clipping_is_counted() -> None:
    clipping = Clipping()
    for norm in (0.5, 3.0, 1.0, 2.0):
        clipping.see(torch.tensor(norm), 1.0)
    assert clipping.take() == {"clipped_share": 0.5, "gradient_norm_most": 3.0}
    assert clipping.take() == {}


def test_the_log_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LOG_EVERY_S", 0.0)
    with started(tmp_path / "run") as run:
        fit(run)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert all(
        {"loss", "gradient_norm", "gradient_norm_most", "clipped_share", "items_per_s", "peak_memory_mb"} <= line.keys()
        for line in lines
    )
    assert lines[0]["clipped_share"] == 1.0 and lines[0]["gradient_norm"] > 1
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run/events"))
    events.Reload()
    found = events.Scalars("training/loss")
    assert [e.step for e in found] == list(range(1, 31)) and found[0].value == pytest.approx(lines[0]["loss"])


@pytest.mark.parametrize(("what", "word"), [(float("nan"), "loss"), (float("inf"), "loss")])
def test_divergence_names_the_step_and_keeps_the_last_good_state(what: float, word: str, tmp_path: Path) -> None:
    with started(tmp_path / "run") as run, pytest.raises(Diverged, match=rf"the {word} was not finite at step 12 "):
        fit(run, bad=11, value=what)  # the log is not due at step 12: the watch remembers it
    assert not (tmp_path / "run/state.safetensors").exists()


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run, pytest.raises(Diverged, match="the gradient norm was not finite at step 3 "):
        for step in run.steps(10, "toy", dict, lambda: None):
            norm = torch.tensor(math.inf if step == 2 else 1.0)
            run.log(step, 10, torch.tensor(1.0), 1, gradient_norm=norm)


def test_usr1_saves_and_ends_as_a_scheduler_expects(tmp_path: Path) -> None:
    """Some schedulers send SIGUSR1 a while before the end; the resumed run ends with the tensors of an undisturbed one."""
    with started(tmp_path / "whole") as run:
        fit(run)
    with (
        started(tmp_path / "cut") as run,
        pytest.raises(Interrupted, match="stopped by a signal at step 18 of 30") as caught,
    ):
        fit(run, stop=17)
    assert caught.value.exit_code == 143
    shutil.move(tmp_path / "cut", tmp_path / "moved")  # a run knows no path of its own
    with started(tmp_path / "moved", resume=True) as run:
        fit(run)
    for name in ("state.safetensors", "prior.safetensors"):
        assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_checkpoints_keep_the_last_and_the_best(tmp_path: Path) -> None:
    values = {5: 3.0, 10: 9.0, 15: 1.0, 20: 9.0, 25: 2.0, 30: 4.0}
    kept = Checkpoints(5, 2, (("missing", True), ("score", True)))

    def evaluate(run: Run, step: int) -> dict[str, float]:
        return {"score": values[step]}

    with started(tmp_path / "run", checkpoints=kept, evaluate=evaluate) as run:
        fit(run)
    folder = tmp_path / "run"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["000025", "000030"]
    assert files.read_json(folder / "best/metrics.json", "best") == {"step": 10, "metric": "score", "value": 9.0}
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["evaluation"]["score"]) for line in lines if "evaluation" in line] == list(
        values.items()
    )
    with started(tmp_path / "short") as run:  # what was kept at step 10 is what a run of 10 steps ends with
        fit(run, 10)
    best, short = (
        artifacts.read(f / "prior.safetensors", "prior").values for f in (folder / "best", tmp_path / "short")
    )
    assert all(torch.equal(best[name], short[name]) for name in short)


def test_without_an_evaluation_the_mean_loss_since_the_last_checkpoint_decides(tmp_path: Path) -> None:
    with started(tmp_path / "run", checkpoints=Checkpoints(4, 0)) as run:
        for step in run.steps(
            12,
            "toy",
            dict,
            lambda: run.write("prior.safetensors", "prior", {}, {"kind": "", "settings": {}, "latent_space": ""}),
        ):
            run.log(step, 12, torch.tensor([4.0, 1.0, 2.0][step // 4] + (step % 4)), 1)
    assert files.read_json(tmp_path / "run/best/metrics.json", "best") == {"step": 8, "metric": "loss", "value": 2.5}
    assert not (tmp_path / "run/checkpoints").exists() or not any((tmp_path / "run/checkpoints").iterdir())


@pytest.mark.parametrize(("every", "keep", "word"), [(0, 3, "give both"), (-1, 0, "0 or more"), (4, -2, "0 or more")])
def test_counts_that_mean_nothing(every: int, keep: int, word: str) -> None:
    with pytest.raises(G3dError, match=word):
        runs.check_times(every, keep, 60)


def test_a_state_is_saved_every_so_many_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of one second a step; how often a run saves is no part of what it is."""
    clock = [0.0]
    monkeypatch.setattr(runs, "now", lambda: clock[0])

    def saved(run: Run, stop: int) -> list[float]:
        """The seconds at which it was saved, until it is killed."""
        found: list[float] = []
        with pytest.raises(RuntimeError):
            for _ in run.steps(100, "toy", lambda: {"x": torch.zeros(1)}, lambda: found.append(clock[0])):
                if clock[0] == stop:
                    raise RuntimeError("killed")
                clock[0] += 1.0
        return found

    with started(tmp_path / "run", save_every_s=10) as run:
        assert saved(run, 50) == [11, 22, 33, 44]  # the first step after more than 10 seconds
    config = (tmp_path / "run/config.json").read_text()
    with started(tmp_path / "run", save_every_s=3, resume=True) as run:
        assert saved(run, 60) == [54, 58]
    assert artifacts.header(tmp_path / "run/state.safetensors").config["step"] == 44 + 58 - 50
    assert (tmp_path / "run/config.json").read_text() == config and "save_every" not in config
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(G3dError, match=r"--save-every (-1.0|nan|inf): wanted are seconds"):
            runs.check_times(0, 0, bad)


def test_a_state_has_no_digest_and_damage_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing tens of gigabytes every minute would be most of a run; nothing names a state as its parent."""

    def hashing(*words: Any) -> Any:
        raise AssertionError("the state was hashed")

    def stopped(folder: Path, **more: Any) -> None:
        with started(folder, **more) as run:
            for step in run.steps(5, "toy", lambda: {"x": torch.arange(1000.0)}, lambda: None):
                run.log(step, 5, 1.0, 1)

    with monkeypatch.context() as patch:
        patch.setattr(artifacts.hashlib, "sha256", hashing)
        stopped(tmp_path / "run")
        with pytest.raises(AssertionError, match="was hashed"):  # of a model it would be
            artifacts.write(tmp_path / "m.safetensors", "prior", {}, {"kind": "", "settings": {}, "latent_space": ""})
    path = tmp_path / "run/state.safetensors"
    assert artifacts.header(path).digest == ""
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:300], whole + b"0", b"", whole[:9] + b"x" + whole[10:]):
        path.write_bytes(damaged)
        with pytest.raises(G3dError, match=r"state\.safetensors'.*(truncated|out of range|not a table|is empty)"):
            stopped(tmp_path / "run", resume=True)
    path.write_bytes(whole)
    stopped(tmp_path / "run", resume=True)


def test_a_state_with_a_digest_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before states were without one."""
    rule = formats.ARTIFACTS["state"]
    with monkeypatch.context() as patch:
        patch.setitem(formats.ARTIFACTS, "state", replace(rule, digested=True))
        with started(tmp_path / "cut") as run, pytest.raises(Interrupted):
            fit(run, stop=17)
    assert artifacts.header(tmp_path / "cut/state.safetensors").digest.startswith("sha256:")
    with started(tmp_path / "cut", resume=True) as run:
        fit(run)
    with started(tmp_path / "whole") as run:
        fit(run)
    for name in ("state.safetensors", "prior.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("step", [[3], "3", None, -1, True, 1 << 60, 3.0])
def test_a_state_of_no_number_of_steps_is_refused(
    step: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(tmp_path / "run") as run:
        fit(run, 5)
    state = artifacts.read(tmp_path / "run" / "state.safetensors", "state")
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "_check_step", lambda head: None)
        artifacts.write(tmp_path / "run" / "state.safetensors", "state", state.values, {**state.config, "step": step})
    with pytest.raises(G3dError, match="its metadata 'step' is"), started(tmp_path / "run", resume=True):
        raise AssertionError("the block must not run")


def test_changed_settings_stop_or_are_recorded(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run:
        fit(run, 5)
    other = {"settings": {"lr": 0.2}, "parents": {"data": "sha256:1"}}
    with (
        pytest.raises(G3dError, match=r"lr: 0.1 -> 0.2.*--allow-change"),
        started(tmp_path / "run", resume=True, identity=other),
    ):
        pass
    with started(tmp_path / "run", resume=True, identity=other, allow_change=True) as run:
        fit(run, 8)
    config = files.read_json(tmp_path / "run/config.json", "config")
    assert config["settings"] == {"lr": 0.2} and len(config["changed"]) == 1
    assert any("lr: 0.1 -> 0.2" in c for c in config["changed"][0])
    assert artifacts.header(tmp_path / "run/state.safetensors").config["step"] == 8


def test_a_run_that_was_begun_before_a_setting_goes_on_as_it_did_without_it(tmp_path: Path) -> None:
    """New settings at what runs did before are no change, and are recorded; others are one, none too."""
    with started(tmp_path / "run") as run:
        fit(run, 5)
    before = {"lr": 0.3, "clip": 0.0, "fade": 2, "widths": [1, 2]}
    later = {"settings": {"lr": 0.1, "clip": 0.0, "fade": None, "widths": (1, 2)}, "parents": {"data": "sha256:0"}}
    how = {"resume": True, "before": before}
    with (
        pytest.raises(G3dError, match=r"other settings \(fade: 2 -> None\)"),
        started(tmp_path / "run", identity=later, **how),
    ):
        pass
    same = {**later, "settings": {**later["settings"], "fade": 2}}
    with started(tmp_path / "run", identity=same, **how) as run:
        fit(run, 8)
    config = files.read_json(tmp_path / "run/config.json", "config")
    assert config["settings"] == {**before, "lr": 0.1} and "changed" not in config
    with started(tmp_path / "run", identity=same, resume=True):  # recorded, so it may change its meaning later
        pass
    gone = {**same, "settings": {"lr": 0.1}}  # but a setting that is there no more is a change
    with pytest.raises(G3dError, match=r"clip: 0\.0 -> None"), started(tmp_path / "run", identity=gone, **how):
        pass


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run:
        fit(run, 3)
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(G3dError, match="another run is writing"), started(tmp_path / "run", **how):
                pass
    with started(tmp_path / "run", resume=True):
        pass


def test_a_foreign_folder_and_the_rest_of_a_killed_start(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    with pytest.raises(G3dError, match="something else than a run"), started(tmp_path / "mine", overwrite=True):
        pass
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed/.config.json.ab_cd012.partial").write_text("{")
    with started(tmp_path / "killed", overwrite=True) as run:
        fit(run, 2)
    assert not list((tmp_path / "killed").glob(".*"))


def test_overwrite_removes_all_of_the_earlier_run(tmp_path: Path) -> None:
    with started(tmp_path / "run", checkpoints=Checkpoints(2, 2)) as run:
        fit(run, 4)
    with started(tmp_path / "run", overwrite=True) as run:
        fit(run, 2)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.json", "events", "log.jsonl", "prior.safetensors", "state.safetensors"
    ]  # fmt: skip


def test_the_log_is_cut_at_the_state(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [
        {"step": 1, "seconds": 1.0},
        {"step": 4, "evaluation": {}},
        {"step": 4, "seconds": 3.5},
        {"step": 9, "seconds": 7.0},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 10, "lo')
    assert cut_log(log, 5) == 3.5
    assert [json.loads(line) for line in log.read_text().splitlines()] == lines[:3]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(G3dError, match="is a file"), started(tmp_path / "file" / "run"):
        pass


def test_a_disk_that_is_full_keeps_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = artifacts.write
    calls = iter(range(1000))

    def full(path: Path, *values: Any, **more: Any) -> str:
        if path.name == "state.safetensors" and next(calls) == 6:
            raise Failure(f"writing {path} failed: no space left")
        return honest(path, *values, **more)

    monkeypatch.setattr(artifacts, "write", full)
    with started(tmp_path / "run", save_every_s=0) as run, pytest.raises(Failure, match="no space left"):
        fit(run)
    assert 0 < artifacts.read(tmp_path / "run/state.safetensors", "state").config["step"] < 30
    with started(tmp_path / "run", resume=True) as run:
        fit(run)
    with started(tmp_path / "whole") as run:
        fit(run)
    assert (tmp_path / "run/prior.safetensors").read_bytes() == (tmp_path / "whole/prior.safetensors").read_bytes()


def test_averages() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = ema.averaged(model)
    start = [p.clone() for p in average.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
        model[1].running_mean.fill_(7.0)
    ema.update(average, model, 0.75)
    for a, s in zip(average.parameters(), start, strict=True):
        torch.testing.assert_close(a, s + 0.25)
        assert not a.requires_grad
    assert average[1].running_mean.tolist() == [7.0, 7.0]  # buffers are copied
    assert ema.half_life_decay(32, 10_000, 1e9) ** (10_000 / 32) == pytest.approx(0.5)
    assert ema.half_life_decay(32, 10_000, 1_000, ramp_up=0.05) == pytest.approx(0.5 ** (32 / 50))


def test_a_caller_in_a_thread_keeps_its_handlers(tmp_path: Path) -> None:
    before, errors = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        try:
            with started(tmp_path / "run") as run:
                fit(run, 3)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors and signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_ends_at_once_with_what_was_saved(tmp_path: Path) -> None:
    with started(tmp_path / "run", save_every_s=0) as run, pytest.raises(KeyboardInterrupt):
        for step in run.steps(100, "toy", lambda: {"x": torch.tensor(1.0)}, lambda: None):
            if step == 5:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)  # in the middle of a step, before the first one is answered
    state = artifacts.read(tmp_path / "run/state.safetensors", "state")
    assert 0 < state.config["step"] <= 5 and state.values["x"] == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # what was before is there again


def test_sigint_saves_and_ends_with_130(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run, pytest.raises(Interrupted) as caught:
        for step in run.steps(10, "toy", lambda: {"x": torch.tensor(1.0)}, lambda: None):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.exit_code == 130
    assert artifacts.header(tmp_path / "run/state.safetensors").config["step"] == 4


def test_an_earlier_run_is_there_until_the_first_step(tmp_path: Path) -> None:
    """A method that refuses what it is given must not have cost the run that --overwrite would replace."""
    with started(tmp_path / "run") as run:
        fit(run, 5)
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.*")}
    with pytest.raises(G3dError, match="cannot share"), started(tmp_path / "run", overwrite=True):
        raise G3dError("3 processes cannot share a batch of 2")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.*")} == before
    with pytest.raises(G3dError, match="cannot share"), started(tmp_path / "new"):
        raise G3dError("3 processes cannot share a batch of 2")
    assert not (tmp_path / "new").exists()


def test_killed_before_the_first_save_it_resumes_from_the_start(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run, pytest.raises(RuntimeError):
        for _ in run.steps(10, "toy", dict, lambda: None):
            raise RuntimeError("killed")
    assert not (tmp_path / "run/state.safetensors").exists()
    with started(tmp_path / "run", resume=True) as run:
        fit(run)
    with started(tmp_path / "whole") as run:
        fit(run)
    assert (tmp_path / "run/prior.safetensors").read_bytes() == (tmp_path / "whole/prior.safetensors").read_bytes()
    with pytest.raises(G3dError, match="no run to resume"), started(tmp_path / "nothing", resume=True):
        pass


def test_killed_while_an_earlier_run_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(tmp_path / "run", checkpoints=Checkpoints(2, 2)) as run:
        fit(run, 4)

    def dies(path: Path) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", dies)
        with pytest.raises(RuntimeError), started(tmp_path / "run", overwrite=True) as run:
            fit(run, 2)
    assert (tmp_path / "run/config.json").is_file() and not (tmp_path / "run/state.safetensors").exists()
    with started(tmp_path / "run", overwrite=True) as run:
        fit(run, 2)


def test_more_than_a_million_steps(tmp_path: Path) -> None:
    with started(tmp_path / "run", checkpoints=Checkpoints(1, 2)) as run:
        run.write("prior.safetensors", "prior", {}, {"kind": "", "settings": {}, "latent_space": ""})
        for step in range(999_998, 1_000_004):
            run._checkpoint(step)
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir()) == ["1000002", "1000003"]


def test_the_best_is_never_lost_on_the_way(tmp_path: Path) -> None:
    """Resumed before its best, a run keeps it until a better one comes; a kill between two renames is mended."""
    values = iter([9.0, 1.0, 10.0, 1.0, 2.0])
    kept = Checkpoints(1, 0, (("score", True),))
    with started(tmp_path / "run", checkpoints=kept, evaluate=lambda run, step: {"score": next(values)}) as run:
        run.write("prior.safetensors", "prior", {}, {"kind": "", "settings": {}, "latent_space": ""})
        run._begin = None
        for step in (2, 3, 5, 3, 4):
            run._checkpoint(step)
    best = tmp_path / "run/best"
    assert files.read_json(best / "metrics.json", "best") == {"step": 5, "metric": "score", "value": 10.0}
    from g3d.training import folder as folders

    best.rename(tmp_path / "run/.best.old")
    (tmp_path / "run/.best.partial").mkdir()
    folders.sweep(tmp_path / "run")
    assert files.read_json(best / "metrics.json", "best")["step"] == 5 and not list((tmp_path / "run").glob(".*"))


def test_a_checkpoint_that_is_not_finite_is_none(tmp_path: Path) -> None:
    """The figures are finite, the step overflows: nothing of it is published."""
    weights = torch.ones(3)

    def publish() -> None:
        run.write("prior.safetensors", "prior", {"w": weights}, {"kind": "", "settings": {}, "latent_space": ""})

    with (
        started(tmp_path / "run", checkpoints=Checkpoints(1, 3)) as run,
        pytest.raises(Diverged, match="'w' is not finite"),
    ):
        for step in run.steps(5, "toy", lambda: {"w": weights}, publish):
            weights.mul_(1e30)
            run.log(step, 5, torch.tensor(1.0), 1)
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir()) == ["000001"]
    assert artifacts.read(tmp_path / "run/prior.safetensors", "prior").values["w"].isfinite().all()


def test_a_change_is_recorded_with_the_first_save(tmp_path: Path) -> None:
    with started(tmp_path / "run") as run:
        fit(run, 5)
    other = {"settings": {"lr": 0.2}, "parents": {}}
    with (
        pytest.raises(G3dError, match="does not fit"),
        started(tmp_path / "run", resume=True, identity=other, allow_change=True),
    ):
        raise G3dError("it does not fit")
    assert files.read_json(tmp_path / "run/config.json", "config")["settings"] == {"lr": 0.1}
    with started(tmp_path / "run", resume=True) as run:  # the original command still goes on
        fit(run, 6)


def test_a_clock_that_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a clock that never goes back decides when to log and to save; that of the wall may do what it likes."""
    import time

    wall = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(wall)))
    with started(tmp_path / "run") as run:
        fit(run, 5)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 5] and all(0 <= line["seconds"] < 60 for line in lines)


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_an_evaluation_it_is_made_once(after: bool, tmp_path: Path) -> None:
    """The state is saved before the evaluation; resumed, the checkpoint of that step is made (again), and logged once."""

    def evaluate(run: Run, step: int) -> dict[str, float]:
        if step == 10 and not run.resumed and not after:
            raise RuntimeError("killed")
        return {"score": float(step)}

    kept = Checkpoints(5, 9, (("loss", False),))
    with started(tmp_path / "whole", checkpoints=kept, evaluate=lambda run, step: {"score": float(step)}) as run:
        fit(run, 20)
    with started(tmp_path / "cut", checkpoints=kept, evaluate=evaluate) as run:
        if after:
            with pytest.raises(Diverged):
                fit(run, 20, bad=11)  # the next save is never reached
        else:
            with pytest.raises(RuntimeError, match="killed"):
                fit(run, 20)
    assert artifacts.header(tmp_path / "cut/state.safetensors").config["step"] == 10
    with started(tmp_path / "cut", resume=True, checkpoints=kept, evaluate=evaluate) as run:
        fit(run, 20)

    def seen(who: str) -> tuple[Any, ...]:
        lines = [json.loads(line) for line in (tmp_path / who / "log.jsonl").read_text().splitlines()]
        places = sorted(str(p.relative_to(tmp_path / who)) for p in (tmp_path / who / "checkpoints").rglob("*"))
        kept = [(tmp_path / who / p).read_bytes() for p in places if p.endswith(".safetensors")]
        evaluations = [(line["step"], line["evaluation"]) for line in lines if "evaluation" in line]
        return places, kept, evaluations, (tmp_path / who / "best/metrics.json").read_text()

    assert seen("cut") == seen("whole") and len(seen("cut")[2]) == 4


def test_killed_between_the_last_checkpoint_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(5, 1, (("loss", False),))
    with started(tmp_path / "whole", checkpoints=kept) as run:
        fit(run, 10)

    def dies(self: Run, step: int) -> None:
        if step == 10:
            raise RuntimeError("killed")
        honest(self, step)

    honest = Run._checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_checkpoint", dies)
        with started(tmp_path / "cut", checkpoints=kept) as run, pytest.raises(RuntimeError, match="killed"):
            fit(run, 10)
    with started(tmp_path / "cut", resume=True, checkpoints=kept) as run:
        fit(run, 10)
    for name in ("state.safetensors", "prior.safetensors", "best/metrics.json", "checkpoints/000010/prior.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def kept(folder: Path, scores: list[float], **how: Any) -> None:
    """A run with a checkpoint at each step, the last one kept, and the best."""
    values = iter(scores)
    evaluate = {"evaluate": lambda run, step: {"score": next(values)}}
    with started(folder, checkpoints=Checkpoints(1, 1, (("score", True),)), **evaluate, **how) as run:
        run.write("prior.safetensors", "prior", {}, {"kind": "", "settings": {}, "latent_space": ""})
        fit(run, len(scores))


def test_what_lies_in_best_and_in_checkpoints_is_kept(tmp_path: Path) -> None:
    """People draw pictures of a checkpoint into its folder while the run goes on."""
    run = tmp_path / "run"
    theirs = (
        "best/views/000000.png", "best/notes.txt", "checkpoints/000001/notes.txt", ".notes.old", ".thesis.partial",
    )  # fmt: skip
    kept(run, [1.0])
    for name in theirs:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    kept(run, [2.0, 3.0, 4.0], resume=True)
    assert files.read_json(run / "best/metrics.json", "best")["step"] > 1
    for name in theirs:
        assert (run / name).read_text() == "mine", name
    assert not (run / "checkpoints/000001/prior.safetensors").exists() and not (run / ".best.old").exists()
    (run / ".best.old").mkdir()  # a kill before they were put there
    (run / "best/notes.txt").rename(run / ".best.old/notes.txt")
    (run / ".best.old/metrics.json").write_text("old")
    kept(run, [5.0] * 5, resume=True)
    assert (run / "best/notes.txt").read_text() == "mine" and not (run / ".best.old").exists()


def test_links_in_a_run_lead_to_what_is_not_its_own(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    kept(run, [1.0, 2.0])
    elsewhere.mkdir()
    for name in ("best", "checkpoints", "events"):
        (run / name).rename(elsewhere / name)
        (run / name).symlink_to(elsewhere / name)
    before = {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()}
    assert len(before) >= 4
    with started(run, overwrite=True) as new:
        new._begin and new._begin()
    assert {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()} == before
    assert not (run / "state.safetensors").exists()
