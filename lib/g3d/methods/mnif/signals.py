"""The three kinds of signal on one code path: which items a dataset has, what they are compared at, the loss of that.

The loss (eq. 4) of an item is the **mean** over points (or rays) and channels of the squared difference; a step's is the mean
over its items. The inner learning rates of meta-learning refer to the loss of an item.

Letters: S items, P points or rays of each.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from g3d.cameras import CameraPrior
from g3d.data.columns import OBJECT_SPLITS
from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.methods.mnif.batches import Batch, Source
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import DIMENSIONS, field, weights_of
from g3d.methods.mnif.point_source import PixelSource, PointBatch, SolidSource
from g3d.methods.mnif.ray_source import Count, RayBatch, RaySource
from g3d.render import volume
from g3d.scenes.scene import World, query, query_output
from g3d.training.compile import compiled

Loss = Callable[[list[Tensor], Any, Tensor], Tensor]
"""(mixed weights, a batch or some of its points, what each counts [S, P]) => the sum of their losses."""


def items(config: Config, dataset: Dataset, split: str) -> list[Item]:
    """The items of a split of the objects (`all`: of both): views where the signal is an image, else objects."""
    splits = OBJECT_SPLITS if split == "all" else (split,)
    objects = [i for i, o in enumerate(dataset.info["objects"]) if o["split"] in splits]
    names = dataset.object_names
    if config.signal != "image":
        return [Item(names[i], i) for i in objects]
    shown, wanted = dataset.view_object.tolist(), set(objects)
    views = [v for v, i in enumerate(shown) if i in wanted]
    several = len(views) > len({shown[v] for v in views})
    return [Item(f"{names[shown[v]]}/{v:06d}" if several else names[shown[v]], shown[v], v) for v in views]


def world_of(config: Config, dataset: Dataset) -> World:
    """The world that scenes live in; refuses data that cannot be fitted as `config.signal`."""
    background = tuple(dataset.info["background"])
    solid = config.signal == "voxel" and (dataset.path / "shapes.safetensors").is_file()
    low, high = dataset.grid_bounds if solid else dataset.bounds
    bounds = ((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    match config.signal:
        case "image":
            if not dataset.info["views"]:
                raise G3dError(f"'{dataset.path}' has no pictures; mnif with signal=image needs some")
            return World(image_size=(int(dataset.info["width"]), int(dataset.info["height"])), background=background)
        case "voxel":
            known = dataset.info.get("camera_prior")
            prior = (
                dataset.camera_prior if known else CameraPrior(radius_world=2.6, fov_deg=45.0, width=128, height=128)
            )
            far = 10 * prior.radius_world
            return World(bounds, 0.01 * prior.radius_world, far, background, camera_prior=prior)
        case "radiance":
            if dataset.cameras is None:
                raise G3dError(f"'{dataset.path}' has no cameras; mnif with signal=radiance needs posed views")
            prior = dataset.camera_prior
            return World(
                bounds=bounds,
                near_world=0.01 * prior.radius_world,  # the bounds clip every ray, from wherever it comes
                far_world=10 * prior.radius_world,
                background=background,
                samples=config.points_per_ray,
                camera_prior=prior,
            )


def source(
    config: Config, dataset: Dataset, chosen: Sequence[Item], world: World, seed: int, *, whole: bool = False
) -> Source:
    """What draws the batches of the `chosen` items; `whole`: all points of an item, where those can be listed."""
    points, numbers = 0 if whole else config.points_per_item, [item.number for item in chosen]
    match config.signal:
        case "image":
            return PixelSource(dataset, numbers, seed, points)
        case "voxel":
            return SolidSource(dataset, numbers, seed, points, config.grid_share)
        case "radiance":
            count = Count(config.views_per_item, config.pixels_per_view, config.points_per_ray)
            return RaySource(dataset, numbers, world, seed, count)


def loss(config: Config, world: World, device: torch.device) -> Loss:
    """The loss of some points or rays of every item (eq. 4); compiled on demand."""
    sampling = volume.Sampling(config.points_per_ray)
    background = torch.tensor(world.background, device=device)

    def of_rays(mixed: list[Tensor], rays: RayBatch, share: Tensor) -> Tensor:
        scenes = field(config, weights_of(mixed), world, drawn=False)
        found = volume.render_rays(
            lambda points, _: query(scenes, points), rays.origins, rays.directions, rays.near, rays.far, sampling, background,
            jitter=rays.jitter,
        )  # fmt: skip
        return ((found.rgb - rays.rgb).square().sum(dim=-1) * share).sum()

    def of_points(mixed: list[Tensor], points: PointBatch, share: Tensor) -> Tensor:
        found = query_output(field(config, weights_of(mixed), world, drawn=False), points.x, output)
        return ((found - points.target).square().sum(dim=-1) * share).sum()

    output = "rgb" if config.signal == "image" else "occupancy"
    return compiled(of_rays if config.signal == "radiance" else of_points, config.compile, device)


def shares(config: Config, batch: Batch) -> Tensor:
    """What each point counts [S, P], so that the sum over the points and channels of an item is its mean."""
    channels = 3 if config.signal == "radiance" else DIMENSIONS[config.signal][1]
    return batch.weight / (batch.weight.sum(dim=1, keepdim=True).clamp(min=1) * channels)


def chunk(config: Config) -> int:
    """Points or rays of every item that go through the field at once."""
    return config.rays_per_chunk if config.signal == "radiance" else config.points_per_chunk
