"""Inverse depth from a monocular estimator in a TorchScript file: [1, 3, S, S] => [1, h, w] or [1, 1, h, w], larger is nearer.

Letters: S side of the estimator's input, H W of the dataset's pictures, h w of what it returns.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d import images
from g3d.errors import G3dError

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]
NORMS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # DPT
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""`--estimator-norm` => mean and deviation of each channel; the picture lies in [0, 1]."""
CPU_WORKERS_MOST = 8  # each holds its own copy of the network
_WHAT = "the weights of the estimator"


@dataclass(frozen=True)
class Estimator:
    """A network that may be run: its hash is known, or the user trusts it."""

    path: Path
    digest: str  # sha256, hex
    size: int  # S
    norm: str
    device: str


def accepted(path: Path, size: int, norm: str, trust: bool, device: str) -> Estimator:
    """The estimator, once it may be run and has been tried on a grey picture."""
    from g3d.device import pick_device
    from g3d.storage import torchscript

    if norm not in NORMS:
        raise G3dError(f"--estimator-norm is '{norm}'; it must be {', '.join(NORMS)}")
    known = torchscript.DEPTH_ESTIMATORS
    found = Estimator(path, torchscript.trusted_digest(path, trust, known, _WHAT), size, norm, str(pick_device(device)))
    estimated(found, np.full((size, size, 3), 127, np.uint8), "a grey picture")
    return found


def estimated(estimator: Estimator, picture: NDArray[np.uint8], where: str) -> F32:
    """[H, W] of a picture [H, W, 3]; `where` names it in messages."""
    import torch

    from g3d.storage import torchscript

    side = (estimator.size, estimator.size)
    mean, deviation = (np.array(v, np.float32) for v in NORMS[estimator.norm])
    small = np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.BICUBIC), np.float32) / 255
    x = torch.from_numpy((small - mean) / deviation).permute(2, 0, 1)[None].contiguous()
    network = _network(estimator.path, estimator.device)
    try:
        with torch.inference_mode(), _one_thread(estimator.device):
            answer: Any = network(x.to(estimator.device))
    except torchscript.RAISED as error:
        if "out of memory" in str(error).lower():
            raise
        why = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise G3dError(f"the estimator '{estimator.path}' fails on {where} of shape {list(x.shape)} ({why}); try another "
                       "--estimator-size, or another estimator") from error  # fmt: skip
    shape = list(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
    if not isinstance(shape, list) or len(shape) not in (3, 4) or set(shape[:-2]) != {1} or 0 in shape:
        raise G3dError(
            f"the estimator '{estimator.path}' returns {shape}; wanted is one tensor [1, h, w] or [1, 1, h, w]"
        )
    values = answer.reshape(shape[-2:]).float().cpu().numpy()
    if not np.isfinite(values).all():
        raise G3dError(
            f"the estimator '{estimator.path}' returns numbers that are not finite for {where}; use another one"
        )
    height, width = picture.shape[:2]
    return images.resized_map(values, width, height)


@lru_cache(maxsize=1)
def _network(path: Path, device: str) -> "torch.jit.ScriptModule":
    """Loaded once a process; `accepted` has looked at its hash before."""
    from g3d.storage import torchscript

    return torchscript.load(path, device, trust=True, known={}, what=_WHAT)


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a CPU: sums in one order, so that any number of workers gives the same bytes."""
    import torch

    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
