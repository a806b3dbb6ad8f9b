"""LPIPS on a stand-in file of the package's names and shapes, against a reference of torchvision's layers in order."""

from pathlib import Path

import pytest
import torch
from g3d.errors import G3dError
from g3d.losses.lpips import ALEXNET, NETWORKS, Lpips, load_lpips
from safetensors.torch import save_file
from torch import Tensor, nn
from toy_lpips import stand_in

CUTS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}  # layers of `features` before the end of each slice


def _layers(network: str, weights: dict[str, Tensor]) -> nn.Sequential:
    """AlexNet's or VGG16's features as they stand in torchvision: convolution, ReLU, pooling, in order."""
    pools = {"alex": (0, 1), "vgg": (0, 1, 2, 3)}[network]
    found: list[nn.Module] = []
    for k, slice_layers in enumerate(NETWORKS[network]):
        for index, inputs, outputs, kernel, stride, padding in slice_layers:
            conv = nn.Conv2d(inputs, outputs, kernel, stride, padding).double()
            conv.weight.data = weights[f"net.slice{k + 1}.{index}.weight"].double()
            conv.bias.data = weights[f"net.slice{k + 1}.{index}.bias"].double()  # type: ignore[union-attr]
            assert len(found) == index
            found += [conv, nn.ReLU()]
        if k in pools:
            found.append(nn.MaxPool2d(3, 2) if network == "alex" else nn.MaxPool2d(2, 2))
    return nn.Sequential(*found)


def _reference(network: str, weights: dict[str, Tensor], a: Tensor, b: Tensor) -> float:
    layers, total = _layers(network, weights), 0.0
    x, y = (
        ((2 * z - 1) - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        for z in (a.double(), b.double())
    )
    start = 0
    for k, cut in enumerate(CUTS[network]):
        x, y = layers[start:cut](x), layers[start:cut](y)
        start = cut
        unit_x, unit_y = (z / z.norm(dim=1, keepdim=True) for z in (x, y))
        head = weights[f"lin{k}.model.1.weight"].double().view(1, -1, 1, 1)
        total += float((head * (unit_x - unit_y) ** 2).sum(dim=1).mean())
    return total


def test_alexnet_against_torchvision_order() -> None:
    weights = stand_in("alex")
    a, b = torch.rand(2, 3, 47, 39, generator=torch.Generator().manual_seed(2)).split(1)
    model = Lpips(weights)
    assert model.network == "alex"
    with torch.no_grad():
        assert float(model(a, b)) == pytest.approx(_reference("alex", weights, a, b), rel=1e-5)
        assert model(a, a).tolist() == [0.0]
        both = model(torch.cat([a, a]), torch.cat([b, a]))
    assert both.tolist() == pytest.approx([float(model(a, b)), 0.0])


def test_vgg_against_torchvision_order() -> None:
    weights = stand_in("vgg")
    a, b = torch.rand(2, 3, 17, 20, generator=torch.Generator().manual_seed(2)).split(1)
    with torch.no_grad():
        assert float(Lpips(weights)(a, b)) == pytest.approx(_reference("vgg", weights, a, b), rel=1e-5)


def test_gradients_reach_the_picture_and_not_the_weights() -> None:
    model = Lpips(stand_in("alex"))
    black = torch.zeros(1, 3, 32, 32, requires_grad=True)
    model(torch.rand(1, 3, 32, 32), black).sum().backward()
    assert black.grad is not None and torch.isfinite(black.grad).all() and black.grad.abs().max() > 0
    assert not list(model.parameters())


def test_both_names_of_the_heads(tmp_path: Path) -> None:
    save_file(stand_in("alex"), tmp_path / "a.safetensors")
    save_file(stand_in("alex", "lins.{}.model.1.weight"), tmp_path / "b.safetensors")
    a, b = torch.rand(2, 3, 35, 35).split(1)
    with torch.no_grad():
        assert torch.equal(load_lpips(tmp_path / "a.safetensors")(a, b), load_lpips(tmp_path / "b.safetensors")(a, b))


def test_files_that_are_not_lpips(tmp_path: Path) -> None:
    place = tmp_path / "w.safetensors"
    with pytest.raises(G3dError, match=r"w\.safetensors' does not exist"):
        load_lpips(place)
    place.write_bytes(b"nothing")
    with pytest.raises(G3dError, match=r"w\.safetensors' are no safetensors file.*save_model"):
        load_lpips(place)
    save_file({"weight": torch.zeros(3)}, place)
    with pytest.raises(G3dError, match=r"not those of LPIPS: net\.slice1\.0\.weight is not there"):
        load_lpips(place)
    weights = stand_in("alex")
    name = f"net.slice2.{ALEXNET[1][0][0]}.bias"
    save_file({k: v for k, v in weights.items() if k != name}, place)
    with pytest.raises(G3dError, match=r"lack 'net\.slice2\.3\.bias' of shape \[192\] \(found nothing\)"):
        load_lpips(place)
    save_file({**weights, name: torch.full((192,), torch.nan)}, place)
    with pytest.raises(G3dError, match=r"not finite in 'net\.slice2\.3\.bias'"):
        load_lpips(place)
    with pytest.raises(G3dError, match="needs 31 pixels a side, found 40 x 30"):
        Lpips(weights)(torch.zeros(1, 3, 30, 40), torch.zeros(1, 3, 30, 40))
