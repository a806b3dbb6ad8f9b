"""The one camera that all pictures are taken by, those in a disc around it, and what rays see of scenes on the way.

Letters: B scenes, R rays, S samples of a ray.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import CameraPrior, Cameras, look_at
from g3d.methods.vq3d.config import Config
from g3d.render import rays, volume
from g3d.scenes.scene import MlpField, Scene, Triplane, World, query, query_proposal

BOUNDS = (
    (-1.5, -1.5, -2.5),
    (1.5, 1.5, 0.5),
)  # of what a mesh is made of, times the camera's distance; pictures know none


class Seen(NamedTuple):
    """`rgb` [B, R, 3] in [0, 1] or a little beyond; `disparity` [B, R], the weighted mean of 0 (far) to 1 (near); what rays hand
    out: `weights` and the samples' own `disparities` [B, R, S], and all of it for the losses on rays."""

    rgb: Tensor
    disparity: Tensor
    weights: Tensor
    disparities: Tensor
    rays: volume.Rays


def world_of(config: Config, background: tuple[float, float, float]) -> World:
    """What scenes live in: the canonical camera is their default one, and the disc around it where new ones stand."""
    reach = math.degrees(math.atan2(config.disc_radius, config.radius_world))
    prior = CameraPrior(
        radius_world=config.radius_world, fov_deg=config.fov_deg, width=config.resolution, height=config.resolution,
        azimuth_deg=(-reach, reach), elevation_deg=(-reach, reach), distribution="uniform", default_azimuth_deg=0.0,
        default_elevation_deg=0.0,
    )  # fmt: skip
    (x0, y0, z0), (x1, y1, z1) = BOUNDS
    r = config.radius_world
    planes = config.scene == "triplane"
    return World(
        bounds=((r * x0, r * y0, r * z0), (r * x1, r * y1, r * z1)), near_world=config.near_world, far_world=config.far_world,
        background=background, samples=config.samples, proposal_samples=config.proposal_samples if planes else 0,
        spacing="disparity", opaque_end=True, camera_prior=prior, unbounded=not planes,
    )  # fmt: skip


def canonical(config: Config) -> Cameras:
    """The camera of every picture."""
    prior = world_of(config, (0.0, 0.0, 0.0)).camera_prior
    assert prior is not None
    return prior.default()


def in_disc(config: Config, u: Tensor) -> Cameras:
    """Cameras uniform in the disc tangent to the sphere at the canonical one, aimed at the origin; `u` [B, 2] in [0, 1)."""
    angle, radius = 2 * math.pi * u[:, 0], config.disc_radius * u[:, 1].sqrt()
    eye = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(radius, config.radius_world)], dim=1)
    base = canonical(config)
    c2w = look_at(eye.double(), torch.zeros(3, dtype=torch.float64)).float()
    return Cameras(c2w, base.intrinsics.expand(len(u), -1), base.width, base.height)


def seen(
    scene: Scene, cameras: Cameras, config: Config, pixels: Tensor | None = None, jitter: Tensor | None = None
) -> Seen:
    """Rays of B scenes by a camera each (or one for all), through `pixels` [B, R] (None: all), jittered by `jitter` [B, R]."""
    count = len(scene)
    if pixels is None:
        pixels = torch.arange(cameras.width * cameras.height, device=cameras.c2w.device).expand(count, -1)
    directions = rays.pixel_directions(
        cameras.intrinsics.expand(count, -1), cameras.c2w.expand(count, -1, -1), pixels, cameras.width
    )
    origins = cameras.c2w[:, None, :3, 3].expand(count, directions.shape[1], -1)
    near, far = (
        torch.full(directions.shape[:2], z, device=directions.device) for z in (config.near_world, config.far_world)
    )
    planes = isinstance(scene, Triplane)
    sampling = volume.Sampling(
        config.samples, config.proposal_samples if planes else 0, "disparity", "opaque" if planes else "infinite"
    )

    def ask(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(scene, Triplane | MlpField)
        found = query(scene, points, clamp=False)
        return found.rgb, found.density

    def propose(points: Tensor) -> Tensor:
        assert isinstance(scene, Triplane)
        return query_proposal(scene, points)

    background = torch.tensor(scene.world.background, device=directions.device)
    spread = None if jitter is None else jitter.unsqueeze(2).expand(-1, -1, config.samples)
    found = volume.render_rays(
        ask, origins, directions, near, far, sampling, background, jitter=spread, proposal=propose if planes else None
    )
    disparities = 1 - volume.normalised(found.t, near, far, "disparity")
    return Seen(found.rgb, (found.weights * disparities).sum(dim=-1), found.weights, disparities, found)
