"""Weights of the method's public code => a model of ours: names, and the cameras that belong to those weights.

The public code draws with a field of view of 22.553 degrees whatever the intrinsics say, and negates the x of its view
matrix' translation. Scenes of imported weights are drawn so, unless `fixed_fov_deg=0` or `negate_tx=false` say otherwise.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from g3d import config as settings_
from g3d.cameras import CameraPrior
from g3d.config import as_json, setting
from g3d.errors import G3dError
from g3d.methods.gsgan.codec import described
from g3d.methods.gsgan.config import PRESETS, Config
from g3d.methods.gsgan.networks import Generator
from g3d.scenes.scene import ImportedFrame, World
from g3d.training.checkpoint import load_module

DRAWN_FOV_DEG = 22.553302612568533
FOV_DEG = math.degrees(2 * math.atan(0.5 / 4.2647))  # of EG3D's cameras of faces, which the mapping sees
RADIUS, TARGET, NEAR, FAR = 2.7, (0.0, 0.0, 0.2), 2.25, 3.3
_SIDES = {5: 256, 6: 512}  # by levels
_PUBLIC = {"table": "middle", "behind": "black", "anchors": True, "coarsest": "public", "scale_step": "public"}
_UNUSED = re.compile(r"resample_filter$|_init$|scale_threshold$")
_FRONT, _BACK = "point_gen", "point_gen_bg"


@dataclass(frozen=True)
class ImportSettings:
    """What --set may say of imported weights besides the method's settings."""

    fixed_fov_deg: float = setting(
        DRAWN_FOV_DEG, "field of view of every picture; 0: what the camera says", low=0, high=179
    )
    negate_tx: bool = setting(
        True, "the world's origin is mirrored in x in every camera's frame, as the public code does"
    )


def import_official(
    state: Mapping[str, Tensor], preset: str | None, pairs: Sequence[str], size: int | None, where: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a public generator => those of a model file, and its metadata. Sizes come from the shapes."""
    known = {f.name for f in fields(ImportSettings)}
    own = [p for p in pairs if p.partition("=")[0].strip() in known]
    others = [p for p in pairs if p not in own]
    options = settings_.override(ImportSettings(), own, "gsgan")
    found = {**sizes_of(state, where), **_PUBLIC}
    found["resolution"] = side = _side(size, len(found["channels"]), where)
    base = settings_.preset(PRESETS, preset, "gsgan") if preset else Config()
    config = settings_.override(base, others, "gsgan")
    for pair in others:
        key = pair.partition("=")[0].strip()
        if key in found and getattr(config, key) != found[key]:
            raise G3dError(f"the weights of '{where}' have {key}={found[key]}; leave --set {pair} out")
    config = settings_.from_json(Config, {**as_json(config), **found}, f"the weights of '{where}'")
    net = Generator(config)
    load_module(net, renamed(state, config, where), where)
    about = described(config, imported_world(side, options))
    return net.state_dict(), {**about, "imported": {"from": "public checkpoint", **as_json(options)}}


def _side(size: int | None, levels: int, where: str) -> int:
    """The side of the pictures: five levels belong to 256 pixels, six to 512; others must be told."""
    known = _SIDES.get(levels)
    if size is None and known is None:
        raise G3dError(
            f"'{where}' has {levels} levels, which say nothing of its pictures; give --size, their side in pixels"
        )
    if size is not None and known is not None and size != known:
        raise G3dError(
            f"'{where}' has {levels} levels, which belong to pictures of {known} pixels; leave --size {size} out"
        )
    return known or size or 0


def imported_world(size: int, options: ImportSettings) -> World:
    """EG3D's cameras of faces: 2.7 from (0, 0, 0.2), yaw and pitch normal (deviations as pi-GAN gives them for faces)."""
    prior = CameraPrior(
        radius_world=RADIUS, fov_deg=FOV_DEG, width=size, height=size, azimuth_deg=(-17.2, 17.2),
        elevation_deg=(-8.9, 8.9), distribution="normal", target=TARGET, default_azimuth_deg=0.0, default_elevation_deg=0.0,
    )  # fmt: skip
    return World(
        near_world=NEAR, far_world=FAR, background=(0.0, 0.0, 0.0), camera_prior=prior,
        imported=ImportedFrame(options.fixed_fov_deg or None, options.negate_tx),
    )  # fmt: skip


def sizes_of(state: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """The settings that shapes of a public generator tell."""
    try:
        levels = _levels(state)
        channels = [state[f"{_FRONT}.out_layers.xyz.{b}.0.weight"].shape[1] for b in levels]
        blocks = f"{_FRONT}.blocks"
        transformers = len({m[1] for n in state if (m := re.match(rf"{blocks}\.block_4\.0\.resblocks\.(\d+)\.", n))})
        first = f"{blocks}.block_4.0.resblocks.0.mlp.c_fc.weight"
        modulated = 1 + sum(f"{blocks}.{b}.0.norm.gamma.weight" in state for b in levels[1:])
        background = "_xyz_bg" in state
        found: dict[str, Any] = {
            "z_dim": state["mapping_network.fc0.weight"].shape[1] - state["mapping_network.embed.weight"].shape[0],
            "w_dim": state["mapping_network.embed.weight"].shape[0],
            "mapping_layers": sum(bool(re.fullmatch(r"mapping_network\.fc\d+\.weight", n)) for n in state),
            "points": len(state["_xyz"]), "channels": tuple(channels), "transformers": transformers, "modulated": modulated,
            "mlp_ratio": state[first].shape[0] // channels[0], "background": background,
            "camera_channels": state[f"{_FRONT}.encoder_camera_cond.weight"].shape[0],
        }  # fmt: skip
        if background:
            found |= {
                "background_points": len(state["_xyz_bg"]),
                "background_channels": len(state[f"{_BACK}.conv_in.ffm.linear.weight"]),
            }
    except (KeyError, IndexError) as error:
        raise G3dError(
            f"'{where}' holds no generator of GSGAN (it lacks {error}); give a checkpoint of the method's public code"
        ) from error
    return found


def renamed(state: Mapping[str, Tensor], config: Config, where: str) -> dict[str, Tensor]:
    """The public names => ours; every tensor of the generator must be used, and none may lack."""
    names = name_pairs(config, _levels(state))
    missing = sorted(set(names.values()) - state.keys())
    unknown = sorted(name for name in set(state) - set(names.values()) if not _UNUSED.search(name))
    if missing or unknown:
        what = f"lacks the tensor '{missing[0]}'" if missing else f"has a tensor '{unknown[0]}' that is not known"
        raise G3dError(f"the generator of '{where}' {what}; it is no checkpoint of the method's public code")
    found = {ours: _shaped(ours, state[theirs].detach().float().cpu()) for ours, theirs in names.items()}
    return {**found, "background.begun": torch.ones(())} if config.background else found


def name_pairs(config: Config, levels: Sequence[str]) -> dict[str, str]:
    """Our name of each tensor => its public name."""
    pairs: dict[str, str] = {"mapping.w_mean": "mapping_network.w_avg", "points": "_xyz"}

    def both(ours: str, theirs: str) -> None:
        pairs.update({f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")})

    def norm(ours: str, theirs: str) -> None:
        both(f"{ours}.norm.gamma", f"{theirs}.gamma")
        both(f"{ours}.norm.beta", f"{theirs}.beta")

    both("mapping.condition", "mapping_network.embed")
    for i in range(config.mapping_layers):
        both(f"mapping.layers.{i}", f"mapping_network.fc{i}")
    both("positions.linear", f"{_FRONT}.conv_in.learnable_pe.ffm.linear")
    pairs["positions.table"] = f"{_FRONT}.conv_in.const_pe.const_pe"
    for i in range(config.transformers):
        ours, theirs = f"transformers.{i}", f"{_FRONT}.blocks.{levels[0]}.0.resblocks.{i}"
        both(f"{ours}.attention.inner.qkv", f"{theirs}.attn.c_qkv")
        both(f"{ours}.attention.inner.out", f"{theirs}.attn.c_proj")
        both(f"{ours}.mlp.inner.hidden", f"{theirs}.mlp.c_fc")
        both(f"{ours}.mlp.inner.out", f"{theirs}.mlp.c_proj")
        for number, part in ((1, "attention"), (2, "mlp")):
            norm(f"{ours}.{part}", f"{theirs}.ln_{number}")
            both(f"{ours}.{part}.scale_by_w", f"{theirs}.ls_{number}")
    for level in range(1, config.levels):
        ours, theirs = f"blocks.{level - 1}", f"{_FRONT}.blocks.{levels[level]}"
        for i, part in ((0, "in"), (1, "out")):
            both(f"{ours}.attention.inner.weight_{part}", f"{theirs}.0.conv_w.{i}")
            both(f"{ours}.attention.inner.value_{part}", f"{theirs}.0.conv_x.{i}")
        both(f"{ours}.up.subpixel", f"{theirs}.1.subpixel")
        if config.channels[level] != config.channels[level - 1]:
            both(f"{ours}.up.skip", f"{theirs}.1.res_fc")
        both(f"{ours}.mlp.inner.hidden", f"{theirs}.2.mlp.c_fc")
        both(f"{ours}.mlp.inner.out", f"{theirs}.2.mlp.c_proj")
        for number, part in ((0, "attention"), (2, "mlp")):
            if level < config.modulated:
                norm(f"{ours}.{part}", f"{theirs}.{number}.norm")
                both(f"{ours}.{part}.scale_by_w", f"{theirs}.{number}.ls")
            else:
                pairs[f"{ours}.{part}.scale"] = f"{theirs}.{number}.ls"
    for level, block in enumerate(levels):
        for kind in ("xyz", "scale", "rotation", "color", "opacity"):
            for heads, number in (("anchor_heads", 0), ("heads", 1)):
                both(f"{heads}.{level}.layers.{kind}", f"{_FRONT}.out_layers.{kind}.{block}.{number}")
    both("camera", f"{_FRONT}.encoder_camera_cond")
    both("unread", f"{_FRONT}.camera_dep_affine")
    if config.background:
        pairs.update(_background_pairs())
    return pairs


def _background_pairs() -> dict[str, str]:
    pairs = {"background.points": "_xyz_bg"}

    def modulated(ours: str, theirs: str) -> None:
        for part in ("weight", "bias", "affine.weight", "affine.bias"):
            pairs[f"background.{ours}.{part}"] = f"{_BACK}.{theirs}.{part}"

    for part in ("weight", "bias"):
        pairs[f"background.encode.{part}"] = f"{_BACK}.conv_in.ffm.linear.{part}"
    modulated("up", "network.block_1.0.subpixel")
    for stage in (0, 1):
        for i in (0, 1):
            theirs = f"network.block_{stage}.{i + stage}"
            modulated(f"stages.{stage}.layers.{i}", theirs)
            pairs[f"background.stages.{stage}.scales.{i}"] = f"{_BACK}.{theirs}.layerscale"
        for kind in ("xyz", "scale", "rotation", "color", "opacity"):
            modulated(f"heads.{stage}.{kind}", f"out_layers.block_{stage}.{kind}.out_block")
    return pairs


def _levels(state: Mapping[str, Tensor]) -> list[str]:
    """block_4, block_8, ...: the public names of the levels."""
    sides = sorted({int(m[1]) for n in state if (m := re.match(rf"{_FRONT}\.out_layers\.xyz\.block_(\d+)\.", n))})
    if not sides:
        raise KeyError(f"{_FRONT}.out_layers.xyz")
    return [f"block_{side}" for side in sides]


def _shaped(name: str, tensor: Tensor) -> Tensor:
    """1 x 1 convolutions => linear layers; the table and the layer scales without their axes of length 1."""
    if name == "positions.table":
        return tensor.squeeze(2)
    if ".scales." in name:
        return tensor.flatten()
    return tensor.flatten(1) if tensor.dim() == 4 else tensor
