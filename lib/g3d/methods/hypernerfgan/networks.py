"""The generator: z => w => the weights of a small radiance field (section 3 of the report; where it differs, the public code).

A layer's weights are shared, and modulated for each sample by two thin generated factors: W * (A B / sqrt(r) + 1), each row
then scaled to norm 1. They are formed once a sample; the field is then plain matrix products.

Letters: B samples, O and I features out of and into a layer, r rank.
"""

import math

import torch
from torch import Tensor, nn

from g3d.methods.hypernerfgan.config import Config
from g3d.nets.equalised import Linear
from g3d.nets.mapping import Mapping
from g3d.scenes import mlp

GAIN = math.sqrt(2)  # of the ReLU
OUT = "out"  # the last layer: rgb logits and density
EPSILON = 1e-8


class ModulatedLayer(nn.Module):
    """w [B, W] => weights [B, O, I] of one layer. The bias [O] is shared, not generated."""

    def __init__(self, inputs: int, outputs: int, config: Config, generator: torch.Generator):
        super().__init__()
        self.rank, self.modulation = config.rank, config.modulation
        self.weight = nn.Parameter(torch.randn(outputs, inputs, generator=generator))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Linear(config.w_dim, config.rank * (outputs + inputs), generator=generator)

    def forward(self, w: Tensor) -> Tensor:
        outputs, inputs = self.weight.shape
        factors: Tensor = self.affine(w)
        a = factors[:, : outputs * self.rank].view(-1, outputs, self.rank)
        b = factors[:, outputs * self.rank :].view(-1, self.rank, inputs)
        product = torch.bmm(a, b)
        if self.modulation == "plain":  # eq. 4; W is scaled as any layer of equalised rate, since no norm follows
            return torch.mul(self.weight, product / math.sqrt(inputs * self.rank))
        shaped = torch.mul(self.weight, product / math.sqrt(self.rank) + 1)
        return torch.div(shaped, shaped.norm(dim=2, keepdim=True) + EPSILON)


class Generator(nn.Module):
    """Mapping and modulated layers. Parameters `mapping.*`, `layers.<i>.*`, the last of which is the output's."""

    def __init__(self, config: Config, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.mapping = Mapping(config.z_dim, config.w_dim, config.mapping_layers, generator=generator)
        self.layers = nn.ModuleList(ModulatedLayer(i, o, config, generator) for i, o in layer_sizes(config))

    def forward(self, w: Tensor) -> list[Tensor]:
        """w [B, W] => weights [B, O, I], layer by layer."""
        return [layer(w) for layer in self.layers]

    def weights(self, w: Tensor) -> mlp.Weights:
        """w [B, W] => the weights of B fields as `network` describes them: the ReLU's gain is in the layer that follows."""
        found = {}
        names = layer_names(self.config)
        for i, (name, weight) in enumerate(zip(names, self(w), strict=True)):
            if i:
                point = encoded_size(self.config) if reads_point(self.config, i) else 0
                weight = (
                    torch.cat([weight[..., :point], weight[..., point:] * GAIN], dim=-1) if point else weight * GAIN
                )
            bias = self.layers[i].bias
            assert isinstance(bias, Tensor)
            found[name] = (weight, bias.expand(len(w), -1))
        return found


def encoded_size(config: Config) -> int:
    """Numbers of an encoded point: x y z, then sin and cos of each at every frequency."""
    return 3 * (1 + 2 * config.frequencies)


def reads_point(config: Config, layer: int) -> bool:
    """Whether a layer behind the first reads the encoded point as well."""
    return layer == config.skip_after + 1 and layer < config.layers


def layer_sizes(config: Config) -> list[tuple[int, int]]:
    """(I, O) of all layers, the output's last."""
    point = encoded_size(config)
    hidden = [(config.width + point * reads_point(config, i), config.width) for i in range(1, config.layers)]
    return [(point, config.width), *hidden, (config.width, 4)]


def layer_names(config: Config) -> list[str]:
    """Names of the layers in a scene file."""
    return [*(str(i) for i in range(config.layers)), OUT]


def network(config: Config, raw: bool = False) -> mlp.Network:
    """The description of one field. `raw`: density before its ReLU, to which training adds noise."""
    names = layer_names(config)
    relu, linear = mlp.Activation("relu"), mlp.Activation("linear")
    layers = []
    for i, name in enumerate(names):
        inputs = ("x",) if i == 0 else ("x", names[i - 1]) if reads_point(config, i) else (names[i - 1],)
        layers.append(mlp.Layer(name, inputs, linear if name == OUT else relu))
    outputs = {
        "rgb": mlp.Output(OUT, 0, 3, mlp.Activation("sigmoid")),
        "density": mlp.Output(OUT, 3, 4, linear if raw else relu),
    }
    return mlp.Network(tuple(layers), outputs, {"x": mlp.Encoding(config.frequencies)})


def generated_numbers(config: Config) -> tuple[int, int]:
    """Numbers that the factors of one sample have, and those that its whole weights would have (eq. 5)."""
    sizes = layer_sizes(config)
    return sum(config.rank * (i + o) for i, o in sizes), sum(i * o for i, o in sizes)
