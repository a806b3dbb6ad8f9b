"""Latents => scenes: a fitted generator read from its file, the styles that it draws, the Gaussians that they stand for.

What a scene shows depends a little on a camera: the mapping sees it, and colours see where it looks. `conditioned` gives the
cameras; without it, it is the default camera of the data. Codes are w+ [S, W]; a drawn one is w, S times.

Letters: B samples, S copies of a style, W its numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from g3d import config
from g3d.cameras import camera_conditioning
from g3d.config import setting
from g3d.errors import G3dError
from g3d.latents import LatentSpace
from g3d.methods.gsgan.config import CHILDREN, PAPER, Config
from g3d.methods.gsgan.hierarchy import Level
from g3d.methods.gsgan.networks import Generator, Levels, all_of
from g3d.scenes.scene import Gaussians, World
from g3d.seeds import latents
from g3d.storage import artifacts
from g3d.training.checkpoint import load_module

INSIDE = 1.0  # the foreground lies in [-1, 1]^3


@dataclass(frozen=True)
class SampleSettings:
    """What --set may change when latents are drawn."""

    truncation: float = setting(1.0, "psi: how far w keeps from the mean w; 1 all of it, 0 none", low=-10, high=10)


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from codes."""

    anchors: bool = setting(False, "the anchors of all levels instead of the Gaussians that are drawn (figure 14)")


@dataclass(frozen=True)
class Model:
    """A fitted generator, the world that its scenes live in, and the cameras [1 or B, 25] that it is conditioned on."""

    network: Generator
    config: Config
    world: World
    condition: Tensor = field(default_factory=lambda: torch.zeros(1, 25))


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    net = Generator(settings)
    load_module(net, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    if world.camera_prior is None:
        raise G3dError(f"'{file.path}' records no cameras, which a model of gsgan has; fit or import it again")
    model = Model(net.to(device).eval(), settings, world)
    return conditioned(model, camera_conditioning(world.camera_prior.default()))


def unfitted(net: Generator, settings: Config) -> Model:
    """A model without data, for `profile`."""
    return Model(net, settings, World(), torch.eye(4).flatten().repeat(1, 2)[:, :25].to(net.points))


def conditioned(model: Model, cameras: Tensor) -> Model:
    """The model as it draws and decodes for cameras [1 or B, 25]: one for all samples, or one for each."""
    return replace(model, condition=cameras.to(model.network.points))


def latent_space(settings: Config) -> LatentSpace:
    """What codes of a model look like: w+, in which straight lines stay among the likely."""
    return LatentSpace.codes("w+", settings.copies, settings.w_dim)


def described(settings: Config, world: World) -> dict[str, Any]:
    """The metadata of a model file."""
    return {
        "method": "gsgan", "paper": PAPER, "settings": config.as_json(settings), "latent_space": latent_space(settings).as_json(),
        "world": world.as_json(),
    }  # fmt: skip


@torch.no_grad()
def draw(model: Model, indices: Sequence[int], seed: int, settings: SampleSettings) -> Tensor:
    """Codes [n, S, W] of samples; number i depends on (seed, i) and its camera alone."""
    z = latents(indices, seed, model.config.z_dim, "sample").to(model.condition)
    mapping = model.network.mapping
    w = mapping.truncate(mapping(z, model.condition.expand(len(z), -1)), settings.truncation)
    return model.network.styles(w).contiguous()


@torch.no_grad()
def decode(model: Model, codes: Tensor, settings: DecodeSettings | None = None) -> Gaussians:
    """Codes w+ [B, S, W] => B scenes, baked at the cameras that the model is conditioned on."""
    cameras, world = model.condition.expand(len(codes), -1), model.world
    if len(model.condition) == 1:
        world = replace(world, condition_camera=tuple(model.condition[0].tolist()))
    return scene_of(model.network(codes, cameras), world, anchors=settings is not None and settings.anchors)


def scene_of(levels: Levels, world: World, anchors: bool = False) -> Gaussians:
    """Levels => scenes, coarse to fine, then the background; what lies outside of [-1, 1]^3 is moved to its border."""
    chosen = levels.anchors if anchors else levels.gaussians
    if not chosen:
        raise G3dError("the model has no anchors (it was fitted with anchors=false); leave anchors out")
    front = all_of(chosen)
    front = front._replace(means=front.means.clamp(-INSIDE, INSIDE))
    numbers = [torch.full((part.means.shape[1],), i) for i, part in enumerate(chosen)]
    backdrop = [] if anchors else levels.background
    behind = [torch.full((part.means.shape[1],), i) for i, part in enumerate(backdrop)]
    whole: Level = all_of([front, *backdrop])
    count, device = len(whole.means), whole.means.device
    level = torch.cat([*numbers, *behind]).to(torch.uint8)
    flag = torch.zeros_like(level)
    flag[front.means.shape[1] :] = 1
    return Gaussians(
        whole.means, whole.log_scales, whole.quats, whole.logits.squeeze(-1), whole.colours.unsqueeze(2), world,
        level.to(device).expand(count, -1), flag.to(device).expand(count, -1),
    )  # fmt: skip


def counts(settings: Config) -> Mapping[str, float]:
    """For `profile`: how many Gaussians a scene has."""
    foreground = sum(settings.points * CHILDREN**i for i in range(settings.levels))
    return {
        "gaussians": foreground,
        "background_gaussians": (1 + CHILDREN) * settings.background_points * settings.background,
    }
