"""The residual discriminator: exact parameter counts, filters against hand-made cases, every size, groups."""

import math

import pytest
import torch
from g3d.nets.blur import TAPS, blur, halve
from g3d.nets.discriminator import Discriminator, ResidualBlock, block_sides, with_deviation
from g3d.nets.equalised import Conv2d, Linear
from torch.nn import functional as F

RESULTING_FILTER = torch.outer(torch.tensor(TAPS), torch.tensor(TAPS)).float() / 64


# 32² and 64²: HyperNeRFGAN's patches. 256²: GSGAN's 38,119,681 without its pose branch (a residual block, two MLPs).
@pytest.mark.parametrize(
    ("side", "parameters"),
    [(32, 21_507_073), (64, 26_488_833), (256, 38_119_681 - 4_981_760 - 4_227_648 - 46_144)],
)
def test_parameter_counts(side: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Discriminator(side).parameters()) == parameters


def test_the_pose_branch_of_gsgan_is_one_more_block() -> None:
    assert sum(p.numel() for p in ResidualBlock(512, 512).parameters()) == 4_981_760


@pytest.mark.parametrize("side", [4, 5, 8, 12, 24, 27, 32, 100])
def test_any_size_gives_a_logit(side: int) -> None:
    net = Discriminator(side, channel_base=64, channel_max=8)
    images = torch.randn(3, 3, side, side)
    logits = net(images)
    assert logits.shape == (3,) and torch.isfinite(logits).all()
    assert 4 <= side >> len(block_sides(side)) < 8
    torch.testing.assert_close(net.head(net.trunk(images)), logits)
    assert net.trunk(images, -1).shape[-1] >= 4 if len(net.blocks) else True


def test_a_blurred_impulse_is_the_filter_and_moves_with_the_impulse() -> None:
    for row, column in ((5, 6), (6, 6), (9, 3)):
        x = torch.zeros(1, 2, 16, 16)
        x[0, 1, row, column] = 1
        y = blur(x, 2)  # 17 x 17: output i lies at i - 1/2 of the input
        assert y.shape[-1] == 17 and y[0, 0].abs().max() == 0
        torch.testing.assert_close(y[0, 1, row - 1 : row + 3, column - 1 : column + 3], RESULTING_FILTER)
        assert float(y.sum()) == pytest.approx(1, abs=1e-6)


def test_halving_is_the_filter_around_pairs_of_pixels() -> None:
    x = torch.randn(2, 3, 10, 10)
    kernel = RESULTING_FILTER.expand(3, 1, 4, 4)
    torch.testing.assert_close(halve(x), F.conv2d(x, kernel, stride=2, padding=1, groups=3), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(blur(x, 2), F.conv2d(x, kernel, padding=2, groups=3), atol=1e-6, rtol=1e-5)
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    torch.testing.assert_close(halve(ramp)[0, 0, 1, 1:3], torch.tensor([2.5, 4.5]))  # middles of pixels 2-3 and 4-5
    moved = torch.roll(x, 2, dims=3)
    torch.testing.assert_close(halve(moved)[..., 2:-1], halve(x)[..., 1:-2])


def test_layers_are_scaled_by_their_inputs() -> None:
    x = torch.randn(5, 12)
    layer = Linear(12, 7, "lrelu", lr_multiplier=0.01, bias_start=0.5)
    assert float(layer.weight.detach().std()) == pytest.approx(100, rel=0.3)
    wanted = F.leaky_relu(x @ (layer.weight * 0.01 / math.sqrt(12)).t() + 0.5, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), wanted)
    conv = Conv2d(3, 4, 3, "lrelu", gain=0.5)
    with torch.no_grad():
        conv.bias.copy_(torch.randn(4))  # type: ignore[union-attr]
    image = torch.randn(2, 3, 6, 6)
    plain = F.conv2d(image, conv.weight / math.sqrt(27), conv.bias, padding=1)
    torch.testing.assert_close(conv(image), F.leaky_relu(plain, 0.2) * math.sqrt(2) * 0.5)


def test_a_block_is_two_convolutions_beside_one_at_equal_power() -> None:
    block = ResidualBlock(2, 3)
    x = torch.randn(1, 2, 8, 8)
    up = F.conv2d(x, block.conv0.weight / math.sqrt(18), block.conv0.bias, padding=1)
    up = F.leaky_relu(up, 0.2) * math.sqrt(2)
    bent = F.conv2d(blur(up, 2), block.conv1.weight / math.sqrt(18), block.conv1.bias, stride=2)
    bent = F.leaky_relu(bent, 0.2) * math.sqrt(2)
    straight = F.conv2d(halve(x), block.skip.weight / math.sqrt(2))
    torch.testing.assert_close(block(x), (bent + straight) * math.sqrt(0.5), atol=1e-5, rtol=1e-4)


def test_the_deviation_is_that_of_the_group() -> None:
    x = torch.zeros(4, 2, 3, 3)
    x[0], x[2] = 1.0, 3.0  # groups of two: {0, 2} with deviation 1, {1, 3} with 0
    found = with_deviation(x, 2)
    assert found.shape == (4, 3, 3, 3)
    assert found[:, 2, 0, 0].tolist() == pytest.approx([1, 1e-4, 1, 1e-4], abs=1e-6)
    assert with_deviation(x, 4)[0, 2, 0, 0] == pytest.approx(float(torch.tensor([1.0, 0, 3, 0]).std(unbiased=False)))
    assert with_deviation(torch.randn(1, 2, 3, 3), 4)[0, 2].max() == pytest.approx(1e-4)
    assert with_deviation(torch.randn(6, 2, 3, 3), 4).shape == (6, 3, 3, 3)  # groups of three
