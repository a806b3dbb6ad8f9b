"""A result as lines for a person: scalars beside their names, groups under a heading, lists of alike things as a table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAME = 24  # columns of a name


def lines(result: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Scalars first, then the groups, each under its name."""
    groups = {name: value for name, value in result.items() if isinstance(value, Mapping | list) and not _flat(value)}
    for name, value in result.items():
        if name not in groups:
            yield f"{indent}{name:<{_NAME}} {text(value)}"
    for name, value in groups.items():
        yield ""
        yield f"{indent}{name}"
        yield from lines(value, indent + "  ") if isinstance(value, Mapping) else _table(value, indent + "  ")


def text(value: Any) -> str:
    """One value."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text(one)}" for name, one in value.items()) or "-"
    if type(value) in (list, tuple):  # others know themselves how they look
        return ", ".join(text(one) for one in value) or "-"
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _flat(value: Any) -> bool:
    """Whether it fits behind its name: a list of scalars, or few of them by name."""
    if isinstance(value, Mapping):
        return len(value) <= 3 and not any(isinstance(one, Mapping | list) for one in value.values())
    return not any(isinstance(one, Mapping | list) for one in value)


def _table(rows: Sequence[Any], indent: str) -> Iterator[str]:
    """Things that have the same fields, a line each; other lists an entry a line."""
    if not all(isinstance(row, Mapping) for row in rows):
        yield from (indent + text(row) for row in rows)
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([text(row[name]) if name in row else "" for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        yield indent + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
