"""Distances of pictures by networks: LPIPS of a user's file, and that of EfficientNet, whose weights come with g3d.

LPIPS: safetensors of the authors' package, or a TorchScript file that is trusted.
A TorchScript file is called with two batches [B, 3, H, W] in [-1, 1] and gives B distances, as the package's own model does.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from g3d.errors import G3dError, existing
from g3d.losses.lpips import load_lpips
from g3d.losses.perceptual import perceptual_distance
from g3d.metrics.paired import Distance
from g3d.nets import efficientnet
from g3d.storage import files, torchscript

SCRIPTED = (".pt", ".pth", ".ts", ".jit", ".torchscript")


@dataclass(frozen=True)
class Perceptual:
    """A distance, and which it is."""

    distance: Distance
    network: str  # vgg, alex, or TorchScript
    sha256: str


def installed(device: str | torch.device) -> Distance:
    """The distance in features of EfficientNet; raises `Missing` where the package of its weights is not installed."""
    network = efficientnet.load(device)
    return lambda a, b: perceptual_distance(a, b, network)


def perceptual(path: Path, trust: bool, device: str | torch.device) -> Perceptual:
    """LPIPS from a file; `trust` lets a TorchScript file run."""
    if existing(path, "the LPIPS weights").is_dir():
        raise G3dError(f"the LPIPS weights '{path}' are a folder; give a safetensors or TorchScript file")
    if path.suffix.lower() not in SCRIPTED:
        model = load_lpips(path).to(device)
        return Perceptual(model, model.network, files.file_digest(path).removeprefix("sha256:"))
    digest = torchscript.trusted_digest(path, trust, {}, "the LPIPS weights")
    module = torchscript.load(path, device, True, {}, "the LPIPS weights")

    def distance(a: Tensor, b: Tensor) -> Tensor:
        try:
            found = module(2 * a - 1, 2 * b - 1)  # [0, 1] => [-1, 1]
        except torchscript.RAISED as error:
            if "out of memory" in str(error).lower():
                raise
            raise _wrong(path, torchscript.reason(error)) from error
        if not isinstance(found, Tensor) or found.numel() != len(a) or not torch.isfinite(found).all():
            what = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise _wrong(path, f"it gave {what} for {len(a)} pair(s)")
        return found.reshape(len(a))

    return Perceptual(distance, "TorchScript", digest)


def _wrong(path: Path, reason: str) -> G3dError:
    return G3dError(
        f"'{path}' does not work as LPIPS ({reason}); wanted is a module that takes two batches [B, 3, H, W] in [-1, 1] and "
        "gives B finite numbers"
    )
