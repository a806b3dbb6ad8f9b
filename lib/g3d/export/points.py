"""Points on the surface of a mesh, uniform over its area.

Letters: V vertices, F faces, P points.
"""

import numpy as np
import torch

from g3d.errors import G3dError
from g3d.export.mesh import F32, I32
from g3d.seeds import rng


def surface_points(vertices: F32, faces: I32, count: int, seed: int) -> tuple[F32, F32]:
    """`count` points [P, 3] uniform over the area of a mesh, with the normals [P, 3] of their faces."""
    if count < 1:
        raise G3dError(f"{count} points are too few; give 1 or more")
    corners = vertices[faces].astype(np.float64)  # [F, 3 corners, 3]
    across = np.cross(
        corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    )  # [F, 3] twice the area, along the normal
    double_area = np.linalg.norm(across, axis=1)
    if not double_area.sum() > 0:
        raise G3dError("the mesh has no area to draw points from; give another --level or a finer --resolution")
    u, v, w = torch.rand(3, count, generator=rng(seed, 0, "surface"), dtype=torch.float64).numpy()
    cumulative = np.cumsum(double_area)
    face = np.searchsorted(cumulative, u * cumulative[-1], side="right").clip(max=len(faces) - 1)  # [P]
    root = np.sqrt(v)  # uniform over a triangle (Osada et al. 2002, eq. 1)
    weights = np.stack([1 - root, root * (1 - w), root * w], axis=1)  # [P, 3 corners]
    points = np.einsum("pc,pca->pa", weights, corners[face])
    return points.astype(np.float32), (across[face] / double_area[face, None]).astype(np.float32)
