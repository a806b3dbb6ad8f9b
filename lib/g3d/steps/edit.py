"""`edit`: latents => other latents. Knows their tensors and their spaces, never methods.

Letters: K items chosen, n steps from one to the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d import latents
from g3d.errors import G3dError, closest
from g3d.item_choice import chosen_items
from g3d.latents import FIELDS, Latents
from g3d.progress import SILENT, Progress
from g3d.seeds import MOST
from g3d.storage import files


@dataclass(frozen=True)
class Options:
    """`interpolate`: straight lines through `items` (numbers or names), `steps` latents from one to the next.

    `grid`: `steps` x `steps` latents between four items: the corners at the top left, top right, bottom left, bottom right.

    `swap`: each item of `to` with the `fields` of the item `source` (of one, or of as many as there are in `to`); they are
    named after both, or by `names`.

    `fields` (names, separated by commas) also confines `interpolate` and `grid`: the others stay those of the first item."""

    operation: str
    latents: Path
    out: Path
    items: str | None = None  # the first two, or the first four
    steps: int | None = None  # 8
    fields: str | None = None
    source: str | None = None
    to: str | None = None
    names: str | None = None  # of what a swap makes, e.g. those of a dataset's objects
    overwrite: bool = False


OPERATIONS = {"interpolate": "0,1", "grid": "0,1,2,3", "swap": ""}  # with the items of each where none are named
STEPS = 8


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    head = _checked(options)
    if options.operation == "swap":
        source, to = _swapped(options, head)
        return {
            "operation": "swap",
            "fields": _fields(options, head),
            "from": source,
            "to": to,
            **({} if options.names is None else {"names": _names(options, len(to))}),
            "out": str(options.out),
        }
    return {
        "operation": options.operation, "items": _items(options, head), "steps": options.steps or STEPS, "out": str(options.out),
        **({} if options.fields is None else {"fields": _fields(options, head)}),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the latents of a path through the chosen items, or of a grid between four, ends included; or of a swap."""
    head = _checked(options)
    known = latents.read(head)
    names = _fields(options, head)
    if options.operation == "swap":
        source, to = _swapped(options, head)
        found = _swap(known, names, source, to)
        if options.names is not None:
            found = replace(found, names=_names(options, len(to)))
        words = f"swap {','.join(n.removeprefix(FIELDS) for n in names)} from {_joined(source)} to {_joined(to)}"
    else:
        chosen = _items(options, head)
        corners, steps = known.pick(chosen), options.steps or STEPS
        blend = _grid if options.operation == "grid" else _path
        rows, labels = blend(corners.names, steps)
        tensors = {n: _blended(v, rows, n in names) for n, v in corners.tensors.items()}
        found = Latents(head.space, tensors, labels, about=corners.about, **_kept(corners, len(rows), progress))
        words = f"{options.operation} {_joined(chosen)}, {steps} steps"
        words += "" if options.fields is None else f" of {','.join(n.removeprefix(FIELDS) for n in names)}"
    found = replace(found, about={**found.about, "edit": words})
    latents.write(options.out, found, seed=head.seed, parents={"latents": head.digest})
    return {"written": [str(options.out)], "latents": len(found)}


Row = Callable[[Tensor], Tensor]  # the corners of a tensor [K, ...] => one latent [...]


def _path(names: Sequence[str], steps: int) -> tuple[list[Row], list[str]]:
    """K corners => (K - 1)(n - 1) + 1 latents along straight lines from each to the next."""

    def between(i: int, share: float) -> Row:
        return lambda corners: torch.lerp(corners[i], corners[i + 1], share)

    rows, labels = [], []
    for i in range(len(names) - 1):
        for step in range(steps - 1):
            share = step / (steps - 1)
            rows.append(between(i, share))
            labels.append(f"{names[i]} to {names[i + 1]}, {share:.3f}")
    return [*rows, lambda corners: corners[-1]], [*labels, names[-1]]


def _grid(names: Sequence[str], steps: int) -> tuple[list[Row], list[str]]:
    """4 corners => n n latents by bilinear interpolation, row by row from the top."""

    def at(down: float, across: float) -> Row:
        def row(corners: Tensor) -> Tensor:
            left, right = torch.lerp(corners[0], corners[2], down), torch.lerp(corners[1], corners[3], down)
            return torch.lerp(left, right, across)

        return row

    shares = [i / (steps - 1) for i in range(steps)]
    places = [(down, across) for down in shares for across in shares]
    labels = [f"{' '.join(names)}: {down:.3f} down, {across:.3f} across" for down, across in places]
    for corner, place in enumerate((0, steps - 1, steps * (steps - 1), steps * steps - 1)):
        labels[place] = names[corner]
    return [at(*place) for place in places], labels


def _blended(corners: Tensor, rows: Sequence[Row], moves: bool) -> Tensor:
    """One latent by each row; all of the first corner where the tensor does not move."""
    return torch.stack([row(corners) for row in rows]) if moves else torch.stack([corners[0]] * len(rows))


def _swap(known: Latents, names: Sequence[str], source: Sequence[int], to: Sequence[int]) -> Latents:
    """The items `to`, with the named fields of `source`; they keep their class, split and camera."""
    givers = list(source) * (len(to) if len(source) == 1 else 1)
    kept, given = known.pick(to), known.pick(givers)
    tensors = {name: (given if name in names else kept).tensors[name] for name in known.tensors}
    short = " ".join(name.removeprefix(FIELDS) for name in names)
    labels = [f"{mine}, {short} of {other}" for mine, other in zip(kept.names, given.names, strict=True)]
    return replace(kept, tensors=tensors, names=labels)


def _kept(corners: Latents, count: int, progress: Progress) -> dict[str, Tensor]:
    """Class, split and camera of `count` latents between corners that agree on them; a note where they do not."""
    found = {}
    words = {"classes": "class", "split": "split", "condition_camera": "camera that scenes are baked at"}
    for name, word in words.items():
        value = getattr(corners, name)
        if value is None:
            continue
        if bool((value == value[:1]).all()):
            found[name] = torch.stack([value[0]] * count)
        else:
            progress.log(f"note: the chosen items differ in their {word}, so what lies between has none")
    return found


def _checked(options: Options) -> latents.Head:
    if options.operation not in OPERATIONS:
        raise G3dError(
            f"there is no edit '{options.operation}'{closest(options.operation, OPERATIONS)}; edits: {', '.join(OPERATIONS)}"
        )
    swap = options.operation == "swap"
    foreign = (
        {"--items": options.items, "--steps": options.steps}
        if swap
        else {"--from": options.source, "--to": options.to, "--names": options.names}
    )
    for word, value in foreign.items():
        if value is not None:
            raise G3dError(f"{word} has no effect on {options.operation}; leave it out")
    if options.steps is not None and options.steps < 2:
        raise G3dError(f"--steps is {options.steps}; it must be at least 2, both ends included")
    head = latents.check(options.latents)
    files.refuse_existing(options.out, options.overwrite, (head.path,))
    if not swap and not head.space.continuous:
        raise G3dError(
            f"'{head.path}' holds tokens, between which nothing can be interpolated; use latents with codes or fields"
        )
    _fields(options, head)
    return head


def _fields(options: Options, head: latents.Head) -> list[str]:
    """The tensors that change: the named fields, else all."""
    there = {name.removeprefix(FIELDS): name for name in sorted(head.space.parts) if name.startswith(FIELDS)}
    if options.fields is None:
        if options.operation == "swap":
            known = f"which has {', '.join(there)}" if there else "which has none"
            raise G3dError(f"a swap needs --fields, names of fields of '{head.path}', {known}")
        return list(head.space.parts)
    asked = list(dict.fromkeys(word.strip() for word in options.fields.split(",")))
    for word in asked:
        if word not in there:
            known = f"fields: {', '.join(there)}" if there else "it has none"
            raise G3dError(f"'{head.path}' has no field '{word}'{closest(word, there)}; {known}")
    return [there[word] for word in asked]


def _items(options: Options, head: latents.Head) -> list[int]:
    """The items of a path or a grid."""
    text = OPERATIONS[options.operation] if options.items is None else options.items
    found = chosen_items(text, head.names, head.path)
    if options.operation == "grid" and len(found) != 4:
        raise G3dError(f"--items '{text}' names {len(found)}; a grid has four corners, e.g. 0,5,2,7")
    if len(found) < 2:
        raise G3dError(f"--items '{text}' names one item; an interpolation needs two or more, e.g. 0,5")
    steps = options.steps or STEPS
    count = steps * steps if options.operation == "grid" else (len(found) - 1) * (steps - 1) + 1
    if count > MOST:
        raise G3dError(f"--steps {steps} makes {count} latents; at most {MOST} can be made: take fewer steps")
    return found


def _swapped(options: Options, head: latents.Head) -> tuple[list[int], list[int]]:
    """Who gives and who takes."""
    if options.source is None or options.to is None:
        raise G3dError("a swap needs --from ITEM and --to ITEMS, e.g. --from 3 --to 0,1,2")
    source, to = (chosen_items(text, head.names, head.path) for text in (options.source, options.to))
    if options.names is not None:
        _names(options, len(to))
    if len(source) not in (1, len(to)):
        raise G3dError(f"--from names {len(source)} items and --to {len(to)}; give one, or as many as --to has")
    return source, to


def _names(options: Options, count: int) -> list[str]:
    """The names that a swap's latents are asked to have."""
    assert options.names is not None
    found = [word.strip() for word in options.names.split(",")]
    if len(found) != count or not all(found) or len(set(found)) != count:
        raise G3dError(f"--names '{options.names}' must name the {count} items of --to, each once and by another name")
    return found


def _joined(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)
