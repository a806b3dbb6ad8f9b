"""`edit`: latents => other latents. Knows codes and their spaces, never methods.

Letters: K items chosen, n steps between neighbours, D numbers of a code.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from g3d import artifacts, files
from g3d.errors import G3dError, did_you_mean
from g3d.progress import SILENT, Progress


@dataclass(frozen=True)
class Options:
    """`interpolate`: straight lines through `items` (numbers or names), `steps` codes from one to the next."""

    operation: str
    latents: Path
    out: Path
    items: str = "0,1"
    steps: int = 8
    overwrite: bool = False


OPERATIONS = ("interpolate",)


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    _check(options)
    head = artifacts.check(files.inside(options.latents, "latents.safetensors"), "latents", role="the latents")
    chosen = _items(options.items, [str(n) for n in head.config["names"]], head.path)
    return {"operation": options.operation, "items": chosen, "steps": options.steps, "out": str(options.out)}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the latents of a path through the chosen items, both ends included."""
    _check(options)
    source = files.inside(options.latents, "latents.safetensors")
    file = artifacts.read(source, "latents", role="the latents")
    files.refuse_existing(options.out, options.overwrite, (source,))
    if "codes" not in file.values:
        raise G3dError(f"'{source}' holds tokens, between which nothing can be interpolated; use latents with codes")
    names = [str(n) for n in file.config["names"]]
    chosen = _items(options.items, names, source)
    codes, labels = [], []
    for a, b in pairwise(chosen):
        for i in range(options.steps - 1):
            share = i / (options.steps - 1)
            codes.append(torch.lerp(file.values["codes"][a], file.values["codes"][b], share))
            labels.append(f"{names[a]} to {names[b]}, {share:.3f}")
    codes.append(file.values["codes"][chosen[-1]])
    labels.append(names[chosen[-1]])
    about = {**file.config, "names": labels, "edit": f"interpolate {options.items}, {options.steps} steps"}
    parents = {"latents": file.digest}
    artifacts.write(options.out, "latents", {"codes": torch.stack(codes)}, about, seed=file.seed, parents=parents)
    return {"written": [str(options.out)], "latents": len(codes)}


def _check(options: Options) -> None:
    if options.operation not in OPERATIONS:
        raise G3dError(f"there is no edit '{options.operation}'{did_you_mean(options.operation, OPERATIONS)}")
    if options.steps < 2:
        raise G3dError(f"--steps is {options.steps}; it must be at least 2, both ends included")


def _items(text: str, names: list[str], path: Path) -> list[int]:
    """Numbers or names, separated by commas => numbers."""
    found = []
    for word in (w.strip() for w in text.split(",")):
        number = int(word) if word.isdecimal() else names.index(word) if word in names else -1
        if not 0 <= number < len(names):
            close = did_you_mean(word, names) if not word.isdecimal() and len(names) <= 200 else ""
            raise G3dError(f"'{path}' has no item '{word}'{close}; choose from 0-{len(names) - 1} or by name")
        found.append(number)
    if len(found) < 2:
        raise G3dError(f"--items '{text}' names one item; an interpolation needs two or more, e.g. 0,5")
    return found
