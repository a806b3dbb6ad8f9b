"""Whether two pictures show one person: the cosine of the embeddings of an aligned face crop (INFAMOUS-NeRF, table 3).

The network is a TorchScript file that the user gives, with AdaFace's interface (Kim, Jain and Liu 2022): crops [B, 3, 112, 112],
channels blue green red, values (x - 0.5) / 0.5, to vectors [B, D]; of several results the first counts. Vectors are normalised
here. `pixels` stands for no network: the crop itself, less its mean; a floor that any identity should exceed.

A crop is the similarity transform (Umeyama 1991) that takes five points of the 68 landmarks to the usual template, sampled
bilinearly with black beyond the picture; without landmarks it is the square in the middle of the picture, made smaller.

Letters: B crops, D dimensions, H rows, W columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from g3d.errors import G3dError
from g3d.images import U8
from g3d.storage import torchscript

F64 = NDArray[np.float64]
SIZE_PX = 112
CHANNELS = ("bgr", "rgb")
TEMPLATE_PX = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Eye, eye, tip of the nose, corners of the mouth, from the left of the picture; x y, pixel centres at whole numbers."""
FIVE: tuple[tuple[int, ...], ...] = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""Landmarks of Multi-PIE's 68 whose means are those points."""


def five_points(landmarks_px: F64) -> F64:
    """68 landmarks [68, 2] => five points [5, 2]."""
    return np.stack([landmarks_px[list(group)].mean(axis=0) for group in FIVE])


def similarity(source: F64, target: F64) -> F64:
    """[2, 3]: rotation, one scale and shift that take points [n, 2] nearest to others. Umeyama 1991, eqs. 40-42."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    spread = float((s * s).sum(axis=1).mean())
    if not np.isfinite(source).all() or spread < 1e-6:
        raise G3dError("the landmarks lie on one point or are not finite; correct them, or leave them out")
    u, values, vt = np.linalg.svd(t.T @ s / len(s))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])  # a mirror image is no face
    rotation = u @ np.diag(signs) @ vt
    scale = float((values * signs).sum()) / spread
    return np.concatenate([scale * rotation, (mean_t - scale * rotation @ mean_s)[:, None]], axis=1)


def aligned(picture: U8, landmarks_px: F64) -> U8:
    """[H, W, 3] with 68 landmarks (pixel centres at +0.5) => the crop [112, 112, 3]."""
    there = similarity(five_points(landmarks_px), np.array(TEMPLATE_PX) + 0.5)
    back = np.linalg.inv(np.concatenate([there, [[0, 0, 1]]]))[:2]  # where each pixel of the crop comes from
    centres = np.arange(SIZE_PX) + 0.5
    x, y = np.meshgrid(centres, centres)
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ back.T  # [112, 112, 2], pixels of the picture
    grid = 2 * places / np.array(picture.shape[1::-1]) - 1
    source = torch.tensor(picture).double().permute(2, 0, 1)[None]
    crop = F.grid_sample(source, torch.from_numpy(grid)[None], align_corners=False)[0].permute(1, 2, 0)
    return (crop.numpy() + 0.5).astype(np.uint8)  # Pillow's own transform rounds down


def centre_crop(picture: U8, size_px: int = SIZE_PX) -> U8:
    """The square in the middle of [H, W, 3] => [size, size, 3]."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(square.resize((size_px, size_px), Image.Resampling.BILINEAR))


def _crop(picture: U8, landmarks_px: F64 | None) -> U8:
    return centre_crop(picture) if landmarks_px is None else aligned(picture, landmarks_px)


@dataclass(frozen=True)
class Embedder:
    """What turns pictures into crops and crops into vectors, and which it is."""

    name: str
    sha256: str | None
    embed: Callable[[Sequence[U8]], Tensor]  # B crops => [B, D] of length 1
    crop: Callable[[U8, F64 | None], U8] = _crop  # a picture [H, W, 3], its 68 landmarks or None => [size, size, 3]
    size_px: int = SIZE_PX


def pixel_embedder() -> Embedder:
    """The crop itself, less its mean."""

    def embed(crops: Sequence[U8]) -> Tensor:
        x = torch.tensor(np.stack(crops)).double().reshape(len(crops), -1)
        return F.normalize(x - x.mean(dim=1, keepdim=True), dim=1)

    return Embedder("pixels", None, embed)


def network_embedder(path: Path, trust: bool, channels: str, device: str | torch.device) -> Embedder:
    """A face network from a TorchScript file, tried on one grey crop so that a wrong file is refused at once."""
    digest = torchscript.trusted_digest(path, trust, {}, "the weights of the face network")
    module = torchscript.load(path, device, True, {}, "the weights of the face network")

    def embed(crops: Sequence[U8]) -> Tensor:
        x = torch.tensor(np.stack(crops)).permute(0, 3, 1, 2)  # [B, 3, 112, 112] red green blue
        x = (x.flip(1) if channels == "bgr" else x).to(device).float()
        found = _vectors(module, (x / 255 - 0.5) / 0.5, path)
        return F.normalize(found.double().cpu(), dim=1)

    embed([np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)])
    return Embedder(path.name, digest, embed)


def cosines(first: Tensor, second: Tensor) -> list[float]:
    """The cosine of each pair of vectors [B, D] of length 1."""
    return [float(v) for v in (first * second).sum(dim=1).clamp(-1, 1)]


def _vectors(module: torch.jit.ScriptModule, x: Tensor, path: Path) -> Tensor:
    try:
        with torch.inference_mode():
            found = module(x)
    except torchscript.RAISED as error:
        if "out of memory" in str(error).lower():
            raise
        raise _wrong(path, torchscript.reason(error)) from error
    found = found[0] if isinstance(found, tuple | list) and found else found  # AdaFace: vector, and its length before
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x) or not torch.isfinite(found).all():
        what = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise _wrong(path, f"it gave {what} for {len(x)} crop(s)")
    return found


def _wrong(path: Path, reason: str) -> G3dError:
    return G3dError(
        f"'{path}' does not work as a face network ({reason}); wanted is a module that takes [B, 3, {SIZE_PX}, {SIZE_PX}] and "
        "gives finite vectors [B, D], as AdaFace's does"
    )
