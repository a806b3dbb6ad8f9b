"""What stage 1 learns from: the losses of section 3.5 and of the supplement's section 11, of a batch of pairs.

Letters: B pairs, P pictures of a pair, N rays of a picture, M points of a ray, H rows, W columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from g3d.losses import paired
from g3d.methods.infamous_nerf import rays, surface
from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.field import Codes
from g3d.render import volume
from g3d.scenes.scene import MlpField, World, query


class Frame(NamedTuple):
    """What all pictures have in common."""

    world: World
    height: int
    width: int


class Cost(NamedTuple):
    """Of B pairs: what is minimised [B], its parts by name [B], and the L1 distance of each ray [B, P, N] (eq. 10, a ray)."""

    total: Tensor
    parts: dict[str, Tensor]
    by_ray: Tensor


class Drawn(NamedTuple):
    """Rays as a scene shows them, and its colours at their surface points [B, P N, 3]."""

    rays: volume.Rays
    surface_rgb: Tensor
    surface_t: Tensor  # [B, P N] camera z


def draw(scene: MlpField, cast: rays.Cast3D, world: World, jitter: Tensor) -> Drawn:
    """Rays of B scenes, M points each (eq. 3)."""
    colours = []

    def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        rgb, density = query(scene, points, directions)
        colours.append(rgb)
        return rgb, density

    background = torch.tensor(world.background, device=jitter.device)
    found = volume.render_rays(
        ask,
        cast.origins,
        cast.directions,
        cast.near,
        cast.far,
        volume.Sampling(jitter.shape[-1]),
        background,
        jitter=jitter,
    )
    at = found.weights.argmax(dim=-1, keepdim=True)  # eq. 5
    rgb = colours[0].view(*found.weights.shape, 3).gather(2, at.unsqueeze(-1).expand(-1, -1, -1, 3)).squeeze(2)
    return Drawn(found, rgb, found.t.gather(-1, at).squeeze(-1))


def cost(config: Config, scene: MlpField, codes: Codes, batch: rays.Batch, frame: Frame) -> Cost:
    """Eq. 15 of each pair. Losses of pictures are means over the P pictures."""
    pictures, count = batch.pixels.shape[1:]
    cast = rays.through(batch, frame.world, frame.width)
    drawn = draw(scene, cast, frame.world, batch.jitter)
    difference = drawn.rays.rgb - cast.true
    by_ray = difference.abs().mean(dim=-1)  # [B, P N]
    parts = {"recon": by_ray.mean(dim=1), "mse": difference.square().mean(dim=(1, 2))}
    total = config.recon_weight * parts["recon"] + config.mse_weight * parts["mse"]
    if config.dssim_weight or config.gradient_weight:
        true = _as_pictures(batch.pictures, frame)  # [B P, 3, H, W]
        put = _as_pictures(put_in(batch.pictures, batch.pixels, drawn.rays.rgb.view(*batch.pixels.shape, 3)), frame)
        if config.dssim_weight:
            parts["dssim"] = paired.dssim(put, true, "reflect").view(-1, pictures).mean(dim=1)  # eq. 11
            total = total + config.dssim_weight * parts["dssim"]
        if config.gradient_weight:
            parts["gradient"] = paired.gradient_loss(put, true, count).view(-1, pictures).mean(dim=1)  # eq. 12
            total = total + config.gradient_weight * parts["gradient"]
    if config.surface_weight:
        parts["surface"] = surface_loss(config, drawn, cast, batch, frame)
        total = total + config.surface_weight * parts["surface"]
    if config.code_decay:
        parts["decay"] = torch.cat(codes[1:], dim=1).square().mean(dim=1)
        total = total + config.code_decay * parts["decay"]
    return Cost(total, parts, by_ray.detach().view(batch.pixels.shape))


def surface_loss(config: Config, drawn: Drawn, cast: rays.Cast3D, batch: rays.Batch, frame: Frame) -> Tensor:
    """L_sur of each pair [B]: eq. 13, or without its 1/(6N) eq. 6."""
    count = batch.pixels.shape[2]
    points = (cast.origins + cast.directions * drawn.surface_t.unsqueeze(-1)).detach()
    counts = (cast.far > cast.near).float()
    if config.surface == "checked":
        counts = counts * (drawn.rays.alpha.detach() > surface.LEAST_ALPHA)
    shape = (len(batch.pixels), frame.height, frame.width)
    total = torch.zeros(len(batch.pixels), device=points.device)
    for mine, other in ((0, 1), (1, 0)):
        some = slice(mine * count, (mine + 1) * count)
        depth = None if batch.depth_world is None else batch.depth_world[:, other].view(shape)
        seen_by = surface.View(
            batch.pictures[:, other].view(*shape, 3), batch.c2w[:, other], batch.intrinsics[:, other], depth
        )
        found = surface.correspondence(points[:, some], seen_by)
        total = total + surface.loss(drawn.surface_rgb[:, some], cast.true[:, some], found, counts[:, some])
    return total if config.surface_sum else total / (6 * count)


def put_in(pictures: Tensor, pixels: Tensor, colours: Tensor) -> Tensor:
    """[B, P, H W, 3] with predicted colours [B, P, N, 3] at flat pixels [B, P, N]; the mean where one was drawn twice."""
    flat, at, new = pictures.flatten(0, 1), pixels.flatten(0, 1), colours.flatten(0, 1)
    index = at.unsqueeze(-1).expand(-1, -1, 3)
    sums = torch.zeros_like(flat).scatter_add(1, index, new)
    times = torch.zeros_like(flat[..., 0]).scatter_add(1, at, torch.ones_like(new[..., 0])).unsqueeze(-1)
    found: Tensor = torch.where(times > 0, sums / times.clamp(min=1), flat).view_as(pictures)
    return found


def _as_pictures(flat: Tensor, frame: Frame) -> Tensor:
    """[B, P, H W, 3] => [B P, 3, H, W]"""
    found: Tensor = flat.flatten(0, 1).transpose(1, 2).unflatten(2, (frame.height, frame.width))
    return found
