"""The kernel distance between two sets of features: squared MMD with a cubic kernel (Bińkowski et al. 2018, section 4).

    k(x, y) = (x·y / D + 1)³
    MMD² = 1 / (m (m - 1)) Σ_{i≠j} [k(x_i, x_j) + k(y_i, y_j)]  -  2 / m² Σ_{ij} k(x_i, y_j)

It is unbiased, so of equal distributions it is 0 on average and may be negative. KID is its mean over subsets of m items of each
set, drawn without repetition. All sums are in float64: the difference of three means is some 1e-4 of each.

Letters: N items of a set, m items of a subset, D feature dimensions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import distributed
from g3d.progress import SILENT, Progress
from g3d.seeds import rng

SUBSETS, SUBSET_SIZE = 100, 1000  # those of the paper's experiments and of other programs


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over subsets, and how these were drawn."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def kernel_distance(
    real: NDArray[np.float32],
    fake: NDArray[np.float32],
    seed: int,
    device: str | torch.device = "cpu",
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    progress: Progress = SILENT,
) -> KernelDistance:
    """KID of features [N, D]. Sets no larger than a subset are taken whole, once. Several processes share the subsets out."""
    size = min(len(real), len(fake), subset_size)
    count = 1 if len(real) == len(fake) == size else subsets
    values = torch.zeros(count, dtype=torch.float64)
    progress.start("kernel distance", count)
    for number in range(count):
        if distributed.mine(number):
            x, y = (_subset(of, size, seed, number, name).to(device) for of, name in ((real, "real"), (fake, "fake")))
            values[number] = squared_mmd(x, y)
        progress.update(number + 1, count)
    values = distributed.sum_value(values)
    return KernelDistance(float(values.mean()), float(values.std(correction=0)), count, size)


def squared_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate above, of [m, D] and [m, D] in float64."""
    m = len(x)
    xx, yy, xy = (_kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
    within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    return float(within / (m * (m - 1)) - 2 * xy.mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _subset(features: NDArray[np.float32], size: int, seed: int, number: int, name: str) -> Tensor:
    """Subset `number` [size, D] in float64."""
    if size == len(features):
        return torch.from_numpy(features).double()
    chosen = torch.randperm(len(features), generator=rng(seed, number, f"kid-{name}"))[:size]
    return torch.from_numpy(features[chosen.numpy()]).double()
