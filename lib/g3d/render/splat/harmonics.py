"""Spherical harmonics to degree 3: coefficients and a direction => colour. Evaluated here, once for all back ends.

The order and signs are those of 3D Gaussian splatting (Kerbl et al. 2023): 1, -y, z, -x, ...
"""

import torch
from torch import Tensor
from torch.nn import functional as F

C0 = 0.28209479177387814  # 1 / (2 sqrt(pi))


def sh_colour(sh: Tensor, directions: Tensor) -> Tensor:
    """Coefficients [..., K, 3], K = 1, 4, 9 or 16, seen along `directions` [..., 3] => [..., 3], grey being 0."""
    if sh.shape[-2] == 1:  # the same from everywhere
        shape = torch.broadcast_shapes(sh.shape[:-2], directions.shape[:-1])
        return (C0 * sh.squeeze(-2)).expand(*shape, 3)
    functions = torch.stack(basis(F.normalize(directions, dim=-1), sh.shape[-2]), dim=-1)
    return (functions.unsqueeze(-1) * sh).sum(dim=-2)


def basis(directions: Tensor, count: int) -> list[Tensor]:
    """The first `count` functions at unit directions [..., 3], each [...]."""
    x, y, z = directions.unbind(-1)
    found = [
        C0 * torch.ones_like(x), -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x,
    ]  # fmt: skip
    if count > 4:
        found += [
            1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y),
        ]  # fmt: skip
    if count > 9:
        found += [
            -0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * z * z - x * x - y * y),
            0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
            -0.4570457994644658 * x * (4 * z * z - x * x - y * y), 1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]  # fmt: skip
    return found[:count]
