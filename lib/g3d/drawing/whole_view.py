"""Cameras for a scene that records none: around the middle of its bounds, far enough to see them whole."""

import math

from g3d.cameras import CameraPrior
from g3d.scenes.scene import World

FAR_BOUNDS = 2.6  # half-diagonals of the bounds
FOV_DEG, SIDE_PX = 45.0, 512


def cameras_of(world: World) -> CameraPrior:
    """Those that the scene records, else those around its bounds."""
    if world.camera_prior is not None:
        return world.camera_prior
    low, high = world.bounds
    middle = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
    return CameraPrior(FAR_BOUNDS * math.dist(low, high) / 2, FOV_DEG, SIDE_PX, SIDE_PX, target=middle)
