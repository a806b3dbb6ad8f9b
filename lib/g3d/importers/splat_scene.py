"""Arrays of a PLY of 3D Gaussians => a scene, y up, with a camera that looks at it.

Letters: N Gaussians.
"""

from dataclasses import replace

import torch
from torch import Tensor

from g3d.cameras import CameraPrior
from g3d.importers.splats import Splats
from g3d.render.splat import turn
from g3d.scenes.scene import Gaussians, World

SIZE_PX, FOV_DEG = 512, 45.0
SIGMAS = 3.0  # of a Gaussian, within which it is seen
INNER = 0.98  # share of the Gaussians that the default camera shows: strays do not count


def gaussians_of(read: Splats, up: str) -> Gaussians:
    """The scene of at least one Gaussian, whose axis `up` becomes y."""
    means, log_scales, quats, logits, sh = (
        torch.from_numpy(t)[None] for t in (read.means, read.log_scales, read.quats, read.opacity_logits, read.sh)
    )
    scene = turn.turned(Gaussians(means, log_scales, quats, logits, sh, World()), turn.from_y_up(up).T)
    return replace(scene, world=_world(scene.means[0].double(), scene.log_scales[0].amax(dim=1).double()))


def _world(means: Tensor, log_scales: Tensor) -> World:
    """Bounds around all, and a camera prior around where most are [N, 3], as large as they are [N]."""
    ordered, count = means.sort(dim=0).values, len(means)
    stray = int((1 - INNER) / 2 * (count - 1))
    target = (ordered[stray] + ordered[count - 1 - stray]) / 2
    distance = (means - target).norm(dim=1)
    reach = max(float(distance.sort().values[int(INNER * (len(distance) - 1))]), 1e-3)
    reach = max(reach, SIGMAS * float(log_scales.median().exp()))  # the camera stands outside of a single one
    low, high = means.amin(dim=0) - 1e-3 * reach, means.amax(dim=0) + 1e-3 * reach
    prior = CameraPrior(
        2.8 * reach, FOV_DEG, SIZE_PX, SIZE_PX, elevation_deg=(-30.0, 60.0), distribution="uniform",
        target=(float(target[0]), float(target[1]), float(target[2])), default_azimuth_deg=0.0, default_elevation_deg=10.0,
    )  # fmt: skip
    corners = tuple(tuple(float(x) for x in corner) for corner in (low, high))
    far = 2.8 * reach + float(distance.max()) + reach
    return World(corners, 0.01 * reach, far, camera_prior=prior)  # type: ignore[arg-type]
