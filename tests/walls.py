"""A scene whose disparity is known in every pixel: an opaque wall."""

import numpy as np
import torch
from g3d.cameras import CameraPrior
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import MlpField, World
from numpy.typing import NDArray

PRIOR = CameraPrior(3.0, 45.0, 7, 5, default_azimuth_deg=0, default_elevation_deg=0)
NEAR, FAR = 0.5, 9.0


def wall(z: float, tilt: float = 0.0) -> MlpField:
    """Nothing before the plane z + tilt x = `z`, seen from the side of +z; solid behind it."""
    outputs = {"rgb": Output("a", 0, 3, Activation("clamp")), "density": Output("a", 3, 4, Activation("relu"))}
    network = Network((Layer("a", ("x",), Activation("linear")),), outputs, {"x": Encoding()})
    steep = 1e5
    weight = torch.zeros(1, 4, 3)
    weight[0, 3] = torch.tensor([-steep * tilt, 0, -steep])
    bias = torch.tensor([[0.8, 0.4, 0.2, steep * z]])
    box = ((-3.0, -3.0, -1.5), (3.0, 3.0, 1.5))
    return MlpField({"a": (weight, bias)}, network, World(box, NEAR, FAR, samples=512, camera_prior=PRIOR))


def inverse_depth(z: float, tilt: float, size: int) -> NDArray[np.float32]:
    """1 / camera z [size, size] of `wall(z, tilt)` in a square picture of PRIOR: a ray of slope u has 3 - t + tilt u t = z."""
    u = (np.arange(size) + 0.5 - size / 2) / (0.5 * size / np.tan(np.radians(22.5)))
    return np.tile((1 - tilt * u) / (3 - z), (size, 1)).astype(np.float32)
