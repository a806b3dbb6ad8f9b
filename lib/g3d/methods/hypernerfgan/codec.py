"""Latents => scenes: a fitted generator read from its file, the styles that it draws, the fields that they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from g3d import config
from g3d.config import setting
from g3d.latents import Latents, LatentSpace
from g3d.methods.hypernerfgan.config import PAPER, Config
from g3d.methods.hypernerfgan.networks import Generator, generated_numbers, network
from g3d.scenes.scene import MlpField, World
from g3d.seeds import latents
from g3d.storage import artifacts
from g3d.training.checkpoint import load_module


@dataclass(frozen=True)
class SampleSettings:
    """What --set may change when latents are drawn."""

    truncation: float = setting(1.0, "psi: how far w keeps from the mean w; 1 all of it, 0 none", low=-10, high=10)
    space: Literal["w", "z"] = setting(
        "w", "what --latents keeps: styles w (ours), or the noise z, between which the report interpolates (eq. 11)"
    )

    def __post_init__(self) -> None:
        if self.space == "z" and self.truncation != 1:
            raise ValueError(
                f"truncation is {self.truncation:g}, which draws w toward its mean, but space=z keeps what comes before w; leave "
                "one of them out"
            )


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from codes: nothing, for this method."""


@dataclass(frozen=True)
class Model:
    """A fitted generator and the world that its scenes live in."""

    network: Generator
    config: Config
    world: World


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    net = Generator(settings)
    load_module(net, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    return Model(net.to(device).eval(), settings, world)


def latent_space(settings: Config) -> LatentSpace:
    """What codes of a model look like: w, in which straight lines stay among the likely."""
    return LatentSpace.codes("w", settings.w_dim)


def described(settings: Config, world: World) -> dict[str, Any]:
    """The metadata of a model file."""
    return {
        "method": "hypernerfgan", "paper": PAPER, "settings": config.as_json(settings),
        "latent_space": latent_space(settings).as_json(), "world": world.as_json(),
    }  # fmt: skip


def space_drawn(settings: Config, how: SampleSettings) -> LatentSpace:
    """The space of what `draw` gives."""
    return noise_space(settings) if how.space == "z" else latent_space(settings)


def noise_space(settings: Config) -> LatentSpace:
    """z, before the mapping."""
    return LatentSpace.codes("z", settings.z_dim)


@torch.no_grad()
def draw(model: Model, indices: Sequence[int], seed: int, settings: SampleSettings) -> Tensor:
    """Codes [n, W] of samples, or their z [n, Z]; number i depends on (seed, i) alone."""
    z = latents(indices, seed, model.config.z_dim, "sample").to(model.network.mapping.w_mean.device)
    if settings.space == "z":
        return z
    mapping = model.network.mapping
    return mapping.truncate(mapping(z), settings.truncation)


def drawn(model: Model, numbers: Sequence[int], seed: int, settings: SampleSettings) -> Latents:
    """Latents of samples, named by their numbers."""
    codes = draw(model, numbers, seed, settings)
    return Latents(space_drawn(model.config, settings), {"codes": codes}, [f"{number:06d}" for number in numbers])


@torch.no_grad()
def decode_latents(model: Model, found: Latents, settings: DecodeSettings) -> MlpField:
    """B latents, w or z, => B scenes."""
    codes = model.network.mapping(found.codes) if found.space.name == "z" else found.codes
    return decode(model, codes, settings)


@torch.no_grad()
def decode(model: Model, codes: Tensor, settings: DecodeSettings | None = None) -> MlpField:
    """Codes w [B, W] => B scenes."""
    return MlpField(model.network.weights(codes), network(model.config), model.world, "radiance")


def unfitted(net: Generator, settings: Config) -> Model:
    """A model without data, for `profile`: the shell of its settings seen whole, the samples of its settings."""
    reach = settings.far_world  # no ray between near and far leaves this box
    bounds = ((-reach,) * 3, (reach,) * 3)
    world = World(
        bounds=(bounds[0][:3], bounds[1][:3]), near_world=settings.near_world, far_world=settings.far_world,
        samples=settings.n_samples, opaque_end=settings.opaque_end,
    )  # fmt: skip
    return Model(net, settings, world)


def counts(settings: Config) -> Mapping[str, float]:
    """For `profile`: how many numbers the generated factors have, and how many times more the whole weights (eq. 5)."""
    factors, whole = generated_numbers(settings)
    layer = round(settings.width / (2 * settings.rank), 2)
    return {
        "generated_numbers": factors, "whole_weights": whole, "saving": round(whole / factors, 2), "hidden_layer_saving": layer,
    }  # fmt: skip
