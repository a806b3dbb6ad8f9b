"""`edit`: latents => other latents. Knows codes and their spaces, never methods.

Letters: K items chosen, n steps from one to the next, D numbers of a code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.errors import G3dError, did_you_mean
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files


@dataclass(frozen=True)
class Options:
    """`interpolate`: straight lines through `items` (numbers or names), `steps` codes from one to the next.

    `grid`: `steps` x `steps` codes between four items: the corners at the top left, top right, bottom left, bottom right."""

    operation: str
    latents: Path
    out: Path
    items: str | None = None  # the first two, or the first four
    steps: int = 8
    overwrite: bool = False


OPERATIONS = {"interpolate": "0,1", "grid": "0,1,2,3"}  # with the items of each where none are named


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    _check(options)
    head = artifacts.check(files.inside(options.latents, "latents.safetensors"), "latents", role="the latents")
    chosen = _items(options, [str(n) for n in head.config["names"]], head.path)
    return {"operation": options.operation, "items": chosen, "steps": options.steps, "out": str(options.out)}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the latents of a path through the chosen items, or of a grid between four, ends included."""
    _check(options)
    source = files.inside(options.latents, "latents.safetensors")
    file = artifacts.read(source, "latents", role="the latents")
    files.refuse_existing(options.out, options.overwrite, (source,))
    if "codes" not in file.values:
        raise G3dError(f"'{source}' holds tokens, between which nothing can be interpolated; use latents with codes")
    names = [str(n) for n in file.config["names"]]
    chosen = _items(options, names, source)
    codes, words = file.values["codes"][chosen], [names[i] for i in chosen]
    found, labels = (_grid if options.operation == "grid" else _path)(codes, words, options.steps)
    items = ",".join(str(i) for i in chosen)
    about = {**file.config, "names": labels, "edit": f"{options.operation} {items}, {options.steps} steps"}
    artifacts.write(options.out, "latents", {"codes": found}, about, seed=file.seed, parents={"latents": file.digest})
    return {"written": [str(options.out)], "latents": len(found)}


def _path(codes: Tensor, names: list[str], steps: int) -> tuple[Tensor, list[str]]:
    """`codes` [K, ...] => [(K - 1)(n - 1) + 1, ...] along straight lines from each to the next."""
    found, labels = [], []
    for i in range(len(codes) - 1):
        for step in range(steps - 1):
            share = step / (steps - 1)
            found.append(torch.lerp(codes[i], codes[i + 1], share))
            labels.append(f"{names[i]} to {names[i + 1]}, {share:.3f}")
    return torch.stack([*found, codes[-1]]), [*labels, names[-1]]


def _grid(codes: Tensor, names: list[str], steps: int) -> tuple[Tensor, list[str]]:
    """`codes` [4, ...] of the corners => [n n, ...] by bilinear interpolation, row by row from the top."""
    shares = [i / (steps - 1) for i in range(steps)]
    found, labels = [], []
    for down in shares:
        left, right = torch.lerp(codes[0], codes[2], down), torch.lerp(codes[1], codes[3], down)
        found += [torch.lerp(left, right, across) for across in shares]
        labels += [f"{' '.join(names)}: {down:.3f} down, {across:.3f} across" for across in shares]
    for corner, place in enumerate((0, steps - 1, steps * (steps - 1), steps * steps - 1)):
        labels[place] = names[corner]
    return torch.stack(found), labels


def _check(options: Options) -> None:
    if options.operation not in OPERATIONS:
        raise G3dError(
            f"there is no edit '{options.operation}'{did_you_mean(options.operation, OPERATIONS)}; edits: {', '.join(OPERATIONS)}"
        )
    if options.steps < 2:
        raise G3dError(f"--steps is {options.steps}; it must be at least 2, both ends included")


def _items(options: Options, names: list[str], path: Path) -> list[int]:
    """Numbers or names, separated by commas => numbers."""
    text = OPERATIONS[options.operation] if options.items is None else options.items
    found = []
    for word in (w.strip() for w in text.split(",")):
        number = int(word) if word.isdecimal() else names.index(word) if word in names else -1
        if not 0 <= number < len(names):
            close = did_you_mean(word, names) if not word.isdecimal() and len(names) <= 200 else ""
            raise G3dError(f"'{path}' has no item '{word}'{close}; choose from 0-{len(names) - 1} or by name")
        found.append(number)
    if options.operation == "grid" and len(found) != 4:
        raise G3dError(f"--items '{text}' names {len(found)}; a grid has four corners, e.g. 0,5,2,7")
    if len(found) < 2:
        raise G3dError(f"--items '{text}' names one item; an interpolation needs two or more, e.g. 0,5")
    return found
