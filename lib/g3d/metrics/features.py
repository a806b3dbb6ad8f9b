"""Images => feature vectors, by an extractor that says which it is: a name, a hash, a way of resizing.

Two figures are comparable only when all three agree, so every result carries them.

* `inception` (in `inception.py`): the network of the FID that papers report.
* `random`: a fixed network of random weights. It needs no download and no GPU and tells equal sets from different ones;
  its figure orders runs of one project and is comparable with nothing else, so it is never called FID.

Letters: B images of a batch, C channels, D feature dimensions.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from g3d.images import U8
from g3d.progress import SILENT, Progress

F32 = NDArray[np.float32]
RANDOM_SEED = 2017  # of the weights, fixed for good: another seed is another metric
RANDOM_CHANNELS = (3, 32, 64, 96, 128)
RANDOM_SIZE_PX = 64
_SLOPE = 0.2


@dataclass(frozen=True)
class Extractor:
    """A feature extractor and all one must know to compare its figures."""

    name: str
    metric: str  # what the Fréchet distance of its features is called
    sha256: str  # of the weights
    resize: str
    dimensions: int
    embed: Callable[[Sequence[U8]], Tensor]  # B pictures [H, W, 3] of any sizes => [B, D] float32


def features(
    pictures: Iterable[U8],
    count: int,
    extractor: Extractor,
    batch: int,
    progress: Progress = SILENT,
    label: str = "features",
) -> F32:
    """Features [count, D] of `count` pictures; never more than a batch of pictures in memory."""
    result = np.empty((count, extractor.dimensions), np.float32)
    progress.start(label, count)
    stream, done = iter(pictures), 0
    while group := list(islice(stream, batch)):
        with torch.inference_mode(), full_precision():
            result[done : done + len(group)] = extractor.embed(group).cpu().numpy()
        done += len(group)
        progress.update(done, count)
    assert done == count, f"{done} pictures came, {count} were announced"
    return result


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions of a GPU in float32 rather than TF32 and by one algorithm, so that figures repeat."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def random_extractor(device: str | torch.device = "cpu") -> Extractor:
    """Four 3x3 convolutions of stride 2 with leaky ReLU; mean and standard deviation over space after each."""
    weights = _random_weights()
    digest = hashlib.sha256()
    for weight, bias in weights:
        digest.update(weight.numpy().tobytes() + bias.numpy().tobytes())
    placed = [(weight.to(device), bias.to(device)) for weight, bias in weights]

    def embed(pictures: Sequence[U8]) -> Tensor:
        same_size = (np.stack(list(group)) for _, group in groupby(pictures, key=lambda picture: picture.shape))
        x = torch.cat([_resized(torch.from_numpy(group)) for group in same_size]).to(device)
        x = x.float() / 127.5 - 1  # 0..255 => [-1, 1]
        found = []
        for weight, bias in placed:
            x = F.leaky_relu(F.conv2d(x, weight, bias, stride=2, padding=1), _SLOPE)  # [B, C, s, s], s = 32, 16, 8, 4
            mean = x.mean(dim=(2, 3))
            centred = x - mean[:, :, None, None]
            found += [mean, (centred * centred).mean(dim=(2, 3)).sqrt()]  # `var_mean` does it in ten times the time
        return torch.cat(found, dim=1)

    dimensions = 2 * sum(RANDOM_CHANNELS[1:])
    resize = f"bilinear_antialias_u8_{RANDOM_SIZE_PX}"
    return Extractor("random", "frechet_random", digest.hexdigest(), resize, dimensions, embed)


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


def _resized(pixels: Tensor) -> Tensor:
    """[B, H, W, 3] 0..255 => [B, 3, 64, 64] 0..255; shrinking averages over the area, enlarging is bilinear.

    Always on the CPU and in uint8: one result for all devices, and a tenth of the time of floats."""
    x = pixels.permute(0, 3, 1, 2)
    size = (RANDOM_SIZE_PX, RANDOM_SIZE_PX)
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
