"""The mapping network: scaling, the running mean, truncation, parameter counts."""

import math

import pytest
import torch
from g3d.nets.mapping import Mapping, unit_mean_square
from torch.nn import functional as F


def test_two_layers_by_hand() -> None:
    net = Mapping(6, 5, 2)
    z = torch.randn(4, 6) * 7
    h = z / z.square().mean(dim=1, keepdim=True).sqrt()
    for layer, size in zip(net.layers, (6, 5), strict=True):
        h = F.leaky_relu(h @ (layer.weight * 0.01 / math.sqrt(size)).t(), 0.2) * math.sqrt(2)  # type: ignore[operator]
    torch.testing.assert_close(net(z), h, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(3 * z), net(z), atol=1e-4, rtol=1e-3)  # only the direction of z counts


def test_a_condition_is_embedded_scaled_and_appended() -> None:
    net = Mapping(6, 5, 1, condition_dim=3)
    z, c = torch.randn(2, 6), torch.randn(2, 3)
    assert net.condition is not None
    x = torch.cat([unit_mean_square(z), unit_mean_square(net.condition(c))], dim=1)
    torch.testing.assert_close(net(z, c), net.layers[0](x))


def test_the_mean_is_followed_and_truncation_goes_to_it() -> None:
    net = Mapping(4, 3, 1, mean_decay=0.9)
    for _ in range(200):
        net.track(torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(net.w_mean, torch.tensor([1.0, 2.0, 3.0]), atol=1e-4, rtol=0)
    w = torch.tensor([[3.0, 2.0, 1.0]])
    torch.testing.assert_close(net.truncate(w, 0.5), torch.tensor([[2.0, 2.0, 2.0]]), atol=1e-4, rtol=0)
    assert net.truncate(w, 1.0) is w
    torch.testing.assert_close(net.truncate(w, 0.0)[0], net.w_mean)


@pytest.mark.parametrize(("sizes", "parameters"), [((128, 128, 2), 33_024), ((512, 512, 2), 525_312)])
def test_the_mean_is_no_parameter(sizes: tuple[int, int, int], parameters: int) -> None:
    net = Mapping(*sizes)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert "w_mean" in net.state_dict()
