"""Features of EfficientNet-lite0, whose weights come with g3d's installation: figures that know pictures, on any machine.

Its figures are named after it and are comparable with each other alone, never with an FID: another network, other features.
A picture is made 224 pixels square by Pillow's bicubic filter, which averages when it shrinks, in 8 bits, and enters as
(x - 127) / 128, as the network was trained.

Letters: B images of a batch, H, W sides.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from g3d.evaluation.features import Extractor
from g3d.images import U8
from g3d.nets import efficientnet

NAME = "efficientnet"
KERNEL, FRECHET = f"kernel_{NAME}", f"frechet_{NAME}"
RESIZE = f"bicubic_u8_{efficientnet.SIZE_PX}, (x - 127) / 128"
_TOGETHER = 4  # pictures that go through the network at once: what lies between its layers stays in the caches


def efficientnet_extractor(device: str | torch.device = "cpu") -> Extractor:
    """The extractor; raises `Missing` where the package of the weights is not installed."""
    network = efficientnet.load(device)
    together = _TOGETHER if torch.device(device).type == "cpu" else 64

    def embed(pictures: Sequence[U8]) -> Tensor:
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)  # [B, 3, 224, 224] of 0..255
        return torch.cat([network(part.to(device).float()) for part in x.split(together)])

    size = efficientnet.FEATURES
    return Extractor(NAME, FRECHET, efficientnet.SHA256, RESIZE, size, _resized, embed, network.classes, 2 * size)


def _resized(pixels: U8) -> U8:
    """[H, W, 3] => [224, 224, 3]; the proportions are not kept."""
    size = (efficientnet.SIZE_PX, efficientnet.SIZE_PX)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
