"""The hypernetwork H, theta => the weights of the 20 layers of one subject's fields, and what all subjects share.

Letters: B subjects, I and O features into and out of a layer, T features of the hypernetwork, r rank.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.layers import LEAKY, Target, targets
from g3d.scenes import mlp

LANDMARKS = 68


class Hypernetwork(nn.Module):
    """Two layers for each layer that it writes (section 12): theta => T features, leaky, => weight and bias.

    full: the second layer's bias is a usual start of the weights that it writes. low-rank: weights are W0 + U(theta) V(theta),
    biases b0 + c(theta). none: W0 and b0 alone, whatever theta is."""

    def __init__(self, config: Config, generator: torch.Generator):
        super().__init__()
        self.kind, self.rank, self.targets = config.hypernetwork, config.rank, targets(config)
        width, count = config.hyper_width, len(self.targets)
        self.first_weight: nn.Parameter | None = None
        if self.kind != "none":
            bound = 1 / math.sqrt(config.identity_dim)
            self.first_weight = nn.Parameter(_uniform((count, config.identity_dim, width), bound, generator))
            self.first_bias = nn.Parameter(_uniform((count, width), bound, generator))
        self.base_weight, self.base_bias, self.heads = nn.ParameterDict(), nn.ParameterDict(), nn.ModuleDict()
        for target in self.targets:
            weight, bias = first_weights(target, config, generator)
            if self.kind != "full":
                self.base_weight[target.name], self.base_bias[target.name] = nn.Parameter(weight), nn.Parameter(bias)
            if self.kind != "none":
                self.heads[target.name] = self._head(target, config, (weight, bias), generator)

    def _head(
        self, target: Target, config: Config, start: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> nn.Linear:
        """T features => what is written of one layer; at the start nearly the same for every theta."""
        outputs, inputs, width = target.outputs, target.fan_in, config.hyper_width
        size = target.parameters if self.kind == "full" else self.rank * (outputs + inputs) + outputs
        head = nn.Linear(width, size, device=start[0].device)
        gain = config.hyper_gain / math.sqrt(width)
        with torch.no_grad():
            head.weight.copy_(_uniform((size, width), gain, generator))
            if self.kind == "full":
                head.bias.copy_(torch.cat([start[0].flatten(), start[1]]))
            else:  # V has the size of a weight, U is small: U V begins small, and both have gradients
                head.bias.zero_()
                fan = self.rank * inputs
                head.bias[:fan] = torch.randn(
                    fan, generator=_of(generator, head.bias), device=head.bias.device
                ) / math.sqrt(inputs)
        return head

    def forward(self, theta: Tensor, names: tuple[str, ...] | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """theta [B, D] => the weights [B, O, I] and biases [B, O] of the named layers (eq. 2), or of all."""
        found, features = {}, None
        if self.first_weight is not None:
            features = F.leaky_relu(
                torch.einsum("bd,ldt->lbt", theta, self.first_weight) + self.first_bias[:, None], LEAKY.slope
            )
        for place, target in enumerate(self.targets):
            if names is None or target.name in names:
                h = None if features is None else features[place]  # [B, T]
                found[target.name] = self._written(target, h, len(theta))
        return found

    def _written(self, target: Target, h: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        outputs, inputs, rank = target.outputs, target.fan_in, self.rank
        if h is None:
            weight, bias = self.base_weight[target.name], self.base_bias[target.name]
            return weight.expand(batch, -1, -1), bias.expand(batch, -1)
        made = self.heads[target.name](h)  # [B, P]
        if self.kind == "full":
            weight, bias = made.split([outputs * inputs, outputs], dim=1)
            return weight.view(batch, outputs, inputs), bias
        v, u, bias = made.split([rank * inputs, rank * outputs, outputs], dim=1)
        low = u.view(batch, outputs, rank) @ v.view(batch, rank, inputs)
        return self.base_weight[target.name] + low, self.base_bias[target.name] + bias


class FaceModel(nn.Module):
    """What a model file holds: the hypernetwork, the shared table of expressions, and where encoding starts.

    Codes of the subjects it was fitted to are latents, not part of it; `mean_*` are their means, and `landmarks` the mean 3D
    landmarks of its subjects (zeros where the data has none)."""

    landmarks: Tensor  # [68, 3] world

    def __init__(self, config: Config, generator: torch.Generator | None = None):
        super().__init__()
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.config = config
        self.hypernetwork = Hypernetwork(config, generator)
        self.expression: nn.Parameter | None = None
        if config.expression_table == "shared":
            table = torch.randn(config.expressions, config.expression_dim, generator=generator)
            self.expression = nn.Parameter(table * config.expression_std)
        for name, size in code_sizes(config).items():
            self.register_buffer(f"mean_{name}", torch.zeros(size))
        self.register_buffer("landmarks", torch.zeros(LANDMARKS, 3))

    def mean(self, name: str) -> Tensor:
        """The mean code of the subjects that it was fitted to."""
        found: Tensor = getattr(self, f"mean_{name}")
        return found


def code_sizes(config: Config) -> dict[str, int]:
    """Numbers of the four codes by name."""
    return {
        "identity": config.identity_dim, "appearance": config.appearance_dim, "shape": config.shape_dim,
        "expression": config.expression_dim,
    }  # fmt: skip


def first_weights(target: Target, config: Config, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The usual start of a linear layer, larger before a leaky ReLU."""
    bound = 1 / math.sqrt(target.fan_in)
    gain = 1.6 if target.activation == LEAKY else 1.0
    weight = _uniform((target.outputs, target.fan_in), gain * bound, generator)
    bias = _uniform((target.outputs,), bound, generator)
    if target.name == "S_6":
        bias = torch.full_like(bias, config.density_bias)
    return weight, bias


def evaluated(target: Target, weights: tuple[Tensor, Tensor], known: dict[str, Tensor]) -> Tensor:
    """A layer of codes alone: [B, I] => [B, O]."""
    h = torch.cat([known[name] for name in target.inputs], dim=1)
    weight, bias = weights
    return mlp.activate(target.activation, torch.baddbmm(bias.unsqueeze(2), weight, h.unsqueeze(2)).squeeze(2))


def _of(generator: torch.Generator, like: Tensor) -> torch.Generator | None:
    """The generator, or none where tensors are without values (on the meta device)."""
    return None if like.device.type == "meta" else generator


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    made = torch.empty(shape)
    return made.uniform_(-bound, bound, generator=_of(generator, made))
