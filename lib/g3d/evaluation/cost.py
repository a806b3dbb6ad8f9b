"""What a view of a scene costs: values, multiply-adds counted and by hand, time with quartiles."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from g3d.cameras import CameraPrior, Cameras
from g3d.errors import G3dError
from g3d.evaluation.shape_files import Lattice, field_grid
from g3d.progress import Progress
from g3d.render import rays, render_image_field, render_scene
from g3d.scenes.scene import Gaussians, MlpField, Scene, tensors_of, unbounded

IMAGE_PX = 64  # of an image field of a model that was not fitted to pictures


@dataclass(frozen=True)
class View:
    """One view of one scene: what draws it, its size in pixels, and the points that it asks the field for, if known."""

    draw: Callable[[], object]
    width: int
    height: int
    points: int | None = None


def view_of(scene: Scene, size: int | None, device: torch.device, backend: str) -> View:
    """One view of the scene, by its default camera."""
    if isinstance(scene, MlpField) and scene.signal == "image":
        width, height = scene.world.image_size or (IMAGE_PX, IMAGE_PX)
        if size:
            width, height = size, max(1, round(size * height / width))
        return View(lambda: render_image_field(scene, width, height), width, height, width * height)
    prior = scene.world.camera_prior or CameraPrior(radius_world=2.6, fov_deg=45.0, width=128, height=128)
    if size:
        prior = replace(prior, width=size, height=size)
    camera = prior.default().to(device)
    points = _points(scene, camera) if isinstance(scene, MlpField) and scene.signal == "radiance" else None
    return View(lambda: render_scene(scene, camera, backend=backend), prior.width, prior.height, points)


def grid_of(scene: Scene, cells: int, device: torch.device) -> View:
    """All cells of a grid of an occupancy field, cells³ of them (mNIF's table 2 counts the work of 64³)."""
    if not isinstance(scene, MlpField) or scene.signal != "occupancy":
        raise G3dError(
            f"--grid {cells} asks an occupancy field at all cells of a grid, and this is none; leave --grid out, or give one "
            "(mnif: --set signal=voxel)"
        )
    return View(lambda: field_grid(scene, Lattice(cells=cells), device), cells, cells, cells**3)


def _points(scene: MlpField, camera: Cameras) -> int:
    """Samples of the rays that pass the scene's bounds (or of all, where it has none); the others ask for nothing."""
    origin, directions = rays.camera_rays(camera)
    low, high = (torch.tensor(corner, device=origin.device) for corner in scene.world.bounds)
    near, far = rays.clip_to_box(
        origin, directions, low, high, scene.world.near_world, scene.world.far_world, unbounded(scene)
    )
    return int((far > near).sum()) * scene.world.samples


def counts(parameters: int | None, scene: Scene, view: View) -> dict[str, Any]:
    from torch.utils.flop_counter import FlopCounterMode

    tensors = tensors_of(scene)
    inference = sum(t.numel() for t in tensors.values())
    flops = by_hand = None
    if not isinstance(scene, Gaussians):
        with FlopCounterMode(display=False) as counter:
            view.draw()
        flops = int(counter.get_total_flops())
    if isinstance(scene, MlpField) and view.points is not None:
        by_hand = view.points * sum(weight[0].numel() for weight, _ in scene.weights.values())
    return {
        "width": view.width, "height": view.height, "parameters": inference if parameters is None else parameters,
        "inference_parameters": inference, "macs": None if flops is None else flops // 2, "macs_by_hand": by_hand, "flops": flops,
    }  # fmt: skip


def times_ms(
    views: Sequence[Callable[[], object]], repeats: int, device: torch.device, progress: Progress
) -> list[list[float]]:
    """Of each view `repeats` times, in turns."""
    times: list[list[float]] = [[] for _ in views]
    progress.start("views", repeats * len(views))
    for i in range(repeats):
        for row, draw in enumerate(views):
            times[row].append(_timed_ms(draw, device))
            progress.update(i * len(views) + row + 1, repeats * len(views))
    return times


def _timed_ms(draw: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    draw()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1000


def spread(times_ms: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles (by linear interpolation); one time alone is all three."""
    ms = statistics.median(times_ms)
    quartiles = statistics.quantiles(times_ms, n=4, method="inclusive") if len(times_ms) > 1 else [ms] * 3
    return {
        "ms_per_view": round(ms, 3), "ms_quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
        "views_per_second": round(1000 / ms, 2),
    }  # fmt: skip
