"""How far the pictures of one set are from each other: the mean Euclidean distance of their features, over pairs.

A generator that repeats few pictures has a low one, also where means and covariances (FID) look good.

Letters: N items, D feature dimensions, P pairs.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from g3d.seeds import rng

PAIRS = 10_000
_ROWS = 1024


def diversity(features: NDArray[np.float32], seed: int, pairs: int = PAIRS) -> tuple[float, int]:
    """The mean distance in features [N, D] and how many pairs it is over: all, or `pairs` drawn by seed (with repetition)."""
    count = len(features)
    if count * (count - 1) // 2 <= pairs:
        first, second = np.triu_indices(count, 1)
    else:
        stream = rng(seed, 0, "diversity")
        first = torch.randint(count, (pairs,), generator=stream).numpy()
        step = torch.randint(1, count, (pairs,), generator=stream).numpy()  # never 0: an item is no pair with itself
        second = (first + step) % count
    total = 0.0
    for start in range(0, len(first), _ROWS):
        a, b = (features[chosen[start : start + _ROWS]].astype(np.float64) for chosen in (first, second))
        total += float(np.linalg.norm(a - b, axis=1).sum())
    return total / len(first), len(first)
