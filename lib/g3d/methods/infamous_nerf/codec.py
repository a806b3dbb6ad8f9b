"""Latents => scenes: a fitted model read from its file, and the named fields that its latents are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from g3d import config
from g3d.latents import Latents, LatentSpace, Part
from g3d.methods.infamous_nerf import field
from g3d.methods.infamous_nerf.config import PAPER, Config
from g3d.methods.infamous_nerf.layers import APPEARANCE, MODULATION, SHAPE, count
from g3d.methods.infamous_nerf.networks import FaceModel, code_sizes
from g3d.scenes.scene import MlpField, World
from g3d.storage import artifacts
from g3d.training.checkpoint import load_module


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from latents: nothing."""


@dataclass(frozen=True)
class Model:
    """A fitted model and the world that its scenes live in."""

    network: FaceModel
    config: Config
    world: World


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    network = FaceModel(settings)
    load_module(network, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    return Model(network.to(device).eval(), settings, world)


def unfitted(network: FaceModel, settings: Config) -> Model:
    """A model without data, for `profile`: a unit box, the points of its settings."""
    return Model(network, settings, World(samples=settings.points))


def latent_space(settings: Config) -> LatentSpace:
    """Named fields: theta twice, so that appearance and shape can come from different subjects; alpha, beta, epsilon."""
    sizes = code_sizes(settings)
    parts = {f"fields.{name}": Part((sizes[name.split("_")[0]],)) for name in field.FIELDS}
    return LatentSpace("faces", parts)


def codes_of(latents: Latents) -> field.Codes:
    """The named fields as the codes of scenes."""
    return field.Codes(*(latents.tensors[f"fields.{name}"] for name in field.FIELDS))


def described(settings: Config, world: World, expressions: Sequence[str] = ()) -> dict[str, Any]:
    """The metadata of a model file."""
    return {
        "method": "infamous-nerf", "paper": PAPER, "settings": config.as_json(settings),
        "latent_space": latent_space(settings).as_json(), "world": world.as_json(),
        "expressions": list(expressions),
    }  # fmt: skip


@torch.no_grad()
def decode(model: Model, latents: Latents, settings: DecodeSettings) -> MlpField:
    """B latents => B scenes."""
    return field.scene(model.network, codes_of(latents), model.world)


def counts(settings: Config) -> dict[str, float]:
    """Parameters of the fields that the hypernetwork writes."""
    return {
        "appearance_parameters": count(settings, APPEARANCE),
        "shape_parameters": count(settings, (*MODULATION, *SHAPE)),
    }
