"""The Inception network of FID: where its weights come from, what is loaded, and what is refused.

The network is the TorchScript file of StyleGAN2-ADA that clean-fid uses (Parmar et al. 2022), the resizer is
clean-fid's own, and the pixels enter the network as clean-fid's `InceptionV3W` sends them. That class accepts only a
folder that holds a file of one fixed name, hence the loading here. A TorchScript file is code: it runs only if its hash
is the known one, or if the user trusts it.

* `clean`: Pillow's bicubic filter in float to 299 pixels, then `layers`.
* `legacy_tensorflow`: the network's own bilinear resize, which does not average when it shrinks.
* `legacy_pytorch`: the bilinear resize of pytorch-fid with this same network; pytorch-fid itself holds another port of
  the weights, so figures of papers that used it are near and not equal.

Classes, for the Inception score, are those of the file's `output` layer without its bias, as Salimans et al. 2016 had it.

Letters: B images of a batch, K classes.
"""

import os
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from http.client import HTTPException
from itertools import groupby
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.errors import G3dError, Missing, existing, require_module
from g3d.evaluation.features import Extractor
from g3d.images import U8
from g3d.progress import SILENT, Progress
from g3d.storage import files, torchscript

FILE = "inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
METRICS = {
    "clean": "fid", "legacy_tensorflow": "fid_legacy_tensorflow", "legacy_pytorch": "fid_legacy_pytorch",
}  # fmt: skip
"""Resize mode => name of the figure."""
DIMENSIONS = 2048
SIZE_PX = 299
TIMEOUT_S = 30.0


def inception_extractor(
    weights: Path | None,
    resize: str,
    trust: bool,
    device: str | torch.device = "cpu",
    progress: Progress = SILENT,
    timeout_s: float = TIMEOUT_S,
) -> Extractor:
    """Inception with weights from `weights`, else from the cache, else downloaded into the cache; a server that says nothing for
    `timeout_s` is given up."""
    require_module("cleanfid", "the extractor 'inception'", "pip install clean-fid, or use --extractor efficientnet")
    resizer = _resizer(resize)
    path = existing(weights, "the weights") if weights is not None else _cached(progress, timeout_s)
    digest = torchscript.trusted_digest(path, trust, {SHA256: FILE}, "the weights")
    inside = resize == "legacy_tensorflow"
    network, logits = _load(path, device, inside)

    def embed(pictures: Sequence[NDArray[Any]]) -> Tensor:
        found = []
        for _, group in groupby(pictures, key=lambda picture: picture.shape):  # one, but where the network resizes
            x = torch.from_numpy(np.stack(list(group))).to(device).permute(0, 3, 1, 2).float()  # 0..255
            found.append(network(x if inside else (x - 128) / 128).reshape(len(x), DIMENSIONS).float())
        return torch.cat(found)

    return Extractor("inception", METRICS[resize], digest, resize, DIMENSIONS, resizer, embed, logits)


def cached_path() -> Path:
    """Where the weights lie once they are there: `$G3D_CACHE`, else `~/.cache/g3d`."""
    folder = os.environ.get("G3D_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "g3d") / FILE


def _resizer(mode: str) -> Callable[[U8], NDArray[np.float32]]:
    """clean-fid's resizer: a picture [H, W, 3] of any size => [299, 299, 3] float32 in 0..255; of `legacy_tensorflow` itself."""
    from cleanfid.resize import build_resizer

    with warnings.catch_warnings():  # one of its modes would silence all warnings of the process
        resizer: Callable[[U8], NDArray[np.float32]] = build_resizer(mode)
    return resizer


Network = Callable[[Tensor], Tensor]


def _load(path: Path, device: str | torch.device, inside: bool) -> tuple[Network, Network | None]:
    """What gives features, the whole file or its `layers` (`inside`: pictures are resized inside), and what gives classes; tried
    on one grey picture so that a wrong file is refused at once."""
    wanted = f"is not an Inception TorchScript file with 'layers' that gives {DIMENSIONS} features"
    base: Any = torchscript.load(path, device, True, {}, "the weights")  # its hash was looked at before
    try:
        with torch.inference_mode():
            network: Network = (lambda x: base(x, return_features=True)) if inside else base.layers
            shape = list(network(torch.zeros(1, 3, SIZE_PX, SIZE_PX, device=device)).shape)
    except (*torchscript.RAISED, AttributeError) as error:
        if "out of memory" in str(error).lower():
            raise
        reason = torchscript.reason(error)
        raise G3dError(f"the weights '{path}' {wanted} ({reason}); give {FILE}, or leave --weights out") from error
    if shape[0] != 1 or np.prod(shape) != DIMENSIONS:
        raise G3dError(f"the weights '{path}' {wanted} (found shape {shape}); give {FILE}, or leave --weights out")
    return network, _classes(base)


def _classes(base: Any) -> Network | None:
    """Features [B, 2048] => logits [B, K] by the `output` layer without its bias; None where the file has no such layer."""
    weight = getattr(getattr(base, "output", None), "weight", None)  # [K, 2048]
    if not isinstance(weight, Tensor) or weight.dim() != 2 or weight.shape[1] != DIMENSIONS:
        return None
    placed = weight.detach()
    return lambda found: found.to(placed) @ placed.T


def _cached(progress: Progress, timeout_s: float) -> Path:
    """The file in the cache, downloaded there if it is not: whole and of the known hash, or not at all."""
    path = cached_path()
    if path.is_file():
        return path
    from cleanfid.downloads_helper import inception_url

    with files.atomic(path) as temporary:
        _download(str(inception_url), temporary, progress, timeout_s)
        digest = files.file_digest(temporary).removeprefix("sha256:")
        if digest != SHA256:
            raise _missing(str(inception_url), path, f"what came has sha256 {digest}, known is {SHA256}")
    return path


def _download(url: str, target: Path, progress: Progress, timeout_s: float) -> None:
    try:
        response = _answer(url, timeout_s)
    except (OSError, HTTPException) as error:  # includes URLError and time-outs
        raise _missing(url, cached_path(), str(getattr(error, "reason", error))) from error
    with response, target.open("wb") as stream:
        total = int(getattr(response, "headers", {}).get("Content-Length") or 0)
        progress.start(f"downloading {FILE}", total)
        while block := _block(response, url):
            stream.write(block)
            progress.update(stream.tell(), max(total, stream.tell()))


def _answer(url: str, timeout_s: float) -> IO[bytes]:
    """What a server answers. A thread asks it, since looking up its name knows no time-out; one that hangs is left behind."""
    box: Queue[IO[bytes] | Exception] = Queue()

    def ask() -> None:
        try:
            box.put(urllib.request.urlopen(url, timeout=timeout_s))
        except Exception as error:
            box.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        found = box.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError(f"no answer in {timeout_s:g} seconds") from None
    if isinstance(found, Exception):
        raise found
    return found


def _block(response: IO[bytes], url: str) -> bytes:
    try:
        return response.read(1 << 20)
    except (OSError, HTTPException) as error:
        raise _missing(url, cached_path(), f"the download broke off: {error}") from error


def _missing(url: str, path: Path, reason: str) -> Missing:
    return Missing(
        f"the Inception weights are not here and cannot be downloaded ({reason}); fetch {url} and put it at '{path}', "
        "or name it with --weights, or use --extractor efficientnet"
    )
