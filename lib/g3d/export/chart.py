"""Curves as SVG: one small chart a figure, with axes that a person can read. No package, no script, no font to fetch."""

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 30
_MOST = 1e300  # differences of larger ones are not finite
_MOST_POINTS = 800  # of a curve; more are thinned, keeping the extremes of each stretch


def chart(title: str, steps: Sequence[float], values: Sequence[float], *, log: bool = False) -> str:
    """One curve over steps as an `<svg>`; `log` draws decades. Values that are not finite (or not positive) leave a gap."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if abs(value) < _MOST and (value > 0 or not log):
            stretches[-1].append((step, math.log10(value) if log else value))
        elif stretches[-1]:
            stretches.append([])
    most = max(2, _MOST_POINTS // len(stretches))
    curves = [_thinned(stretch, most) for stretch in stretches if stretch]
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    name = f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>'
    if not curves:
        return f'{head}{name}<text x="{_LEFT}" y="{HEIGHT / 2}">no finite values</text></svg>'
    points = [point for curve in curves for point in curve]
    low_x, high_x = _widened(points[0][0], points[-1][0])
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
    for curve in curves:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline class="curve" points="{line}"/>')
    x, y = place(*points[-1])
    last = _short(10 ** points[-1][1] if log else points[-1][1])
    parts.append(f'<circle class="end" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>')
    parts.append(f'<text class="last" x="{WIDTH - _RIGHT}" y="16" text-anchor="end">{last}</text></svg>')
    return "".join(parts)


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
