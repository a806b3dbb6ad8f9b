"""Where HyperNeRFGAN's cameras stand, and the part of space that they see: by its settings, or as the data records."""

import math

from g3d.cameras import CameraPrior
from g3d.data.dataset import Dataset
from g3d.errors import G3dError
from g3d.methods.hypernerfgan.config import Config
from g3d.scenes.scene import Corner, World


def world_of(config: Config, dataset: Dataset) -> World:
    """The world that scenes live in; refuses data that lacks what the settings ask for."""
    if config.cameras == "data":
        if not dataset.info.get("camera_prior"):
            raise G3dError(
                f"'{dataset.path}' records no camera_prior, which cameras=data needs; set cameras=settings and where "
                "cameras stand (radius_world, fov_deg, azimuth_deg, elevation_deg, near_world, far_world)"
            )
        prior = dataset.camera_prior
        low, high = dataset.bounds
        half = 0.5 * math.dist(low, high)
        near, far = max(0.05 * prior.radius_world, prior.radius_world - half), prior.radius_world + half
    else:
        prior = prior_of_settings(config, int(dataset.info["width"]), int(dataset.info["height"]))
        near, far = config.near_world, config.far_world
    bounds = _corners(dataset) if config.rays == "box" else cube(reach(prior, near, far))
    return World(
        bounds=bounds, near_world=near, far_world=far, background=tuple(dataset.info["background"]),
        samples=config.n_samples, opaque_end=config.opaque_end, camera_prior=prior,
    )  # fmt: skip


def prior_of_settings(config: Config, width: int, height: int) -> CameraPrior:
    """The camera prior that the settings describe; the default camera looks from where most do."""
    (a0, a1), (e0, e1) = config.azimuth_deg, config.elevation_deg
    return CameraPrior(
        radius_world=config.radius_world, fov_deg=config.fov_deg, width=width, height=height, azimuth_deg=(a0, a1),
        elevation_deg=(e0, e1), distribution=config.spread,
        default_azimuth_deg=35.0 if a0 <= 35 <= a1 else (a0 + a1) / 2,
        default_elevation_deg=20.0 if e0 <= 20 <= e1 else (e0 + e1) / 2,
    )  # fmt: skip


def reach(prior: CameraPrior, near_world: float, far_world: float) -> float:
    """The largest distance from the target at which any camera sees anything: a corner of its picture, near or far."""
    slope = math.tan(math.radians(prior.fov_deg) / 2) * math.hypot(1, prior.height / prior.width)
    return max(math.hypot(z - prior.radius_world, z * slope) for z in (near_world, far_world))


def cube(half: float) -> tuple[Corner, Corner]:
    """A box around the origin."""
    return (-half, -half, -half), (half, half, half)


def _corners(dataset: Dataset) -> tuple[Corner, Corner]:
    (x0, y0, z0), (x1, y1, z1) = dataset.bounds
    return (x0, y0, z0), (x1, y1, z1)
