"""Rasterisation of 3D Gaussians: one interface, several back ends, one rule (`rule.py`).

`reference` is the definition in plain torch, `cpu` numba kernels, `gpu` Triton kernels, `gsplat` the package of that name
(CUDA; its own rule of early stop). Each is imported when it is asked for.

Letters: B scenes, V views of each, N Gaussians, H, W the picture.
"""

import importlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.errors import G3dError, closest, require_module
from g3d.render.splat.inputs import Sums, expected_depth, prepared
from g3d.scenes.scene import Gaussians

_MODULES = {"cpu": "cpu.function", "gpu": "gpu.function", "gsplat": "gsplat", "reference": "reference"}
BACKENDS = ("auto", *_MODULES)


class Rasterized(NamedTuple):
    """`rgb` [B, V, H, W, 3] over the background (not clamped), `alpha` [B, V, H, W], `depth` [B, V, H, W]: the expected
    camera z, 0 where nothing is (None: not wanted)."""

    rgb: Tensor
    alpha: Tensor
    depth: Tensor | None


def rasterize(
    scenes: Gaussians,
    cameras: Cameras | Sequence[Cameras],
    *,
    background: Tensor | Sequence[float] = (1.0, 1.0, 1.0),
    colours: Tensor | None = None,
    scale_modifier: float = 1.0,
    antialiased: bool = False,
    depth: bool = True,
    backend: str = "auto",
) -> Rasterized:
    """Draw B scenes, each from V cameras: the same for all, or a sequence with a set of V for each scene.

    Differentiable in means, log-scales, quaternions, opacities, colours, background and the cameras' `c2w`. `colours`
    [B, N, 3] or [B, V, N, 3] replaces the scenes' spherical harmonics; `background` is [3], [V, 3] or [B, V, 3].
    Raises `G3dError` for NaN, by the tensor's name."""
    inputs = prepared(scenes, cameras, background, colours, scale_modifier, antialiased, depth)
    module = importlib.import_module(f"g3d.render.splat.{_MODULES[choose(backend, scenes.means.device)]}")
    sums: Sums = module.draw(inputs)
    return Rasterized(sums.rgb, 1 - sums.through, expected_depth(sums))


def choose(backend: str, device: torch.device) -> str:
    """The back end that `backend` stands for on `device`; one that cannot run there is refused."""
    if backend not in BACKENDS:
        raise G3dError(
            f"the back end '{backend}' is unknown{closest(backend, BACKENDS)}; back ends: {', '.join(BACKENDS)}"
        )
    if backend == "auto":
        backend = "cpu" if device.type == "cpu" else "gpu"
    if backend == "cpu":
        if device.type != "cpu":
            raise G3dError(f"the back end 'cpu' draws on the CPU, and the scene is on {device}; use --device cpu")
        require_module("numba", "drawing Gaussians on the CPU", "pip install numba")
    if backend in ("gpu", "gsplat") and device.type != "cuda" and not _interpreted(backend):
        raise G3dError(f"the back end '{backend}' needs a CUDA GPU, and the scene is on {device}; use --backend cpu")
    if backend == "gpu":
        require_module("triton", "the back end 'gpu'", "it comes with torch for CUDA; or use --backend cpu")
    if backend == "gsplat":
        require_module("gsplat", "the back end 'gsplat'", "pip install gsplat, or use --backend gpu")
    return backend


def _interpreted(backend: str) -> bool:
    """Triton's kernels also run on a CPU, slowly, by its interpreter: for tests."""
    return backend == "gpu" and os.environ.get("TRITON_INTERPRET") == "1"
