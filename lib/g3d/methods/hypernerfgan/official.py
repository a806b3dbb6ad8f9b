"""Weights of the method's public code => a model of ours: names, axes, sampling.

The public world is z-up, ours y-up. A turn by 90 degrees permutes the axes of a point and changes one sign, and sin and cos
of the encoding with them, so it is folded into the layers that read the point: exact, nothing is fitted. The public samples
lie on N points from near to far inclusive, the last one followed by an infinite interval; ours in the middles of N
intervals: near and far move outward by half a step, and `opaque_end` is set. What stays: public rays pass the corner of a
pixel, ours its centre, so pictures are half a pixel apart.

Letters: O and I features out of and into a layer, r rank, k frequency.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from g3d import config as settings_
from g3d.errors import G3dError
from g3d.methods.hypernerfgan.cameras import cube, prior_of_settings, reach
from g3d.methods.hypernerfgan.codec import described
from g3d.methods.hypernerfgan.config import PRESETS, Config
from g3d.methods.hypernerfgan.networks import Generator, encoded_size, layer_sizes, reads_point
from g3d.scenes.scene import World
from g3d.seeds import latents
from g3d.training.checkpoint import load_module

# ours (x, y, z) => public (x, -z, y): the public axis that each of ours is, and the sign.
AXES, SIGNS = (0, 2, 1), (1.0, 1.0, -1.0)
TO_PUBLIC = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))  # public = TO_PUBLIC @ ours
_SIDE = 128  # of the pictures, where nobody says otherwise
_MEAN_OF = 10_000  # styles whose mean becomes w_mean, which the public code does not keep
DIMENSIONS = ("layers", "width", "skip_after", "frequencies", "rank", "modulation", "z_dim", "w_dim", "mapping_layers")


def import_official(
    state: Mapping[str, Tensor], preset: str | None, pairs: Sequence[str], size: int | None, where: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a public generator => those of a model file, and its metadata.

    Sizes come from the shapes; what weights do not say (samples, cameras) from the preset and `key=value` pairs."""
    base = settings_.preset(PRESETS, preset, "hypernerfgan") if preset else Config()
    config = settings_.override(base, pairs, "hypernerfgan")
    found = sizes_of(state, where)
    for pair in pairs:
        key = pair.partition("=")[0].strip()
        if key in DIMENSIONS and getattr(config, key) != getattr(found, key):
            raise G3dError(f"the weights of '{where}' have {key}={getattr(found, key)}; leave --set {pair} out")
    config = replace(
        config, opaque_end=True, cameras="settings", rays="shell", **{k: getattr(found, k) for k in DIMENSIONS}
    )
    net = Generator(config)
    ours = renamed(state, config, where)
    load_module(net, {**ours, "mapping.w_mean": net.mapping.w_mean}, where)
    turned(net)
    with torch.no_grad():
        net.mapping.w_mean.copy_(net.mapping(latents(range(_MEAN_OF), 0, config.z_dim, "mean style")).mean(dim=0))
    about = described(config, imported_world(config, size or _SIDE))
    return net.state_dict(), {**about, "imported": {"from": "public checkpoint", "to_public": TO_PUBLIC}}


def imported_world(config: Config, size: int) -> World:
    """The world of imported weights: samples where the public code has them, the last of them opaque."""
    step = (config.far_world - config.near_world) / max(1, config.n_samples - 1)
    near, far = config.near_world - step / 2, config.far_world + step / 2
    prior = prior_of_settings(config, size, size)
    return World(
        bounds=cube(reach(prior, near, far)), near_world=near, far_world=far, samples=config.n_samples,
        opaque_end=config.opaque_end, camera_prior=prior,
    )  # fmt: skip


def sizes_of(state: Mapping[str, Tensor], where: str) -> Config:
    """The sizes of a public generator, read from its shapes."""
    hidden = [state[n] for n in _numbered(state, r"synthesis\.pts_linears\.(\d+)\.weight")]
    mapping = [state[n] for n in _numbered(state, r"mapping\.fc(\d+)\.weight")]
    if not hidden or not mapping or "synthesis.output_linear.weight" not in state:
        raise G3dError(
            f"'{where}' holds no generator of HyperNeRFGAN (synthesis.pts_linears.N, synthesis.output_linear, mapping.fcN); "
            "give a checkpoint of the method's public code"
        )
    point, width = hidden[0].shape[1], hidden[0].shape[0]
    skips = [i - 1 for i, weight in enumerate(hidden) if i and weight.shape[1] != width]
    factors = state.get("synthesis.pts_linears.0.affine.weight")
    if point % 6 != 3 or factors is None or factors.shape[0] % (width + point):
        raise G3dError(
            f"the generator of '{where}' has layers of another form (first {list(hidden[0].shape)}); cannot read it"
        )
    return Config(
        layers=len(hidden), width=width, skip_after=skips[0] if skips else 4, frequencies=(point // 3 - 1) // 2,
        rank=factors.shape[0] // (width + point), z_dim=mapping[0].shape[1], w_dim=mapping[-1].shape[0],
        mapping_layers=len(mapping),
    )  # fmt: skip


def renamed(state: Mapping[str, Tensor], config: Config, where: str) -> dict[str, Tensor]:
    """The public names => ours; every tensor of the generator must be used, and none may lack."""
    pairs = {}
    for i in range(config.layers + 1):
        theirs = f"synthesis.pts_linears.{i}" if i < config.layers else "synthesis.output_linear"
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            pairs[f"layers.{i}.{part}"] = f"{theirs}.{part}"
    for i in range(config.mapping_layers):
        for part in ("weight", "bias"):
            pairs[f"mapping.layers.{i}.{part}"] = f"mapping.fc{i}.{part}"
    missing = sorted(set(pairs.values()) - state.keys())
    unknown = sorted(set(state) - set(pairs.values()))
    if missing or unknown:
        what = f"lacks the tensor '{missing[0]}'" if missing else f"has a tensor '{unknown[0]}' that is not known"
        raise G3dError(f"the generator of '{where}' {what}; it is no checkpoint of the method's public code")
    return {name: state[theirs].detach().float().cpu() for name, theirs in pairs.items()}


@torch.no_grad()
def turned(net: Generator) -> None:
    """From the public axes to ours, in place: columns of the layers that read the point change places and signs."""
    config = net.config
    point = encoded_size(config)
    place = torch.tensor([3 * block + axis for block in range(point // 3) for axis in AXES])
    # x itself and its sines change sign with the axis; cosines do not. Blocks of 3: x, sin, cos, sin, cos, ...
    flips = [[1.0] * 3 if block and block % 2 == 0 else list(SIGNS) for block in range(point // 3)]
    sign = torch.tensor(flips).flatten()
    for i, (inputs, outputs) in enumerate(layer_sizes(config)):
        if i and not reads_point(config, i):
            continue
        layer: Any = net.layers[i]
        layer.weight[:, :point] = layer.weight[:, :point][:, place] * sign
        for factors in (layer.affine.weight, layer.affine.bias):
            b = factors[outputs * config.rank :].view(config.rank, inputs, -1)
            b[:, :point] = b[:, :point][:, place].clone()


def _numbered(state: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The names that match, in the order of their number; numbers run from 0 without a gap."""
    found = {int(m[1]): name for name in state if (m := re.fullmatch(pattern, name))}
    return [found[i] for i in range(len(found)) if i in found]
