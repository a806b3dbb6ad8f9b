"""PSNR and its kin against numbers that a person can check."""

import math

import numpy as np
import pytest
import torch
from g3d.errors import G3dError
from g3d.metrics.paired import How, compare, mse_per_image, psnr, summary
from skimage.metrics import structural_similarity


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


def test_compare_of_two_pictures_by_hand() -> None:
    stream = np.random.default_rng(1)
    a, b = stream.integers(0, 256, (2, 12, 14, 3), dtype=np.uint8)
    found = compare(a, b)
    difference = a.astype(float) / 255 - b.astype(float) / 255
    assert found["mse"] == pytest.approx((difference**2).mean())
    assert found["l1"] == pytest.approx(np.abs(difference).mean())
    assert found["psnr_db"] == pytest.approx(-10 * math.log10((difference**2).mean()))
    how = {"channel_axis": -1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert found["ssim"] == pytest.approx(structural_similarity(a, b, data_range=255, **how), abs=1e-8)
    assert not {"ms_ssim", "lpips"} & found.keys()
    assert "ms_ssim" in compare(a, b, how=How(ms_ssim_scales=1))


def test_a_mask_counts_its_pixels_alone() -> None:
    true = np.full((14, 14, 3), 100, np.uint8)
    test = true.copy()
    test[3:11, 3:11] = 151  # 51 / 255 = 0.2 off in the mask
    test[0, 0] = 0  # and something far off outside
    mask = np.zeros((14, 14), bool)
    mask[3:11, 3:11] = True
    found = compare(true, test, mask)
    assert (found["mse"], found["l1"]) == pytest.approx((0.04, 0.2))
    assert compare(true, test)["mse"] != pytest.approx(0.04)
    inverse = compare(true, test, ~mask, How(borders="reflect"))
    assert inverse["mse"] == pytest.approx((100 / 255) ** 2 / (14 * 14 - 64))
    border = np.zeros((14, 14), bool)
    border[0] = True
    with pytest.raises(G3dError, match="no pixel whose window of SSIM lies inside"):
        compare(true, test, border)
    assert compare(true, test, border, How(borders="zero"))["ssim"] < 1


def test_lpips_sees_the_true_picture_beyond_the_mask() -> None:
    seen = []

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append((a, b))
        return (a - b).abs().sum().reshape(1)

    true, test = np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 255, np.uint8)
    mask = np.zeros((12, 12), bool)
    mask[6, 6:8] = True
    assert compare(true, test, mask, How(lpips=distance))["lpips"] == pytest.approx(2 * 3)
    assert compare(true, test, None, How(lpips=distance))["lpips"] == pytest.approx(12 * 12 * 3)
    assert seen[0][0].dtype == torch.float32 and seen[0][0].shape == (1, 3, 12, 12)


def test_summary_has_means_deviations_and_both_psnr() -> None:
    rows = [{"mse": 0.01, "psnr_db": 20.0, "ms_ssim": 0.5}, {"mse": 0.0001, "psnr_db": 40.0}]
    found = summary(rows)
    assert (found["psnr_db"], found["psnr_db_std"]) == (30.0, 10.0)
    assert found["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.00505))
    assert (found["ms_ssim"], found["ms_ssim_n"], found["exact_pairs"]) == (0.5, 1, 0)
    exact = summary([{"mse": 0.0, "psnr_db": math.inf}, {"mse": 0.01, "psnr_db": 20.0}])
    assert (exact["psnr_db"], exact["psnr_db_std"], exact["exact_pairs"]) == (None, None, 1)
    assert exact["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.005))
