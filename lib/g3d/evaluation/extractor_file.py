"""Features by a network that the user brings: a TorchScript file (code, so only when trusted) or an ONNX file.

The network takes pictures [B, 3, H, W] in a range of numbers that the user names, and gives [B, D] (or [B, D, 1, 1]). Pictures
are made square by clean-fid's resizer (Pillow's bicubic filter in float), or left as they are.

A TorchScript file whose `forward` has an argument `return_features` is called with it: so are those of StyleGAN2-ADA, e.g. the
VGG-16 of its precision and recall (range `bytes`).

Letters: B images of a batch, H, W sides, D feature dimensions.
"""

import importlib
import mmap
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.errors import G3dError, existing, require_module
from g3d.evaluation.features import Extractor
from g3d.images import U8
from g3d.storage import files, torchscript

DEFAULT_SIZE_PX = 224
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
RANGES: Mapping[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "unit": lambda x: x / np.float32(255),
    "signed": lambda x: x / np.float32(127.5) - np.float32(1),
    "imagenet": lambda x: (x / np.float32(255) - _MEAN) / _STD,
    "bytes": lambda x: x,
}
"""Name => pictures [H, W, 3] of 0..255 as the network wants them: [0, 1], [-1, 1], normalised as for ImageNet, 0..255."""

_ELSEWHERE = b"\x0a\x08location\x12"  # in protobuf: the key under which a tensor names the file that holds its numbers
Network = Callable[[Tensor], Tensor]  # [B, 3, H, W] => [B, ...]


def file_extractor(
    path: Path, trust: bool, values: str, size_px: int | None, device: str | torch.device = "cpu"
) -> Extractor:
    """`values` is a key of RANGES; `size_px`: the side, 0 for pictures as they are, None for the network's own or 224."""
    require_module("cleanfid", f"the extractor '{path}'", "pip install clean-fid, or use --extractor efficientnet")
    existing(path, "the extractor")
    network, digest, fixed = _onnx(path, device) if is_onnx(path) else (*_torchscript(path, trust, device), None)
    if fixed is not None and size_px is not None and size_px != fixed:
        raise G3dError(f"--extractor-size {size_px} does not fit '{path}', which takes {fixed} pixels; leave it out")
    side = fixed or (DEFAULT_SIZE_PX if size_px is None else size_px)
    dimensions = _dimensions(path, network, side or 64, device)

    def embed(pictures: Sequence[NDArray[Any]]) -> Tensor:
        found = []
        for _, group in groupby(pictures, key=lambda picture: picture.shape):
            x = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2).contiguous().to(device)
            found.append(network(x).reshape(len(x), -1).float())
        return torch.cat(found)

    stem = re.sub(r"\W+", "_", path.stem)
    resize = f"{f'clean_{side}' if side else 'none'}, {values}"
    return Extractor(path.name, f"frechet_{stem}", digest, resize, dimensions, _preparer(side, values), embed)


def is_onnx(path: Path) -> bool:
    """Whether a file is read as ONNX: by its name."""
    return path.suffix.lower() == ".onnx"


def _preparer(side: int, values: str) -> Callable[[U8], NDArray[np.float32]]:
    """A picture [H, W, 3] => [side, side, 3] float32 (0: of its own size) in the range `values`."""
    from cleanfid.resize import make_resizer

    resizer = make_resizer("PIL", False, "bicubic", (side, side)) if side else np.float32
    return lambda picture: RANGES[values](np.asarray(resizer(picture), np.float32))


def _dimensions(path: Path, network: Network, side: int, device: str | torch.device) -> int:
    """D, found on a black picture, so that a wrong file is refused at once."""
    wanted = "is no network that takes pictures [B, 3, H, W] and gives features [B, D]"
    hint = "give another file, or its --extractor-size"
    try:
        with torch.inference_mode():
            shape = list(network(torch.zeros(1, 3, side, side, device=device)).shape)
    except Exception as error:  # a foreign network may raise anything
        if "out of memory" in str(error).lower():
            raise
        raise G3dError(f"the extractor '{path}' {wanted} ({torchscript.reason(error)}); {hint}") from error
    if len(shape) < 2 or shape[0] != 1 or shape[1] < 1 or any(n != 1 for n in shape[2:]):
        raise G3dError(f"the extractor '{path}' {wanted} (found shape {shape} for one of {side} pixels); {hint}")
    return int(shape[1])


def _torchscript(path: Path, trust: bool, device: str | torch.device) -> tuple[Network, str]:
    digest = torchscript.trusted_digest(path, trust, {}, "the extractor")
    module: Any = torchscript.load(path, device, True, {}, "the extractor")
    arguments = {argument.name for argument in module.forward.schema.arguments}
    more = {"return_features": True} if "return_features" in arguments else {}

    def network(x: Tensor) -> Tensor:
        found = module(x, **more)
        if not isinstance(found, Tensor):
            raise TypeError(f"it gives a {type(found).__name__}, wanted is one tensor")
        return found

    return network, digest


def _onnx(path: Path, device: str | torch.device) -> tuple[Network, str, int | None]:
    """The network, its hash, and the side of its pictures where it is fixed."""
    require_module("onnxruntime", f"the extractor '{path}'", "pip install onnxruntime, or give a TorchScript file")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    _refuse_weights_elsewhere(path)
    place = torch.device(device)
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if place.type == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
        (entry,) = session.get_inputs()
        batch, channels, height, width = entry.shape
    except Exception as error:  # its errors have no common class
        raise G3dError(
            f"the extractor '{path}' is not an ONNX file with one input [B, 3, H, W] ({torchscript.reason(error)}); give another"
        ) from error
    numbers = [n for n in (height, width) if isinstance(n, int)]
    if (channels not in (3, None) and not isinstance(channels, str)) or len(set(numbers)) > 1:
        raise G3dError(f"the extractor '{path}' takes {entry.shape}; wanted is [B, 3, H, H]: give another file")
    step = batch if isinstance(batch, int) else None  # some are exported for one picture at a time

    def network(x: Tensor) -> Tensor:
        found = [_run(session, entry.name, part.cpu().numpy(), step) for part in x.split(step or len(x))]
        return torch.from_numpy(np.concatenate(found))

    return network, files.file_digest(path).removeprefix("sha256:"), numbers[0] if numbers else None


def _refuse_weights_elsewhere(path: Path) -> None:
    """An ONNX file may name others that hold its numbers: any of this machine, and its hash would not tell them apart."""
    if not path.stat().st_size:
        return  # no map of nothing; the reader says what is wrong
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(_ELSEWHERE) >= 0:
            raise G3dError(
                f"the extractor '{path}' keeps weights in other files; write it as one, e.g. by onnx.save(model, path)"
            )


def _run(session: Any, name: str, part: NDArray[np.float32], step: int | None) -> NDArray[np.float32]:
    """The first output for some pictures, padded to `step` where the network takes no other number."""
    missing = (step or len(part)) - len(part)
    padded = np.concatenate([part, np.repeat(part[-1:], missing, 0)]) if missing else part
    found: NDArray[np.float32] = session.run(None, {name: padded})[0][: len(part)]
    return found
