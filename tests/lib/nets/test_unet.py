"""The U-Net: sizes, first words, shares of what it sees."""

import pytest
import torch
from g3d.nets.unet import UNet


def filled(network: torch.nn.Module) -> torch.nn.Module:
    """The layers that begin with nothing get weights, so that everything matters."""
    with torch.no_grad():
        for p in network.parameters():
            if not p.abs().sum():
                p.normal_(0, 0.1)
    return network


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (5, 9)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    network = UNet(6, 3, 8, (1, 2, 2), 2, attention=(2,))
    x = torch.randn(2, 6, *size)
    assert not network(x, torch.tensor([3, 700])).any()  # it begins by saying nothing
    found = filled(network)(x, torch.tensor([3, 700]))
    assert found.shape == (2, 3, *size) and found.isfinite().all() and found.std() > 0


def test_every_input_and_the_time_matter() -> None:
    torch.manual_seed(0)
    network = filled(UNet(6, 3, 8, (1, 2), 1, attention=(1,)))
    x = torch.randn(1, 6, 16, 16, requires_grad=True)
    network(x, torch.tensor([5]))[0, :, 8, 8].sum().backward()
    assert x.grad is not None and (x.grad.abs().sum((0, 2, 3)) > 0).all()
    assert x.grad[0, :, 0, 0].abs().sum() > 0  # by attention
    a, b = (network(x.detach(), torch.tensor([t])) for t in (5, 6))
    assert (a - b).abs().max() > 1e-5
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_pictures_of_a_batch_do_not_meet() -> None:
    torch.manual_seed(0)
    network = filled(UNet(6, 3, 8, (1, 2), 1, attention=(0,), dropout=0.0))
    x, t = torch.randn(3, 6, 12, 12), torch.tensor([1, 20, 300])
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x, t), alone, atol=1e-5, rtol=1e-5)
