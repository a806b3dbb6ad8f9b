"""Pictures that a scene draws of itself, from where its training cameras stood: what Gaussians are fitted to and measured by.

Letters: V views, H, W the picture, P points.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.errors import G3dError
from g3d.progress import Progress
from g3d.render import default_settings, empty_space, render_scene
from g3d.scenes.scene import Field, MlpField
from g3d.seeds import rng


@dataclass(frozen=True)
class Views:
    """V pictures, with what is needed to put them on another background and to find the surface in them."""

    cameras: Cameras
    rgb: Tensor  # [V, H, W, 3] over the scene's background
    alpha: Tensor  # [V, H, W]
    depth: Tensor  # [V, H, W] camera z, 0 where nothing is

    def __len__(self) -> int:
        return len(self.cameras)


class Points(NamedTuple):
    """Of the surface, as pictures show it."""

    means: Tensor  # [P, 3] world
    rgb: Tensor  # [P, 3]
    depth_world: float  # the median distance from the camera along its z


def drawn_views(scene: Field, count: int, size: int, seed: int, stream: str, progress: Progress) -> Views:
    """`count` views of `size` pixels width from the scene's camera prior; view i depends on (seed, stream, i) alone."""
    prior = scene.world.camera_prior
    if prior is None:
        raise G3dError("it records no cameras to be seen from, so it has no views to fit Gaussians to")
    cameras = prior.sample(seed, range(count), stream)
    cameras = cameras.resized(size, max(1, round(size * cameras.height / cameras.width)))
    settings = default_settings(scene)
    grid = empty_space(scene, cameras, settings)
    # The mean of a ray's depths lies between two surfaces where it grazes one: the heaviest interval is on either.
    kind = "expected" if isinstance(scene, MlpField) and scene.signal == "occupancy" else "max_weight"
    progress.start(stream, count)
    drawn = []
    for view in range(count):
        drawn.append(render_scene(scene, cameras[view], settings, grid, depth_kind=kind, finite=True))
        progress.update(view + 1, count)
    rgb, alpha, depth = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return Views(cameras, rgb, alpha, depth)


def surface_points(views: Views, count: int, seed: int) -> Points:
    """`count` points of pixels drawn by their coverage, at the depths that they show, in their own colour.

    The colour of a pixel that is covered in part is that of what covers it, so the background is taken out."""
    shown = (views.alpha * (views.depth > 0)).flatten().double()
    cumulative = shown.cumsum(0)
    if not float(cumulative[-1]) > 0:
        raise G3dError("nothing of it is seen from its own cameras, so there is no surface to start on")
    u = torch.rand(count, generator=rng(seed, 0, "start points"), dtype=torch.float64)
    pixel = torch.searchsorted(cumulative, u * cumulative[-1], right=True).clamp(max=len(shown) - 1)  # [P]
    height, width = views.alpha.shape[1:]
    view, row, column = pixel // (height * width), pixel // width % height, pixel % width
    z = views.depth.flatten()[pixel]
    fx, fy, cx, cy = views.cameras.intrinsics[view].unbind(1)
    ray = torch.stack([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, torch.ones_like(z)], dim=1)  # [P, 3] z = 1
    c2w = views.cameras.c2w[view]
    means = torch.einsum("pij,pj->pi", c2w[:, :3, :3], ray * z[:, None]) + c2w[:, :3, 3]
    return Points(means, views.rgb.flatten(0, 2)[pixel], float(z.median()))


def psnr(drawn: Tensor, true: Tensor) -> float:
    """The mean of the views' own, dB, of pictures [V, H, W, 3] in [0, 1]."""
    mse = (drawn - true).square().flatten(1).mean(dim=1).clamp(min=1e-10)
    return float((-10 * mse.log10()).mean()) if len(mse) else math.nan
