"""Rows of figures: a list of objects in JSON, aligned columns where a person reads them."""

from collections.abc import Iterable, Mapping
from typing import Any

_LETTERS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


class Table(tuple[Mapping[str, Any], ...]):
    """A tuple of rows, which JSON writes as a list with all figures. As text it shows the columns of `shown`: name => title."""

    shown: Mapping[str, str]

    def __new__(cls, rows: Iterable[Mapping[str, Any]], shown: Mapping[str, str]) -> "Table":
        made = super().__new__(cls, rows)
        made.shown = dict(shown)
        return made

    def __str__(self) -> str:
        cells = [[*self.shown.values()], *([_cell(row.get(name)) for name in self.shown] for row in self)]
        words = [any(isinstance(row.get(name), str) for row in self) for name in self.shown]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.shown))]
        lines = []
        for line in cells:
            parts = (c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, widths, words, strict=True))
            lines.append("  ".join(parts).rstrip())
        return "\n" + "\n".join(lines)  # below the name that is printed before it


def _cell(value: Any) -> str:
    """A figure in few letters: 623,040; 68.2 M; 0.0123; 1.2-1.4."""
    match value:
        case None:
            return "-"
        case [low, high]:
            return f"{_cell(low)}-{_cell(high)}"
        case bool() | str():
            return str(value)
        case int():
            letter = next(((size, name) for size, name in _LETTERS if abs(value) >= 10 * size), None)
            return f"{value:,}" if letter is None else f"{value / letter[0]:.4g} {letter[1]}"
        case _:
            return f"{value:.4g}"
