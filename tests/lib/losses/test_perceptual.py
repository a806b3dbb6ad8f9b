"""The perceptual distance: what it grows with, where it disagrees with PSNR, its gradient by finite differences."""

import pytest
import torch
from g3d.errors import G3dError
from g3d.losses.perceptual import perceptual_distance
from g3d.nets import efficientnet
from torch import Tensor
from torch.nn import functional as F


def _scene(size: int = 64) -> Tensor:
    """A picture [1, 3, H, W] of plain shapes over a slope of colour: edges, and nothing that is periodic."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    picture = torch.stack([0.3 + 0.4 * x, 0.5 - 0.2 * y, 0.4 + 0.2 * x * y])
    for cx, cy, radius, colour in (
        (0.3, 0.4, 0.18, (0.9, 0.2, 0.1)),
        (0.7, 0.6, 0.12, (0.1, 0.2, 0.6)),
        (0.6, 0.2, 0.06, (1, 1, 1)),
    ):
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        picture[:, inside] = torch.tensor(colour, dtype=picture.dtype)[:, None]
    return picture[None]


def _blurred(picture: Tensor, sigma_px: float) -> Tensor:
    at = torch.arange(-12, 13)
    kernel = torch.exp(-(at**2) / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1).expand(3, -1, -1)
    padded = F.pad(picture, (12, 12, 12, 12), mode="replicate")
    across = F.conv2d(padded, kernel.unsqueeze(2), groups=3)
    return F.conv2d(across, kernel.unsqueeze(3), groups=3)


def _distance(a: Tensor, b: Tensor) -> float:
    with torch.inference_mode():
        return float(perceptual_distance(a, b, efficientnet.load()))


def _psnr_db(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def test_it_grows_with_blur_noise_and_shift() -> None:
    picture = _scene()
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    for made in (
        [_blurred(picture, s) for s in (0.5, 1, 2, 4)],
        [(picture + s * noise).clamp(0, 1) for s in (0.02, 0.05, 0.1, 0.2)],
        [picture.roll(s, 3) for s in (1, 2, 4, 8)],
    ):
        found = [_distance(picture, other) for other in made]
        assert all(b > 1.15 * a for a, b in zip([0.02, *found], found, strict=False)), found
    assert _distance(picture, picture) == 0


def test_it_disagrees_with_psnr_where_eyes_do() -> None:
    """At the same PSNR a blur is farther than a shift by one pixel, and much farther than another brightness."""
    picture = _scene()
    moved = picture.roll(1, 3)
    wanted = _psnr_db(picture, moved)
    low, high = 0.1, 12.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _psnr_db(picture, _blurred(picture, middle)) > wanted else (low, middle)
    blurred = _blurred(picture, low)
    darker = picture - 10 ** (-wanted / 20)
    assert _psnr_db(picture, blurred) == pytest.approx(wanted, abs=0.05)
    assert _psnr_db(picture, darker) == pytest.approx(wanted, abs=0.05)
    far, near, same = (_distance(picture, other) for other in (blurred, moved, darker))
    assert far > 1.5 * near and far > 2 * same, (far, near, same)


def test_the_gradient_is_that_of_finite_differences() -> None:
    network = efficientnet.EfficientNet(efficientnet.read(efficientnet.weights_path())).double()
    stream = torch.Generator().manual_seed(1)
    a, b = (torch.rand(1, 3, 24, 20, generator=stream, dtype=torch.float64) for _ in range(2))
    a.requires_grad_()
    (slope,) = torch.autograd.grad(perceptual_distance(a, b, network).sum(), a)
    for _ in range(4):
        way = torch.randn(a.shape, generator=stream, dtype=torch.float64)
        with torch.no_grad():
            ends = [perceptual_distance(a + step * way, b, network).sum() for step in (1e-6, -1e-6)]
        assert float((ends[0] - ends[1]) / 2e-6) == pytest.approx(float((slope * way).sum()), rel=1e-4)
    assert slope.abs().max() > 1e-3


def test_a_step_down_the_gradient_comes_nearer_and_equal_pictures_have_a_finite_one() -> None:
    network, picture = efficientnet.load(), _scene()
    moving = _blurred(picture, 2).requires_grad_()
    before = perceptual_distance(moving, picture, network).sum()
    (slope,) = torch.autograd.grad(before, moving)
    assert perceptual_distance(moving.detach() - 1e-3 * slope / slope.abs().max(), picture, network).sum() < before
    same = picture.clone().requires_grad_()
    (slope,) = torch.autograd.grad(perceptual_distance(same, picture, network).sum(), same)
    assert torch.isfinite(slope).all()


def test_each_pair_is_for_itself() -> None:
    picture, network = _scene(), efficientnet.load()
    others = torch.cat([_blurred(picture, 1), picture, picture.roll(3, 2)])
    with torch.inference_mode():
        together = perceptual_distance(picture.expand_as(others), others, network)
    assert together.shape == (3,) and float(together[1]) == 0
    assert together.tolist() == pytest.approx(
        [_distance(others[i : i + 1], picture) for i in range(3)], rel=1e-4, abs=1e-6
    )


def test_small_pictures_are_refused() -> None:
    small = torch.zeros(1, 3, 15, 40)
    with pytest.raises(G3dError, match=r"needs 16 pixels a side, found 40 x 15; give larger pictures"):
        perceptual_distance(small, small, efficientnet.load())
