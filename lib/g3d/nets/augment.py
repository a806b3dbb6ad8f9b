"""Augmentation of what a discriminator sees: geometric and colour transforms, each with probability p (Karras et al. 2020,
"Training Generative Adversarial Networks with Limited Data", appendix B).

What is drawn for a picture comes from its own generator, so it does not depend on the batch. A geometric transform is a
matrix from output to input coordinates in pixels, the middle of the picture at 0; transforms of one picture are multiplied
in the order in which they act on it. A colour transform is a matrix on (r, g, b, 1), colours in [-1, 1].

Letters: B pictures, H their side, K kinds of transforms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.nets.warp import warp, warp_whole

NOISE = 48  # numbers drawn for a picture, uniform ones and normal ones each; three a kind


@dataclass(frozen=True)
class Kind:
    """One transform: its name and the matrices [B, n, n] of (uniform [B, 2], normal [B, 2]) draws."""

    name: str
    matrices: Callable[[Tensor, Tensor, int], Tensor]
    colour: bool = False
    whole: bool = False  # pixels land on pixels: no interpolation is needed
    draws_twice: bool = False  # of a pair of which either may happen: its own probability is 1 - sqrt(1 - p)


# The defaults of the paper: shifts of at most 1/8 of the picture, log2 scales and stretches of deviation 0.2, ...
SHIFT_MOST, SCALE_STD, STRETCH_STD, SHIFT_STD = 0.125, 0.2, 0.2, 0.125
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0


def mirror(u: Tensor, n: Tensor, side: int) -> Tensor:
    """Left and right swapped, in half of the cases."""
    return scaled(torch.where(u[:, 0] < 0.5, -1.0, 1.0), torch.ones_like(u[:, 0]))


def quarter_turn(u: Tensor, n: Tensor, side: int) -> Tensor:
    """A turn by 0, 90, 180 or 270 degrees."""
    return turned((u[:, 0] * 4).floor() * (math.pi / 2)).round()


def whole_shift(u: Tensor, n: Tensor, side: int) -> Tensor:
    """By whole pixels, at most 1/8 of the side: of a mirrored border, a random crop."""
    return shifted(((u * 2 - 1) * (SHIFT_MOST * side)).round())


def scale(u: Tensor, n: Tensor, side: int) -> Tensor:
    """Larger or smaller by 2^N(0, 0.2)."""
    factor = torch.exp2(n[:, 0] * SCALE_STD)
    return scaled(1 / factor, 1 / factor)


def turn(u: Tensor, n: Tensor, side: int) -> Tensor:
    """By any angle."""
    return turned((u[:, 0] * 2 - 1) * math.pi)


def stretch(u: Tensor, n: Tensor, side: int) -> Tensor:
    """Wider and lower, or the reverse, by 2^N(0, 0.2)."""
    factor = torch.exp2(n[:, 0] * STRETCH_STD)
    return scaled(1 / factor, factor)


def shift(u: Tensor, n: Tensor, side: int) -> Tensor:
    """By N(0, 1/8) of the side."""
    return shifted(n * (SHIFT_STD * side))


def brightness(u: Tensor, n: Tensor, side: int) -> Tensor:
    """All channels brighter or darker by N(0, 0.2)."""
    matrix = torch.eye(4, device=u.device).repeat(len(u), 1, 1)
    matrix[:, :3, 3] = n[:, :1] * BRIGHTNESS_STD
    return matrix


def contrast(u: Tensor, n: Tensor, side: int) -> Tensor:
    """All channels times 2^N(0, 0.5)."""
    factor = torch.exp2(n[:, 0] * CONTRAST_STD)
    return torch.diag_embed(torch.stack([factor, factor, factor, torch.ones_like(factor)], dim=1))


def luma_flip(u: Tensor, n: Tensor, side: int) -> Tensor:
    """Mirrored at the plane across grey, in half of the cases: light becomes dark, hue stays."""
    grey = _grey_axis(u.device)
    flip = (u[:, 0] < 0.5).float()[:, None, None]
    return torch.eye(4, device=u.device) - 2 * flip * torch.outer(grey, grey)


def hue(u: Tensor, n: Tensor, side: int) -> Tensor:
    """Turned around the grey axis by any angle (Rodrigues)."""
    angle = (u[:, 0] * 2 - 1) * math.pi
    grey = _grey_axis(u.device)[:3]
    x, y, z = grey.tolist()
    across = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], device=u.device)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    matrix = torch.eye(4, device=u.device).repeat(len(u), 1, 1)
    matrix[:, :3, :3] = cos * torch.eye(3, device=u.device) + sin * across + (1 - cos) * torch.outer(grey, grey)
    return matrix


def saturation(u: Tensor, n: Tensor, side: int) -> Tensor:
    """The distance from grey times 2^N(0, 1)."""
    grey = _grey_axis(u.device)
    along = torch.outer(grey, grey)
    last = torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0], device=u.device))
    factor = torch.exp2(n[:, 0] * SATURATION_STD)[:, None, None]
    return along + last + factor * (torch.eye(4, device=u.device) - along - last)


BLIT = (
    Kind("mirror", mirror, whole=True),
    Kind("quarter_turn", quarter_turn, whole=True),
    Kind("whole_shift", whole_shift, whole=True),
)
GEOMETRY = (
    Kind("scale", scale),
    Kind("turn_before", turn, draws_twice=True),
    Kind("stretch", stretch),
    Kind("turn_after", turn, draws_twice=True),
    Kind("shift", shift),
)
COLOUR = (
    Kind("brightness", brightness, colour=True),
    Kind("contrast", contrast, colour=True),
    Kind("luma_flip", luma_flip, colour=True),
    Kind("hue", hue, colour=True),
    Kind("saturation", saturation, colour=True),
)
SETS: dict[str, tuple[Kind, ...]] = {
    "flip_crop": (BLIT[0], BLIT[2]),
    "colour": COLOUR,
    "bg": BLIT + GEOMETRY,
    "bgc": BLIT + GEOMETRY + COLOUR,
}
"""By name: mirroring and crops; colours alone; blits and geometry; those with colours (the paper's choice)."""


def noise(generators: Sequence[torch.Generator]) -> Tensor:
    """What the augmentation of a picture each is drawn from: [B, 2, NOISE], uniform and normal."""
    return torch.stack(
        [torch.stack([torch.rand(NOISE, generator=g), torch.randn(NOISE, generator=g)]) for g in generators]
    )


def augment(images: Tensor, p: Tensor | float, kinds: Sequence[Kind], drawn: Tensor) -> Tensor:
    """Pictures [B, 3, H, H] in [-1, 1], each transform of `kinds` with probability p; `drawn` comes from `noise`.

    Differentiable twice with respect to the pictures."""
    side = images.shape[-1]
    geometric, colour = matrices(p, kinds, drawn, side)
    if geometric is not None:
        whole = all(kind.whole for kind in kinds if not kind.colour)
        geometric = geometric.to(images.dtype)
        images = warp_whole(images, geometric) if whole else warp(images, geometric)
    return images if colour is None else recoloured(images, colour.to(images.dtype))


def matrices(p: Tensor | float, kinds: Sequence[Kind], drawn: Tensor, side: int) -> tuple[Tensor | None, Tensor | None]:
    """The products of what happens: output => input coordinates [B, 3, 3], and on colours [B, 4, 4]; None for no such kind."""
    p = torch.as_tensor(p, dtype=torch.float32, device=drawn.device)
    geometric: Tensor | None = None
    colour: Tensor | None = None
    for k, kind in enumerate(kinds):
        own = drawn[:, :, 2 * k : 2 * k + 2]  # [B, 2, 2]
        happens = drawn[:, 0, NOISE - 1 - k] < (1 - (1 - p).clamp(min=0).sqrt() if kind.draws_twice else p)
        found = kind.matrices(own[:, 0], own[:, 1], side)
        found = torch.where(happens[:, None, None], found, torch.eye(found.shape[1], device=found.device))
        if kind.colour:
            colour = found if colour is None else found @ colour
        else:  # output => input: what acts on the picture last is applied to coordinates first
            geometric = found if geometric is None else geometric @ found
    return geometric, colour


def recoloured(images: Tensor, matrix: Tensor) -> Tensor:
    """Colours [B, 3, H, H] by matrices [B, 4, 4]."""
    flat = torch.baddbmm(matrix[:, :3, 3:], matrix[:, :3, :3], images.flatten(2))
    return flat.view_as(images)


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """[B] each => [B, 3, 3]"""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def turned(angle: Tensor) -> Tensor:
    """[B] radians => [B, 3, 3]"""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)


def shifted(xy: Tensor) -> Tensor:
    """[B, 2] pixels => [B, 3, 3]"""
    matrix = torch.eye(3, device=xy.device).repeat(len(xy), 1, 1)
    matrix[:, :2, 2] = xy
    return matrix


def _grey_axis(device: torch.device) -> Tensor:
    return torch.tensor([1.0, 1.0, 1.0, 0.0], device=device) / math.sqrt(3)
