"""The surface of a field as callables and as a mesh: where it is dense, and what colour it shows there.

Letters: P points.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from g3d.export.colour import surface_colour
from g3d.export.mesh import Mesh, field_mesh
from g3d.progress import SILENT, Progress
from g3d.scenes.scene import Field, MlpField, query, query_output

SURFACE = 0.1  # of the bounds' diagonal: what a surface may be thick


def surface_mesh(
    scene: Field, resolution: int, level: float | None, where: torch.device, progress: Progress = SILENT
) -> Mesh:
    """The surface where the density falls through `level` (None: the default one), coloured."""
    return field_mesh(
        density_of(scene),
        colour_of(scene),
        scene.world.bounds,
        resolution,
        default_level(scene) if level is None else level,
        device=where,
        progress=progress,
        within=level is not None,
    )


def default_level(scene: Field) -> float:
    """Occupancy 1/2; density at which SURFACE, a tenth of the bounds' diagonal, is half opaque."""
    if isinstance(scene, MlpField) and scene.signal == "occupancy":
        return 0.5
    diagonal = math.dist(*scene.world.bounds)
    return math.log(2) / (SURFACE * diagonal)


def density_of(scene: Field) -> Callable[[Tensor], Tensor]:
    """The field as a callable, points [P, 3] => [P]."""
    if isinstance(scene, MlpField) and scene.signal == "occupancy":
        return lambda points: query_output(scene, points[None], "occupancy")[0, :, 0]
    return lambda points: query(scene, points[None], _from_above(points))[1][0]


def colour_of(scene: Field) -> Callable[[Tensor], Tensor]:
    """Its colour at the surface, points [P, 3] => [P, 3]; grey where the field has none."""
    if isinstance(scene, MlpField) and scene.signal == "occupancy":
        return lambda points: torch.full_like(points, 0.65)

    def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        rgb, density = query(scene, points[None], directions[None])
        return rgb[0], density[0]

    return surface_colour(ask, SURFACE * math.dist(*scene.world.bounds))


def _from_above(points: Tensor) -> Tensor:
    """The density does not depend on the direction, but a field may ask for one."""
    return torch.tensor([0.0, -1.0, 0.0], device=points.device).expand(1, *points.shape)
