"""Pictures of a dataset that a loop asks for again and again: decoded once, and kept while they fit.

A PNG takes as long to decode as a small network takes to look at it. What does not fit is decoded each time.

Letters: V views asked for, H W sides.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from g3d.data.dataset import Dataset

MOST = 1 << 30  # bytes that a loop keeps


class Remembered:
    """A dataset's pictures and inverse depth; threads may ask at once."""

    def __init__(self, dataset: Dataset, most: int = MOST):
        self.dataset, self._left = dataset, most
        self._pictures: dict[int, NDArray[np.uint8]] = {}
        self._depth: dict[int, NDArray[np.float32]] = {}

    def pictures(self, views: Sequence[int] | Tensor) -> NDArray[np.uint8]:
        """[V, H, W, 3], as `Dataset.pictures`."""
        return np.stack(
            [self._one(self._pictures, int(v), lambda view: self.dataset.pictures([view])[0]) for v in views]
        )

    def inverse_depth(self, views: Sequence[int] | Tensor) -> NDArray[np.float32]:
        """[V, H, W], as `Dataset.inverse_depth`."""
        return np.stack([self._one(self._depth, int(v), self.dataset.inverse_depth) for v in views])

    def _one(self, kept: dict[int, NDArray], view: int, read: Callable[[int], NDArray]) -> NDArray:  # type: ignore[type-arg]
        found = kept.get(view)
        if found is None:
            found = read(view)
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                kept[view] = found
        return found
