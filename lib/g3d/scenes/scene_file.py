"""Scenes <=> files: one scene a file, renderable with nothing else.

Every weight is checked against the shapes that its description implies, so that a file that loads can be drawn.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.scenes import mlp
from g3d.scenes.planes import channels_last
from g3d.scenes.scene import Gaussians, MlpField, Scene, Triplane, World, mlp_pairs, tensors_of
from g3d.storage import artifacts, foreign


def save_scene(
    path: Path,
    scene: Scene,
    *,
    item: str | None = None,
    seed: int | None = None,
    parents: Mapping[str, str] | None = None,
    left_out: Mapping[str, Sequence[str]] | None = None,
    fitted: Mapping[str, Any] | None = None,
) -> str:
    """Write one scene (a batch of one) as a file that renders with nothing else; return its digest.

    `item` is the name of what the scene shows, where it has one; `fitted` says how well it was fitted to another scene."""
    assert len(scene) == 1, "a scene file holds one scene"
    config: dict[str, Any] = {"world": scene.world.as_json(), **({"item": item} if item else {})}
    if left_out:  # rows of the file that it came from, by reason: how many, and the first ones
        config["left_out"] = {why: [len(rows), *rows[:10]] for why, rows in left_out.items()}
    config |= {"fitted": dict(fitted)} if fitted else {}
    match scene:
        case Gaussians():
            kind = "gaussians"
        case MlpField():
            kind = "mlp_field"
            config |= {"signal": scene.signal, "network": mlp.to_json(scene.network)}
        case Triplane():
            kind = "triplane"
            config |= {"contraction": scene.contraction, "extent": list(scene.extent), "scale": scene.scale}
    tensors = {name: value[0] for name, value in tensors_of(scene).items()}
    return artifacts.write(path, f"scene/{kind}", tensors, {"scene": kind, **config}, seed=seed, parents=parents)


def load_scene(path: Path, device: str | torch.device = "cpu") -> Scene:
    """Read a scene file as a batch of one."""
    file = artifacts.read(path, "scene", role="the scene", device=str(device))
    world = World.from_json(file.config["world"], str(path))
    # Half or double precision in the file => single: cameras and rays are single, and kernels do not mix.
    single = {n: v.float() if v.is_floating_point() else v for n, v in file.values.items()}
    tensors = {name: value.unsqueeze(0) for name, value in single.items()}
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise G3dError(f"'{path}': the tensor '{name}' holds NaN or infinity; make the scene again")
    match file.kind:
        case "scene/gaussians":
            if tensors["sh"].shape[2] not in (1, 4, 9, 16):
                raise G3dError(
                    f"'{path}': the tensor 'sh' has {tensors['sh'].shape[2]} coefficients; allowed: 1, 4, 9, 16"
                )
            return Gaussians(**tensors, world=world)
        case "scene/mlp_field":
            return _load_mlp_field(file, tensors, world)
        case _:
            return _load_triplane(file, tensors, world)


def _load_triplane(file: artifacts.Artifact, tensors: Mapping[str, Tensor], world: World) -> Triplane:
    contraction = file.config["contraction"]
    if contraction not in ("none", "sphere"):
        raise G3dError(f"'{file.path}' has the contraction '{contraction}'; allowed: none, sphere")
    extent, scale = file.config.get("extent", [1, 1, 1]), file.config.get("scale", 1)  # what triplanes @1 meant
    numbers = [*extent, scale] if isinstance(extent, list) and len(extent) == 3 else []
    if not numbers or not all(type(x) in (int, float) and 0 < x < math.inf for x in numbers):
        raise G3dError(
            f"'{file.path}' has the extent {extent} and the scale {scale}; wanted are three numbers above 0, and one"
        )
    if contraction == "none" and scale != 1:
        raise G3dError(
            f"'{file.path}' has the scale {scale}, but no contraction that it belongs to; write it with scale 1"
        )
    _check_plane_mlp(file, "nerf", outputs=4)
    _check_plane_mlp(file, "proposal", outputs=1)
    x, y, z, factor = (float(number) for number in numbers)
    nerf, proposal = mlp_pairs(tensors, "nerf"), mlp_pairs(tensors, "proposal")
    return Triplane(channels_last(tensors["planes"]), nerf, world, proposal, contraction, (x, y, z), factor)


def _check_plane_mlp(file: artifacts.Artifact, name: str, outputs: int) -> None:
    """Layers 0, 1, ... without a gap, each as wide as what it reads, the last with `outputs` channels."""
    found = {n for n in file.tensors if n.startswith(f"{name}.")}
    count, width = len(found) // 2, file.tensors["planes"][1][1]
    for i in range(count):
        weight, bias = f"{name}.{i}.weight", f"{name}.{i}.bias"
        if not {weight, bias} <= found:
            raise G3dError(f"'{file.path}' lacks the tensor '{weight if bias in found else bias}'; write it again")
        rows = outputs if i + 1 == count else file.tensors[weight][1][0]
        if file.tensors[weight][1] != (rows, width) or file.tensors[bias][1] != (rows,):
            raise G3dError(
                f"'{file.path}': tensor '{weight}' has shape {list(file.tensors[weight][1])} with a bias of "
                f"{list(file.tensors[bias][1])}; wanted is [{rows}, {width}] with [{rows}]"
            )
        width = rows
    if len(found) % 2:
        raise G3dError(f"'{file.path}' has an odd number of tensors '{name}.*'; wanted is a bias for each weight")


def _load_mlp_field(file: artifacts.Artifact, tensors: Mapping[str, Tensor], world: World) -> MlpField:
    network = mlp.from_json(file.config["network"], str(file.path))
    signal = file.config["signal"]
    wanted = {"radiance": {"rgb", "density"}, "occupancy": {"occupancy"}, "image": {"rgb"}}.get(str(signal))
    if wanted is None or not wanted <= set(network.outputs):
        raise G3dError(
            f"'{file.path}' has the signal '{signal}' with outputs {sorted(network.outputs)}; they do not fit"
        )
    weights = {}
    for layer in network.layers:
        name = f"layer.{layer.name}"
        if f"{name}.weight" not in tensors or f"{name}.bias" not in tensors:
            raise G3dError(
                f"'{file.path}' lacks the tensors of layer '{layer.name}' that its network lists; write it again"
            )
        weight, bias = weights[layer.name] = (tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        if weight.shape[1] != bias.shape[1]:
            raise G3dError(
                f"'{file.path}': tensor '{name}.bias' has shape {list(bias.shape[1:])}; wanted is [{weight.shape[1]}]"
            )
    inputs = {"image": {"x": 2}, "occupancy": {"x": 3}}.get(signal, {"x": 3, "direction": 3})
    mlp.check_widths(network, {n: tuple(w.shape[1:]) for n, (w, _) in weights.items()}, inputs, str(file.path))
    return MlpField(weights, network, world, signal)


def scene_files(path: Path) -> list[Path]:
    """The scene files that `path` stands for: itself, or those of a folder in order. Each is checked by its header."""
    if path.is_dir():
        found = foreign.inside(path, "*.safetensors")
        if not found:
            raise G3dError(
                f"the folder '{path}' holds no scenes (*.safetensors); make some with g3d sample or g3d decode"
            )
    else:
        found = [path]
    for file in found:
        artifacts.check(file, "scene", role="the scene")
    return found
