"""L_sur: the colour at the surface point of a ray against the pictures that see it (section 3.3, eqs. 5, 6, 13).

The surface point of a ray is its sample of the largest weight. Only its colour learns: where it lies is a constant.

Letters: B pairs, N rays of a picture, H rows, W columns.
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

MARGIN_SHARE = 0.02  # of a point's depth, by which it may lie behind what the other picture's depth shows
LEAST_ALPHA = 0.5
NEAREST_WORLD = 1e-3  # a point nearer to a camera's plane has no pixel


class View(NamedTuple):
    """The pictures that points are looked up in, one for each batch of points."""

    pictures: Tensor  # [B, H, W, 3] in [0, 1]
    c2w: Tensor  # [B, 4, 4]
    intrinsics: Tensor  # [B, 4]
    depth_world: Tensor | None  # [B, H, W]; 0 where nothing is; None: what hides a point is not asked


class Correspondence(NamedTuple):
    """What another picture shows where a point lies: its colour [B, N, 3], and whether it can be compared [B, N]."""

    rgb: Tensor
    seen: Tensor


def project(points: Tensor, c2w: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """World points [B, N, 3] => pixels [B, N, 2] (centres at +0.5) and camera z [B, N]."""
    local = (points - c2w[:, None, :3, 3]) @ c2w[:, :3, :3]
    z = local[..., 2]
    focal, centre = intrinsics[:, None, :2], intrinsics[:, None, 2:]
    return focal * local[..., :2] / z.clamp(min=NEAREST_WORLD).unsqueeze(-1) + centre, z


def correspondence(points: Tensor, view: View) -> Correspondence:
    """The colours that the pictures show at points [B, N, 3]; not seen are those outside the frame, behind the camera, and,
    where depth is known, behind something or before nothing."""
    height, width = view.pictures.shape[1:3]
    pixels, z = project(points, view.c2w, view.intrinsics)
    size = pixels.new_tensor([width, height])
    seen = (z > NEAREST_WORLD) & (pixels >= 0).all(dim=-1) & (pixels < size).all(dim=-1)
    grid = (pixels / size * 2 - 1).unsqueeze(2)  # pixel centres at +0.5: align_corners is false
    found = F.grid_sample(view.pictures.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    if view.depth_world is not None:
        nearest = F.grid_sample(view.depth_world.unsqueeze(1), grid, mode="nearest", align_corners=False)[:, 0, :, 0]
        seen = seen & (nearest > 0) & (z < nearest * (1 + MARGIN_SHARE))
    return Correspondence(found.squeeze(-1).transpose(1, 2), seen)


def loss(colours: Tensor, true: Tensor, other: Correspondence, counts: Tensor) -> Tensor:
    """[B]: sum over rays of ||c_k - own pixel||_1 and, where the other picture sees the point, ||c_k - its pixel||_1.

    `colours`, `true` [B, N, 3]; `counts` [B, N] is 0 for rays that have no surface."""
    own = (colours - true).abs().sum(dim=-1) * counts
    crossed = (colours - other.rgb).abs().sum(dim=-1) * other.seen * counts
    return (own + crossed).sum(dim=1)
