"""The loss of stage 1 (eq. 4) without its adversarial terms: of each picture, with the figures that the log shows.

Letters: B pictures, H side, R rays.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.losses import alignment
from g3d.losses import rays as ray_losses
from g3d.losses.laplace import logit_laplace
from g3d.losses.lpips import load_lpips
from g3d.losses.perceptual import perceptual_distance
from g3d.methods.vq3d.batches import Batch
from g3d.methods.vq3d.config import Config
from g3d.methods.vq3d.quantiser import Quantised
from g3d.methods.vq3d.views import Seen
from g3d.nets import efficientnet
from g3d.render import volume

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Pictures [B, 3, H, H] in [0, 1], twice => their distances [B]."""


class Terms(NamedTuple):
    """The weighted sum [B], and the plain terms by name [B], of which the log shows the means."""

    total: Tensor
    shown: dict[str, Tensor]


def terms(
    config: Config, batch: Batch, found: Quantised, view: Seen, pixels: Tensor | None, perceptual: Perceptual | None
) -> Terms:
    """What a reconstruction from the canonical camera costs; `pixels` [R] where not all rays were followed."""
    wanted = batch.pictures.flatten(2).transpose(1, 2)  # [B, H H, 3]
    depth = batch.disparity
    if pixels is not None:
        wanted, depth = wanted[:, pixels], depth[:, pixels]
    mse = (view.rgb - wanted).square().mean(dim=(1, 2))
    shown = {"mse": mse, "vq": found.loss}
    total = config.mse_weight * mse + config.vq_weight * found.loss
    if config.laplace_weight:
        shown["laplace"] = logit_laplace(view.rgb, wanted).mean(dim=(1, 2))
        total = total + config.laplace_weight * shown["laplace"]
    if perceptual is not None:
        assert pixels is None  # it looks at whole pictures
        shown["perceptual"] = perceptual(picture_of(view.rgb), batch.pictures)
        total = total + config.perceptual_weight * shown["perceptual"]
    if config.depth_weight or config.scale_weight:
        align = alignment.accumulated if config.depth_loss == "accumulated" else alignment.pointwise
        fit = align(view.weights, view.disparities, depth)
        scale = (
            fit.scale
            if config.depth_loss == "pointwise"
            else alignment.pointwise(view.weights, view.disparities, depth).scale
        )
        shown |= {
            "depth": fit.residual, "disparity_scale": scale, "scale": alignment.scale_loss(fit.scale, config.small_scale),
            "disparity_accuracy": alignment.accuracy(view.disparity, depth).detach(),
        }  # fmt: skip
        total = total + config.depth_weight * fit.residual + config.scale_weight * shown["scale"]
    return Terms(total + _of_rays(config, view, shown), shown)


def _of_rays(config: Config, view: Seen, shown: dict[str, Tensor]) -> Tensor:
    """Distortion and interlevel loss of mip-NeRF 360 [B]."""
    found = view.rays
    near, far = (
        torch.full(found.alpha.shape, z, device=found.alpha.device) for z in (config.near_world, config.far_world)
    )

    def places(t: Tensor) -> Tensor:
        return volume.normalised(t, near, far, "disparity")

    total = torch.zeros(len(found.alpha), device=found.alpha.device)
    edges = places(found.t_edges)
    if config.distortion_weight:
        shown["distortion"] = ray_losses.distortion(found.weights, edges).mean(dim=1)
        total = total + config.distortion_weight * shown["distortion"]
    if config.interlevel_weight and found.rounds:
        missed = [
            ray_losses.interlevel(found.weights, edges, r.weights, places(r.t_edges)).mean(dim=1) for r in found.rounds
        ]
        shown["interlevel"] = torch.stack(missed).sum(dim=0)
        total = total + config.interlevel_weight * shown["interlevel"]
    return total


def picture_of(rays: Tensor) -> Tensor:
    """All rays [B, H H, C] => pictures [B, C, H, H]."""
    side = round(rays.shape[1] ** 0.5)
    picture: Tensor = rays.transpose(1, 2).unflatten(2, (side, side))
    return picture


def perceptual_of(config: Config, device: torch.device) -> Perceptual | None:
    """The perceptual distance of the settings; None where it has no weight."""
    if not config.perceptual_weight:
        return None
    if config.perceptual == "lpips":
        lpips = load_lpips(Path(config.perceptual_file)).to(device)
        return lambda a, b: lpips(a, b)
    network = efficientnet.load(device)
    return lambda a, b: perceptual_distance(a, b, network)


def psnr_db(mse: Tensor) -> Tensor:
    """Of a mean squared error, dB."""
    return -10 * torch.log10(mse.clamp(min=1e-12))
