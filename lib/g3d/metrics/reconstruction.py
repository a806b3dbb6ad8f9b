"""How well a fitted first stage draws the views it was fitted to, and the views of the same objects that it never saw.

Letters: O training objects, n chosen views.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.dataset import Dataset
from g3d.images import U8, sheet, to_u8
from g3d.metrics.paired import psnr
from g3d.progress import SILENT, Progress
from g3d.render import render_scene
from g3d.scene import Scene, pick
from g3d.seeds import generator

NAMES = {"train": "psnr_db", "test": "psnr_test_views_db"}  # split of the views => name of the figure
_SHOWN = 8  # pictures in a row of the sheet


@dataclass(frozen=True)
class Reconstruction:
    """Figures, and rows of pictures: true and drawn, of each split."""

    figures: dict[str, Any]
    rows: list[list[U8]]

    def sheet(self) -> U8:
        """The rows as one picture."""
        return sheet(self.rows)


def reconstruct(
    decode: Callable[[Tensor], Scene],
    codes: Tensor,
    dataset: Dataset,
    seed: int,
    most: int,
    progress: Progress = SILENT,
) -> Reconstruction:
    """PSNR of the training objects as their `codes` [O, ...] decode, on at most `most` views of each split, drawn by seed."""
    assert dataset.cameras is not None
    items = dataset.objects("train")
    figures: dict[str, Any] = {}
    rows: list[list[U8]] = []
    for split, name in NAMES.items():
        pairs = [(row, int(v)) for row, item in enumerate(items) for v in dataset.views(item, split)]
        if not pairs:
            continue
        order = torch.randperm(len(pairs), generator=generator(seed, 0, "metric views"))[:most].sort().values
        chosen = [pairs[int(i)] for i in order]
        true, drawn = dataset.pictures([v for _, v in chosen]), _drawn(decode, codes, dataset, chosen, split, progress)
        found = psnr(true, drawn)
        figures |= {name: db(found.mean_of_db), f"{name[:-3]}_of_mean_mse_db": db(found.db_of_mean_mse)}
        shown = np.linspace(0, len(chosen) - 1, min(_SHOWN, len(chosen))).round().astype(int)
        rows += [[true[i] for i in shown], [drawn[i] for i in shown]]
    return Reconstruction(figures, rows)


def _drawn(
    decode: Callable[[Tensor], Scene], codes: Tensor, dataset: Dataset, chosen: Sequence[tuple[int, int]], split: str,
    progress: Progress,
) -> U8:  # fmt: skip
    """The chosen (object, view) pairs as the model sees them, [n, H, W, 3]; `chosen` is in the order of objects."""
    assert dataset.cameras is not None
    progress.start(f"reconstruction ({split} views)", len(chosen))
    drawn: list[Any] = []
    for row in dict.fromkeys(row for row, _ in chosen):
        views = [v for r, v in chosen if r == row]
        scene = pick(decode(codes[row : row + 1]), 0)
        drawn += list(render_scene(scene, dataset.cameras[views].to(codes.device)).rgb.cpu().numpy())
        progress.update(len(drawn), len(chosen))
    return to_u8(np.stack(drawn))


def db(value: float) -> float | None:
    """For JSON, which has no infinity: None where a picture is exact."""
    return round(value, 3) if math.isfinite(value) else None
