"""Linear layers and convolutions with equalised learning rates (Karras et al. 2018, section 4.1; StyleGAN2).

Weights are drawn N(0, 1) and scaled at run time by 1 / sqrt(inputs), so that Adam moves all layers alike. The leaky ReLU's
gain of sqrt(2), and whatever a residual sum asks for, is scaled into weight and bias: lrelu(g x) = g lrelu(x) for g > 0.

Letters: B samples, I and O features or channels in and out, k the side of a kernel; leading axes of a linear layer are free.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
Activated = Literal["linear", "lrelu"]


class Linear(nn.Module):
    """[..., I] => [..., O], activated. `lr_multiplier` below 1 makes the layer learn that much more slowly."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: Activated = "linear",
        *,
        lr_multiplier: float = 1.0,
        bias_start: float = 0.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight = nn.Parameter(torch.randn(outputs, inputs, generator=generator) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_start / lr_multiplier))

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Weight [O, I] and bias [O] as they act, the activation's gain among them."""
        gain = _gain(self.activation) * self.lr_multiplier
        return self.weight * (gain / math.sqrt(self.weight.shape[1])), self.bias * gain

    def rows(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """[n, I] => [n, O] before the activation, inputs times `gain`. The smaller factor of the product is scaled."""
        own = _gain(self.activation) * self.lr_multiplier
        scale = gain * own / math.sqrt(self.weight.shape[1])
        bias = self.bias if own == 1 else self.bias * own
        if len(x) < len(self.weight):
            return torch.addmm(bias, x * scale, self.weight.t())
        return torch.addmm(bias, x, (self.weight * scale).t())

    def forward(self, x: Tensor) -> Tensor:
        y = self.rows(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], len(self.weight))
        return F.leaky_relu(y, SLOPE) if self.activation == "lrelu" else y


class Conv2d(nn.Module):
    """[B, I, H, W] => [B, O, H', W'] by a k x k kernel, activated and scaled by `gain`. Pictures are padded by the caller's
    `padding`, or to their own size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        activation: Activated = "linear",
        *,
        bias: bool = True,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.activation, self.gain = activation, gain * _gain(activation)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
        kernel = self.weight.shape[-1]
        weight = self.weight * (self.gain / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * self.gain
        y = F.conv2d(x, weight, bias, stride, kernel // 2 if padding is None else padding)
        return F.leaky_relu_(y, SLOPE) if self.activation == "lrelu" else y


def _gain(activation: Activated) -> float:
    return math.sqrt(2) if activation == "lrelu" else 1.0
