"""`g3d fit-stage1 --init`: a run that starts from the weights of a model, for every method; what is refused; resume."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.errors import G3dError, Interrupted
from g3d.progress import SILENT
from g3d.steps import fit_stage1
from g3d.storage import artifacts, files
from g3d.training import run as runs
from g3d.training.checkpoint import unpack
from torch import Tensor

LENGTH = {"mnif": "epochs", "hypernerfgan": "kimg", "gsgan": "kimg"}
SHORT = {"mnif": 6, "hypernerfgan": 0.016, "gsgan": 0.016}


def tensors(path: Path, kind: str = "model") -> dict[str, Tensor]:
    return dict(artifacts.read(path / f"{kind}.safetensors", kind).values)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def models(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps of each method, with seed 1."""
    made = tmp_path_factory.mktemp("models")
    for method in LENGTH:
        fit_stage1.run(options(pipeline, method, made / method, SHORT[method], seed=1))
    return made


def options(pipeline: Pipeline, method: str, out: Path, length: float, **more: Any) -> fit_stage1.Options:
    settings = [f"{LENGTH[method]}={length}", *more.pop("settings", ())]
    return fit_stage1.Options(method, pipeline.data, out, preset="smoke", settings=settings, device="cpu", **more)


class Notes:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def start(self, label: str, total: int) -> None: ...

    def update(self, done: int, total: int, **figures: Any) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("method", list(LENGTH))
def test_a_run_of_no_step_publishes_the_model_that_it_started_from(
    method: str, models: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    notes = Notes()
    model = artifacts.header(models / method / "model.safetensors")
    fit_stage1.run(options(pipeline, method, tmp_path / "fresh", 0))
    fit_stage1.run(options(pipeline, method, tmp_path / "run", 0, init=models / method), notes)
    assert same(tensors(tmp_path / "run"), tensors(models / method))
    assert not same(tensors(tmp_path / "fresh"), tensors(models / method))
    assert files.read_json(tmp_path / "run" / "config.json", "config")["parents"]["init"] == model.digest
    assert artifacts.header(tmp_path / "run" / "model.safetensors").parents["init"] == model.digest
    assert any("starting from the weights of" in n and f"{LENGTH[method]}: {SHORT[method]}" in n for n in notes.lines)
    state, fresh, old = (tensors(place, "state") for place in (tmp_path / "run", tmp_path / "fresh", models / method))
    if method == "mnif":
        assert torch.equal(state["codes"], fresh["codes"]) and not torch.equal(state["codes"], old["codes"])
        assert any("codes of the items start afresh" in line for line in notes.lines)
    else:
        for name in ("generator", "average"):
            assert same(unpack(name, state), tensors(models / method))
        assert same(unpack("discriminator", state), unpack("discriminator", fresh))
        assert any("the discriminator starts afresh" in line for line in notes.lines)
    assert not [name for name in state if "optimiser" in name]  # nor is anything of the optimisers taken over


@pytest.mark.parametrize("method", list(LENGTH))
def test_what_does_not_fit_is_named_and_costs_nothing(
    method: str, models: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    pair = {"mnif": "width=8", "hypernerfgan": "width=8", "gsgan": "w_dim=4"}[method]
    words = ["fit-stage1", method, "--data", pipeline.data, "--preset", "smoke", "--device", "cpu"]
    words += ["--set", f"{LENGTH[method]}={SHORT[method]}", "--out", tmp_path / "run"]
    ours = [*words, "--init", models / method / "model.safetensors"]
    refused(g3d(*ours, "--set", pair), "does not fit these settings", "of its tensors differ", "has shape", "wanted is")
    assert not (tmp_path / "run").exists()
    other = next(name for name in LENGTH if name != method)
    refused(g3d(*words, "--init", models / other), f"is one of {other}", f"give a model of {method}")
    assert not (tmp_path / "run").exists()


def test_all_misfits_are_counted_and_an_earlier_run_stays(models: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    fit_stage1.run(options(pipeline, "mnif", tmp_path / "run", 1))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.*")}
    wider = options(pipeline, "mnif", tmp_path / "run", 1, init=models / "mnif", settings=["width=8"], overwrite=True)
    old, new = tensors(models / "mnif"), {}
    fit_stage1.run(replace(wider, out=tmp_path / "wide", init=None))
    new = tensors(tmp_path / "wide")
    count = sum(name not in old or old[name].shape != new[name].shape for name in new)
    assert count > 4
    with pytest.raises(G3dError, match=rf"{count} of its tensors differ \(('.*?'.*?; ){{4}}{count} misfits in all\)"):
        fit_stage1.run(wider)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").glob("*.*")} == before


def test_refusals(models: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--out", tmp_path / "run", "--init"]
    refused(g3d(*words, models / "mnif" / "latents.safetensors"), "the model of --init", "latents", "a model file")
    refused(g3d(*words, pipeline.data), "holds no model.safetensors")
    refused(g3d(*words, tmp_path / "no.safetensors"), "does not exist")
    inside = [
        "fit-stage1",
        "mnif",
        "--data",
        pipeline.data,
        "--preset",
        "smoke",
        "--out",
        models / "mnif",
        "--overwrite",
    ]
    refused(g3d(*inside, "--init", models / "mnif" / "model.safetensors"), "the input")
    shown = g3d(*words, models / "mnif", "--dry-run").json
    assert shown["init"] == str(models / "mnif" / "model.safetensors") and not (tmp_path / "run").exists()


def stopped(run: fit_stage1.Options) -> None:
    """The run, ended by a signal after its first step."""

    class Stops(Notes):
        def update(self, done: int, total: int, **figures: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        fit_stage1.run(run, Stops())
    assert artifacts.header(run.out / "state.safetensors").config["step"] > 0


@pytest.mark.parametrize("given", [True, False])
def test_it_resumes_with_the_model_and_without_it(
    given: bool, models: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    ours = options(pipeline, "mnif", tmp_path / "whole", 8, init=models / "mnif")
    fit_stage1.run(ours)
    cut = replace(ours, out=tmp_path / "cut")
    stopped(cut)
    fit_stage1.run(replace(cut, resume=True, init=cut.init if given else None))
    for name in ("model.safetensors", "latents.safetensors", "state.safetensors", "config.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    fit_stage1.run(replace(ours, out=tmp_path / "plain", init=None))
    assert not same(tensors(tmp_path / "plain"), tensors(tmp_path / "whole"))


def test_another_model_cannot_be_given_on_the_way(models: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    """Its weights would have no effect: --allow-change does not allow this."""
    ours = options(pipeline, "mnif", tmp_path / "run", 8, init=models / "mnif")
    stopped(ours)
    again = replace(ours, resume=True, init=pipeline.model, allow_change=True)
    with pytest.raises(G3dError, match="was started from another model, and --resume takes its weights from its state"):
        fit_stage1.run(again)
    stopped(replace(ours, out=tmp_path / "plain", init=None))
    with pytest.raises(G3dError, match="was started without --init"):
        fit_stage1.run(replace(again, out=tmp_path / "plain"))


def test_killed_before_its_first_save_it_needs_the_model_again(
    models: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    ours = options(pipeline, "mnif", tmp_path / "whole", 4, init=models / "mnif")
    fit_stage1.run(ours)
    cut = replace(ours, out=tmp_path / "cut")
    stopped(cut)
    (tmp_path / "cut" / "state.safetensors").unlink()
    with pytest.raises(G3dError, match="stopped before its first save; resume it with the --init of before"):
        fit_stage1.run(replace(cut, resume=True, init=None))
    fit_stage1.run(replace(cut, resume=True))
    assert same(tensors(tmp_path / "cut"), tensors(tmp_path / "whole"))


def test_who_does_not_take_a_model_refuses_it(models: Path, tmp_path: Path) -> None:
    """A method whose loop never asks for it must not train from nothing without a word."""
    head = artifacts.header(models / "mnif" / "model.safetensors")
    how = runs.Start(0, torch.device("cpu"), initial=head)
    with (
        runs.start(tmp_path / "run", {"settings": {}, "parents": {}}, how, SILENT) as run,
        pytest.raises(G3dError, match=r"leave --init out"),
    ):
        next(run.steps(3, "toy", dict, lambda: None))
    assert not (tmp_path / "run").exists()
