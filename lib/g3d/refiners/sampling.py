"""A fitted refiner and its pictures: denoising from noise that belongs to the seed and to the picture's name, so that a picture
does not change with those beside it (by rounding alone, with the size of the batch).

Letters: N pictures, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g3d import config as configs
from g3d.errors import G3dError
from g3d.nets.unet import UNet
from g3d.refiners.config import Config, SampleSettings
from g3d.refiners.pairs import U8, signed, unsigned
from g3d.refiners.training import build
from g3d.seeds import Noise
from g3d.storage import artifacts
from g3d.training import checkpoint, diffusion

_LARGER = 64


@dataclass(frozen=True)
class Loaded:
    """A fitted refiner, ready."""

    config: Config
    network: UNet
    schedule: diffusion.Schedule
    width: int  # of the pictures that it was fitted to
    height: int
    scale: float | None = None  # of the change to the coarse picture, where noise was added to that


def load(file: artifacts.Artifact, device: torch.device) -> Loaded:
    """Read a refiner from its file."""
    size = file.config["pictures"]
    if not isinstance(size, dict) or not all(isinstance(size.get(key), int) for key in ("width", "height")):
        raise G3dError(
            f"'{file.path}' (refiner): its metadata 'pictures' says no width and height; fit the refiner again"
        )
    if file.config["kind"] != "diffusion":
        raise G3dError(
            f"'{file.path}' is a refiner of the kind '{file.config['kind']}', which is unknown here; known: diffusion"
        )
    scale = size.get("change_std")
    fitted = configs.from_json(Config, file.config["settings"], f"the refiner '{file.path}'")
    if (fitted.noised == "change") != (isinstance(scale, float) and 0 < scale < 2.1):
        raise G3dError(
            f"'{file.path}' (refiner): its change_std is {scale} with noised={fitted.noised}; fit the refiner again"
        )
    network = build(fitted, 0)
    checkpoint.load_module(network, checkpoint.unpack("network", file.values), str(file.path))
    schedule = diffusion.linear_schedule(fitted.time_steps).to(device)
    return Loaded(fitted, network.to(device).eval(), schedule, int(size["width"]), int(size["height"]), scale)


def refuse_larger(loaded: Loaded, name: str, width: int, height: int) -> None:
    """Refuse a picture so much larger than those fitted that the network knows nothing of it and its values fill the memory."""
    if width * height > _LARGER * loaded.width * loaded.height:
        raise G3dError(
            f"the picture '{name}' has {width}x{height} pixels, but the refiner was fitted to {loaded.width}x{loaded.height}; "
            f"give pictures of at most {_LARGER} times as many pixels"
        )


@torch.no_grad()
def refine(loaded: Loaded, coarse: U8, names: Sequence[str], seed: int, settings: SampleSettings) -> U8:
    """[N, H, W, 3] coarse => refined; picture i depends on (seed, names[i]) and itself. Refuses what is not finite, and
    pictures that `refuse_larger` refuses."""
    refuse_larger(loaded, names[0], coarse.shape[2], coarse.shape[1])
    device = loaded.schedule.alpha_bar.device
    condition = signed(coarse).to(device)  # [N, 3, H, W]
    wanted = loaded.config.ddim_steps if settings.ddim_steps is None else settings.ddim_steps
    steps = min(wanted, loaded.config.time_steps)
    noise = Noise(seed, list(names), "refine", condition.shape[1:], block=1)
    base, scale = (condition, loaded.scale) if loaded.scale else (torch.zeros_like(condition), 1.0)
    within = ((-1 - base) / scale, (1 - base) / scale) if settings.clip else None  # black and white

    def predict(x: Tensor, t: Tensor) -> Tensor:
        told = loaded.network(torch.cat([x.float(), condition], dim=1), t)
        return noise_of(loaded.config, loaded.schedule, told, x, t)

    if steps:
        x = diffusion.sample_ddim(predict, loaded.schedule, noise, steps, within)
    else:
        x = diffusion.sample_ddpm(predict, loaded.schedule, noise, within)
    refined = base + scale * x
    odd = [name for name, one in zip(names, refined, strict=True) if not bool(one.isfinite().all())]
    if odd:
        raise G3dError(
            f"the refined picture '{odd[0]}' holds NaN or infinity: the refiner's weights overflow; fit it again"
        )
    found = unsigned(refined)
    if not settings.least_change:
        return found
    return np.where(
        np.abs(found.astype(np.int16) - coarse).max(axis=3, keepdims=True) > settings.least_change, found, coarse
    )


def noise_of(config: Config, schedule: diffusion.Schedule, told: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """What the network tells => the noise in x [N, 3, H, W] at t [N]."""
    ab = schedule.alpha_bar[t].view(-1, 1, 1, 1)
    match config.predict:
        case "epsilon":
            return told
        case "x0":
            return (x - ab.sqrt() * told) / (1 - ab).sqrt()
        case "v":
            return ab.sqrt() * told + (1 - ab).sqrt() * x
