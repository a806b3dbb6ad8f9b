"""LPIPS: the distance of two pictures in the features of an image network (Zhang et al. 2018, eq. 1, "lin").

The weights are a file that the user has; nothing is fetched. It is the state of the authors' package as safetensors:

    model = lpips.LPIPS(net="vgg")                                # or "alex"
    safetensors.torch.save_model(model, "lpips_vgg.safetensors")

So it holds the convolutions as `net.slice<k>.<i>.weight` and `.bias`, where i counts the layers of torchvision's `features`,
and the heads as `lin<k>.model.1.weight` or `lins.<k>.model.1.weight`. Which network it is shows in the shapes.

Letters: B pictures, H rows, W columns, C channels of a layer.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.errors import G3dError, existing

Layer = tuple[int, ...]  # index in `features`, inputs, outputs, kernel, stride, padding

VGG16: tuple[tuple[Layer, ...], ...] = (
    ((0, 3, 64, 3, 1, 1), (2, 64, 64, 3, 1, 1)),
    ((5, 64, 128, 3, 1, 1), (7, 128, 128, 3, 1, 1)),
    ((10, 128, 256, 3, 1, 1), (12, 256, 256, 3, 1, 1), (14, 256, 256, 3, 1, 1)),
    ((17, 256, 512, 3, 1, 1), (19, 512, 512, 3, 1, 1), (21, 512, 512, 3, 1, 1)),
    ((24, 512, 512, 3, 1, 1), (26, 512, 512, 3, 1, 1), (28, 512, 512, 3, 1, 1)),
)
ALEXNET: tuple[tuple[Layer, ...], ...] = (
    ((0, 3, 64, 11, 4, 2),),
    ((3, 64, 192, 5, 1, 2),),
    ((6, 192, 384, 3, 1, 1),),
    ((8, 384, 256, 3, 1, 1),),
    ((10, 256, 256, 3, 1, 1),),
)
NETWORKS = {"vgg": VGG16, "alex": ALEXNET}
POOLS = {"vgg": ((2, 2), (1, 2, 3, 4)), "alex": ((3, 2), (1, 2))}  # kernel and stride; before which slices
LEAST_PX = {"vgg": 16, "alex": 31}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for [-1, 1]


class Lpips(nn.Module):
    """`forward(a, b)`: pictures [B, 3, H, W] in [0, 1] => distances [B]. The weights are constants."""

    def __init__(self, weights: Mapping[str, Tensor], where: str = "the LPIPS weights"):
        super().__init__()
        self.network = _which(weights, where)
        self.slices = NETWORKS[self.network]
        for name, tensor in _checked(weights, self.network, where).items():
            self.register_buffer(name, tensor.detach().float().clone())
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Squared distance of the unit features, weighted by channel, mean over places, sum over layers (eq. 1)."""
        if min(a.shape[-2:]) < LEAST_PX[self.network]:
            raise G3dError(
                f"LPIPS ({self.network}) needs {LEAST_PX[self.network]} pixels a side, found {a.shape[-1]} x {a.shape[-2]}; "
                "leave --lpips out, or give larger pictures"
            )
        first, second = self._features(a), self._features(b)
        parts = [
            F.conv2d((x - y) ** 2, self.get_buffer(f"head{k}")).mean(dim=(1, 2, 3))
            for k, (x, y) in enumerate(zip(first, second, strict=True))
        ]
        return torch.stack(parts).sum(dim=0)

    def _features(self, x: Tensor) -> list[Tensor]:
        """Features of each slice [B, C, h, w], of length 1 at each place."""
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        (kernel, stride), pooled = POOLS[self.network]
        found = []
        for k, layers in enumerate(self.slices):
            if k in pooled:
                x = F.max_pool2d(x, kernel, stride)
            for index, _, _, _, step, padding in layers:
                weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
                x = F.relu(F.conv2d(x, weight, bias, stride=step, padding=padding))
            found.append(unit_length(x))
        return found


def unit_length(x: Tensor) -> Tensor:
    """Features [B, C, h, w] of length 1 at each place."""
    length = (x * x).sum(dim=1, keepdim=True).clamp(min=1e-20).sqrt()  # a root of 0 has no gradient
    return x / (length + 1e-10)


def load_lpips(path: Path) -> Lpips:
    """LPIPS of a safetensors file; anything else is refused in one sentence."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(existing(path, "the LPIPS weights"))
    except (SafetensorError, OSError) as error:
        raise G3dError(
            f"the LPIPS weights '{path}' are no safetensors file that can be read ({error}); write it with "
            "safetensors.torch.save_model(lpips.LPIPS(net='vgg'), FILE), or give a TorchScript file that ends in .pt"
        ) from error
    return Lpips(weights, f"the LPIPS weights '{path}'").eval()


def _which(weights: Mapping[str, Tensor], where: str) -> str:
    first = weights.get("net.slice1.0.weight")
    shapes = {tuple(f[0][0][i] for i in (2, 1, 3, 3)): name for name, f in NETWORKS.items()}
    found = shapes.get(tuple(first.shape)) if first is not None else None
    if found is None:
        what = f"has shape {list(first.shape)}" if first is not None else "is not there"
        raise G3dError(
            f"{where} are not those of LPIPS: net.slice1.0.weight {what}; wanted is the state of lpips.LPIPS with "
            f"net {' or '.join(NETWORKS)}"
        )
    return found


def _checked(weights: Mapping[str, Tensor], network: str, where: str) -> dict[str, Tensor]:
    """The tensors that are used, under our names, each of the right shape."""
    wanted: dict[str, tuple[str, str, tuple[int, ...]]] = {}  # our name => theirs, another of theirs, shape
    for k, layers in enumerate(NETWORKS[network]):
        for index, inputs, outputs, kernel, _, _ in layers:
            theirs = f"net.slice{k + 1}.{index}"
            wanted[f"weight{index}"] = (f"{theirs}.weight", "", (outputs, inputs, kernel, kernel))
            wanted[f"bias{index}"] = (f"{theirs}.bias", "", (outputs,))
        wanted[f"head{k}"] = (f"lin{k}.model.1.weight", f"lins.{k}.model.1.weight", (1, layers[-1][2], 1, 1))
    found = {}
    for ours, (name, other, shape) in wanted.items():
        tensor = weights.get(name, weights.get(other))
        if tensor is None or tuple(tensor.shape) != shape:
            has = "nothing" if tensor is None else f"shape {list(tensor.shape)}"
            raise G3dError(
                f"{where} lack '{name}' of shape {list(shape)} (found {has}); write the file again from "
                f"lpips.LPIPS(net='{network}')"
            )
        if not torch.isfinite(tensor.float()).all():
            raise G3dError(f"{where} hold numbers that are not finite in '{name}'; take another copy of the file")
        found[ours] = tensor
    return found
