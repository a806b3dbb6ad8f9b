"""`encode`: pictures of a face => its codes, by latent optimisation with everything else frozen (section 3.2).

Codes start at the means of the model's subjects. Each item has its own codes and its own optimiser, so that what is found of
it does not depend on what else is encoded.

Letters: S items, N rays of a step, H W the pixels of a picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from g3d.config import setting
from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.methods.contract import Encoded
from g3d.methods.infamous_nerf import field, objective, rays
from g3d.methods.infamous_nerf import subjects as cast
from g3d.methods.infamous_nerf.codec import Model
from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.networks import code_sizes
from g3d.seeds import generator
from g3d.training import schedules

CHUNK = 256  # rays at once, where the error is measured


@dataclass(frozen=True)
class EncodeSettings:
    """What --set may change when codes are found."""

    steps: int = setting(400, "steps an item [the paper: 1500 to 2000]", low=1, high=1_000_000)
    lr: float = setting(2e-2, "Adam, decayed by a cosine", low=0)
    rays: int = setting(128, "a step", low=1, high=1 << 20)
    pictures: int = setting(1, "of an item: so many of its training views", low=1, high=10_000)
    view: Literal["frontal", "random"] = setting(
        "frontal", "which: those nearest to the model's default camera, or drawn by seed"
    )


def items(model: Model, dataset: Dataset, split: str) -> list[Item]:
    """The objects of a split: a subject with an expression each."""
    if dataset.cameras is None:
        raise G3dError(f"'{dataset.path}' has no cameras; infamous-nerf finds codes of posed views")
    return cast.items(dataset, split)


def encoder(
    model: Model, dataset: Dataset, chosen: Sequence[Item], settings: EncodeSettings, seed: int
) -> Callable[[Sequence[int]], Encoded]:
    """A function from places in `chosen` to their codes, and the mean squared error [S] over the pictures given."""

    def encode(places: Sequence[int]) -> Encoded:
        found = [_one(model, dataset, chosen[place], settings, seed) for place in places]
        tensors = {f"fields.{name}": torch.cat([codes[i] for codes, _ in found]) for i, name in enumerate(field.FIELDS)}
        return Encoded(tensors, torch.stack([error for _, error in found]))

    return encode


def chosen_views(model: Model, dataset: Dataset, item: Item, settings: EncodeSettings, seed: int) -> Tensor:
    """The views of an item that its codes are fitted to."""
    assert dataset.cameras is not None
    own = dataset.views(item.object, "train")
    own = own if len(own) else dataset.views(item.object)
    if settings.view == "random":
        order = torch.randperm(len(own), generator=generator(seed, item.object, "encode views"))
    else:
        assert model.world.camera_prior is not None
        ahead = model.world.camera_prior.default().c2w[0, :3, 2]
        order = (dataset.cameras.c2w[own, :3, 2] @ ahead).argsort(descending=True, stable=True)
    return own[order[: settings.pictures]]


def _one(model: Model, dataset: Dataset, item: Item, settings: EncodeSettings, seed: int) -> tuple[field.Codes, Tensor]:
    """The codes [1, D] of one item, and its mean squared error."""
    network, where = model.network, next(model.network.parameters()).device
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    views = chosen_views(model, dataset, item, settings, seed)
    how = _of_encode(model.config, settings)
    known = cast.Cast([item], torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), 1)
    source = rays.PairSource(how, dataset, known, seed, only=[views])
    leaves = {name: network.mean(name).clone().unsqueeze(0).requires_grad_() for name in code_sizes(how)}
    optimiser = torch.optim.Adam([{"params": list(leaves.values()), "lr": settings.lr, "base_lr": settings.lr}])
    frame = objective.Frame(model.world, source.height, source.width)
    with torch.enable_grad():
        for step in range(settings.steps):
            schedules.set_lr(optimiser, schedules.cosine(step, settings.steps, floor=0.05))
            batch = source.draw(step, range(1), None).to(where)
            codes = codes_of(leaves)
            optimiser.zero_grad(set_to_none=True)
            objective.cost(how, field.scene(network, codes, model.world), codes, batch, frame).total.sum().backward()
            optimiser.step()
    codes = field.Codes(*(value.detach() for value in codes_of(leaves)))
    return codes, _error(model, codes, source, frame)


def codes_of(leaves: dict[str, Tensor]) -> field.Codes:
    """Both thetas are one while codes are looked for."""
    theta = leaves["identity"]
    return field.Codes(theta, theta, leaves["appearance"], leaves["shape"], leaves["expression"])


def _of_encode(config: Config, settings: EncodeSettings) -> Config:
    """The model's settings for a step of encode: one picture, no L_sur, no map of losses."""
    sampling: Literal["uniform", "mask"] = "mask" if config.sampling == "mask" else "uniform"
    return replace(config, pairs=1, views=1, rays=settings.rays, surface_weight=0.0, sampling=sampling, code_decay=0.0)


@torch.no_grad()
def _error(model: Model, codes: field.Codes, source: rays.PairSource, frame: objective.Frame) -> Tensor:
    """Mean squared error over all pixels of the pictures."""
    scene = field.scene(model.network, codes, model.world)
    where = codes.shape.device
    total = torch.zeros((), device=where)
    for row in range(len(source.views)):
        for pixels in torch.arange(source.height * source.width).split(CHUNK):
            batch = source.at(row, pixels).to(where)
            cast_rays = rays.through(batch, model.world, source.width)
            drawn = objective.draw(scene, cast_rays, model.world, batch.jitter)
            total += (drawn.rays.rgb - cast_rays.true).square().sum()
    return (total / (len(source.views) * source.height * source.width * 3)).cpu()
