"""How close two sets of shapes are, each shape a cloud of points: coverage, MMD, 1-NN accuracy, JSD; and two occupancy grids.

The Chamfer distance of clouds X and Y is the mean over X of the (squared) distance to the nearest point of Y, plus the mean
over Y of that to X: both ways added, not halved (Achlioptas et al. 2018, section 2; Yang et al. 2019, eq. 13, divided by
the number of points). On a CPU a k-d tree finds the nearest points, on a GPU one matrix product a pair of clouds; both in
float64, so that a cloud is exactly 0 from itself.

Letters: N true shapes, M test shapes, P and Q points of a shape, G cells a side.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d import distributed
from g3d.errors import G3dError, require_module
from g3d.progress import SILENT, Progress

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
JSD_CELLS = 28  # a side, as Achlioptas et al. have it
_POINTS_AT_ONCE = 1 << 17  # asked of a tree: bounds the memory, and is enough to keep threads busy
_LEAF = 16  # points of a leaf of a tree: fastest of 8, 10, 16, 32
_GPU_BYTES = 1 << 29  # of one matrix of distances


@dataclass(frozen=True)
class Distances:
    """Chamfer distances between sets; within a set they are known only where 1-NN accuracy is wanted."""

    cross: F64  # [N, M]
    true: F64 | None = None  # [N, N]
    test: F64 | None = None  # [M, M]


def distances(
    true: F32, test: F32, squared: bool, within: bool, device: str | torch.device = "cpu", progress: Progress = SILENT
) -> Distances:
    """Chamfer distances of clouds `true` [N, P, 3] and `test` [M, Q, 3]. Several processes share the work out."""
    progress.start("Chamfer distances", len(test) + (len(true) + len(test) if within else 0))
    counter = _Counter(progress, len(test) + (len(true) + len(test) if within else 0))
    where = torch.device(device)
    cross = _chamfer(true, test, squared, where, counter)
    if not within:
        return Distances(cross)
    return Distances(
        cross, _chamfer(true, None, squared, where, counter), _chamfer(test, None, squared, where, counter)
    )


def chamfer(x: F32, y: F32, squared: bool = True) -> float:
    """Of two clouds [P, 3] and [Q, 3]."""
    return float(distances(x[None], y[None], squared, within=False).cross[0, 0])


def coverage(cross: F64) -> float:
    """Share of true shapes that are the nearest one of some test shape; of several equally near, all are covered."""
    return float((cross == cross.min(axis=0)).any(axis=1).mean())


def mmd(cross: F64) -> float:
    """Minimum matching distance: mean over true shapes of the distance to the nearest test shape."""
    return float(cross.min(axis=1).mean())


@dataclass(frozen=True)
class OneNN:
    """Leave-one-out accuracy of telling test from true by the nearest neighbour; 1/2 is best for sets of equal sizes."""

    accuracy: float
    true: float  # of the true shapes alone: how often a true shape's nearest is a true one
    test: float  # low for memorised shapes, high for shapes that resemble only each other


def one_nn(found: Distances) -> OneNN:
    """Yang et al. 2019, eq. 16. A shape equally near to both sets counts one half."""
    assert found.true is not None and found.test is not None, "1-NN accuracy needs the distances within each set"
    if min(found.cross.shape) < 2:
        raise G3dError(
            f"1-NN accuracy of {found.cross.shape[0]} true and {found.cross.shape[1]} test shapes is not defined; give 2 or more"
        )
    hits = [
        _right(nearest_other(own), found.cross.min(axis=1 - side)) for side, own in ((0, found.true), (1, found.test))
    ]
    return OneNN(float(np.concatenate(hits).mean()), float(hits[0].mean()), float(hits[1].mean()))


def nearest_other(own: F64) -> F64:
    """Distance [N] of each shape to the nearest other one of its set [N, N]."""
    found: F64 = (own + np.diag(np.full(len(own), np.inf))).min(axis=1)
    return found


def jsd(true: F32, test: F32, cells: int = JSD_CELLS) -> float:
    """Jensen-Shannon divergence, in bits, between where points of the sets lie (Achlioptas et al. 2018, section 2).

    Points are counted in `cells`^3 cells of a cube around the true points; those outside count in its outermost cells."""
    low, high = (end(true.reshape(-1, 3), axis=0).astype(np.float64) for end in (np.min, np.max))
    middle, side = (low + high) / 2, float((high - low).max()) or 1.0

    def share(points: F32) -> F64:
        cell = (
            np.floor((points.reshape(-1, 3) - (middle - side / 2)) / side * cells).clip(0, cells - 1).astype(np.int64)
        )
        counts = np.bincount(cell @ np.array([cells * cells, cells, 1]), minlength=cells**3)
        return np.asarray(counts / counts.sum(), np.float64)

    p, q = share(true), share(test)
    return max(0.0, _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2)


def grid_mse(true: F32, test: F32) -> float:
    """Mean squared error over the cells of two grids of occupancy in [0, 1]."""
    return float(np.square(true.astype(np.float64) - test).mean())


def grid_iou(true: F32, test: F32) -> float:
    """Cells inside both / cells inside one; inside is above 1/2. Two empty grids agree."""
    a, b = true > 0.5, test > 0.5
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


@dataclass
class _Counter:
    """How many shapes have been compared with all the others."""

    progress: Progress
    total: int
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        self.progress.update(self.done, self.total)


def _right(own: F64, other: F64) -> F64:
    hits: F64 = (own < other) + 0.5 * (own == other)
    return hits


def _entropy(p: F64) -> float:
    inside = p[p > 0]
    return float(-(inside * np.log2(inside)).sum())


def _chamfer(a: F32, b: F32 | None, squared: bool, device: torch.device, counter: _Counter) -> F64:
    """[N, M]; without `b`, [N, N] within `a`."""
    if device.type == "cpu":
        forward = _directed(a, a if b is None else b, squared, counter)
        # Within a set the way back is the way forth of the pair's other order.
        return forward + (forward if b is None else _directed(b, a, squared, _Counter(SILENT, 0))).T
    return by_matmul(a, b, squared, device, counter)


def _directed(queries: F32, targets: F32, squared: bool, counter: _Counter) -> F64:
    """[N, M] mean distance of the points of each query cloud [N, P, 3] to the nearest point of each target [M, Q, 3]."""
    require_module("scipy", "distances of shapes", "pip install scipy")
    from scipy.spatial import KDTree

    asked = np.stack([cloud[KDTree(cloud, leafsize=_LEAF).indices] for cloud in queries]).astype(
        np.float64
    )  # neighbours in turn: 15 % sooner
    count, points, _ = asked.shape
    step = max(1, _POINTS_AT_ONCE // points)
    result = np.zeros((count, len(targets)))
    for j, target in enumerate(targets):
        if distributed.mine(j):
            tree = KDTree(target.astype(np.float64), leafsize=_LEAF)
            for start in range(0, count, step):
                part = asked[start : start + step]
                found = tree.query(part.reshape(-1, 3), workers=torch.get_num_threads())[0].reshape(len(part), points)
                result[start : start + step, j] = (found * found if squared else found).mean(axis=1)
        counter()
    return distributed.sum_value(torch.from_numpy(result)).numpy()


def by_matmul(a: F32, b: F32 | None, squared: bool, device: torch.device, counter: _Counter | None = None) -> F64:
    """As `_chamfer`, by |q|² + |t|² - 2 q·t for all pairs of points at once, some clouds against one at a time.

    The product only chooses the nearest point; its distance is then taken from the difference, without cancellation."""
    centre = a.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    first = torch.from_numpy(a.astype(np.float64) - centre).to(device)  # [N, P, 3]
    second = first if b is None else torch.from_numpy(b.astype(np.float64) - centre).to(device)  # [M, Q, 3]
    step = max(1, _GPU_BYTES // (8 * first.shape[1] * second.shape[1]))
    result = torch.zeros(len(first), len(second), dtype=torch.float64, device=device)
    for j in range(len(second)):
        if distributed.mine(j):
            for start in range(j if b is None else 0, len(first), step):  # within a set the lower half is enough
                found = _both_ways(first[start : start + step], second[j], squared)
                result[start : start + step, j] = found
                if b is None:
                    result[j, start : start + step] = found
        if counter is not None:
            counter()
    return distributed.sum_value(result).cpu().numpy()


def _both_ways(q: Tensor, t: Tensor, squared: bool) -> Tensor:
    """Clouds [B, P, 3] and one cloud [Q, 3] => [B]."""
    q2, t2 = (q * q).sum(-1, keepdim=True), (t * t).sum(-1, keepdim=True)
    left = torch.cat([-2 * q, q2, torch.ones_like(q2)], dim=-1)  # [B, P, 5]
    square = left @ torch.cat([t, torch.ones_like(t2), t2], dim=-1).T  # [B, P, Q] |q|² + |t|² - 2 q·t
    forth = (q - t[square.argmin(dim=2)]).square().sum(-1)  # [B, P]
    nearest = square.argmin(dim=1).unsqueeze(-1).expand(-1, -1, 3)  # [B, Q, 3]
    back = (q.gather(1, nearest) - t).square().sum(-1)  # [B, Q]
    if not squared:
        forth, back = forth.sqrt(), back.sqrt()
    return forth.mean(dim=1) + back.mean(dim=1)
