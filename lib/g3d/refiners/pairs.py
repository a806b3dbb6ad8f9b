"""Pairs of pictures, coarse and true, and the batches of a step: squares of them, mirrored at random.

Letters: B pairs, H rows, W columns, P side of a square.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import distributed
from g3d.errors import G3dError
from g3d.refiners.config import Config
from g3d.seeds import rng

U8 = NDArray[np.uint8]
_PAIRS_OF_SCALE = 256
_MEMORY_BYTES = 1 << 30  # so much of the pictures is kept once it was read


@dataclass(frozen=True)
class PairSource:
    """All pairs; they are read when asked for."""

    names: Sequence[str]
    read: Callable[[int], tuple[U8, U8]]  # coarse and true [H, W, 3] of a pair, of one size


class Pairs:
    """Pairs of a source, kept in memory as far as they fit; refuses pictures of several sizes."""

    def __init__(self, source: PairSource, config: Config):
        self.source, self._kept, self._bytes = source, dict[int, U8](), 0
        self.height, self.width = self[0].shape[1:3]
        self.patch = config.patch or 0
        if self.patch > min(self.height, self.width):
            raise G3dError(
                f"patch is {self.patch}, but the pictures are {self.width} x {self.height}; give at most "
                f"{min(self.height, self.width)}, or 0 for whole pictures"
            )

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, index: int) -> U8:
        """[2, H, W, 3] coarse and true."""
        found = self._kept.get(index)
        if found is None:
            found = np.stack(self.source.read(index))
            first = self._kept.get(0, found)
            if found.shape != first.shape:
                raise G3dError(
                    f"the pair '{self.source.names[index]}' is {found.shape[2]} x {found.shape[1]}, the first one "
                    f"{first.shape[2]} x {first.shape[1]}; a refiner is fitted to pictures of one size"
                )
            if index == 0 or self._bytes + found.nbytes <= _MEMORY_BYTES:
                self._kept[index], self._bytes = found, self._bytes + found.nbytes
        return found

    def change_std(self) -> float:
        """Deviation of what true pictures add to coarse ones, in [-1, 1], over at most 256 pairs, evenly taken.

        Were the noise as large as pictures, nearly all of its steps would drown the little that a coarse picture leaves open."""
        chosen = np.linspace(0, len(self) - 1, min(len(self), _PAIRS_OF_SCALE)).round().astype(int)
        change = [np.square((self[int(i)][1].astype(np.float64) - self[int(i)][0]) / 127.5).mean() for i in chosen]
        return max(float(np.sqrt(np.mean(change))), 1e-3)

    def batch(self, config: Config, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of this process's share of a step: coarse and true [B, 3, P, P] in [-1, 1], noise like them, times [B]."""
        g = rng(seed, step, "refiner")
        rows = torch.randint(len(self), (config.batch,), generator=g)
        high, wide = (self.patch, self.patch) if self.patch else (self.height, self.width)
        tops = torch.randint(self.height - high + 1, (config.batch,), generator=g)
        lefts = torch.randint(self.width - wide + 1, (config.batch,), generator=g)
        turned = torch.rand(config.batch, generator=g) < (0.5 if config.flip else 0.0)
        t = torch.randint(config.time_steps, (config.batch,), generator=g)
        noise = torch.randn(config.batch, 3, high, wide, generator=g)
        mine = distributed.share(rows)
        squares = []
        for row, top, left, turn in zip(*(v[mine].tolist() for v in (rows, tops, lefts, turned)), strict=True):
            square = self[row][:, top : top + high, left : left + wide]
            squares.append(square[:, :, ::-1] if turn else square)
        both = signed(np.stack(squares)) if squares else torch.zeros(0, 2, 3, high, wide)
        return both[:, 0], both[:, 1], noise[mine], t[mine]


def signed(pictures: U8) -> Tensor:
    """[..., H, W, 3] 0..255 => [..., 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))).float() / 127.5 - 1


def unsigned(pictures: Tensor) -> U8:
    """[..., 3, H, W] in [-1, 1] => [..., H, W, 3] 0..255, rounded."""
    levels = ((pictures.double().clamp(-1, 1) + 1) * 127.5 + 0.5).floor().clamp(0, 255)
    return np.ascontiguousarray(levels.movedim(-3, -1).cpu().numpy().astype(np.uint8))
