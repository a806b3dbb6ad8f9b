"""The disparity of a set of pictures against the truth: where that comes from, which pixels count, what the figures are of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.evaluation.disparity import figures, inverse_of
from g3d.evaluation.pairs import Item, Pair
from g3d.images import U8
from g3d.metrics.geometry import OBJECT_LEVEL

F32 = NDArray[np.float32]
Estimate = Callable[[U8, str], F32]
"""A picture [H, W, 3] and its name for messages => inverse depth [H, W]."""


@dataclass(frozen=True)
class Judge:
    """`region`: `picture`, or `mask`, the object in the true mask (the picture's own where there is no partner). `estimate`
    stands for the truth where it is given."""

    region: str
    estimate: Estimate | None = None
    _ends: set[tuple[float, float]] = field(default_factory=set)  # near and far of the maps seen so far

    def check(self, items: Sequence[tuple[Item, Pair | None]]) -> None:
        """Refuse pictures that have no disparity, or whose partners have no depth, where they are to be judged by it."""
        if self.region == "picture" or self.estimate is not None:
            found = [(item, item.disparity) for item, _ in items]
            _need(found, "disparity", "draw them into a folder with render --disparity")
        if self.region == "picture" and self.estimate is None:
            partners = [one.true for _, one in items if one is not None]
            known = [(true, true.inverse_depth or true.depth_world) for true in partners]
            _need(known, "inverse depth", "add it by prepare-data depth")

    def figures(self, item: Item, one: Pair | None) -> dict[str, float]:
        """Of one picture; none where it has no disparity, or its truth is not known."""
        wanted = None if item.disparity is None else self._truth(item, one)
        if item.disparity is None or wanted is None:
            return {}
        counted = None
        if self.region == "mask":
            mask = item.mask if one is None else one.true.mask
            assert mask is not None
            counted = mask() >= OBJECT_LEVEL
        sums = item.disparity()
        self._ends.add((sums.near_world, sums.far_world))
        return figures(sums, wanted, counted, item.where)

    def words(self, has_truth: bool) -> dict[str, Any]:
        """What the figures so far are of; nothing where there are none."""
        if not self._ends:
            return {}
        near, far = next(iter(self._ends)) if len(self._ends) == 1 else (None, None)
        truth = "an estimator's inverse depth of the pictures" if self.estimate else "true inverse depth"
        inside = "the whole picture" if self.region == "picture" else f"the {'true ' if has_truth else ''}mask"
        return {
            "region": self.region, "disparity": f"sums along rays against {truth}, in {inside}",
            "disparity_near_world": near, "disparity_far_world": far,
            "disparity_true": "0..1 in each picture; scale and shift by least squares (VQ3D, eqs. 1-2)",
        }  # fmt: skip

    def _truth(self, item: Item, one: Pair | None) -> F32 | None:
        """[H, W]: of the estimator, else the partner's own, else 1 / its depth, 0 (infinitely far) where nothing was hit."""
        if self.estimate is not None:
            return self.estimate(item.picture(), item.where)
        if one is None:
            return None
        if one.true.inverse_depth is not None:
            return one.true.inverse_depth()
        return None if one.true.depth_world is None else inverse_of(one.true.depth_world())


def _need(items: Sequence[tuple[Item, Any]], what: str, instead: str) -> None:
    lacking = [item.where for item, found in items if found is None]
    if lacking:
        raise G3dError(f"{len(lacking)} of {len(items)} pictures have no {what}, e.g. '{lacking[0]}'; {instead}")
