"""SSIM and its kin against loops in float64, scikit-image, and closed forms."""

import math

import numpy as np
import pytest
import torch
from g3d.errors import G3dError
from g3d.losses import paired
from skimage.metrics import structural_similarity
from torch import Tensor


def _pair(height: int, width: int, seed: int = 0, count: int = 1) -> tuple[Tensor, Tensor]:
    """A smooth picture with an edge at its border, and the same with noise."""
    stream = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    smooth = np.stack([0.5 + 0.4 * np.sin(7 * x + c) * np.cos(5 * y - c) for c in range(3)])
    smooth[:, :3] = 0.95
    a = np.stack([smooth] * count)
    b = np.clip(a + 0.15 * stream.standard_normal(a.shape), 0, 1)
    return torch.from_numpy(a), torch.from_numpy(b)


def _by_loops(a: Tensor, b: Tensor, row: int, column: int) -> list[float]:
    """Wang 2004, eqs. 13-16, of one window of each channel, written out."""
    weights = np.array([[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)])
    weights /= weights.sum()
    found = []
    for channel in range(3):
        p, q = (z[0, channel, row - 5 : row + 6, column - 5 : column + 6].numpy() for z in (a, b))
        mp, mq = (weights * p).sum(), (weights * q).sum()
        vp, vq, cov = (
            (weights * (p - mp) ** 2).sum(),
            (weights * (q - mq) ** 2).sum(),
            (weights * (p - mp) * (q - mq)).sum(),
        )
        c1, c2 = 0.0001, 0.0009
        found.append(float((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))))
    return found


def test_a_window_by_hand() -> None:
    a, b = _pair(24, 20)
    found = paired.ssim_map(a, b)
    assert found.shape == (1, 3, 14, 10)
    for row, column in ((5, 5), (12, 9), (18, 14)):
        assert found[0, :, row - 5, column - 5].tolist() == pytest.approx(_by_loops(a, b, row, column), abs=1e-12)


def test_mean_and_full_map_equal_scikit_image_borders_included() -> None:
    a, b = _pair(33, 47)
    images = [z[0].permute(1, 2, 0).numpy() for z in (a, b)]
    how = {
        "channel_axis": -1,
        "data_range": 1.0,
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    mean, full = structural_similarity(*images, full=True, **how)
    assert float(paired.ssim(a, b)[0]) == pytest.approx(mean, abs=1e-10)
    np.testing.assert_allclose(paired.ssim_map(a, b, "reflect")[0].permute(1, 2, 0).numpy(), full, atol=1e-10)


def test_zero_borders_are_valid_windows_of_a_picture_on_black() -> None:
    a, b = _pair(12, 15)
    black = [torch.nn.functional.pad(z, (5, 5, 5, 5)) for z in (a, b)]
    assert torch.equal(paired.ssim_map(a, b, "zero"), paired.ssim_map(*black))
    assert len({float(paired.ssim(a, b, borders)[0]) for borders in paired.BORDERS}) == 3


def test_equal_pictures_give_exactly_one_and_constants_their_closed_form() -> None:
    a, _ = _pair(176, 180)
    assert paired.ssim(a, a).tolist() == [1.0]
    assert paired.ms_ssim(a, a).tolist() == pytest.approx([1.0], abs=1e-12)
    grey, light = torch.full((1, 3, 20, 20), 0.25).double(), torch.full((1, 3, 20, 20), 0.75).double()
    want = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)  # luminance alone; no structure in either
    assert float(paired.ssim(grey, light)[0]) == pytest.approx(want, abs=1e-9)
    assert float(paired.dssim(grey, light)[0]) == pytest.approx((1 - want) / 2, abs=1e-9)


def test_a_convolution_gives_what_the_sums_give() -> None:
    x, kernel = torch.rand(2, 5, 19, 23, dtype=torch.float64), paired._window(torch.float64, torch.device("cpu"))
    torch.testing.assert_close(paired._by_sums(x, kernel), paired._by_convolution(x, kernel), atol=1e-14, rtol=0)


def _ms_by_scales(a: Tensor, b: Tensor, exponents: list[float]) -> float:
    """Wang 2003, eq. 7, per channel, from scikit-image's maps: contrast is SSIM over luminance."""
    result = np.ones(3)
    for scale, exponent in enumerate(exponents):
        for channel in range(3):
            p, q = a[0, channel].numpy(), b[0, channel].numpy()
            how = {
                "data_range": 1.0,
                "gaussian_weights": True,
                "sigma": 1.5,
                "use_sample_covariance": False,
                "full": True,
            }
            full = structural_similarity(p, q, **how)[1][5:-5, 5:-5]
            if scale < len(exponents) - 1:
                from scipy.ndimage import gaussian_filter

                mp, mq = (gaussian_filter(z, 1.5, truncate=3.5)[5:-5, 5:-5] for z in (p, q))
                full = full / ((2 * mp * mq + 1e-4) / (mp**2 + mq**2 + 1e-4))
            result[channel] *= max(full.mean(), 0) ** exponent
        if scale < len(exponents) - 1:
            a, b = (torch.from_numpy(z.numpy().reshape(1, 3, z.shape[2] // 2, 2, -1, 2).mean((3, 5))) for z in (a, b))
    return float(result.mean())


def test_five_scales_against_a_slow_reference() -> None:
    a, b = _pair(192, 176)
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    assert float(paired.ms_ssim(a, b)[0]) == pytest.approx(_ms_by_scales(a, b, weights), abs=1e-9)
    two = [0.0448 / 0.3304, 0.2856 / 0.3304]
    assert float(paired.ms_ssim(a, b, 2)[0]) == pytest.approx(_ms_by_scales(a, b, two), abs=1e-9)


def test_161_pixels_are_the_least_for_five_scales() -> None:
    a, b = _pair(161, 161)
    assert 0 < float(paired.ms_ssim(a, b)[0]) < 1
    with pytest.raises(G3dError, match=r"5 scales needs 161 pixels a side, found 161 x 160; give --ms-ssim-scales 4"):
        paired.ms_ssim(a[:, :, :160], b[:, :, :160])
    with pytest.raises(G3dError, match="of 6 scales does not exist"):
        paired.ms_ssim(a, b, 6)
    with pytest.raises(G3dError, match=r"needs 11 pixels a side, found 8 x 20; give --ssim-borders zero"):
        paired.ssim(a[..., :20, :8], b[..., :20, :8])
    with pytest.raises(G3dError, match="are unknown"):
        paired.ssim(a, b, "same")


def test_a_weight_is_the_mean_over_its_pixels() -> None:
    a, b = _pair(26, 30)
    weight = (torch.rand(1, 1, 26, 30, generator=torch.Generator().manual_seed(3)) > 0.7).double()
    full = paired.ssim_map(a, b, "reflect")
    want = full[:, :, weight[0, 0] > 0].mean()
    assert float(paired.ssim(a, b, "reflect", weight)[0]) == pytest.approx(float(want), abs=1e-12)
    everywhere = torch.ones(1, 1, 192, 176).double()
    a, b = _pair(192, 176)
    assert float(paired.ms_ssim(a, b, weight=everywhere)[0]) == pytest.approx(float(paired.ms_ssim(a, b)[0]), abs=1e-12)


def test_gradient_loss_by_hand() -> None:
    a = torch.zeros(1, 1, 2, 3)
    b = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 0.0, 3.0]]]])
    # across: |1| |0| |0| |3|; down: |0| |-1| |2|
    assert paired.gradient_loss(a, b).tolist() == pytest.approx([7 / 6])
    assert paired.gradient_loss(a, b, pixels=2).tolist() == pytest.approx([7 / 2])
    assert paired.gradient_loss(a, a + 0.3).tolist() == pytest.approx([0.0], abs=1e-6)


@pytest.mark.parametrize("loss", [paired.dssim, paired.gradient_loss, lambda a, b: 1 - paired.ms_ssim(a, b, 2)])
def test_gradients_are_those_of_differences(loss) -> None:  # type: ignore[no-untyped-def]
    a, b = _pair(22, 21)
    b.requires_grad_()
    loss(a, b).sum().backward()
    assert b.grad is not None and torch.isfinite(b.grad).all() and b.grad.abs().max() > 0
    place, h = (0, 1, 10, 9), 1e-6
    moved = [b.detach().clone() for _ in range(2)]
    moved[0][place] += h
    moved[1][place] -= h
    slope = float(loss(a, moved[0]) - loss(a, moved[1])) / (2 * h)
    assert float(b.grad[place]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_gradients_stay_finite_where_structure_is_negative() -> None:
    a, _ = _pair(24, 24)
    b = (1 - a).requires_grad_()
    value = paired.ms_ssim(a, b, 2)
    value.sum().backward()
    assert float(value.detach()) < 0.1 and b.grad is not None and torch.isfinite(b.grad).all()
