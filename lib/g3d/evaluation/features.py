"""Images => feature vectors, by an extractor that says which it is: a name, a hash, a way of resizing.

Two figures are comparable only when all three agree, so every result carries them.

* `inception` (in `inception.py`): the network of the FID that papers report.
* `efficientnet` (in `efficientnet.py`): a network of ImageNet whose weights are installed with g3d.
* a file (in `extractor_file.py`): any TorchScript or ONNX network.
* `random`: a fixed network of random weights. It needs no download and no GPU and tells equal sets from different ones;
  its figure orders runs of one project and is comparable with nothing else, so it is never called FID.

Letters: B images of a batch, C channels, D feature dimensions, K classes.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from g3d import distributed
from g3d.errors import G3dError
from g3d.evaluation.pictures import THREADS
from g3d.images import U8
from g3d.progress import SILENT, Progress
from g3d.storage import torchscript

F32 = NDArray[np.float32]
RANDOM_SEED = 2017  # of the weights, fixed for good: another seed is another metric
RANDOM_CHANNELS = (3, 32, 64, 96, 128)
RANDOM_SIZE_PX = 64
_SLOPE = 0.2
_AHEAD = 2  # batches that are read while one is computed


@dataclass(frozen=True)
class Extractor:
    """A feature extractor and all one must know to compare its figures."""

    name: str
    metric: str  # what the Fréchet distance of its features is called
    sha256: str  # of the weights
    resize: str
    dimensions: int
    prepare: Callable[
        [U8], NDArray[Any]
    ]  # a picture [H, W, 3] of any size => what `embed` takes; called in several threads
    embed: Callable[[Sequence[NDArray[Any]]], Tensor]  # B prepared pictures => [B, D] float32
    logits: Callable[[Tensor], Tensor] | None = (
        None  # features [B, D] on any device => of classes [B, K]; None: it has none
    )
    kernel_below: int = 0  # below so many pictures of a side the kernel distance is the figure that leads


def features(
    read: Callable[[int], U8],
    picked: Sequence[int],
    extractor: Extractor,
    batch: int,
    progress: Progress = SILENT,
    label: str = "features",
) -> F32:
    """Features [len(picked), D] of the pictures that `read` gives for their numbers; never more than a few batches in memory.

    Several processes share the batches out, and all have all features in the end."""
    result = np.zeros((len(picked), extractor.dimensions), np.float32)
    progress.start(label, len(picked))
    parts = [slice(start, min(start + batch, len(picked))) for start in range(0, len(picked), batch)]
    ours = [part for number, part in enumerate(parts) if distributed.mine(number)]
    numbers = [i for part in ours for i in picked[part]]
    stream = _ahead(lambda i: extractor.prepare(read(i)), numbers, _AHEAD * batch)
    for part in ours:
        group = list(islice(stream, part.stop - part.start))
        with torch.inference_mode(), full_precision():
            try:
                result[part] = extractor.embed(group).cpu().numpy()
            except torchscript.RAISED as error:
                if "out of memory" in str(error).lower():
                    raise
                why = torchscript.reason(error)
                raise G3dError(
                    f"the extractor '{extractor.name}' fails on pictures ({why}); give another one"
                ) from error
        progress.update(part.stop, len(picked))
    whole = distributed.sum_value(torch.from_numpy(result)).numpy()
    if not np.isfinite(whole).all():
        raise G3dError(f"the extractor '{extractor.name}' gave features that are not finite; give other --weights")
    return whole


def _ahead(work: Callable[[int], NDArray[Any]], numbers: Sequence[int], most: int) -> Iterator[NDArray[Any]]:
    """`work` of each number, in order, done by threads that are at most `most` numbers ahead."""
    waiting: deque[Future[NDArray[Any]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for i in numbers:
                waiting.append(pool.submit(work, i))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions of a GPU in float32 rather than TF32 and by one algorithm, products likewise, so that figures repeat."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def random_extractor(device: str | torch.device = "cpu") -> Extractor:
    """Four 3x3 convolutions of stride 2 with leaky ReLU; mean and standard deviation over space after each."""
    weights = _random_weights()
    digest = hashlib.sha256()
    for weight, bias in weights:
        digest.update(weight.numpy().tobytes() + bias.numpy().tobytes())
    placed = [(weight.to(device), bias.to(device)) for weight, bias in weights]

    def embed(pictures: Sequence[U8]) -> Tensor:
        x = torch.from_numpy(np.stack(pictures)).to(device).float() / 127.5 - 1  # [B, 3, 64, 64], 0..255 => [-1, 1]
        found = []
        for weight, bias in placed:
            x = F.leaky_relu(F.conv2d(x, weight, bias, stride=2, padding=1), _SLOPE)  # [B, C, s, s], s = 32, 16, 8, 4
            mean = x.mean(dim=(2, 3))
            centred = x - mean[:, :, None, None]
            found += [mean, (centred * centred).mean(dim=(2, 3)).sqrt()]  # `var_mean` does it in ten times the time
        return torch.cat(found, dim=1)

    dimensions = 2 * sum(RANDOM_CHANNELS[1:])
    resize = f"bilinear_antialias_u8_{RANDOM_SIZE_PX}"
    return Extractor("random", "frechet_random", digest.hexdigest(), resize, dimensions, _resized, embed)


def _random_weights() -> list[tuple[Tensor, Tensor]]:
    """Weight [O, I, 3, 3] and bias [O] of each layer: uniform, of the variance that He et al. 2015 give.

    Uniform because `rand` is bits of the generator and the same on every machine; `randn` differs in the last digit
    between processors, and so would the hash."""
    stream = torch.Generator().manual_seed(RANDOM_SEED)
    layers = []
    for inputs, outputs in pairwise(RANDOM_CHANNELS):
        bound = (3 * 2 / (1 + _SLOPE**2) / (9 * inputs)) ** 0.5
        weight = torch.rand(outputs, inputs, 3, 3, generator=stream) * (2 * bound) - bound
        layers.append((weight, torch.rand(outputs, generator=stream) * 0.4 - 0.2))
    return layers


def _resized(pixels: U8) -> U8:
    """[H, W, 3] 0..255 => [3, 64, 64] 0..255; shrinking averages over the area, enlarging is bilinear.

    Always on the CPU and in uint8: one result for all devices, and a tenth of the time of floats."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    size = (RANDOM_SIZE_PX, RANDOM_SIZE_PX)
    if x.shape[2:] != size:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
    found: U8 = x[0].numpy()
    return found
