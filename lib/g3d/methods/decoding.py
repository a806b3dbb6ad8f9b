"""Latents => scenes, by any method: at the cameras that the latents record, where scenes depend on one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from g3d import config, latents
from g3d.latents import Latents
from g3d.methods.contract import C, M, Method
from g3d.scenes.scene import Scene, pick
from g3d.storage import artifacts


def decode(method: Method[Any, M], model: M, latents: Latents, settings: Any) -> Scene:
    """A batch of scenes, a scene for each latent, at its camera where scenes depend on one."""
    seen = latents.condition_camera
    if seen is not None and method.condition is not None:
        model = method.condition(model, seen)
    return method.decode(model, latents, settings)


def scenes_of(method: Method[Any, M], model: M, latents: Latents, settings: Any) -> list[Scene]:
    """A scene for each latent, with a record of the camera that it was baked at."""
    batch, seen = decode(method, model, latents, settings), latents.condition_camera
    scenes = [pick(batch, place) for place in range(len(latents))]
    if seen is None or method.condition is None:
        return scenes
    return [_baked(scene, camera) for scene, camera in zip(scenes, seen, strict=True)]


def draw(
    method: Method[Any, M], model: M, numbers: Sequence[int], seed: int, settings: Any, seen: Tensor | None
) -> Latents:
    """Latents that the method itself draws, for cameras [n, 25] where scenes depend on one."""
    assert method.draw is not None
    if seen is None or method.condition is None:
        return method.draw.draw(model, numbers, seed, settings)
    found = method.draw.draw(method.condition(model, seen), numbers, seed, settings)
    return replace(found, condition_camera=seen)


def model_settings(method: Method[C, Any], file: artifacts.Header) -> C:
    """The settings that a model was fitted with, from its header."""
    return config.from_json(method.config, file.config["settings"], f"the model '{file.path}'")


def check_decodes(method: Method[Any, Any], model: artifacts.Header, found: latents.Head) -> None:
    """Refuse latents of a space that the model cannot decode."""
    others = method.other_spaces(model_settings(method, model)) if method.other_spaces is not None else ()
    if found.space not in others:
        latents.check_same(model, found.space, found.path, "the latents")


def load(method: Method[Any, M], file: artifacts.Header, device: torch.device) -> M:
    """The model of a file whose header was checked."""
    return method.load(artifacts.read(file.path, "model", role="the model"), device)


def _baked(scene: Scene, condition: Tensor) -> Scene:
    """The scene with a record of the camera [25] that it was baked at."""
    return replace(scene, world=replace(scene.world, condition_camera=tuple(condition.tolist())))
