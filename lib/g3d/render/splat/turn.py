"""Gaussians turned as a whole: centres, orientations, and the directions that their colours depend on.

Letters: N Gaussians, K spherical-harmonic coefficients.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.render.splat.harmonics import basis
from g3d.scenes.scene import Gaussians

_ABOUT_X_DEG = {"y": 0.0, "-y": 180.0, "z": 90.0, "-z": -90.0}


def from_y_up(up: str) -> Tensor:
    """The turn [3, 3] about x of a y-up world => one in which `up` (y, -y, z, -z) is up."""
    if up not in _ABOUT_X_DEG:
        raise G3dError(f"--up is '{up}'; allowed are {', '.join(_ABOUT_X_DEG)}")
    angle = math.radians(_ABOUT_X_DEG[up])
    c, s = round(math.cos(angle)), round(math.sin(angle))
    return torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def turned(scene: Gaussians, rotation: Tensor) -> Gaussians:
    """The scenes, turned by `rotation` [3, 3] about the origin; their world is left as it is."""
    if bool((rotation == torch.eye(3)).all()):
        return scene
    to = rotation.to(scene.means)
    sh = torch.einsum("jk,bnkc->bnjc", sh_turn(rotation, scene.sh.shape[2]).to(scene.sh), scene.sh)
    quats = _product(_quaternion(rotation).to(scene.quats), scene.quats)
    return replace(scene, means=scene.means @ to.T, quats=quats, sh=sh)


def sh_turn(rotation: Tensor, count: int) -> Tensor:
    """The matrix [K, K] by which coefficients change so that the colour seen along R d is what was seen along d.

    Solved from the functions themselves at more directions than there are coefficients: exact, and of no convention."""
    g = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(4 * count + 8, 3, generator=g, dtype=torch.float64), dim=-1)
    before = torch.stack(basis(directions, count), dim=-1)  # [P, K]
    after = torch.stack(basis(directions @ rotation.double().T, count), dim=-1)
    solution: Tensor = torch.linalg.lstsq(after, before).solution
    return solution


def rotations(quats: Tensor) -> Tensor:
    """wxyz [N, 4], of any length => [N, 3, 3]."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    matrices: Tensor = torch.stack(rows, dim=1).unflatten(1, (3, 3))
    return matrices


def _quaternion(rotation: Tensor) -> Tensor:
    """wxyz of a rotation about x."""
    angle = math.atan2(float(rotation[2, 1]), float(rotation[1, 1]))
    return torch.tensor([math.cos(angle / 2), math.sin(angle / 2), 0.0, 0.0])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a b of quaternions wxyz, [4] and [..., 4]."""
    w, x, y, z = a.unbind(-1)
    s, i, j, k = b.unbind(-1)
    parts = [w * s - x * i - y * j - z * k, w * i + x * s + y * k - z * j,
             w * j - x * k + y * s + z * i, w * k + x * j - y * i + z * s]  # fmt: skip
    return torch.stack(parts, dim=-1)
