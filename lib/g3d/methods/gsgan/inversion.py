"""Pictures => styles that a generator draws them by: w or w+ by optimisation (A.4; Abdal et al. 2019), at given cameras or at
cameras that are found with them; and the generator tuned to pictures around their styles (pivotal tuning, Roich et al. 2021).

Letters: S items, V views of each, C copies of a style, W its numbers, K candidates of a camera.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.cameras import CameraPrior, Cameras, camera_conditioning
from g3d.config import setting
from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.latents import Latents
from g3d.losses.lpips import load_lpips
from g3d.losses.paired import WINDOW_PX, dssim
from g3d.losses.perceptual import LEAST_PX, perceptual_distance
from g3d.methods.contract import Encoded, Tuned
from g3d.methods.gsgan.codec import Model, described, scene_of
from g3d.methods.gsgan.networks import Generator
from g3d.nets import efficientnet
from g3d.render.splat import rasterize
from g3d.training import schedules

_SCALES = 3  # of the L1, each half of the one before
_GRID = (3, 12)  # elevations by azimuths of the cameras that are tried first, over a full turn
_BETAS = (0.9, 0.999)
Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class EncodeSettings:
    """What --set may change for encode."""

    space: Literal["w+", "w"] = setting("w+", "a style for each block, or one for all")
    camera: Literal["auto", "given", "found"] = setting(
        "auto", "cameras of the data, or found; auto: given where there are any"
    )
    views: int = setting(1, "views of an object that are looked at, the first ones", low=1)
    steps: int = setting(300, "of the optimisation", low=1)
    lr: float = setting(0.05, "Adam, styles", low=0)
    camera_lr: float = setting(0.02, "Adam, angles of cameras, radians", low=0)
    near_mean: float = setting(0.002, "weight of the mean squared distance of styles from the mean style", low=0)
    perceptual: float = setting(
        0.03,
        "weight of the distance in EfficientNet's features, beside L1 at three scales and SSIM; 0: these alone",
        low=0,
    )
    lpips: str = setting("", "a file of LPIPS weights: compare by LPIPS and L1 instead of all these")
    tune_steps: int = setting(200, "of pivotal tuning, for --tuned-model", low=1)
    tune_lr: float = setting(5e-4, "Adam, the generator, for --tuned-model", low=0)


def encode_note(model: Model, dataset: Dataset, settings: EncodeSettings) -> str:
    """What `encode` says of how pictures are compared."""
    if settings.lpips:
        return f"pictures are compared by LPIPS of '{settings.lpips}' and L1"
    if not settings.perceptual:
        return "pictures are compared by L1 at three scales and SSIM; for LPIPS give --set lpips=FILE"
    more = f"{settings.perceptual:g} times EfficientNet's features"
    return f"pictures are compared by L1 at three scales, SSIM and {more}; for LPIPS give --set lpips=FILE"


def items(model: Model, dataset: Dataset, split: str) -> list[Item]:
    """An item is an object: a photo is one of a single view. Refuses pictures of another shape than the model's."""
    height, width = int(dataset.info["height"]), int(dataset.info["width"])
    side = model.config.resolution
    if (height, width) != (side, side):
        raise G3dError(
            f"the pictures of '{dataset.path}' have {width} x {height} pixels, the model draws {side} x {side}; prepare them "
            f"with --size {side}"
        )
    names = dataset.object_names
    chosen = range(len(names)) if split == "all" else dataset.objects(split)
    return [Item(names[i], i) for i in chosen if len(dataset.views(i))]


def encoder(
    model: Model, dataset: Dataset, chosen: Sequence[Item], settings: EncodeSettings | None = None, seed: int = 0
) -> Callable[[Sequence[int]], Encoded]:
    """A function from places in `chosen` to their codes w+ [S, C, W], the mean squared error [S] with them, and the cameras
    [S, 25] that scenes are baked at. The generator stays as it is."""
    how = settings or EncodeSettings()
    given = _given(how, dataset)
    distance = _distance(how, model.network.points.device)

    def encode(places: Sequence[int]) -> Encoded:
        parts = [_inverted(model, *_views(dataset, chosen[p], how, given, model), how, distance) for p in places]
        codes, errors, cameras = (torch.stack(part) for part in zip(*parts, strict=True))
        return Encoded({"codes": codes}, errors, cameras)

    return encode


def tuned(
    model: Model,
    dataset: Dataset,
    chosen: Sequence[Item],
    latents: Latents,
    settings: EncodeSettings,
) -> Tuned:
    """Pivotal tuning: the generator moved until it draws all items by their codes [S, C, W], which stay; its tensors, the
    metadata of its file, and the mean squared error. Where cameras were found they stay as well [S, 25]."""
    codes, cameras = latents.codes, latents.condition_camera
    assert cameras is not None  # `encoder` gives them
    given, device = _given(settings, dataset), model.network.points.device
    distance = _distance(settings, device)
    net = Generator(model.config).to(device)
    net.load_state_dict(model.network.state_dict())
    moved = [p for name, p in net.named_parameters() if not name.startswith(("mapping.", "unread."))]
    optimiser = torch.optim.Adam([{"params": moved, "lr": settings.tune_lr, "base_lr": settings.tune_lr}], betas=_BETAS)
    sets = [_views(dataset, item, settings, given, model) for item in chosen]
    views = [
        (pictures, known if known is not None else cameras_of(cameras[i : i + 1].to(device), model.config.resolution))
        for i, (pictures, known) in enumerate(sets)
    ]
    here, error = replace(model, network=net), 0.0
    for step in range(settings.tune_steps):
        i = step % len(views)
        pictures, seen = views[i]
        drawn = _drawn(here, codes[i : i + 1].to(device), seen)
        optimiser.zero_grad(set_to_none=True)
        distance(drawn, pictures).mean().backward()
        schedules.set_lr(optimiser, schedules.cosine(step, settings.tune_steps))
        optimiser.step()
    with torch.no_grad():
        for i, (pictures, seen) in enumerate(views):
            error += float((_drawn(here, codes[i : i + 1].to(device), seen) - pictures).square().mean()) / len(views)
    about = described(model.config, replace(model.world, condition_camera=None))
    return Tuned(net.state_dict(), {**about, "tuned": {"items": [item.name for item in chosen]}}, error)


def _inverted(
    model: Model, pictures: Tensor, known: Cameras | None, how: EncodeSettings, distance: Distance
) -> tuple[Tensor, Tensor, Tensor]:
    """One item: codes [C, W], mean squared error [], camera [25]. `pictures` [V, 3, H, W] in [0, 1]."""
    net, side = model.network, model.config.resolution
    mean = net.mapping.w_mean
    copies = model.config.copies if how.space == "w+" else 1
    w = mean.repeat(1, copies, 1).requires_grad_()
    groups = [{"params": [w], "lr": how.lr, "base_lr": how.lr}]
    angles = None
    if known is None:
        assert model.world.camera_prior is not None
        angles = _best_start(model, pictures, distance).requires_grad_()
        groups.append({"params": [angles], "lr": how.camera_lr, "base_lr": how.camera_lr})
    optimiser = torch.optim.Adam(groups, betas=_BETAS)

    def cameras() -> Cameras:
        if known is not None:
            return known
        assert angles is not None and model.world.camera_prior is not None
        return placed(model.world.camera_prior, angles, side)

    def codes() -> Tensor:
        return w.expand(-1, model.config.copies, -1)

    for step in range(how.steps):
        loss = distance(_drawn(model, codes(), cameras()), pictures).mean() + how.near_mean * (w - mean).square().mean()
        gradients = torch.autograd.grad(loss, [w] if angles is None else [w, angles])
        w.grad = gradients[0]
        if angles is not None:
            angles.grad = gradients[1]
        schedules.set_lr(optimiser, schedules.cosine(step, how.steps, warmup=max(1, how.steps // 20)))
        optimiser.step()
    with torch.no_grad():
        error = (_drawn(model, codes(), cameras()) - pictures).square().mean()
        return codes()[0].contiguous(), error, camera_conditioning(cameras())[0]


def _drawn(model: Model, codes: Tensor, cameras: Cameras) -> Tensor:
    """One scene [1, C, W] from V cameras: [V, 3, H, W] in [0, 1]; baked at the first."""
    levels = model.network(codes, camera_conditioning(cameras)[:1])
    seen = model.world.seen_by(cameras)
    drawn = rasterize(scene_of(levels, model.world), seen, background=model.world.background, depth=False)
    return drawn.rgb[0].permute(0, 3, 1, 2).clamp(0, 1)


def placed(prior: CameraPrior, angles: Tensor, side: int) -> Cameras:
    """Cameras at azimuths and elevations [V, 2], radians, on the prior's sphere, as square pictures."""
    azimuth, elevation = torch.rad2deg(angles).unbind(1)
    return prior.at(azimuth, elevation).resized(side, side)


def cameras_of(numbers: Tensor, side: int) -> Cameras:
    """Cameras of their 25 numbers [V, 25]."""
    k = torch.stack([numbers[:, 16], numbers[:, 20], numbers[:, 18], numbers[:, 21]], dim=1) * side
    return Cameras(numbers[:, :16].unflatten(1, (4, 4)), k, side, side)


@torch.no_grad()
def _best_start(model: Model, pictures: Tensor, distance: Distance) -> Tensor:
    """Angles [V, 2] from which the mean scene looks most like each picture, of a grid over where cameras stand."""
    prior, side = model.world.camera_prior, model.config.resolution
    assert prior is not None
    (a0, a1), (e0, e1) = prior.azimuth_deg, prior.elevation_deg
    rows, columns = _GRID
    full = a1 - a0 >= 359
    azimuth = torch.arange(columns) * 360.0 / columns if full else torch.linspace(a0, a1, columns)
    elevation = torch.linspace(e0, min(e1, 80.0), rows + 2)[1:-1]
    grid = torch.deg2rad(torch.cartesian_prod(azimuth, elevation)).to(pictures)  # [K, 2]
    mean = model.network.styles(model.network.mapping.w_mean[None])
    drawn = _drawn(model, mean, placed(prior, grid, side))  # [K, 3, H, W]
    scores = torch.stack([distance(drawn, picture.expand_as(drawn)) for picture in pictures])  # [V, K]
    return grid[scores.argmin(dim=1)].clone()


def _views(
    dataset: Dataset, item: Item, how: EncodeSettings, given: bool, model: Model
) -> tuple[Tensor, Cameras | None]:
    """Pictures [V, 3, H, W] in [0, 1] of an item, and their cameras where they are given."""
    views = dataset.views(item.object, "train")
    views = (views if len(views) else dataset.views(item.object))[: how.views]
    device = model.network.points.device
    pictures = torch.from_numpy(dataset.pictures(views)).permute(0, 3, 1, 2).to(device).float() / 255
    if not given:
        return pictures, None
    assert dataset.cameras is not None
    return pictures, dataset.cameras[views].to(device)


def _given(how: EncodeSettings, dataset: Dataset) -> bool:
    if how.camera == "given" and dataset.cameras is None:
        raise G3dError(f"camera is given, but '{dataset.path}' has no cameras; set camera=found")
    given = how.camera != "found" and dataset.cameras is not None
    if not given and how.views > 1:
        raise G3dError(
            "where cameras are found, one view of an object is looked at; set views=1, or use cameras that are given"
        )
    return given


def _distance(how: EncodeSettings, device: torch.device) -> Distance:
    """How far pictures [V, 3, H, W] in [0, 1] are from others, [V]."""
    if how.lpips:
        lpips = load_lpips(Path(how.lpips)).to(device)
        return lambda a, b: lpips(a, b) + (a - b).abs().mean(dim=(1, 2, 3))

    network = efficientnet.load(device) if how.perceptual else None

    def plain(a: Tensor, b: Tensor) -> Tensor:
        total = dssim(a, b, "reflect" if min(a.shape[2:]) >= WINDOW_PX else "zero")
        for scale in range(_SCALES):
            if min(a.shape[2:]) >> scale < 1:
                break
            x, y = (F.avg_pool2d(t, 1 << scale) for t in (a, b))
            total = total + (x - y).abs().mean(dim=(1, 2, 3))
        if network is not None and min(a.shape[2:]) >= LEAST_PX:
            total = total + how.perceptual * perceptual_distance(a, b, network)
        return total

    return plain
