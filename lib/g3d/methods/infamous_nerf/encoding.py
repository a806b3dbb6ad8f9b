"""`encode`: pictures of a face => its codes, by latent optimisation with everything else frozen (section 3.2).

Codes start at the means of the model's subjects. Each item has its own codes and its own random stream, so that what is found of
it does not depend on what else is encoded. Pictures become larger on the way.

Letters: S items, P pictures of an item, N rays of a step.
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
from g3d.methods.infamous_nerf.shots import Shots, posed_by_landmarks, shots_of
from g3d.seeds import rng
from g3d.training import schedules

CHUNK = 256  # rays at once, where the error is measured
LEAST_SIDE_PX = 11  # of a smaller copy: a window of SSIM


@dataclass(frozen=True)
class EncodeSettings:
    """What --set may change when codes are found."""

    steps: int = setting(
        400, "steps an item [the paper: 1500 to 2000]; 0: the means of the model", low=0, high=1_000_000
    )
    lr: float = setting(2e-2, "Adam, decayed by a cosine", low=0)
    rays: int = setting(128, "a step", low=1, high=1 << 20)
    pictures: int = setting(1, "of an item: so many of its training views", low=1, high=10_000)
    view: Literal["frontal", "random"] = setting(
        "frontal", "which: those nearest to the model's default camera, or drawn by seed"
    )
    pose: Literal["data", "landmarks"] = setting(
        "data", "cameras of the dataset, or found from 68 landmarks and the mean face of the model"
    )
    levels: int = setting(
        2, "coarse to fine: sizes from small to whole, each twice the one before, even shares", low=1, high=8
    )
    code_decay: float = setting(0.0, "weight of the mean square of what codes are away from the means", low=0)


def items(model: Model, dataset: Dataset, split: str) -> list[Item]:
    """The objects of a split: a subject with an expression each."""
    if dataset.cameras is None:
        raise G3dError(f"'{dataset.path}' has no cameras; infamous-nerf finds codes of posed views")
    return cast.items(dataset, split)


def encode_note(model: Model, dataset: Dataset, settings: EncodeSettings) -> str | None:
    """What `encode` says where no ray can be looked for around landmarks."""
    share = model.config.landmark_share
    if not share or "landmarks" in dataset.labels:
        return None
    return (
        f"note: '{dataset.path}' has no landmarks, so that the model's landmark_share={share:g} has no effect: rays are "
        "drawn over the picture and its mask"
    )


def encoder(
    model: Model, dataset: Dataset, chosen: Sequence[Item], settings: EncodeSettings, seed: int
) -> Callable[[Sequence[int]], Encoded]:
    """A function from places in `chosen` to their codes, and the mean squared error [S] over the pictures given."""
    model.network.requires_grad_(False)

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
        order = torch.randperm(len(own), generator=rng(seed, item.object, "encode views"))
    else:
        assert model.world.camera_prior is not None
        ahead = model.world.camera_prior.default().c2w[0, :3, 2]
        order = (dataset.cameras.c2w[own, :3, 2] @ ahead).argsort(descending=True, stable=True)
    return own[order[: settings.pictures]]


def inputs(model: Model, dataset: Dataset, item: Item, settings: EncodeSettings, seed: int) -> list[int]:
    """The same as numbers of the dataset."""
    found: list[int] = chosen_views(model, dataset, item, settings, seed).tolist()
    return found


def given(model: Model, dataset: Dataset, item: Item, settings: EncodeSettings, seed: int) -> Shots:
    """The pictures of an item, with the cameras that are used."""
    views = chosen_views(model, dataset, item, settings, seed)
    found = shots_of(dataset, views, model.config.landmarks)
    if settings.pose == "data":
        return found
    visible = dataset.labels["landmarks_visible"][views] if "landmarks_visible" in dataset.labels else None
    return posed_by_landmarks(found, model.network.landmarks.cpu(), visible, str(dataset.path))


def _one(model: Model, dataset: Dataset, item: Item, settings: EncodeSettings, seed: int) -> tuple[field.Codes, Tensor]:
    """The codes [1, D] of one item, and its mean squared error."""
    shots, how = given(model, dataset, item, settings, seed), _of_encode(model.config, settings)
    means = {name: model.network.mean(name).unsqueeze(0) for name in code_sizes(how)}
    leaves = {name: value.clone().requires_grad_() for name, value in means.items()}
    optimiser = torch.optim.Adam([{"params": list(leaves.values()), "lr": settings.lr, "base_lr": settings.lr}])
    device, stream = model.network.landmarks.device, rng(seed, item.object, "encode rays")
    levels = [shots.smaller(factor) for factor in _factors(settings.levels, shots)]
    with torch.enable_grad():
        for step in range(settings.steps):
            schedules.set_lr(optimiser, schedules.cosine(step, settings.steps, floor=0.05))
            some = levels[step * len(levels) // settings.steps]
            batch = some.draw(how.rays, how.points, how.landmark_share, how.landmark_sigma, stream).to(device)
            frame = objective.Frame(model.world, *some.pictures.shape[1:3])
            codes = codes_of(leaves)
            cost = objective.cost(how, field.scene(model.network, codes, model.world), codes, batch, frame)
            away = torch.stack([(leaves[name] - mean).square().mean() for name, mean in means.items()]).sum()
            optimiser.zero_grad(set_to_none=True)
            (cost.total.sum() + settings.code_decay * away).backward()
            optimiser.step()
    codes = codes_of({name: value.detach() for name, value in leaves.items()})
    return codes, _error(model, codes, shots)


def codes_of(leaves: dict[str, Tensor]) -> field.Codes:
    """Both thetas are one while codes are looked for."""
    theta = leaves["identity"]
    return field.Codes(theta, theta, leaves["appearance"], leaves["shape"], leaves["expression"])


def _of_encode(config: Config, settings: EncodeSettings) -> Config:
    """The model's settings for a step of encode: one picture, no L_sur."""
    return replace(config, pairs=1, together=1, views=1, rays=settings.rays, surface_weight=0.0, code_decay=0.0)


def _factors(levels: int, shots: Shots) -> list[int]:
    """How much smaller the copies are, from the smallest to 1."""
    side = min(shots.pictures.shape[1:3])
    return [2**k for k in reversed(range(levels)) if k == 0 or side // 2**k >= LEAST_SIDE_PX]


@torch.no_grad()
def _error(model: Model, codes: field.Codes, shots: Shots) -> Tensor:
    """Mean squared error over all pixels of the pictures."""
    scene, device = field.scene(model.network, codes, model.world), codes.shape.device
    height, width = shots.pictures.shape[1:3]
    total = torch.zeros((), device=device)
    for at in range(len(shots.pictures)):
        for pixels in torch.arange(height * width).split(CHUNK):
            batch = shots.batch(at, pixels, torch.full((1, len(pixels), model.config.points), 0.5)).to(device)
            through = rays.through(batch, model.world, width)
            total += (objective.draw(scene, through, model.world, batch.jitter).rays.rgb - through.true).square().sum()
    return (total / shots.pictures.numel()).cpu()
