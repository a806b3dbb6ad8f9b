"""README and docs: generated parts are those of the code, examples are what the parser takes, links lead somewhere, Python runs.

Blocks of shell run in sh with a g3d, torchrun, srun, pip and make that only write down their words; these are then read by the
parser of g3d, and settings by the methods and priors that they are for.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from commands import Pipeline, g3d
from g3d.methods import METHODS
from g3d.priors import prior
from g3d.steps.prepare_data import foreign_options
from g3d_cli.main import COMMANDS
from recipe_words import Typed, check, parsed

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "recipes" / "benchmarks" / "RESULTS.md")
)
LANGUAGES = {"sh", "python", "toml", "text"}
RUN_FOR_REAL = "docs/new-method.md"  # by test_new_method.py
STUBS = {
    "g3d": r"""{ printf '%s\037' "$@"; printf '\036'; } >> "$G3D_LOG" """,
    "torchrun": r"""while [ "$1" != g3d_cli.main ]; do case $1 in
        -m | -- | --nproc-per-node | --nnodes | --rdzv-* | [0-9]* | *:29500 | c10d) shift ;;
        *) echo "torchrun does not know $1" >&2; exit 2 ;; esac; done; shift; exec g3d "$@" """,
    "srun": 'exec "$@"',
    "make": r"""for word in "$@"; do case $word in *=*) ;; *) grep -q "^$word:" "$G3D_ROOT/Makefile" || exit 2 ;; esac; done""",
    "pip": "exit 0",
}


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and content of the fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)


def prose(page: str) -> str:
    """What is left without the blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


@cache
def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["commands.md", "formats.md"])
def test_generated_parts_are_those_of_the_code(page: str) -> None:
    assert page in generator().PAGES
    assert generator().page(page) == text(f"docs/{page}"), f"docs/{page} is stale; run make docs and commit it"


def test_a_stale_page_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from g3d_cli import render

    monkeypatch.setattr(render, "EXAMPLE", "g3d render other --out views")
    assert generator().page("commands.md") != text("docs/commands.md")


def test_what_is_generated_names_every_command_source_and_format() -> None:
    page = text("docs/commands.md")
    for command in COMMANDS:
        assert f"### g3d {command}\n" in page
    assert page.count("#### g3d prepare-data ") == 11 and "| `--cells` |" in page
    assert "### g3d/scene/triplane@2" in text("docs/formats.md") and "`fields.*`" in text("docs/formats.md")


def test_the_readme_is_read_in_five_minutes() -> None:
    """A thousand words besides its tables, of which one has a row for each method; every page of the docs is reached from it."""
    page = text("README.md")
    assert len(re.sub(r"^\|.*$", "", page, flags=re.MULTILINE).split()) < 1000
    for name in METHODS.own:
        assert f"| [`{name}`](docs/methods/{name}.md) |" in page
    for other in (page for page in PAGES if page.startswith("docs/")):
        assert f"({other})" in page, f"the README does not lead to {other}"


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_language_they_are(page: str) -> None:
    assert text(page).count("\n```") % 2 == 0
    found = {language for language, _ in blocks(page)}
    assert found <= LANGUAGES, f"{page}: a block is {found - LANGUAGES or 'of no language'}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != RUN_FOR_REAL])
def test_shell_examples_are_what_the_parser_takes(page: str, tmp_path: Path) -> None:
    scripts = [content for language, content in blocks(page) if language == "sh"]
    typed = [one for number, script in enumerate(scripts) for one in written_down(script, tmp_path / str(number))]
    assert len(typed) >= sum(line.startswith("g3d ") for script in scripts for line in script.splitlines())
    fitted: dict[str, str] = {}
    for one in typed:
        if one.name == "fit_stage1":
            fitted[str(one.options["out"])] = one.options["method"]
        judge(one, fitted.get(str(one.options.get("model")), the_method(page, one)))


def the_method(page: str, one: Typed) -> str:
    """Of a page on a method that; else the command's own, and where it has none our first."""
    own = page.removeprefix("docs/methods/").removesuffix(".md")
    method: str = own if own in METHODS else "mnif"
    return str(one.options.get("method", method)) if one.name == "fit_stage1" else method


def judge(one: Typed, method: str) -> None:
    """As recipes are, and besides presets of priors and the options of a source."""
    check(one, method)
    if one.name == "fit_prior":
        assert one.options["preset"] is None or one.options["preset"] in prior(one.options["kind"]).presets
    if one.name == "prepare_data":
        foreign = foreign_options(one.options["source"])
        assert foreign is not None, one.words
        assert not [name for name in foreign if one.options[name] is not None], one.words


def written_down(script: str, folder: Path) -> list[Typed]:
    """The commands of g3d that a block of shell types, as the parser understands them."""
    bin_, log = folder / "bin", folder / "log"
    bin_.mkdir(parents=True)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    for name, content in STUBS.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{content}\n")
        (bin_ / name).chmod(0o755)
    log.touch()
    environment = {
        **os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "G3D_LOG": str(log), "G3D_ROOT": str(ROOT)
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, (done.stderr, script)
    lines = [line.split("\037")[:-1] for line in log.read_text().split("\036")[:-1]]
    return [parsed(words) for words in lines if words != ["--help"]]


def test_a_wrong_example_is_seen(tmp_path: Path) -> None:
    (one,) = written_down(
        "torchrun --nproc-per-node 4 -m -- g3d_cli.main render s --out o # a comment\n", tmp_path / "a"
    )
    assert one.name == "render"
    with pytest.raises(Exception, match="No such option"):
        written_down("g3d sample model --nums 3 --out scenes", tmp_path / "b")
    (wrong,) = written_down("g3d prepare-data images in --cells 32 --out data", tmp_path / "c")
    with pytest.raises(AssertionError):
        judge(wrong, "mnif")
    with pytest.raises(AssertionError):
        written_down("make nothing-of-this-name", tmp_path / "d")


def options_of(command: str) -> set[str]:
    """All options of a command."""
    app = importlib.import_module(f"g3d_cli.{command.replace('-', '_')}").app
    found: Any = typer.main.get_command(app)
    return {"--help", *(name for param in found.params for name in (*param.opts, *param.secondary_opts))}


def mentioned(page: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Commands in the text itself, `g3d fit-stage1 mnif --seed 1`, with the options that they name."""
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        words = code.split()
        if words[0] in COMMANDS or (words[0] == "g3d" and len(words) > 1 and not words[1].startswith("-")):
            command = words[0] if words[0] in COMMANDS else words[1]
            yield command, re.findall(r"(?<!\S)--[a-z][a-z-]*", code)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_commands_in_the_text_have_the_options_that_it_names(page: str) -> None:
    for command, options in mentioned(page):
        assert command in COMMANDS, f"{page}: there is no g3d {command}"
        unknown = set(options) - options_of(command)
        assert not unknown, f"{page}: g3d {command} has no {unknown}"


def test_rows_of_the_commands_name_options_that_exist() -> None:
    rows = re.findall(r"^\| `g3d ([a-z-0-9]+)[^`]*` \| (.*) \|$", text("docs/commands.md"), re.MULTILINE)
    assert len(rows) >= len(COMMANDS)
    every = {name for command in COMMANDS for name in options_of(command)}
    for command, row in rows:
        for option in re.findall(r"`(--[a-z-]+)", row):
            assert option in every, f"{command}: {option}"


def anchors(path: Path) -> set[str]:
    """The headings of a page, as links name them."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", prose(page)):
        if re.match(r"https?://[\w.-]+\.\w+(/\S*)?$", target):
            continue
        found = (ROOT / page).parent / target if target else ROOT / page
        assert found.exists(), f"{page}: {target}"
        assert found.resolve().is_relative_to(ROOT), f"{page}: {target} is outside of the project"
        assert not anchor or anchor in anchors(found), f"{page}: {target}#{anchor}"


def test_recipes_that_the_docs_name_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`(?:sh )?(recipes/[\w/.-]+\.(?:sh|py|md))", text(page)):
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_changelog_has_sections() -> None:
    """Every line of it lies under a version and one of three words."""
    place: list[str] = []
    for line in text("CHANGELOG.md").splitlines():
        if line.startswith("## "):
            place = [line]
        elif line.startswith("### "):
            assert line in ("### Added", "### Changed", "### Fixed") and line not in place, line
            place = [*place[:1], line]
        elif line.startswith("* "):
            assert len(place) == 2, f"in no section: {line}"


@pytest.mark.slow
def test_python_examples_of_steps_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order, each going on where the one before it ended."""
    examples = [code for code in python_of("docs/python.md") if "g3d.load(" not in code]
    assert len(examples) == 2
    executed(examples, tmp_path, monkeypatch)
    said = capsys.readouterr().out
    assert "dB of training views" in said and "MlpField torch.Size([1, 16, 16, 3])" in said and "phi" in said
    assert (tmp_path / "views").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_examples_of_models_run(
    page: str, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the runs and the data that they name."""
    (tmp_path / "runs").mkdir()
    for name, made in (("runs/cars", pipeline.model), ("runs/prior", pipeline.prior), ("data", pipeline.data)):
        (tmp_path / name).symlink_to(made)
    (example,) = (code for code in python_of(page) if "g3d.load(" in code)
    names = executed([example], tmp_path, monkeypatch)
    assert names["pictures"].shape == (12, 64, 64, 3)
    assert page == "README.md" or (tmp_path / "first.safetensors").is_file()


def python_of(page: str) -> list[str]:
    return [content for language, content in blocks(page) if language == "python"]


def executed(examples: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that examples leave, run one after the other in a folder."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "example"}
    for example in examples:
        exec(compile(example, "example", "exec"), names)
    return names


def test_no_other_page_has_python() -> None:
    """That of new-method.md is run by test_new_method.py."""
    assert [page for page in PAGES if python_of(page)] == ["README.md", "docs/new-method.md", "docs/python.md"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_another_python_than_that_of_the_environment_is_told(tmp_path: Path) -> None:
    venv, other = tmp_path / "venv", tmp_path / "python9.9"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / ".installed").touch()
    other.write_text("#!/bin/sh\necho 9.9\n")
    other.chmod(0o755)
    words = ["make", "-s", "setup", f"VENV={venv}"]
    assert subprocess.run([*words, f"PYTHON={sys.executable}"], cwd=ROOT, check=False).returncode == 0
    told = subprocess.run([*words, f"PYTHON={other}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode != 0 and "is 9.9; remove it first" in told.stderr


def test_marks_in_the_meaning_of_settings_are_explained() -> None:
    """[c], (choice), VIM-base: what `g3d info` shows of a method or prior says what such a mark stands for."""
    looked_at, every = set(), g3d("info", "--json").json
    for name in every["methods"] + every["priors"]:
        about = g3d("info", name, "--json").json
        said = f"{about.get('notes', '')} {about.get('paper', '')} {about.get('what', '')}"
        for setting in [s for key, some in about.items() if key.endswith("settings") for s in some]:
            for mark in re.findall(r"\[(\w{1,4})[\]:]", setting.get("meaning", "")):
                looked_at.add(f"{name} [{mark}]")
                assert f"[{mark}]" in said, f"{name} {setting['name']}: [{mark}] is not explained"
            if "VIM-base" in setting.get("meaning", ""):
                looked_at.add(f"{name} VIM-base")
                assert "VIM-base: the base model of" in said
            if "(choice" in setting.get("meaning", ""):
                looked_at.add(f"{name} choice")
                assert "choice" in said, f"{name} {setting['name']}: (choice) is not explained"
            if re.search(r"\b(eq\.|eqs\.|table|section|algorithm|row) \d", setting.get("meaning", "")):
                looked_at.add(f"{name} places")
                assert "places of the paper" in said, f"{name} {setting['name']}: of which paper is not said"
    assert {
        "gsgan [c]",
        "vq3d [VV]",
        "vq3d [360]",
        "autoregressive VIM-base",
        "vq3d choice",
        "gsgan places",
        "mnif places",
    } <= looked_at
