"""Help: every command has one, at once, and its example runs as it stands."""

import dataclasses
import importlib
import json
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Pipeline, environment, g3d
from face_pictures import pictures, write_faces
from g3d import config
from g3d.methods import METHODS
from g3d.plugins import Registry
from g3d.priors import PRIORS
from g3d.refiners.config import PRESETS as REFINERS
from g3d.sources import SOURCES
from g3d.steps.prepare_data import foreign_options
from g3d_cli.main import COMMANDS
from snapshot import official_state, write_snapshot

LIMIT_S = 0.3


def _timed(words: list[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    """What a process said, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_appears_at_once_with_an_example(command: str) -> None:
    """Under 0.3 s of processor time, so that tests side by side do not count; nothing heavy may be imported."""
    words = [sys.executable, "-X", "importtime", "-m", "g3d_cli.main", *command.split(), "--help"]
    seen, spent_s = _timed(words)
    assert "Example: g3d" in " ".join(seen.stdout.split())
    imported = {line.rpartition("|")[2].strip() for line in seen.stderr.splitlines()}
    assert "typer" in imported and not imported & {"torch", "numpy", "open3d", "PIL", "safetensors"}
    times_s = [spent_s]  # to list the imports takes time, too: where this is quick, so is the command
    while min(times_s) >= LIMIT_S and len(times_s) < 20:  # a busy machine makes a process slower, never faster
        times_s.append(_timed([words[0], *words[3:]])[1])
    assert min(times_s) < LIMIT_S


def test_no_example_of_a_source_writes_over_what_it_reads() -> None:
    for source in SOURCES.names():
        words = shlex.split(g3d("prepare-data", source, "--help").out.partition("Example: ")[2])
        assert words[:3] == ["g3d", "prepare-data", source]
        assert words[3] != words[words.index("--out") + 1]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_the_example_of_the_help_runs(
    command: str, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder laid out as the demo leaves it, with nothing that the example itself is to make."""
    example = importlib.import_module(f"g3d_cli.{command.replace('-', '_')}").EXAMPLE
    words = shlex.split(example)
    assert words[:2] == ["g3d", command]
    out = Path(words[words.index("--out") + 1]) if "--out" in words else None
    (tmp_path / "demo").mkdir()
    for made in ("data", "model", "prior", "scenes", "sampled", "splats.ply"):
        if out is None or out.name != made:
            (tmp_path / "demo" / made).symlink_to(pipeline.root / "demo" / made)
    if command == "refine":
        fitting = ("fit-refiner", pipeline.data, pipeline.data, "--preset", "smoke", "--set", "steps=2")
        assert g3d(*fitting, "--out", tmp_path / "demo" / "refiner").code == 0
    if command == "eval-transfer":
        write_faces(tmp_path / "demo" / "faces", pictures())
    if command == "import-checkpoint":
        write_snapshot(tmp_path / "demo" / "network.pkl", official_state())
    if command == "compare":  # as if it had been fitted again with another seed
        again = tmp_path / "demo" / "model-2"
        shutil.copytree(pipeline.model, again)
        config = json.loads((again / "config.json").read_text())
        (again / "config.json").write_text(json.dumps({**config, "seed": 1}))
    monkeypatch.chdir(tmp_path)
    more = {
        "prepare-data": ["--workers", "1"], "fit-stage1": ["--set", "epochs=1"],
        "export-ply": ["--level", "0.0975"],  # a smoke model is a fog
        "export-html": ["--level", "0.0975"],
        "view": ["--port", "0"],
        "convert": ["--num", "50", "--views", "2", "--size", "12", "--steps", "2"],
    }  # fmt: skip
    result = g3d(*words[1:], *more.get(command, []))
    assert result.code == 0, result.err
    assert result.out.strip()
    if out is not None:
        assert out.exists()


@pytest.mark.parametrize("source", SOURCES.names())
def test_help_of_a_source_shows_its_options_alone(source: str) -> None:
    shown = g3d("prepare-data", source, "--help")
    assert shown.code == 0 and f"Example: g3d prepare-data {source} " in " ".join(shown.out.split())
    assert "Licence: " in shown.out
    own = {f.name for f in dataclasses.fields(SOURCES.get(source).Options)}
    listed = {word.strip("-").replace("-", "_") for word in shown.out.split() if word.startswith("--")}
    assert own <= listed and not (foreign_options(source) or set()) & listed
    assert {"out", "seed", "holdout", "json"} <= listed


def test_completion_knows_the_commands() -> None:
    g3d_program = Path(sys.executable).with_name("g3d")
    asked = environment(_G3D_COMPLETE="complete_bash", COMP_WORDS="g3d fit", COMP_CWORD="1")
    shown = subprocess.run([g3d_program], env=asked, capture_output=True, text=True, check=False)
    assert {"fit-stage1", "fit-prior"} <= set(shown.stdout.split()), shown


def _completed(words: str) -> set[str]:
    """What bash offers behind words, the last of which is being typed."""
    typed = words.split(" ")
    asked = environment(_G3D_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(typed) - 1))
    g3d_program = Path(sys.executable).with_name("g3d")
    return set(subprocess.run([g3d_program], env=asked, capture_output=True, text=True, check=False).stdout.split())


def test_completion_knows_methods_presets_kinds_and_sources() -> None:
    assert _completed("g3d fit-stage1 ") >= set(METHODS.own)
    assert _completed("g3d fit-stage1 gsgan --preset ff") == {"ffhq256", "ffhq512"}
    assert _completed("g3d fit-prior x --kind ") >= set(PRIORS.own)
    assert "vim-base" in _completed("g3d fit-prior x --kind autoregressive --preset ")
    assert _completed("g3d prepare-data ") >= set(SOURCES.own)
    assert "cars64" in _completed("g3d import-checkpoint gsgan x.pkl --preset ")
    assert _completed("g3d fit-refiner a b --preset ") == set(REFINERS)


@pytest.mark.parametrize(("command", "table"), [("fit-stage1", METHODS), ("fit-prior", PRIORS)])
def test_help_lists_what_can_be_chosen_and_of_one_its_presets_and_settings(command: str, table: Registry[Any]) -> None:
    shown = g3d(command, "--help").out
    lines = [line.split() for line in shown.splitlines()]
    assert all(any(line[:1] == [name] for line in lines) for name in table.own)
    for name in table.own:
        words = [command, name] if command == "fit-stage1" else [command, "--kind", name]
        about = g3d(*words, "--help").out
        below = about.split(f"--preset and --set of {name}:")[1]
        chosen = table.get(name)
        assert all(key in below.split() for key in config.names(chosen.config()))
        assert all(preset in below.split() for preset in chosen.presets)
        assert len(about) > len(shown)


def test_the_docs_have_a_row_for_every_command() -> None:
    rows = (Path(__file__).parents[1] / "docs" / "commands.md").read_text().partition("<!-- begin")[0]
    for command in COMMANDS:
        assert f"| `g3d {command} " in rows, f"docs/commands.md has no row for g3d {command}"


def test_the_bare_program_shows_its_help_line_by_line() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "g3d_cli.main"], capture_output=True, text=True, env=environment(), check=False
    )
    assert shown.returncode == 2 and not shown.stdout
    lines = shown.stderr.splitlines()
    assert lines[0].startswith("Usage: ") and not any(line.startswith("g3d:") for line in lines)
    assert all(any(line.split()[:1] == [command] for line in lines) for command in COMMANDS)


def test_no_colour_codes_where_there_is_no_terminal() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "g3d_cli.main", "render", "--help"], capture_output=True, env=environment(), check=True
    )
    assert b"\x1b[" not in shown.stdout
