"""`compile=true`: torch.compile where it can work, and a sentence where it cannot."""

import os
import shutil
from collections.abc import Callable
from typing import TypeVar, cast

import torch

from g3d.errors import Missing

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function, wanted: bool, device: torch.device) -> Function:
    """`function` as it is, or compiled for the shapes that it will be called with (seconds, at the first calls).

    Raises `Missing` on a CPU without a C++ compiler."""
    if not wanted:
        return function
    if device.type == "cpu" and not any(
        shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++")
    ):
        raise Missing(
            "compile=true needs a C++ compiler on a CPU, and none is found (g++, clang++, or $CXX); install one, or leave it out"
        )
    return cast(Function, torch.compile(function, dynamic=False))
