"""A run as one self-contained HTML page: figures, curves, pictures, settings. No script, nothing to fetch."""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from g3d.export.chart import chart

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --line: #d8dce4; --page: #ffffff; --curve: #2563eb; }
@media (prefers-color-scheme: dark) {
 :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #343b49; --page: #14181f; --curve: #7aa8ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1320px; margin: 2rem auto;
 padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2.2rem }
p.sub { color: var(--soft); margin-top: .2rem }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: 1rem 1.5rem }
.chart { width: 100%; font: 11px system-ui, sans-serif; fill: var(--soft) } .chart .title { font-weight: 600; fill: var(--ink) }
.chart .last { fill: var(--curve); font-weight: 600 } .grid { stroke: var(--line) } .end { fill: var(--curve) }
.curve { fill: none; stroke: var(--curve); stroke-width: 1.6; stroke-linejoin: round }
table { border-collapse: collapse }
td, th { text-align: left; padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid var(--line);
 vertical-align: top } td.number { font-variant-numeric: tabular-nums } img { image-rendering: pixelated; max-width: 100%;
 min-width: min(100%, 720px) }
figure { margin: 1rem 0 } figcaption { color: var(--soft) }
"""
Curve = tuple[str, Sequence[float], Sequence[float]]  # title, steps, values


def page(
    title: str, subtitle: str, figures: Mapping[str, Any], curves: Sequence[Curve], pictures: Mapping[str, bytes],
    tables: Mapping[str, Mapping[str, Any]],
) -> str:  # fmt: skip
    """HTML. `pictures` are PNG by caption; `tables` are drawn below, each under its heading."""
    drawn = "".join(chart(name, steps, values, log=decades(name, values)) for name, steps, values in curves)
    shown = "".join(
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, png in pictures.items()
    )
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p class='sub'>{escape(subtitle)}</p>",
        f"<h2>Figures</h2>{_table(figures)}" if figures else "",
        f"<h2>Curves</h2><div class='charts'>{drawn}</div>" if curves else "",
        f"<h2>Pictures</h2>{shown}" if pictures else "",
        *(f"<h2>{escape(name)}</h2>{_table(rows)}" for name, rows in tables.items() if rows),
        "</body></html>\n",
    ]
    return "".join(parts)


def decades(name: str, values: Sequence[float]) -> bool:
    """Losses, rates and norms of gradients are read in decades where they span more than one."""
    positive = [v for v in values if v > 0]
    wide = bool(positive) and max(positive) > 10 * min(positive)
    return wide and any(word in name for word in ("loss", "lr", "norm"))


def _table(rows: Mapping[str, Any]) -> str:
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td class='number'>{escape(text(v))}</td></tr>" for name, v in rows.items()
    )
    return f"<table>{cells}</table>"


def text(value: Any) -> str:
    """A value of a table."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
