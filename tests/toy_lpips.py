"""A file of LPIPS with random weights."""

import torch
from g3d.losses.lpips import NETWORKS
from torch import Tensor


def stand_in(network: str, heads: str = "lin{}.model.1.weight") -> dict[str, Tensor]:
    """Random weights under the names of the lpips package."""
    stream = torch.Generator().manual_seed(1)
    found: dict[str, Tensor] = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    for k, layers in enumerate(NETWORKS[network]):
        for index, inputs, outputs, kernel, _, _ in layers:
            weight = torch.randn(outputs, inputs, kernel, kernel, generator=stream) * (2 / (inputs * kernel**2)) ** 0.5
            found[f"net.slice{k + 1}.{index}.weight"] = weight
            found[f"net.slice{k + 1}.{index}.bias"] = 0.1 * torch.randn(outputs, generator=stream)
        found[heads.format(k)] = torch.rand(1, layers[-1][2], 1, 1, generator=stream) / layers[-1][2]
    return found
