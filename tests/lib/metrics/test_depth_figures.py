"""Depth figures against closed forms and brute force."""

import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.metrics.depth import compare_depth, depth_accuracy, fit_disparity, min_max, normalised_disparity


def test_accuracy_of_maps_with_known_answers() -> None:
    stream = np.random.default_rng(0)
    a, b = stream.standard_normal((2, 200_000)) + 5
    assert depth_accuracy(a, 3 * a + 7) == pytest.approx(0, abs=1e-12)
    assert depth_accuracy(a, -a) == pytest.approx(4)
    assert depth_accuracy(a, b) == pytest.approx(2, abs=0.02)
    mixed = 0.6 * a + 0.8 * b  # correlation 0.6 with a
    assert depth_accuracy(a, mixed) == pytest.approx(0.8, abs=0.01)
    assert depth_accuracy(a, mixed) == pytest.approx(2 * (1 - np.corrcoef(a, mixed)[0, 1]), abs=1e-9)
    assert depth_accuracy(a, np.full(a.shape, 2.7)) == pytest.approx(1)  # a flat map becomes 0
    assert depth_accuracy(np.full(3, 0.1, np.float32), np.full(3, 2.3, np.float32)) == 0


def test_compare_counts_where_both_have_depth_in_the_mask() -> None:
    true = np.array([[1.0, 2.0, 4.0], [0.0, 3.0, 2.0]], np.float32)
    test = np.array([[1.5, 2.0, 0.0], [9.0, 3.0, 8.0]], np.float32)
    mask = np.array([[1, 1, 1], [1, 1, 0]], bool)
    found = compare_depth(true, test, mask, "x")
    assert found is not None
    assert (found.pixels, found.missing) == (3, pytest.approx(1 / 4))
    assert found.rmse_world == pytest.approx(np.sqrt(0.25 / 3))
    t, p = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 3.0])
    assert found.accuracy == pytest.approx(2 * (1 - np.corrcoef(t, p)[0, 1]))
    assert found.accuracy_inverse == pytest.approx(2 * (1 - np.corrcoef(1 / t, 1 / p)[0, 1]))
    whole = compare_depth(true, test, None, "x")
    assert whole is not None and whole.pixels == 4
    assert compare_depth(true, np.zeros_like(true), None, "x") is None
    with pytest.raises(G3dError, match=r"depth maps \(and mask\) of 'x' have sizes \[2, 3\], \[2, 2\]"):
        compare_depth(true, test[:, :2], None, "x")
    with pytest.raises(G3dError, match=r"\[2, 3\], \[2, 3\], \[2, 2\]"):
        compare_depth(true, test, mask[:, :2], "x")


def test_fit_equals_least_squares() -> None:
    stream = np.random.default_rng(1)
    d, w = stream.random(50), stream.random(50)
    truth = 0.7 * d - 0.2 + 0.05 * stream.standard_normal(50)
    design = np.stack([d, np.ones(50)], axis=1) * np.sqrt(w)[:, None]
    want = np.linalg.lstsq(design, truth * np.sqrt(w), rcond=None)[0]
    found = fit_disparity(d, truth, w)
    assert found is not None and (found.scale, found.shift) == pytest.approx(tuple(want))
    exact = fit_disparity(d.astype(np.float32), (2 * d + 1).astype(np.float32))
    assert exact is not None and (exact.scale, exact.shift) == pytest.approx((2, 1), abs=1e-5)
    turned = fit_disparity(d, 1 - d)
    assert turned is not None and turned.scale == pytest.approx(-1)
    assert fit_disparity(np.full(9, 0.3), truth[:9]) is None


def test_units_of_vq3d() -> None:
    inverse = 1 / np.array([0.5, 10.0, 1.0])
    assert normalised_disparity(inverse, 0.5, 10.0) == pytest.approx([1, 0, 0.9 / 1.9])
    assert min_max(np.array([3.0, 5.0, 4.0])).tolist() == [0, 1, 0.5]
    assert min_max(np.full(2, 4.0)).tolist() == [0, 0]
