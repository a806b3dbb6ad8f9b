"""Items of a dataset => latents, by any method: a batch of them at a time."""

from collections.abc import Callable, Sequence

from torch import Tensor

from g3d.data.dataset import Item
from g3d.latents import Latents, LatentSpace
from g3d.methods.contract import Encoded

BATCH = 16  # items whose latents are found at once


def encoded(
    encoder: Callable[[Sequence[int]], Encoded], items: Sequence[Item], places: Sequence[int], space: LatentSpace
) -> tuple[Latents, Tensor | None]:
    """The latents of the items at some places, under their names; and their mean squared errors [N], where they were measured."""
    found = encoder(places)
    names = [items[place].name for place in places]
    return Latents(space, found.tensors, names, condition_camera=found.cameras), found.mse
