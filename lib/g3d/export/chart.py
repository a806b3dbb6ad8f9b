"""Curves as SVG: one small chart a figure, with axes that a person can read. No package, no script, no font to fetch."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 30
_MOST = 1e300  # differences of larger ones are not finite
_MOST_POINTS = 800  # of a curve; more are thinned, keeping the extremes of each stretch


class Line(NamedTuple):
    """One curve of several: the class that gives its colour."""

    css: str
    steps: Sequence[float]
    values: Sequence[float]


def chart(title: str, steps: Sequence[float], values: Sequence[float], *, log: bool = False) -> str:
    """One curve over steps as an `<svg>`; `log` draws decades. Values that are not finite (or not positive) leave a gap."""
    parts, place, drawn = _drawn(title, [Line("", steps, values)], log)
    if not drawn:
        return "".join(parts)
    last = drawn[-1][1][-1]
    x, y = place(*last)
    parts.append(f'<circle class="end" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
    number = _short(10 ** last[1] if log else last[1])
    parts.append(f'<text class="last" x="{WIDTH - _RIGHT}" y="16" text-anchor="end">{number}</text></svg>')
    return "".join(parts)


def overlaid(title: str, lines: Sequence[Line], *, log: bool = False) -> str:
    """Several curves in one chart, each in the colour of its class."""
    parts, place, drawn = _drawn(title, lines, log)
    for css, curve in drawn:
        if len(curve) == 1:  # no line goes through one point
            x, y = place(*curve[0])
            parts.append(f'<circle class="{css}" fill="currentColor" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
    return "".join([*parts, "</svg>"] if drawn else parts)


_Points = Sequence[tuple[float, float]]


def _drawn(
    title: str, lines: Sequence[Line], log: bool
) -> tuple[list[str], Callable[[float, float], tuple[float, float]], list[tuple[str, _Points]]]:
    """The parts of an `<svg>` that is still open (whole where nothing is finite), where a point lies in it, and the stretches of
    all curves."""
    curves = [(line.css, stretch) for line in lines for stretch in _stretches(line, log, len(lines))]
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    name = f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>'
    if not curves:
        gone = f'<text x="{_LEFT}" y="{HEIGHT / 2}">no finite values</text></svg>'
        return [head, name, gone], lambda x, y: (x, y), []
    points = [point for _, curve in curves for point in curve]
    low_x, high_x = _widened(min(x for x, _ in points), max(x for x, _ in points))
    low_y, high_y = _widened(min(y for _, y in points), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / (high_x - low_x)
        up = (y - low_y) / (high_y - low_y)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    parts = [head, name]
    for tick in _decades(low_y, high_y) if log else _ticks(low_y, high_y):
        _, y = place(low_x, tick)
        text = _short(10**tick if log else tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in _ticks(low_x, high_x):
        x, _ = place(tick, low_y)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_short(tick)}</text>'
        )
    for css, curve in curves:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline class="curve{" " if css else ""}{css}" points="{line}"/>')
    return parts, place, curves


def _stretches(line: Line, log: bool, lines: int) -> list[_Points]:
    """A curve without what cannot be drawn, thinned to its share of the points."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(line.steps, line.values, strict=True):
        if abs(value) < _MOST and (value > 0 or not log):
            stretches[-1].append((step, math.log10(value) if log else value))
        elif stretches[-1]:
            stretches.append([])
    most = max(2, _MOST_POINTS // len(stretches) // (1 if lines == 1 else 2))
    return [_thinned(stretch, most) for stretch in stretches if stretch]


def _thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about `most`: of each stretch its lowest and its highest point, in their order."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        low, high = min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])
        kept += sorted({low, high})
    return kept


def _widened(low: float, high: float) -> tuple[float, float]:
    """An interval that is not a point."""
    if high > low:
        return low, high
    return low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers in [low, high]."""
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next((m for m in (5, 2) if (high - low) / (step * m) >= 3), 1)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high], of exponents; round steps of the exponent where there are fewer than two."""
    whole = [float(k) for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    return whole if len(whole) > 1 else _ticks(low, high)


def _short(value: float) -> str:
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
