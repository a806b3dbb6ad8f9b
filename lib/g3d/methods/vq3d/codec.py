"""Pictures => tokens => scenes: a fitted autoencoder read from its file.

Letters: S pictures, T tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from g3d import config
from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.latents import Latents, LatentSpace, Part
from g3d.methods.contract import Encoded
from g3d.methods.vq3d import views
from g3d.methods.vq3d.config import PAPER, Config
from g3d.methods.vq3d.networks import Autoencoder
from g3d.scenes.scene import Scene, World
from g3d.storage import artifacts
from g3d.training.checkpoint import load_module


@dataclass(frozen=True)
class EncodeSettings:
    """What --set may change for encode, which is one pass of the encoder."""

    mirror: bool = config.setting(False, "of the mirrored pictures: more to fit a prior to")
    measure: bool = config.setting(False, "draw every reconstruction, too, and say its error: ten times the work")


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from tokens: nothing."""


@dataclass(frozen=True)
class Model:
    """A fitted autoencoder and the world that its scenes live in."""

    network: Autoencoder
    config: Config
    world: World


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    network = Autoencoder(settings)
    load_module(network, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    return Model(network.to(device).eval(), settings, world)


def unfitted(network: Autoencoder, settings: Config) -> Model:
    """A model without data, for `profile`."""
    return Model(network, settings, views.world_of(settings, (0.0, 0.0, 0.0)))


def latent_space(settings: Config) -> LatentSpace:
    """T tokens of K."""
    return LatentSpace("tokens", {"tokens": Part((settings.tokens,), settings.codes)})


def described(settings: Config, world: World) -> dict[str, Any]:
    """The metadata of a model file."""
    return {
        "method": "vq3d", "paper": PAPER, "settings": config.as_json(settings),
        "latent_space": latent_space(settings).as_json(), "world": world.as_json(),
    }  # fmt: skip


def items(model: Model, dataset: Dataset, split: str) -> list[Item]:
    """An item is a picture; `test` are those of test objects, and test views of training objects."""
    height, width, side = int(dataset.info["height"]), int(dataset.info["width"]), model.config.resolution
    if (height, width) != (side, side):
        raise G3dError(
            f"the pictures of '{dataset.path}' have {width} x {height} pixels, the model draws {side} x {side}; prepare them "
            f"with --size {side}"
        )
    return dataset.view_items(split)


def encoder(
    model: Model, dataset: Dataset, chosen: Sequence[Item], settings: EncodeSettings, seed: int
) -> Callable[[Sequence[int]], Encoded]:
    """A function from places in `chosen` to their tokens [S, T], and where it is wanted the error of the reconstructions."""
    network = model.network
    device = network.quantiser.codes.device

    @torch.no_grad()
    def encode(places: Sequence[int]) -> Encoded:
        found = dataset.pictures([chosen[place].number for place in places])
        pictures = torch.from_numpy(found).permute(0, 3, 1, 2).to(device).float() / 255
        pictures = pictures.flip(3) if settings.mirror else pictures
        tokens = network.quantiser(network.encode(pictures)).tokens
        if not settings.measure:
            return Encoded({"tokens": tokens})
        errors = [_error(model, tokens[i : i + 1], pictures[i]) for i in range(len(tokens))]
        return Encoded({"tokens": tokens}, torch.stack(errors))

    return encode


def _error(model: Model, tokens: Tensor, picture: Tensor) -> Tensor:
    """Mean squared error of one reconstruction; `picture` [3, H, H]."""
    cameras = views.canonical(model.config).to(picture.device)
    scene = model.network.scene(model.network.decode(model.network.quantiser.lookup(tokens)), model.world)
    rgb = views.seen(scene, cameras, model.config).rgb[0].clamp(0, 1)
    return (rgb - picture.flatten(1).T).square().mean()


@torch.no_grad()
def decode(model: Model, latents: Latents, settings: DecodeSettings) -> Scene:
    """Tokens [B, T] => B scenes."""
    codes = model.network.quantiser.lookup(latents.tensors["tokens"])
    return model.network.scene(model.network.decode(codes), model.world)
