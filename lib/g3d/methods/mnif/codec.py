"""Codes => scenes: a fitted model read from its file, and the SIRENs that it writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from g3d import artifacts, config
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import MixtureOfSirens, code_size, network
from g3d.scene import MlpField, World
from g3d.training.checkpoint import load_module

SIGNALS: dict[str, Literal["radiance", "occupancy", "image"]] = {
    "image": "image",
    "voxel": "occupancy",
    "radiance": "radiance",
}


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from codes: nothing, for this method."""


@dataclass(frozen=True)
class Model:
    """A fitted mixture and the world that its scenes live in."""

    network: MixtureOfSirens
    config: Config
    world: World


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    mixture = MixtureOfSirens(settings)
    load_module(mixture, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    return Model(mixture.to(device).eval(), settings, world)


def latent_space(settings: Config) -> Mapping[str, Any]:
    """What codes of a model look like."""
    return {"space": "phi", "shape": [code_size(settings)]}


@torch.no_grad()
def decode(model: Model, codes: Tensor, settings: DecodeSettings | None = None) -> MlpField:
    """Codes [B, D] => B scenes."""
    return field(model.config, model.network(codes), model.world, drawn=True)


def field(settings: Config, weights: Mapping[str, tuple[Tensor, Tensor]], world: World, drawn: bool) -> MlpField:
    """The scenes of mixed weights; `drawn` clamps colours."""
    return MlpField(weights, network(settings, drawn), world, SIGNALS[settings.signal])


def unfitted(network: MixtureOfSirens, settings: Config) -> Model:
    """A model without data, for `profile`: a unit box, the samples of its settings."""
    return Model(network, settings, World(samples=settings.points_per_ray))
