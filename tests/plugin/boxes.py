"""A first stage in one file, as another package would add it: a scene is a box of fog, its code the logits of its colour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from g3d import config as settings
from g3d.config import as_json, setting
from g3d.data.dataset import Dataset, Item
from g3d.latents import Latents, LatentSpace
from g3d.methods.contract import Encode, Encoded, Method, of_codes
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import MlpField, World
from g3d.storage.artifacts import Artifact
from g3d.training.run import Run
from torch import Tensor, nn

SPACE = LatentSpace.codes("colour", 3)


@dataclass(frozen=True)
class Config:
    steps: int = setting(20, "steps towards the mean colour", low=1)
    density: float = setting(3.0, "of the fog, per world unit", low=0)


@dataclass(frozen=True)
class NoSettings:
    """Nothing can be changed."""


@dataclass(frozen=True)
class Model:
    network: nn.Module
    config: Config
    world: World


def build(config: Config) -> nn.Module:
    return nn.ParameterDict({"density": torch.tensor([config.density])})


def world_of(data: Dataset) -> World:
    (a, b, c), (d, e, f) = data.bounds
    return World(bounds=((a, b, c), (d, e, f)), samples=16, camera_prior=data.camera_prior)


def colours(data: Dataset, items: Sequence[Item]) -> Tensor:
    """Mean colour of each item's pictures, [S, 3]."""
    found = [
        torch.from_numpy(data.pictures(data.views(item.object))).float().mean(dim=(0, 1, 2)) / 255 for item in items
    ]
    return torch.stack(found)


def items(model: Model, data: Dataset, split: str) -> list[Item]:
    wanted = range(len(data.object_names)) if split == "all" else data.objects(split)
    return [Item(data.object_names[i], i) for i in wanted]


def fit(config: Config, data: Dataset, run: Run) -> None:
    network, world = build(config), world_of(data)
    found = items(Model(network, config, world), data, "train")
    wanted = colours(data, found).logit(1e-3)
    codes = run.resumed.values["codes"] if run.resumed else torch.zeros(len(found), 3)

    def publish() -> None:
        about = {
            "method": "boxes",
            "settings": as_json(config),
            "latent_space": SPACE.as_json(),
            "world": world.as_json(),
        }
        run.write("model.safetensors", "model", network.state_dict(), about)
        run.write("latents.safetensors", "latents", *Latents(SPACE, {"codes": codes}, [i.name for i in found]).packed())

    def state() -> dict[str, Tensor]:
        return {"codes": codes}

    for step in run.steps(config.steps, "fit-stage1 boxes", state, publish):
        codes += (wanted - codes) / (config.steps - step)
        run.log(step, config.steps, (wanted - codes).square().mean(), len(found))


def load(file: Artifact, device: torch.device) -> Model:
    config = settings.from_json(Config, file.config["settings"], str(file.path))
    return Model(build(config).to(device), config, World.from_json(file.config["world"], str(file.path)))


def encoder(
    model: Model, data: Dataset, found: Sequence[Item], how: NoSettings, seed: int
) -> Callable[[Sequence[int]], Encoded]:
    def encode(places: Sequence[int]) -> Encoded:
        wanted = colours(data, [found[place] for place in places])
        codes = wanted.logit(1e-3)
        return Encoded({"codes": codes}, (codes.sigmoid() - wanted).square().mean(dim=1))

    return encode


def decode(model: Model, codes: Tensor, how: NoSettings) -> MlpField:
    bias = torch.cat([codes, codes.new_full((len(codes), 1), model.config.density)], dim=1)
    colour, fog = Output("fog", 0, 3, Activation("sigmoid")), Output("fog", 3, 4, Activation("relu"))
    network = Network((Layer("fog", ("x",), Activation("linear")),), {"rgb": colour, "density": fog}, {"x": Encoding()})
    return MlpField({"fog": (codes.new_zeros(len(codes), 4, 3), bias)}, network, model.world)


METHOD: Method[Config, Model] = Method(
    "boxes", "none", Config, {"thin": Config(density=0.5)}, build, lambda config, data: world_of(data), fit, load,
    lambda network, config: Model(network, config, World(samples=16)), lambda config: SPACE, of_codes(decode), NoSettings,
    encode=Encode(NoSettings, items, encoder),
)  # fmt: skip
