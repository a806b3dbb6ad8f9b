"""The items of a step: an exact, resumable order."""

from functools import lru_cache

import torch
from torch import Tensor

from g3d.data.columns import FORMAT as FORMAT
from g3d.data.columns import SPLITS as SPLITS
from g3d.seeds import rng


def step_items(count: int, batch: int, seed: int, step: int) -> Tensor:
    """The items of a step: `[batch]` indices below `count`.

    Epoch after epoch is a fresh permutation, cut into batches that run on across epochs. A pure function of
    (seed, step): resuming at step k needs no stored position, and N processes take their shares of the same list.
    """
    start = step * batch
    picked = []
    for position in range(start, start + batch):
        epoch, offset = divmod(position, count)
        picked.append(int(_permutation(count, seed, epoch)[offset]))
    return torch.tensor(picked)


@lru_cache(maxsize=4)  # threads that prefetch may be at the end of one epoch and at the start of the next
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=rng(seed, epoch, "order"))
