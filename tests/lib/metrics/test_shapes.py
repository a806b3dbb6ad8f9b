"""Figures of sets of shapes against answers known beforehand: brute force in float64, closed forms, scipy."""

import math

import numpy as np
import pytest
import torch
from g3d import distributed
from g3d.errors import G3dError
from g3d.evaluation.shape_files import Empty, Grid, grid_surface, normalised
from g3d.metrics import shapes
from g3d.metrics.shapes import Distances
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

F32 = NDArray[np.float32]


def clouds(count: int, points: int, seed: int, shift: float = 0.0) -> F32:
    """Ellipsoids of random axes."""
    stream = np.random.default_rng(seed)
    q = stream.standard_normal((count, points, 3))
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    return (q * stream.uniform(0.3, 1, (count, 1, 3)) + shift).astype(np.float32)


def brute(x: F32, y: F32, squared: bool) -> float:
    """The definition, all pairs at once."""
    d = np.linalg.norm(x.astype(np.float64)[:, None] - y.astype(np.float64)[None], axis=-1) ** (2 if squared else 1)
    return float(d.min(axis=1).mean() + d.min(axis=0).mean())


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("points", [(40, 40), (40, 25)])
def test_chamfer_distances_are_those_of_all_pairs_by_either_way(squared: bool, points: tuple[int, int]) -> None:
    true, test = clouds(4, points[0], 0), clouds(3, points[1], 1, 0.2)
    want = np.array([[brute(x, y, squared) for y in test] for x in true])
    own = np.array([[brute(x, y, squared) for y in true] for x in true])
    found = shapes.distances(true, test, squared, within=True)
    assert found.true is not None and found.test is not None
    np.testing.assert_allclose(found.cross, want, rtol=1e-12)
    np.testing.assert_allclose(found.true, own, rtol=1e-12)
    cpu = torch.device("cpu")
    np.testing.assert_allclose(shapes.by_matmul(true, test, squared, cpu), want, rtol=1e-12)
    np.testing.assert_allclose(shapes.by_matmul(true, None, squared, cpu), own, rtol=1e-12)


def test_the_way_of_the_gpu_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    true, test = clouds(5, 16, 0), clouds(4, 16, 1)
    whole = shapes.by_matmul(true, test, True, torch.device("cpu"))
    monkeypatch.setattr(shapes, "_GPU_BYTES", 2 * 8 * 16 * 16)  # two clouds at a time
    np.testing.assert_array_equal(shapes.by_matmul(true, test, True, torch.device("cpu")), whole)
    within = shapes.by_matmul(true, None, True, torch.device("cpu"))
    np.testing.assert_array_equal(within, within.T)
    monkeypatch.setattr(shapes, "_POINTS_AT_ONCE", 32)
    np.testing.assert_allclose(shapes.distances(true, test, True, False).cross, whole, rtol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives() -> None:
    true, test = clouds(6, 300, 0), clouds(5, 300, 1)
    here, there = (shapes.distances(true, test, True, True, where) for where in ("cpu", "cuda"))
    for one, other in ((here.cross, there.cross), (here.true, there.true), (here.test, there.test)):
        assert one is not None and other is not None
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_chamfer_of_two_points_and_its_factor() -> None:
    """A unit apart: 1 each way, added. Squared or not shows at distance 3."""
    zero, three = np.zeros((1, 3), np.float32), np.array([[3, 0, 0]], np.float32)
    assert shapes.chamfer(zero, np.array([[1, 0, 0]], np.float32)) == 2
    assert shapes.chamfer(zero, three) == 18 and shapes.chamfer(zero, three, squared=False) == 6
    both = np.concatenate([zero, three])  # forth: 0 and 9, mean 4.5; back: 0
    assert shapes.chamfer(both, zero) == 4.5


def test_identical_sets_are_exactly_zero_apart_far_from_the_origin() -> None:
    """Where |x|² + |y|² - 2 x·y alone would lose every digit, also with points nearer than its rounding."""
    a = clouds(4, 64, 3, shift=1000.0)
    a[:, 1] = np.nextafter(a[:, 0], np.float32(2000))
    for cross in (
        shapes.distances(a, a.copy(), True, False).cross,
        shapes.by_matmul(a, a.copy(), True, torch.device("cpu")),
    ):
        assert (np.diag(cross) == 0).all() and (cross[~np.eye(4, dtype=bool)] > 0).all()
        assert shapes.coverage(cross) == 1 and shapes.mmd(cross) == 0
    assert shapes.jsd(a, a) == 0


def test_coverage_and_mmd_of_a_table() -> None:
    cross = np.array([[1.0, 5, 9], [4, 2, 3], [7, 8, 6]])  # true x test; nearest true of each test shape: 0, 1, 1
    assert shapes.coverage(cross) == pytest.approx(2 / 3)
    assert shapes.mmd(cross) == pytest.approx((1 + 2 + 6) / 3)
    assert shapes.mmd(cross.T) == pytest.approx((1 + 2 + 3) / 3)
    assert shapes.coverage(np.array([[1.0], [1.0]])) == 1  # two true shapes equally near


def test_one_nearest_neighbour_of_points_on_a_line() -> None:
    """True at 0, 1, 5; test at 2, 5.5, 6.5: the nearest of each, by hand: t, t or s (tie), s; t, t, s."""
    true, test = np.array([0.0, 1, 5]), np.array([2.0, 5.5, 6.5])
    gap = [np.abs(a[:, None] - b[None]) for a, b in ((true, test), (true, true), (test, test))]
    found = shapes.one_nn(Distances(*gap))
    assert found.true == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.test == pytest.approx((0 + 0 + 1) / 3)
    assert found.accuracy == pytest.approx((1.5 + 1) / 6)


def test_one_nearest_neighbour_of_equal_far_and_copied_sets() -> None:
    equal = shapes.one_nn(shapes.distances(clouds(60, 12, 0), clouds(60, 12, 1), True, True))
    assert abs(equal.accuracy - 0.5) < 4 * math.sqrt(0.25 / 120)  # four standard deviations of 120 fair coins
    far = shapes.one_nn(shapes.distances(clouds(8, 12, 0), clouds(8, 12, 1, shift=10), True, True))
    assert far.accuracy == 1
    copied = shapes.one_nn(shapes.distances(clouds(8, 12, 0), clouds(8, 12, 0), True, True))
    assert copied.accuracy == 0  # every shape's nearest is its copy
    same = np.zeros((3, 3))
    assert shapes.one_nn(Distances(same, same, same)).accuracy == 0.5  # all alike: chance
    with pytest.raises(G3dError, match="1 true and 2 test shapes is not defined"):
        shapes.one_nn(Distances(np.ones((1, 2)), np.zeros((1, 1)), np.zeros((2, 2))))


def test_half_of_the_modes_missing_halves_the_coverage() -> None:
    modes = np.stack([clouds(1, 20, 7)[0] + np.float32(10 * m) for m in range(4)])
    jitter = np.random.default_rng(0).normal(0, 0.01, (4, 1, 20, 3)).astype(np.float32)
    true, test = (modes[:, None] + jitter).reshape(-1, 20, 3), np.repeat(modes[:2], 2, axis=0)
    cross = shapes.distances(true, test, True, False).cross
    assert shapes.coverage(cross) == 0.5
    assert (
        shapes.mmd(cross) > 100 > shapes.mmd(cross.T)
    )  # what there is, is good: only the way from the true ones tells


def test_jensen_shannon_divergence_is_that_of_scipy() -> None:
    true, test = clouds(20, 50, 0), clouds(20, 50, 1) * np.float32(0.8)
    flat = true.reshape(-1, 3)
    middle, half = (flat.max(0) + flat.min(0)) / 2, (flat.max(0) - flat.min(0)).max() / 2
    edges = [np.linspace(m - half, m + half, 6) for m in middle]
    p, q = (np.histogramdd(c.reshape(-1, 3), edges)[0].ravel() for c in (true, test))
    assert shapes.jsd(true, test, cells=5) == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-3)
    assert shapes.jsd(true, test + np.float32(1000), cells=2) <= 1
    left, right = np.zeros((1, 4, 3), np.float32), np.ones((1, 4, 3), np.float32)
    both = np.concatenate([left, right])
    assert shapes.jsd(both, left) == pytest.approx(0.311278, abs=1e-6)  # H(3/4, 1/4) - (1 + 0) / 2
    assert shapes.jsd(np.concatenate([left, left]), left) == 0


def test_several_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two processes find, each for its part, adds up to what one finds."""
    true, test = clouds(5, 20, 0), clouds(4, 20, 1)
    cpu = torch.device("cpu")
    for work in (
        lambda: shapes.distances(true, test, True, False).cross,
        lambda: shapes.by_matmul(true, None, True, cpu),
    ):
        whole, parts = work(), []
        for rank in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(distributed, "mine", lambda index, rank=rank: index % 2 == rank)
                parts.append(work())
        assert all((part == 0).any() for part in parts)
        np.testing.assert_allclose(parts[0] + parts[1], whole, rtol=1e-12)


def test_grids_of_eight_cells() -> None:
    true, test = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    true[0], test[0, 0], test[1, 1, 1] = 1, 0.75, 0.9  # four inside; two of them found, and one that is not
    assert shapes.grid_mse(true, test) == pytest.approx((2 * 0.25**2 + 2 + 0.81) / 8)
    assert shapes.grid_iou(true, test) == 2 / 5
    assert shapes.grid_iou(true * 0, true * 0) == 1 and shapes.grid_iou(true, true * 0) == 0


def test_the_surface_of_a_box_of_cells_lies_on_their_faces() -> None:
    """Cells 1..2 of 4 in [-1, 1] are the cube [-0.5, 0.5]; a full grid is closed at its bounds."""
    grid = np.zeros((4, 4, 4), np.float32)
    grid[1:3, 1:3, 1:3] = 1
    surface = grid_surface(Grid(grid, ((-1, -1, -1), (1, 1, 1))))
    np.testing.assert_allclose(surface.vertices.min(0), -0.5)
    np.testing.assert_allclose(surface.vertices.max(0), 0.5)
    full = grid_surface(Grid(np.ones((2, 2, 2), np.float32), ((0, 0, 0), (1, 2, 3))))
    np.testing.assert_allclose(full.vertices.max(0), [1, 2, 3])
    with pytest.raises(Empty):
        grid_surface(Grid(grid * 0.5, ((-1, -1, -1), (1, 1, 1))))


def test_a_ball_as_grid_has_its_radius() -> None:
    axis = (np.arange(32) + 0.5) / 16 - 1
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    surface = grid_surface(Grid((np.sqrt(x * x + y * y + z * z) < 0.6).astype(np.float32), ((-1, -1, -1), (1, 1, 1))))
    radius = np.linalg.norm(surface.vertices, axis=1)
    assert abs(radius.mean() - 0.6) < 0.01 and radius.min() > 0.55 and radius.max() < 0.65


def test_normalisations() -> None:
    points = np.array([[1, 1, 1], [3, 1, 1], [1, 2, 1]], np.float32)  # box 2 x 1 x 0 around (2, 1.5, 1)
    np.testing.assert_array_equal(normalised(points, "none"), points)
    box = normalised(points, "unit-box")
    np.testing.assert_allclose(box, [[-0.5, -0.25, 0], [0.5, -0.25, 0], [-0.5, 0.25, 0]])
    assert np.linalg.norm(normalised(points, "unit-sphere"), axis=1) == pytest.approx([1, 1, 1])
    with pytest.raises(Empty):
        normalised(np.ones((4, 3), np.float32), "unit-box")
