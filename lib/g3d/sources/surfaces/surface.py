"""A coloured triangle surface: what every mesh source makes and the ray caster draws.

Letters: F triangles, T textures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

Colour = tuple[float, float, float]  # sRGB in [0, 1]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """Triangles with a colour at each corner, optionally multiplied by a texture."""

    corners: F32  # [F, 3, 3] positions, world units, y up
    colours: F32  # [F, 3, 3] RGB at the corners, sRGB in [0, 1]
    uvs: F32 | None = None  # [F, 3, 2] u to the right, v DOWN the texture, in [0, 1], repeated outside
    texture: NDArray[np.int32] | None = None  # [F] index into `textures`, -1 for none
    textures: Sequence[NDArray[np.uint8]] = ()  # T of [H, W, 3]
    normals: F32 | None = None  # [F, 3, 3] at the corners, unit, for smooth shading; None is flat
    traits: Mapping[str, Any] = field(default_factory=dict)  # what the source knows of it, e.g. its body style
    wraps: Sequence[tuple[str, str]] = ()  # of each texture, along u and v: repeat, clamp, mirror; none: repeat
    cutouts: "Sequence[Cutout | None]" = ()  # of each texture: where the surface has holes; none: nowhere
    glow: "Surface | None" = None  # the same triangles in the colours that they emit, on top of what is lit


@dataclass(frozen=True)
class Cutout:
    """Holes: the surface is there where `alpha`, between its texels, is at least `least`."""

    alpha: NDArray[np.uint8]  # [H, W]
    least: float  # 0..255


@dataclass(frozen=True)
class Placement:
    """How an object was moved: normalised = (source - centre) * scale; source = normalised / scale + centre."""

    centre: tuple[float, float, float]  # source units
    scale: float  # 1 / source units


def checked(surface: Surface, where: str) -> Surface:
    """`surface` if it can be drawn; `where` names it in the sentence if not."""
    if not len(surface.corners):
        raise G3dError(f"the mesh '{where}' has no triangles; remove it or replace it")
    if not np.isfinite(surface.corners).all():
        raise G3dError(f"the mesh '{where}' has vertices that are not finite numbers; repair it or remove it")
    extent = surface.corners.reshape(-1, 3).max(0) - surface.corners.reshape(-1, 3).min(0)
    if not extent.max() > 0:
        raise G3dError(f"the mesh '{where}' is a single point; repair it or remove it")
    return surface


def normalised(surface: Surface) -> tuple[Surface, Placement]:
    """The surface with its bounding box centred on the origin and its farthest corner on the unit sphere."""
    points = surface.corners.reshape(-1, 3).astype(np.float64)
    centre = (points.min(0) + points.max(0)) / 2
    scale = 1.0 / np.linalg.norm(points - centre, axis=1).max()
    corners = ((points - centre) * scale).reshape(-1, 3, 3).astype(np.float32)
    x, y, z = (float(v) for v in centre)
    return replace(surface, corners=corners), Placement((x, y, z), float(scale))
