"""Writes what the code knows of the docs: docs/commands.md from the command line, docs/formats.md from the table of formats.

usage: python docs/generate.py            (`make docs`; a test fails where a page is stale)
What lies between `<!-- begin NAME -->` and `<!-- end NAME -->` of a page is replaced; the rest is written by hand.
"""

import dataclasses
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from g3d.sources import SOURCES
from g3d.storage.formats import ARTIFACTS, FLOATS, INTS, ArtifactRule, TensorRule
from g3d_cli.main import COMMANDS

DOCS = Path(__file__).parent
_DTYPES = {FLOATS: "floats", INTS: "whole numbers", FLOATS + INTS: "any"}


def commands() -> Iterator[str]:
    """Every command: what it does, its example, its arguments and options with their defaults."""
    for name, short in COMMANDS.items():
        module = importlib.import_module(f"g3d_cli.{name.replace('-', '_')}")
        command: Any = typer.main.get_command(module.app)
        yield from (f"### g3d {name}", "", *_paragraphs(command.help or short), "```sh", module.EXAMPLE, "```", "")
        if name == "prepare-data":
            of_sources = set().union(*map(_own_options, SOURCES.own))
            yield from _options([param for param in command.params if param.name not in of_sources])
            for source in SOURCES.own:
                yield from _source(source, module, command)
        else:
            yield from _options(command.params)


def _own_options(source: str) -> set[str]:
    """The options of the command that a source uses and need not share with all others."""
    return {field.name for field in dataclasses.fields(SOURCES.get(source).Options)}


def _source(source: str, module: Any, command: Any) -> Iterator[str]:
    """A source of prepare-data: its example, licence note and options."""
    yield from (f"#### g3d prepare-data {source}", "", *_paragraphs(module.LICENCES[source]))
    yield from ("```sh", f"g3d prepare-data {source} {module._EXAMPLES[source]} --out data", "```", "")
    defaults = {f.name: f.default for f in dataclasses.fields(SOURCES.get(source).Options)}
    yield from _options([param for param in command.params if param.name in defaults], defaults)


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text, those that keep their lines (marked by \\b) as a list."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        kept = paragraph.startswith("\b")
        lines = [line.strip() for line in paragraph.removeprefix("\b").strip().splitlines()]
        yield from ([f"* {_safe(line)}" for line in lines] if kept else [_safe(" ".join(lines))])
        yield ""


def _options(params: list[Any], defaults: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A table of arguments and options but --help; `defaults`: those that a source has instead of the command's."""
    rows = []
    for param in params:
        if param.name == "help":
            continue
        argument = param.param_type_name == "argument"
        name = param.name.upper() if argument else param.opts[0]
        default = param.default() if callable(param.default) else param.default
        default = (defaults or {}).get(param.name, default)
        needed = "needed" if param.required else _default(default)
        rows.append(f"| `{name}` | {_safe(param.help or '')} | {needed} |")
    if rows:
        yield from ("| argument or option | what it is | default |", "|---|---|---|", *rows, "")


def _default(value: Any) -> str:
    """A default, where it says something."""
    return "" if value is None or value is False or value in ("", (), dataclasses.MISSING) else f"`{value}`"


def _safe(text: str) -> str:
    """Text that a table of Markdown holds as it is."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def formats() -> Iterator[str]:
    """Every artifact: its version, the keys of its config, its tensors."""
    for name, rule in ARTIFACTS.items():
        yield from (f"### g3d/{name}@{rule.version}", "", f"{_about(rule)}", "")
        yield from ("| tensor | shape | numbers | |", "|---|---|---|---|")
        yield from (_tensor(tensor, needs) for tensor, needs in rule.tensors.items())
        yield ""


def _about(rule: ArtifactRule) -> str:
    """What it is, which keys its config holds, which older versions are read."""
    keys = f" Keys of `config`: {', '.join(f'`{key}`' for key in rule.config)}." if rule.config else ""
    older = f" Also read: version {', '.join(str(n) for n in rule.reads)}." if rule.reads else ""
    digest = "" if rule.digested else " Without a digest."
    return f"{rule.what[:1].upper()}{rule.what[1:]}.{keys}{older}{digest}"


def _tensor(name: str, rule: TensorRule) -> str:
    shape = f"[{', '.join(rule.shape.split())}]"
    return f"| `{name}` | {shape} | {_DTYPES.get(rule.dtypes, ', '.join(rule.dtypes))} | {'optional' if rule.optional else ''} |"


PAGES: dict[str, dict[str, Callable[[], Iterator[str]]]] = {
    "commands.md": {"commands": commands},
    "formats.md": {"formats": formats},
}
"""Page => the parts of it that are made here."""


def page(name: str) -> str:
    """A page with its parts as the code has them now."""
    text = (DOCS / name).read_text(encoding="utf-8")
    for part, make in PAGES[name].items():
        begin, end = f"<!-- begin {part} -->", f"<!-- end {part} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"docs/{name} lacks the lines {begin} and {end}")
        text = f"{before}{begin}\n{chr(10).join(make()).strip()}\n{end}{after}"
    return text


def main() -> None:
    """Write every page anew."""
    for name in PAGES:
        (DOCS / name).write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
