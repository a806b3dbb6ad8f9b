"""Precision, recall, density and coverage: which pictures of one set lie near which of the other, by their features.

    ball of x, k      = all points no farther from x than its k-th neighbour in its own set
    precision, recall = share of fakes in a ball of any real; of reals in a ball of any fake  (Kynkäänniemi et al. 2019, eq. 1, 2)
    density           = 1/(kM) Σ over fakes of the number of balls of reals that hold it      (Naeem et al. 2020, eq. 3)
    coverage          = share of reals whose ball holds any fake                              (Naeem et al. 2020, eq. 4)

A point on the rim of a ball is in it for precision and recall (their paper has ≤), not for density and coverage (the program of
theirs has <), so the same set twice gives exactly 1 in all four.

Distances are computed tile by tile in float32, |x|² + |y|² - 2 x·y about the mean of the reals, and never kept: memory grows with
N, not N². Radii, and points so near to a rim that float32 cannot tell the side, are computed again in float64.

Letters: N reals, M fakes, D feature dimensions, R, C rows and columns of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import distributed
from g3d.progress import SILENT, Progress

K_PRECISION_RECALL, K_DENSITY_COVERAGE = 3, 5  # those of the two papers
_ROWS, _COLUMNS = 2048, 8192  # of a tile: 64 MiB
_RIM = 4e-6  # of the squares that a distance is the difference of: what float32 cannot tell apart
_SPARE = 3  # neighbours that are looked at besides k, since float32 may have them in another order
_PAIRS = 4096  # that are computed again at a time
_MOST_PAIRS = 1 << 22  # on rims in one tile; so many are copies of each other, on the rim indeed


@dataclass(frozen=True)
class Neighbours:
    """The four figures, None where a set has too few pictures for its balls; and the distances of nearest neighbours."""

    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    fake_to_real: NDArray[np.float32]  # [M]
    real_to_real: NDArray[np.float32]  # [N] to the nearest other one

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall, 0 where both are."""
        if self.precision is None or self.recall is None:
            return None
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-12)


def neighbours(
    real: NDArray[np.float32],
    fake: NDArray[np.float32],
    device: str | torch.device = "cpu",
    k_pr: int = K_PRECISION_RECALL,
    k_dc: int = K_DENSITY_COVERAGE,
    progress: Progress = SILENT,
) -> Neighbours:
    """All four of features [N, D] and [M, D] in three passes over distances. Several processes share the rows out."""
    mean = real.mean(0, dtype=np.float64).astype(np.float32)
    reals, fakes = (_Points(values, mean, device) for values in (real, fake))
    done = _Count(progress, -(-len(reals) // _ROWS) + 2 * -(-len(fakes) // _ROWS))
    real_nearest = _nearest(reals, max(k_pr, k_dc), done)  # [N, k] squared distances
    fake_nearest = _nearest(fakes, k_pr, done)
    found = _cross(reals, fakes, (real_nearest, fake_nearest), (k_pr, k_dc), done)
    n, m = len(reals), len(fakes)
    return Neighbours(
        _share(found.in_real, m) if n > k_pr else None,
        _share(found.in_fake, n) if m > k_pr else None,
        float(found.holds.sum()) / (k_dc * m) if n > k_dc else None,
        _share(found.holds > 0, n) if n > k_dc else None,
        found.nearest.sqrt().numpy(),
        real_nearest[:, 0].sqrt().float().numpy(),
    )


def _share(flags: Tensor, count: int) -> float:
    return float((flags > 0).sum()) / count


class _Points:
    """Features about a common mean, with their squared lengths."""

    def __init__(self, values: NDArray[np.float32], mean: NDArray[np.float32], device: str | torch.device):
        self.x = torch.from_numpy(values).to(device) - torch.from_numpy(mean).to(device)  # [N, D]
        self.squares = torch.cat([part.double().square().sum(1).float() for part in self.x.split(_ROWS)])  # [N]

    def __len__(self) -> int:
        return len(self.x)


class _Count:
    """Blocks of rows that are done."""

    def __init__(self, progress: Progress, total: int):
        self.progress, self.total, self.done = progress, total, 0
        progress.start("neighbours", total)

    def one_more(self) -> None:
        self.done += 1
        self.progress.update(self.done, self.total)


def _our_rows(points: _Points, done: _Count) -> Iterator[slice]:
    """The blocks of rows that are this process's."""
    for number, start in enumerate(range(0, len(points), _ROWS)):
        if distributed.mine(number):
            yield slice(start, min(start + _ROWS, len(points)))
        done.one_more()


def _tiles(rows: _Points, at: slice, columns: _Points) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances [R, C] of some rows to all columns, tile by tile."""
    for start in range(0, len(columns), _COLUMNS):
        across = slice(start, min(start + _COLUMNS, len(columns)))
        squares = rows.squares[at, None] + columns.squares[None, across]
        yield across, squares.addmm_(rows.x[at], columns.x[across].T, alpha=-2).clamp_(min=0)


def _nearest(points: _Points, k: int, done: _Count) -> Tensor:
    """Squared distances [N, k] in float64 to the k nearest other points of the set, in order; what is missing is infinite."""
    result = torch.zeros(len(points), k, dtype=torch.float64)
    for at in _our_rows(points, done):
        rows = torch.arange(at.start, at.stop, device=points.x.device)[:, None]
        best = torch.zeros(len(rows), 0, device=points.x.device)
        index = torch.zeros(len(rows), 0, dtype=torch.int64, device=points.x.device)
        for across, tile in _tiles(points, at, points):
            first, last = max(at.start, across.start), min(at.stop, across.stop)
            if first < last:  # a point is no neighbour of itself
                tile[first - at.start : last - at.start, first - across.start : last - across.start].fill_diagonal_(
                    torch.inf
                )
            near, where = tile.topk(min(k + _SPARE, tile.shape[1]), dim=1, largest=False)
            best, index = torch.cat([best, near], 1), torch.cat([index, where + across.start], 1)
            best, kept = best.topk(min(k + _SPARE, best.shape[1]), dim=1, largest=False)
            index = index.gather(1, kept)
        exact = _exact(points, rows.expand_as(index).reshape(-1), points, index.reshape(-1)).view_as(index)
        exact[best.isinf()] = torch.inf
        exact = torch.nn.functional.pad(exact.sort(1).values, (0, max(0, k - exact.shape[1])), value=torch.inf)
        result[at] = exact[:, :k].cpu()
    return distributed.sum_value(result)


def _exact(a: _Points, i: Tensor, b: _Points, j: Tensor) -> Tensor:
    """Squared distances [P] of pairs, in float64; of the same two points always the same number."""
    parts = zip(i.split(_PAIRS), j.split(_PAIRS), strict=True)
    found = [(a.x[first].double() - b.x[second].double()).square_().sum(1) for first, second in parts]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64, device=i.device)


@dataclass
class _Cross:
    """What the distances between the sets say."""

    in_real: Tensor  # [M] whether a fake lies in a ball of any real, int32
    nearest: Tensor  # [M] squared distance of a fake to the nearest real
    in_fake: Tensor  # [N] of how many blocks of fakes any ball holds a real, int32
    holds: Tensor  # [N] how many fakes the ball of a real holds, int32


def _cross(reals: _Points, fakes: _Points, nearest: tuple[Tensor, Tensor], k: tuple[int, int], done: _Count) -> _Cross:
    (k_pr, k_dc), device = k, reals.x.device
    around_real, open_real = _Balls(reals, nearest[0], k_pr, True), _Balls(reals, nearest[0], k_dc, False)
    around_fake = _Balls(fakes, nearest[1], k_pr, True)
    n, m = len(reals), len(fakes)
    in_real, near = torch.zeros(m, dtype=torch.int32), torch.zeros(m)
    in_fake, holds = (torch.zeros(n, dtype=torch.int32, device=device) for _ in range(2))
    for at in _our_rows(fakes, done):
        for across, tile in _tiles(fakes, at, reals):
            least = tile.min(1).values.cpu()
            near[at] = least if across.start == 0 else torch.minimum(near[at], least)
            in_real[at] |= around_real.hold(tile.T, across, fakes, at).any(0).int().cpu()
            in_fake[across] += around_fake.hold(tile, at, reals, across).any(0).int()
            holds[across] += open_real.hold(tile.T, across, fakes, at).sum(1, dtype=torch.int32)
    parts = [distributed.sum_value(part.cpu()) for part in (in_real, near, in_fake, holds)]
    return _Cross(*parts)


class _Balls:
    """A ball around each point of a set, as far as its k-th neighbour; none where there is no such neighbour."""

    def __init__(self, points: _Points, nearest: Tensor, k: int, closed: bool):
        self.points, self.closed = points, closed
        self.radii = nearest[:, k - 1].to(points.x.device)  # [N] float64, squared
        self.radii[self.radii.isinf()] = -1
        margin = _RIM * (self.radii + points.squares)
        self.inner, self.outer = (self.radii - margin).float(), (self.radii + margin).float()
        self.outer[self.radii < 0] = -1

    def hold(self, tile: Tensor, balls: slice, others: _Points, at: slice) -> Tensor:
        """Which balls [R] hold which other points [C], from their squared distances [R, C]."""
        inside = tile < self.inner[balls, None]
        rim = (tile <= self.outer[balls, None]).logical_xor_(inside)
        i, j = rim.nonzero(as_tuple=True)
        if len(i) > _MOST_PAIRS:
            return inside | rim if self.closed else inside
        exact, radii = _exact(self.points, i + balls.start, others, j + at.start), self.radii[i + balls.start]
        inside[i, j] = exact <= radii if self.closed else exact < radii
        return inside
