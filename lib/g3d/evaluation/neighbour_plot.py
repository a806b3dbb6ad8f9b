"""A histogram of the distances to nearest neighbours: how near fakes lie to reals, beside how near reals lie to each other.

Copies of training pictures show as fakes at distance 0, far outliers as a second hill to the right.
"""

from pathlib import Path
from typing import Any

import numpy as np

from g3d.errors import require_module
from g3d.metrics.neighbours import Neighbours
from g3d.storage import files

_BINS = 60


def check_plot() -> None:
    """Refuse to plot where matplotlib is not installed."""
    require_module("matplotlib", "--plot", "pip install matplotlib, or leave --plot out")


def write_plot(path: Path, found: Neighbours, title: str) -> None:
    """The histogram as PNG, without a time stamp: the same figures give the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    page = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(page)
    axes: Any = page.add_subplot()
    most = float(max(found.fake_to_real.max(), found.real_to_real.max(), 1e-12))
    edges = np.linspace(0, most, _BINS + 1)
    series = (("real to nearest other real", found.real_to_real, "#4c72b0"),
              ("fake to nearest real", found.fake_to_real, "#dd8452"))  # fmt: skip
    for label, values, colour in series:
        share = np.full(len(values), 1 / len(values))
        text = f"{label} (N = {len(values)}, median {np.median(values):.3g})"
        axes.hist(values, edges, weights=share, alpha=0.55, label=text, color=colour)
    axes.set(xlabel="Euclidean distance of features", ylabel="share of images", xlim=(0, most))
    axes.set_title(title, fontsize="small", wrap=True)
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    with files.atomic(path) as temporary:
        page.savefig(temporary, format="png", metadata={"Software": None})
