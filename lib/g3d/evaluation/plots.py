"""Histograms and curves as PNG, by matplotlib (optional): figures of an evaluation, to be looked at."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import require_module
from g3d.storage import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#1f6fb2", "#d1662b", "#3a8f5c", "#8a5aa8", "#8c8c8c", "#b8960c")  # told apart in grey, too, in this order
_SIZE_INCH = (6.4, 3.6)
_DPI = 120
_MATRIX_INCH = 2.4


class Curve(NamedTuple):
    """A line over x, with a band from `low` to `high` where there is one."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def check_plot(path: Path | None, overwrite: bool, inputs: tuple[Path, ...] = (), option: str = "--plot") -> None:
    """Refuse, before any work is done, a plot that cannot be drawn or written."""
    if path is None:
        return
    images.check_png(path, "the plot")
    files.refuse_existing(path, overwrite, inputs)
    require_module("matplotlib", option, f"pip install matplotlib, or leave {option} out")


def histogram(path: Path, series: Mapping[str, NDArray[np.float64]], title: str, x_label: str) -> None:
    """Outlines of several sets of values over common bins, as shares of each set; a tick on top marks each mean."""
    figure, axes = _figure(title, x_label, "share")
    every = np.concatenate(list(series.values()))
    low, high = float(every.min()), float(every.max())
    bins = int(np.clip(1.5 * math.sqrt(min(len(values) for values in series.values())), 5, 40))
    edges = np.linspace(low, high, bins + 1) if high > low else np.array([low - 0.5, low + 0.5])
    for colour, (name, values) in zip(_colours(len(series)), series.items(), strict=True):
        share = np.histogram(values, edges)[0] / len(values)
        axes.stairs(share, edges, color=colour, linewidth=1.6, label=f"{name} (mean {values.mean():.4g})")
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.08)
        axes.axvline(values.mean(), ymin=0.94, color=colour, linewidth=2)
    axes.set_ylim(bottom=0)
    _finish(path, figure, axes)


def curves(path: Path, series: Mapping[str, Curve], title: str, x_label: str, y_label: str, log: bool = False) -> None:
    """Lines with a dot at each value, x labelled at the values; `log` draws both axes by factors."""
    figure, axes = _figure(title, x_label, y_label)
    for colour, (name, curve) in zip(_colours(len(series)), series.items(), strict=True):
        axes.plot(curve.x, curve.y, color=colour, marker="o", markersize=4, linewidth=1.6, label=name)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    ticks = sorted({x for curve in series.values() for x in curve.x})
    if log:
        from matplotlib.ticker import LogLocator

        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.minorticks_off()
    _finish(path, figure, axes)


def matrices(path: Path, series: Mapping[str, NDArray[np.float64]], title: str) -> None:
    """Square matrices of values from 0 side by side, all on one scale, which is drawn; their names above them."""
    from matplotlib.figure import Figure

    width = _MATRIX_INCH * len(series) + 0.7
    figure = Figure(figsize=(width, _MATRIX_INCH + 0.7), dpi=_DPI, layout="constrained")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    panels = np.atleast_1d(figure.subplots(1, len(series)))
    top = max(float(matrix.max()) for matrix in series.values()) or 1.0
    for axes, (name, matrix) in zip(panels, series.items(), strict=True):
        drawn = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(drawn, ax=list(panels), fraction=0.02, pad=0.01)
    _save(path, figure)


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _figure(title: str, x_label: str, y_label: str) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCH, dpi=_DPI, layout="constrained")  # no pyplot: no window, no state left behind
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _finish(path: Path, figure: "Figure", axes: Any) -> None:
    axes.legend(frameon=False, fontsize=8)
    _save(path, figure)


def _save(path: Path, figure: "Figure") -> None:
    with files.atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})  # the same figures, the same bytes
