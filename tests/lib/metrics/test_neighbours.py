"""Precision, recall, density and coverage against a brute force in float64 and where they are known."""

import numpy as np
import pytest
from g3d.metrics import neighbours as module
from g3d.metrics.neighbours import neighbours
from scipy.spatial.distance import cdist


def _normal(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, dimensions)) + shift).astype(np.float32)


def _brute(real: np.ndarray, fake: np.ndarray, k_pr: int, k_dc: int) -> tuple[float, float, float, float]:
    def radii(x: np.ndarray, k: int) -> np.ndarray:
        return np.sort(cdist(x, x), 1)[:, k]  # number 0 is itself

    real, fake = real.astype(np.float64), fake.astype(np.float64)
    d = cdist(real, fake)  # [N, M]
    return (
        float((d <= radii(real, k_pr)[:, None]).any(0).mean()),
        float((d <= radii(fake, k_pr)[None]).any(1).mean()),
        float((d < radii(real, k_dc)[:, None]).sum() / (k_dc * len(fake))),
        float((d < radii(real, k_dc)[:, None]).any(1).mean()),
    )


@pytest.mark.parametrize(("n", "m", "dimensions"), [(70, 50, 3), (40, 90, 20), (6, 4, 2)])
@pytest.mark.parametrize("tile", [(2048, 8192), (16, 7)])
def test_brute_force(n: int, m: int, dimensions: int, tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", tile[0])
    monkeypatch.setattr(module, "_COLUMNS", tile[1])
    real, fake = _normal(n, dimensions, 0, 5.0), _normal(m, dimensions, 1, 5.3)
    found = neighbours(real, fake)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(_brute(real, fake, 3, 5))
    own = np.sort(cdist(real, real), 1)[:, 1]
    np.testing.assert_allclose(found.real_to_real, own, rtol=1e-3)
    np.testing.assert_allclose(found.fake_to_real, cdist(fake, real).min(1), rtol=1e-3)


@pytest.mark.parametrize(("count", "dimensions", "shift"), [(300, 8, 0.0), (500, 512, 0.5)])
def test_the_same_set_twice_gives_exactly_one_in_any_order(count: int, dimensions: int, shift: float) -> None:
    real = _normal(count, dimensions, 0, shift)
    for fake in (real, real[np.random.default_rng(1).permutation(count)]):
        found = neighbours(real, fake)
        assert (found.precision, found.recall, found.f1, found.density, found.coverage) == (1, 1, 1, 1, 1)
    copies = np.repeat(real[: count // 4], 4, 0)  # radii of 0 among them
    found = neighbours(copies, copies[::-1].copy())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_sets_that_are_far_apart_give_zero() -> None:
    found = neighbours(_normal(60, 4, 0), _normal(60, 4, 1, 100.0))
    assert (found.precision, found.recall, found.f1, found.density, found.coverage) == (0, 0, 0, 0, 0)
    assert found.fake_to_real.min() > 150


def test_half_of_the_modes_missing_halves_recall_and_coverage() -> None:
    """Eight far modes; the fakes know four of them well: what they draw is right, and half of the reals are not reached."""
    modes = np.random.default_rng(0).normal(size=(8, 16)) * 50
    real = (modes[np.arange(800) % 8] + _normal(800, 16, 1)).astype(np.float32)
    fake = (modes[np.arange(800) % 4] + _normal(800, 16, 2)).astype(np.float32)
    found = neighbours(real, fake)
    inside = neighbours(real[np.arange(800) % 8 < 4], fake)  # of the known half alone
    assert found.recall == pytest.approx(inside.recall / 2) and 0.35 < found.recall <= 0.5
    assert found.coverage == pytest.approx(inside.coverage / 2) and 0.45 < found.coverage <= 0.5
    assert found.precision > 0.7 and found.density > 0.7
    back = neighbours(fake, real)  # roles exchanged
    assert back.precision == pytest.approx(found.recall) and back.recall == pytest.approx(found.precision)


def test_a_single_outlier_fools_precision_and_not_density() -> None:
    """The example of the paper on density: a real outlier has a huge ball, which holds fakes that lie nowhere near the others."""
    real = np.concatenate([_normal(200, 4, 0), [[40.0, 0, 0, 0]]]).astype(np.float32)
    fake = _normal(100, 4, 1) + np.array([20.0, 0, 0, 0], np.float32)
    found = neighbours(real, fake)
    assert found.precision == 1 and found.density == pytest.approx(1 / 5) and found.coverage == pytest.approx(1 / 201)


def test_copies_of_one_picture() -> None:
    fake = np.tile(_normal(1, 8, 3), (50, 1))
    found = neighbours(_normal(100, 8, 0), fake)
    assert found.recall == 0  # balls of radius 0
    assert found.real_to_real.min() > 0.1


def test_too_few_for_their_balls() -> None:
    found = neighbours(_normal(5, 3, 0), _normal(3, 3, 1))
    assert found.precision is not None and (found.recall, found.f1, found.density, found.coverage) == (None,) * 4
