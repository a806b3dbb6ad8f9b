"""`render`: scenes and cameras => images, masks, depth, a video, a contact sheet.

One scene goes into the folder itself, several with several views into a folder each, each with its `transforms.json`;
several scenes of one view each lie side by side under the scene's name, with one `transforms.json` for all.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g3d import config, distributed
from g3d.device import pick_device
from g3d.drawing.camera_plan import CameraPlan
from g3d.drawing.painter import Drawing, check_targets, painter, settings_of
from g3d.errors import G3dError
from g3d.progress import SILENT, Progress, track
from g3d.render import (
    ImageSettings,
    RenderSettings,
)
from g3d.render.splat import choose
from g3d.scenes.scene import Gaussians, to
from g3d.scenes.scene_file import load_scene, scene_files
from g3d.storage import artifacts


@dataclass(frozen=True)
class Options:
    """Scenes (a file or a folder) and how to draw them."""

    scenes: Path
    out: Path
    drawing: Drawing = field(default_factory=Drawing)
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used, for each kind of scene where there are several; refuses what `run` would."""
    heads, settings = _checked(options)
    kinds = {kind: config.as_json(found) for kind, found in settings.items()}
    result: dict[str, Any] = {
        "scenes": len(heads), "settings": kinds if len(kinds) > 1 else next(iter(kinds.values())),
        "out": str(options.out), "device": str(pick_device(options.device)),
    }  # fmt: skip
    if any(not isinstance(found, ImageSettings) for found in settings.values()):
        plan = CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)
        result |= {"cameras": plan.spec, "views": plan.views}
    return result


def _checked(options: Options) -> tuple[list[artifacts.Header], dict[str, RenderSettings]]:
    """The scenes' headers, and the settings of each kind of scene, found on the first of its kind."""
    heads = [artifacts.header(file) for file in scene_files(options.scenes)]
    check_targets(options.out, options.drawing, options.overwrite, (options.scenes,))
    plan = CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)
    settings: dict[str, RenderSettings] = {}
    for head in heads:
        kind = " ".join([head.kind.removeprefix("scene/"), str(head.config.get("signal", ""))]).strip()
        if kind in settings:
            continue
        scene = load_scene(head.path)
        settings[kind] = settings_of(scene, options.drawing)
        if isinstance(scene, Gaussians):
            choose(options.drawing.backend, pick_device(options.device))
        if not isinstance(settings[kind], ImageSettings):
            plan.for_scene(scene, 0, head.config.get("item"))
    if options.drawing.backend != "auto" and "gaussians" not in settings:
        raise G3dError(f"--backend {options.drawing.backend} draws 3D Gaussians, and there are none; leave it out")
    return heads, settings


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Draw every scene; returns what was written and views per second."""
    heads, _ = _checked(options)
    device = pick_device(options.device)
    with (
        distributed.processes(device),
        painter(options.out, options.drawing, len(heads), options.overwrite, (options.scenes,)) as paint,
    ):
        for number, head in enumerate(track(heads, len(heads), "render", progress)):
            if distributed.mine(number):
                paint.add(number, head.path.stem, to(load_scene(head.path), device), head.config.get("item"))
    return {"written": paint.written, "scenes": len(heads), "views": paint.views_drawn}
