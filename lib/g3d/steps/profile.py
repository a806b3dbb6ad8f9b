"""`profile`: parameters and multiply-adds, the time of a view, peak memory, of a method, a model or a scene.

`parameters` are counted from the built network, `inference_parameters` from the scene that it writes, `macs` by torch's
own counter over one rendered view (half its FLOPs): the matrix products, which are nearly all of a field's work. For
Gaussians, whose work is elsewhere, it is null.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from g3d import artifacts, config, device, files
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.methods import METHODS, method, settings_of
from g3d.progress import SILENT, Progress
from g3d.render import render_image_field, render_scene
from g3d.scene import Gaussians, MlpField, Scene, pick, tensors_of, to
from g3d.scene_file import load_scene
from g3d.training.run import peak_memory_mb

REPEATS = 5


@dataclass(frozen=True)
class Options:
    """A method's name with a preset and settings, or a model or scene file; the size of the view in pixels."""

    what: str
    preset: str | None = None
    settings: Sequence[str] = ()
    size: int | None = None
    device: str = "auto"


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    where = str(device.pick(options.device))
    if options.what in METHODS:
        settings = settings_of(options.what, options.preset, options.settings)
        return {"method": options.what, "settings": config.as_json(settings), "device": where}
    return {"file": str(_file(options).path), "size": options.size, "device": where}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The figures, by the names of the design."""
    where = device.pick(options.device)
    parameters, scene = _built(options, where)
    tensors = tensors_of(scene)
    inference = sum(t.numel() for t in tensors.values())
    draw = _drawing(scene, options.size, where)
    macs = None if isinstance(scene, Gaussians) else _macs(draw)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times_ms = [_timed_ms(draw, where) for _ in range(REPEATS)]
    ms = statistics.median(times_ms)
    return {
        "parameters": inference if parameters is None else parameters, "inference_parameters": inference, "macs": macs,
        "ms_per_view": round(ms, 3), "views_per_second": round(1000 / ms, 2), "peak_memory_mb": round(peak_memory_mb(), 1),
        "device": str(where), "threads": torch.get_num_threads(),
    }  # fmt: skip


def _built(options: Options, where: torch.device) -> tuple[int | None, Scene]:
    """Parameters of the network (None for a bare scene) and one scene of it, from a zero code."""
    if options.what in METHODS:
        module, settings = method(options.what), settings_of(options.what, options.preset, options.settings)
        network = module.build(settings).to(where)
        shape = module.latent_space(settings)["shape"]
        model = module.unfitted(network, settings)
        return _count(network), pick(module.decode(model, torch.zeros(1, *shape, device=where)), 0)
    head = _file(options)
    if options.settings or options.preset:
        raise G3dError(f"--set and --preset belong to a method; '{options.what}' is a file with its own settings")
    if head.kind != "model":
        return None, to(load_scene(head.path), where)
    module = method(str(head.config["method"]))
    model = module.load(artifacts.read(head.path, "model", role="the model"), where)
    codes = torch.zeros(1, *head.config["latent_space"]["shape"], device=where)
    return _count(model.network), pick(module.decode(model, codes), 0)


def _file(options: Options) -> artifacts.Header:
    path = Path(options.what)
    if not path.exists():
        raise G3dError(f"'{options.what}' is neither a method ({', '.join(METHODS)}) nor a file that exists")
    if path.is_dir() and not (path / "model.safetensors").is_file():
        raise G3dError(
            f"'{path}' is a folder without a model; give a method's name, a run of fit-stage1, or one scene file"
        )
    return artifacts.check(files.inside(path, "model.safetensors"), "model", "scene", role="the file")


def _drawing(scene: Scene, size: int | None, where: torch.device) -> Callable[[], object]:
    """What draws one view of the scene."""
    if isinstance(scene, MlpField) and scene.signal == "image":
        return lambda: render_image_field(scene, size or 64, size or 64)
    prior = scene.world.camera_prior or CameraPrior(radius_world=2.6, fov_deg=45.0, width=128, height=128)
    if size:
        prior = replace(prior, width=size, height=size)
    camera = prior.default().to(where)
    return lambda: render_scene(scene, camera)


def _macs(draw: Callable[[], object]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        draw()
    return int(counter.get_total_flops()) // 2


def _timed_ms(draw: Callable[[], object], where: torch.device) -> float:
    start = time.perf_counter()
    draw()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1000


def _count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
