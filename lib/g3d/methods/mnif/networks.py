"""The mixture of SIRENs: basis networks, and codes => the weights of one small SIREN each (eq. 5-10).

Letters: S scenes, L hidden layers, M bases, H latent dimension, O and I features out of and into a layer.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from g3d.methods.mnif.config import Config
from g3d.scenes import mlp
from g3d.scenes.scene import MlpField, World

# What a field maps to: coordinates in, channels out, and the outputs by name. `named clamp`: the paper trains colour
# without an activation; it is clamped only when it is drawn. Density as functa does it, shifted so that it is >= 0.
DIMENSIONS = {"image": (2, 3), "voxel": (3, 1), "radiance": (3, 4)}
SIGNALS: dict[str, Literal["radiance", "occupancy", "image"]] = {
    "image": "image",
    "voxel": "occupancy",
    "radiance": "radiance",
}
LINEAR, CLAMP = mlp.Activation("linear"), mlp.Activation("clamp")
DENSITY = mlp.Activation("elu", alpha=0.1, shift=0.1, maximum=10.0)


class MixtureOfSirens(nn.Module):
    """M basis SIRENs and the projection T. Parameters: `basis_weight.i` [M, O, I], `basis_bias.i` [M, O], `project`."""

    def __init__(self, config: Config, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        sizes = layer_sizes(config)
        self.basis_weight = nn.ParameterList()
        self.basis_bias = nn.ParameterList()
        for i, (inputs, outputs) in enumerate(sizes):
            # SIREN (Sitzmann et al. 2020, section 3.2): first layer +-1/I, others +-sqrt(6/I)/w0; biases +-1/sqrt(I).
            bound = 1 / inputs if i == 0 else math.sqrt(6 / inputs) / config.omega0
            self.basis_weight.append(_uniform((config.bases, outputs, inputs), bound, generator))
            self.basis_bias.append(_uniform((config.bases, outputs), 1 / math.sqrt(inputs), generator))
        self.project: nn.Linear | None = None
        if config.mixture == "latent":
            self.project = nn.Linear(config.latent_dim, config.bases * len(sizes))
            with torch.no_grad():  # A.2.4: the bias alone gives alpha = 1/M
                self.project.weight.copy_(
                    torch.randn(self.project.weight.shape, generator=generator) * config.projection_std
                )
                self.project.bias.fill_(1 / config.bases)

    def coefficients(self, codes: Tensor) -> Tensor:
        """Codes [S, D] => mixture coefficients alpha [S, L + 2, M] (eq. 10; table 4a for the other two modes).

        A zero code gives 1/M everywhere in each mode."""
        layers, bases = len(self.basis_weight), self.config.bases
        if self.project is not None:
            alpha: Tensor = self.project(codes)
            return alpha.view(-1, layers, bases)
        alpha = codes + 1 / bases
        if self.config.mixture == "shared":
            return alpha.unsqueeze(1).expand(-1, layers, -1)
        return alpha.view(-1, layers, bases)

    def mix(self, codes: Tensor) -> list[Tensor]:
        """Codes [S, D] => weights [S, O, I] and biases [S, O] of one SIREN a scene, layer by layer (eq. 8-9).

        w0 is folded in, so that a layer is plain sin(W h + b)."""
        alpha = self.coefficients(codes)
        mixed = []
        last = len(self.basis_weight) - 1
        for i, (weight, bias) in enumerate(zip(self.basis_weight, self.basis_bias, strict=True)):
            a = alpha[:, i] * (self.config.omega0 if i < last else 1.0)  # [S, M]
            mixed += [(a @ weight.flatten(1)).view(-1, *weight.shape[1:]), a @ bias]
        return mixed

    def forward(self, codes: Tensor) -> mlp.Weights:
        """Codes [S, D] => the weights of S fields."""
        return weights_of(self.mix(codes))


def layer_sizes(config: Config) -> list[tuple[int, int]]:
    """(I, O) of the L + 2 layers."""
    first, last = DIMENSIONS[config.signal]
    return [(first, config.width), *[(config.width, config.width)] * config.hidden_layers, (config.width, last)]


def code_size(config: Config) -> int:
    """D, the numbers of a code."""
    layers = config.hidden_layers + 2
    return {"latent": config.latent_dim, "shared": config.bases, "layer": config.bases * layers}[config.mixture]


def weights_of(mixed: list[Tensor]) -> mlp.Weights:
    """The flat list of `mix` => weights by layer name."""
    return {str(i): (mixed[2 * i], mixed[2 * i + 1]) for i in range(len(mixed) // 2)}


def network(config: Config, drawn: bool) -> mlp.Network:
    """The description of one SIREN. `drawn`: with the clamp on colour that a picture needs and training must not have."""
    last = str(config.hidden_layers + 1)
    names = [str(i) for i in range(config.hidden_layers + 2)]
    layers = tuple(
        mlp.Layer(name, (names[i - 1] if i else "x",), LINEAR if name == last else mlp.Activation("sin"))
        for i, name in enumerate(names)
    )
    colour = CLAMP if drawn else LINEAR
    outputs = {
        "image": {"rgb": mlp.Output(last, 0, 3, colour)},
        "voxel": {"occupancy": mlp.Output(last, 0, 1, colour)},
        "radiance": {"rgb": mlp.Output(last, 0, 3, colour), "density": mlp.Output(last, 3, 4, DENSITY)},
    }[config.signal]
    return mlp.Network(layers, outputs, {"x": mlp.Encoding()})


def field(settings: Config, weights: Mapping[str, tuple[Tensor, Tensor]], world: World, drawn: bool) -> MlpField:
    """The scenes of mixed weights; `drawn` clamps colours."""
    return MlpField(weights, network(settings, drawn), world, SIGNALS[settings.signal])


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))
