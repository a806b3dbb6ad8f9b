"""Runs side by side as one self-contained HTML page: a table of groups, and a chart of each figure with a line for each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from g3d.export.chart import Line, overlaid
from g3d.export.report import STYLE, decades, text

_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#65a30d")
_SWATCH = "".join(f".g{i} {{ stroke: {c}; color: {c} }} " for i, c in enumerate(_COLOURS))


@dataclass(frozen=True)
class Drawn:
    """A curve of one run, of a group that has a colour."""

    group: int
    title: str
    steps: Sequence[float]
    values: Sequence[float]


def page(title: str, rows: Sequence[Mapping[str, Any]], curves: Sequence[Drawn]) -> str:
    """HTML. `rows` are the groups, in the order of their numbers; runs of a group have one colour."""
    titles = dict.fromkeys(curve.title for curve in curves)
    charts = "".join(_chart(name, [curve for curve in curves if curve.title == name]) for name in titles)
    return "".join((
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}{_SWATCH}</style>",
        f"</head><body><h1>{escape(title)}</h1><h2>Runs</h2>{_table(rows)}",
        f"<h2>Curves</h2><div class='charts'>{charts}</div>" if charts else "",
        "</body></html>\n",
    ))  # fmt: skip


def _chart(title: str, curves: Sequence[Drawn]) -> str:
    values = [value for curve in curves for value in curve.values]
    lines = [Line(f"g{curve.group % len(_COLOURS)}", curve.steps, curve.values) for curve in curves]
    return overlaid(title, lines, log=decades(title, values))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = []
    for i, row in enumerate(rows):
        cells = "".join(
            f"<td class='number'>{escape(text(row[n])) if row.get(n) is not None else ''}</td>" for n in names
        )
        lines.append(f"<tr><td class='g{i % len(_COLOURS)}'>&#9632;</td>{cells}</tr>")
    return f"<div style='overflow-x: auto'><table><tr><th></th>{head}</tr>{''.join(lines)}</table></div>"
