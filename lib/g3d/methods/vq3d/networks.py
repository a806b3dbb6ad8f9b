"""The autoencoder of stage 1: a picture => tokens => a scene of three planes (figure 2), or of an MLP (row 7 of table 3).

Letters: B pictures, T = N N tokens, D numbers of a code, W features, C channels of a plane of P pixels a side.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from g3d.methods.vq3d import cnn, vit
from g3d.methods.vq3d.config import Config
from g3d.methods.vq3d.quantiser import Quantised, Quantiser
from g3d.scenes import mlp
from g3d.scenes.planes import channels_last
from g3d.scenes.scene import MlpField, Scene, Triplane, World

PLANE_GAIN, MLP_GAIN = 1.7, 2.0  # of layers at the start: planes and hidden features then vary by about 1 (choice)
SOFTPLUS_0 = 0.8  # mean of softplus(x) where x varies by 1


class Autoencoder(nn.Module):
    """`encode` pictures, `decode` codes to what a scene is made of; `scene` puts it together."""

    def __init__(self, config: Config, rng: torch.Generator | None = None):
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            if rng is not None:
                torch.manual_seed(int(torch.randint(1 << 62, (), generator=rng)))
            self.encoder: nn.Module = vit.Encoder(config) if config.backbone == "vit" else cnn.Encoder(config)
            self.quantiser = Quantiser(config, rng)
            self.decoder = _decoder(config)
            self.head = _head(config)
            hidden = [config.mlp_width] * config.mlp_hidden
            planes = config.scene == "triplane"
            self.nerf = plane_mlp([config.plane_channels, *hidden, 4]) if planes else nn.ModuleList()
            self.proposal = plane_mlp([config.plane_channels, *hidden, 1]) if planes else nn.ModuleList()
            self.implicit = None if planes else Implicit(config)

    def encode(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, H] in [0, 1] => latents [B, T, D]."""
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            latents: Tensor = self.encoder(pictures)
        return latents.float()

    def decode(self, codes: Tensor) -> Tensor:
        """[B, T, D] => planes [B, 3, C, P, P], or of row 7 the mean features [B, W]."""
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            found = self.decoder(codes)
            if self.config.scene == "implicit":
                mean: Tensor = found.mean(dim=1).float()
                return mean
            if self.config.backbone == "vit":
                found = vit.unpatched(self.head(found), 3 * self.config.plane_channels)
        return over_pixels(found.float().unflatten(1, (3, -1)))

    def forward(self, pictures: Tensor) -> tuple[Quantised, Tensor]:
        """Pictures [B, 3, H, H] => their codes, and what their scenes are made of."""
        found = self.quantiser(self.encode(pictures))
        return found, self.decode(found.codes)

    def scene(self, made: Tensor, world: World) -> Scene:
        """What `decode` gave => B scenes, with gradients."""
        count, config = len(made), self.config
        if self.implicit is not None:
            field: MlpField = self.implicit.scene(made, world)
            return field

        def weights(layers: nn.ModuleList) -> tuple[tuple[Tensor, Tensor], ...]:
            return tuple((_each(m.weight, count), _each(m.bias, count)) for m in layers if isinstance(m, nn.Linear))

        extent = (config.extent, config.extent, 1.0)
        return Triplane(
            channels_last(made),
            weights(self.nerf),
            world,
            weights(self.proposal),
            "sphere",
            extent=extent,
            scale=config.world_scale,
        )


def over_pixels(planes: Tensor) -> Tensor:
    """Planes [B, 3, C, P, P] as tokens lie, rows downward => as scenes hold them, y upward: a patch's features lie on the XY
    plane over its pixels, and on the YZ plane in its row."""
    xy, xz, yz = planes.unbind(dim=1)
    return torch.stack([xy.flip(2), xz, yz.flip(2).transpose(2, 3)], dim=1)


def plane_mlp(sizes: list[int]) -> nn.ModuleList:
    """Linear layers for features of planes; the last one starts small, and where softplus takes features of 0."""
    layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        nn.init.normal_(layer.weight, std=MLP_GAIN / layer.in_features**0.5)
        nn.init.zeros_(layer.bias)
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(0.5)
        last.bias.sub_(SOFTPLUS_0 * last.weight.sum(dim=1))
    return layers


class Implicit(nn.Module):
    """Row 7: an MLP of a point's sines whose hidden layers a vector scales and shifts; both are folded into its weights."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width, layers = config.implicit_width, config.implicit_layers
        inputs = 3 * (1 + 2 * config.implicit_frequencies)
        self.layers = nn.ModuleList(nn.Linear(inputs if i == 0 else width, width) for i in range(layers))
        self.last = nn.Linear(width, 4)
        features = config.decoder_width
        self.modulation = nn.Linear(features, 2 * layers * width)
        nn.init.normal_(self.modulation.weight, std=0.3 / features**0.5)
        nn.init.zeros_(self.modulation.bias)

    def scene(self, mean: Tensor, world: World) -> MlpField:
        """Features [B, W] => B fields."""
        scales, shifts = self.modulation(mean).unflatten(1, (2, len(self.layers), -1)).unbind(dim=1)  # [B, L, W']
        weights: dict[str, tuple[Tensor, Tensor]] = {}
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            gain = 1 + scales[:, i]
            weights[f"l{i}"] = (gain.unsqueeze(2) * layer.weight, gain * layer.bias + shifts[:, i])
        weights["last"] = (_each(self.last.weight, len(mean)), _each(self.last.bias, len(mean)))
        return MlpField(weights, implicit_network(self.config), world)


def implicit_network(config: Config) -> mlp.Network:
    """The description of row 7's field."""
    names = ["x", *(f"l{i}" for i in range(config.implicit_layers))]
    hidden = [mlp.Layer(name, (before,), mlp.Activation("relu")) for before, name in pairwise(names)]
    layers = (*hidden, mlp.Layer("last", (names[-1],), mlp.Activation("linear")))
    colour = mlp.Activation("sigmoid", gain=1.002, shift=-0.001)
    outputs = {
        "rgb": mlp.Output("last", 0, 3, colour), "density": mlp.Output("last", 3, 4, mlp.Activation("softplus", offset=-1.0)),
    }  # fmt: skip
    return mlp.Network(layers, outputs, {"x": mlp.Encoding(config.implicit_frequencies)})


def _decoder(config: Config) -> nn.Module:
    if config.backbone == "vit":
        return vit.Decoder(config)
    return cnn.Decoder(config, 3 * config.plane_channels, config.plane_size)


def _head(config: Config) -> nn.Module:
    """A token's features => its piece of all planes, as pixels."""
    if config.backbone == "cnn" or config.scene == "implicit":
        return nn.Identity()
    pixels = (config.plane_size // config.side) ** 2
    head = nn.Linear(config.decoder_width, pixels * 3 * config.plane_channels)
    nn.init.normal_(head.weight, std=PLANE_GAIN / config.decoder_width**0.5)
    nn.init.zeros_(head.bias)
    return head


def _each(parameter: Tensor, count: int) -> Tensor:
    """The same for every scene."""
    return parameter.unsqueeze(0).expand(count, *parameter.shape)
