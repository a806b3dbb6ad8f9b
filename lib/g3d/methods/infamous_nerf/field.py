"""Codes and weights => scenes: two-branch MLPs in which the codes are part of the biases.

F_A and MS, MB, F_S are written by thetas of their own (`identity_appearance`, `identity_shape`), equal after a fit, so that an
edit can take the appearance of one subject and the shape of another (section 4: alpha / W'_A, beta / W'_S). F_S reads the same
alpha as F_A: eq. 1 has one alpha, so an appearance edit hands both of them the new one.

Letters: B scenes, I and O features into and out of a layer.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.layers import APPEARANCE, CODES, MODULATION, SHAPE, targets
from g3d.methods.infamous_nerf.networks import FaceModel, evaluated
from g3d.scenes import mlp
from g3d.scenes.scene import MlpField, World

FIELDS = ("identity_appearance", "identity_shape", "appearance", "shape", "expression")


class Codes(NamedTuple):
    """Of B scenes: theta twice, alpha, beta, epsilon."""

    identity_appearance: Tensor  # [B, identity_dim], of W'_A
    identity_shape: Tensor  # [B, identity_dim], of W'_S
    appearance: Tensor  # alpha
    shape: Tensor  # beta
    expression: Tensor  # epsilon


def scene(model: FaceModel, codes: Codes, world: World) -> MlpField:
    """The scenes of codes; differentiable in the model and the codes."""
    layers = model.hypernetwork
    same = codes.identity_appearance is codes.identity_shape
    written = layers(codes.identity_shape, None if same else (*MODULATION, *SHAPE))
    if not same:
        written |= layers(codes.identity_appearance, APPEARANCE)
    return MlpField(fold(model.config, written, codes), network(model.config), world, "radiance")


def fold(
    config: Config, written: Mapping[str, tuple[Tensor, Tensor]], codes: Codes
) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights of all layers => those that a point needs: what multiplies a code becomes part of the bias."""
    known = {"alpha": codes.appearance, "beta": codes.shape, "epsilon": codes.expression}
    every = targets(config)
    for target in every:
        if target.name in MODULATION:
            known[target.name] = evaluated(target, written[target.name], known)
    known["modulated"] = (known["MS_3"] + config.modulation_offset) * codes.expression + known["MB_3"]  # table 9
    found = {}
    for target in every:
        if target.name in MODULATION:
            continue
        weight, bias = written[target.name]
        parts = weight.split(list(target.sizes), dim=2)
        kept = [part for name, part in zip(target.inputs, parts, strict=True) if name not in CODES]
        for name, part in zip(target.inputs, parts, strict=True):
            if name in CODES:
                bias = bias + torch.bmm(part, known[name].unsqueeze(2)).squeeze(2)  # [B, O]
        found[target.name] = (kept[0] if len(kept) == 1 else torch.cat(kept, dim=2), bias)
    return found


def network(config: Config) -> mlp.Network:
    """The description of both branches without their codes."""
    layers = tuple(
        mlp.Layer(t.name, tuple(name for name in t.inputs if name not in CODES), t.activation)
        for t in targets(config)
        if t.name not in MODULATION
    )
    density = mlp.Activation("relu", gain=config.density_scale)
    if config.density == "softplus":
        density = mlp.Activation("softplus", gain=config.density_scale, offset=-2.0)
    outputs = {
        "rgb": mlp.Output("A_5", 0, 3, mlp.Activation("sigmoid")),
        "density": mlp.Output("S_6", 0, 1, density),
    }
    encodings = {
        "x": mlp.Encoding(config.x_frequencies, include_input=False, scale=config.frequency_scale),
        "direction": mlp.Encoding(config.direction_frequencies, include_input=False),
    }
    return mlp.Network(layers, outputs, encodings)
