"""PSNR against numbers that a person can check."""

import math

import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.metrics.paired import mse_per_image, psnr


def test_two_figures_of_two_images() -> None:
    true = np.zeros((2, 4, 4, 3), np.float32)
    test = true.copy()
    test[0] += 0.1  # mse 0.01 -> 20 dB
    test[1] += 0.01  # mse 0.0001 -> 40 dB
    found = psnr(true, test)
    assert found.mean_of_db == pytest.approx(30.0, abs=1e-5)
    assert found.db_of_mean_mse == pytest.approx(-10 * math.log10((0.01 + 0.0001) / 2), abs=1e-5)  # 22.97
    assert found.db_of_mean_mse < found.mean_of_db


def test_bytes_and_floats_agree() -> None:
    stream = np.random.default_rng(0)
    a, b = stream.integers(0, 256, (2, 3, 5, 6, 3), dtype=np.uint8)
    as_floats = mse_per_image(a.astype(np.float64) / 255, b.astype(np.float64) / 255)
    np.testing.assert_allclose(mse_per_image(a, b), as_floats, rtol=1e-12)
    np.testing.assert_allclose(mse_per_image(a, (b / 255).astype(np.float32)), as_floats, rtol=1e-6)


def test_bytes_do_not_wrap_around() -> None:
    black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    assert mse_per_image(black, white).tolist() == [1.0]
    assert psnr(black, white).mean_of_db == 0.0


def test_equal_images_are_infinite() -> None:
    same = np.full((1, 2, 2, 3), 7, np.uint8)
    assert psnr(same, same).mean_of_db == math.inf


def test_refusals_are_sentences() -> None:
    with pytest.raises(G3dError, match=r"\[1, 2, 2, 3\] and \[1, 2, 3, 3\]"):
        psnr(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 3, 3), np.uint8))
    with pytest.raises(G3dError, match="no images"):
        psnr(np.zeros((0, 2, 2, 3), np.uint8), np.zeros((0, 2, 2, 3), np.uint8))
    with pytest.raises(AssertionError, match=r"\[0, 1\]"):
        psnr(np.full((1, 2, 2, 3), -1.0), np.zeros((1, 2, 2, 3)))
