"""Where a fit begins: on the scene's surface, half of it as marching cubes find it, half as its pictures show it.

Measured (recipes/benchmarks/convert_start.py): on radiance fields of cars marching cubes alone give up to 1.6 dB more than
pictures alone, but where a surface is thinner than its level, or space has no end, they miss what pictures show.
"""

import torch

from g3d.conversion.views import Points, Views, surface_points
from g3d.drawing.surfaces import colour_of, surface_mesh
from g3d.errors import Failure, G3dError
from g3d.export import points
from g3d.export.mesh import evaluate
from g3d.scenes.scene import Field, Triplane

CELLS = 128  # of marching cubes, as of export-ply
CPU = torch.device("cpu")


def start_points(scene: Field, views: Views, count: int, seed: int) -> Points:
    """`count` points; of a scene without bounds, or without a surface at `export-ply`'s level, all as its pictures show it."""
    if count < 2 or (isinstance(scene, Triplane) and scene.contraction == "sphere"):
        return surface_points(views, count, seed)
    try:
        means, rgb = mesh_points(scene, count // 2, seed)
    except Failure:
        raise
    except G3dError:
        return surface_points(views, count, seed)
    seen = surface_points(views, count - count // 2, seed)
    return Points(torch.cat([means, seen.means]), torch.cat([rgb, seen.rgb]), seen.depth_world)


def mesh_points(scene: Field, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The points [P, 3] of `export-ply --as points`, even in area, and their colours [P, 3] in [0, 1]."""
    mesh = surface_mesh(scene, CELLS, None, CPU)
    found, _ = points.surface_points(mesh.vertices, mesh.faces, count, seed)
    return torch.from_numpy(found), torch.from_numpy(evaluate(colour_of(scene), found, CPU)).clamp(0, 1)
