"""One small scene of every kind, made by hand."""

from typing import Any

import torch
from g3d.cameras import CameraPrior
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import Gaussians, MlpField, Scene, Triplane, World


def world(size: int = 8, **changes: Any) -> World:
    """Cameras of `size` pixels, 3 from the origin."""
    return World(camera_prior=CameraPrior(3.0, 45.0, size, size), samples=8, **changes)


def radiance(size: int = 8) -> MlpField:
    """Red fog in the whole box."""
    outputs = {"rgb": Output("a", 0, 3, Activation("clamp")), "density": Output("a", 3, 4, Activation("relu"))}
    network = Network((Layer("a", ("x",), Activation("linear")),), outputs, {"x": Encoding()})
    return MlpField({"a": (torch.zeros(1, 4, 3), torch.tensor([[1.0, 0, 0, 5]]))}, network, world(size))


def occupancy(size: int = 8) -> MlpField:
    """Occupied below the plane y = 0."""
    outputs = {"occupancy": Output("a", 0, 1, Activation("sigmoid"))}
    network = Network((Layer("a", ("x",), Activation("linear")),), outputs, {"x": Encoding()})
    return MlpField(
        {"a": (torch.tensor([[[0.0, -20, 0]]]), torch.zeros(1, 1))}, network, world(size), "occupancy"
    )  # fmt: skip


def image_field() -> MlpField:
    """rgb = (x, y, 0) / 2 + 1/2."""
    outputs = {"rgb": Output("a", 0, 3, Activation("clamp"))}
    network = Network((Layer("a", ("x",), Activation("linear")),), outputs, {"x": Encoding()})
    weight = torch.tensor([[[0.5, 0], [0, 0.5], [0, 0]]])
    return MlpField({"a": (weight, torch.full((1, 3), 0.5))}, network, World(), "image")


def triplane(size: int = 8) -> Triplane:
    """Fog of one colour."""
    nerf = ((torch.zeros(1, 4, 2), torch.tensor([[9.0, -9, 9, 5]])),)
    return Triplane(torch.zeros(1, 3, 2, 4, 4), nerf, world(size))


def gaussians(size: int = 8, far_along_z: float = 0.0) -> Gaussians:
    """Two balls at the origin, the second moved back from the default camera of azimuth 0 and elevation 0."""
    means = torch.tensor([[[0.0, 0, 0], [0, 0, -far_along_z]]])
    quats = torch.tensor([[[1.0, 0, 0, 0]]]).repeat(1, 2, 1)
    return Gaussians(
        means, torch.full((1, 2, 3), -1.0), quats, torch.full((1, 2), 5.0), torch.zeros(1, 2, 1, 3), world(size)
    )


def two_branches(size: int = 24) -> MlpField:
    """A dense ball at the origin by one branch, coloured by place and direction by another."""
    sine = Activation("sin")
    layers = (
        Layer("shape", ("x",), sine), Layer("shape2", ("shape",), Activation("linear")),
        Layer("paint", ("x", "direction"), Activation("linear")),
    )  # fmt: skip
    outputs = {
        "density": Output("shape2", 0, 1, Activation("relu")), "rgb": Output("paint", 0, 3, Activation("sigmoid")),
    }  # fmt: skip
    # density = 30 (cos 2x + cos 2y + cos 2z - 2.2): positive near the origin alone
    weights = {
        "shape": (2 * torch.eye(3)[None], torch.full((1, 3), torch.pi / 2)),
        "shape2": (torch.full((1, 1, 3), 30.0), torch.full((1, 1), -66.0)),
        "paint": (torch.cat([3 * torch.eye(3), 0.3 * torch.eye(3)], dim=1)[None], torch.zeros(1, 3)),
    }
    world = World(((-1.0,) * 3, (1.0,) * 3), samples=32, camera_prior=CameraPrior(3.0, 40.0, size, size))  # type: ignore[arg-type]
    return MlpField(weights, Network(layers, outputs, {"x": Encoding(), "direction": Encoding()}), world)


def every_kind() -> dict[str, Scene]:
    """By name, the 3D ones with pictures of two sizes."""
    return {
        "000000": radiance(), "000001": occupancy(12), "000002": triplane(), "000003": gaussians(),
        "000004": image_field(),
    }  # fmt: skip
