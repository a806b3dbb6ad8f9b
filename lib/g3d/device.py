"""The words of `--device` => a torch device."""

import os
import re
from typing import TYPE_CHECKING

from g3d.errors import G3dError

if TYPE_CHECKING:
    import torch


def pick_device(text: str) -> "torch.device":
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`."""
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?", text):
        raise G3dError(f"the device '{text}' is unknown; allowed are auto, cpu, cuda and cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text == "cpu" or (text == "auto" and count == 0):
        return torch.device("cpu")
    if count == 0:
        raise G3dError(f"the device '{text}' is not here: torch {torch.__version__} finds no GPU; use --device cpu")
    number = int(text.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))  # torchrun: a GPU a process
    if number >= count:
        raise G3dError(f"the device '{text}' is not here: the last one is cuda:{count - 1}; use that, or --device auto")
    return torch.device("cuda", number)
