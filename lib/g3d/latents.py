"""Latents, the waist between a first stage and a prior: one value of named tensors, the space that they live in, their file.

A latent is `codes` (floats), `tokens` (whole numbers below a vocabulary) or named fields (`fields.expression`, floats), one
row of each tensor an item. Besides, an item may have a class, a split and the camera that its scene is baked at.

Letters: N items, D numbers of an item over all its tensors.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import distributed
from g3d.errors import G3dError
from g3d.storage import artifacts, files

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CODES, TOKENS, FIELDS = "codes", "tokens", "fields."
MOST_TOKENS = 2**31 - 1  # of a vocabulary: training keeps them in 32 bits
INPUT_VIEWS = "input_views"  # in `about`: an item's name => the dataset's views that it was found from
CLASS_NAMES = "class_names"  # in `about`: of classes 0, 1, ...
TEST = 1  # from here on the splits of a dataset are held out
_BESIDES = ("class", "split", "condition_camera")  # of a file: what an item has besides its latent


@dataclass(frozen=True)
class Part:
    """One tensor of a space: its shape without the items, and of tokens how many different ones there are."""

    shape: tuple[int, ...]
    vocabulary: int | None = None


@dataclass(frozen=True)
class LatentSpace:
    """A name (w, w+, phi, ...) and the tensors of a latent by name."""

    name: str
    parts: Mapping[str, Part]

    @staticmethod
    def codes(name: str, *shape: int) -> "LatentSpace":
        """A space of codes [N, *shape]."""
        return LatentSpace(name, {CODES: Part(tuple(shape))})

    @property
    def size(self) -> int:
        """D, the numbers of an item."""
        return sum(math.prod(part.shape) for part in self.parts.values())

    @property
    def continuous(self) -> bool:
        """Whether there is something between two latents: no tokens."""
        return all(part.vocabulary is None for part in self.parts.values())

    def zeros(self, count: int = 1, device: "torch.device | str" = "cpu") -> "Latents":
        """N items of zeros, or of token 0."""
        import torch

        kinds = {n: torch.float32 if p.vocabulary is None else torch.int64 for n, p in self.parts.items()}
        made = {n: torch.zeros(count, *p.shape, dtype=kinds[n], device=device) for n, p in self.parts.items()}
        return Latents(self, made, [str(i) for i in range(count)])

    def of_flat(self, numbers: "Tensor", names: Sequence[str]) -> "Latents":
        """[N, D], the tensors side by side in the order of their names, => latents."""
        sizes = [math.prod(self.parts[name].shape) for name in sorted(self.parts)]
        split = dict(zip(sorted(self.parts), numbers.split(sizes, dim=1), strict=True))
        return Latents(self, {n: v.unflatten(1, self.parts[n].shape) for n, v in split.items()}, names)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: `shape` of codes alone, else `tensors` by name."""
        if set(self.parts) == {CODES}:
            return {"space": self.name, "shape": list(self.parts[CODES].shape)}
        vocabulary = {n: {} if p.vocabulary is None else {"vocabulary": p.vocabulary} for n, p in self.parts.items()}
        return {
            "space": self.name,
            "tensors": {n: {"shape": list(p.shape), **vocabulary[n]} for n, p in self.parts.items()},
        }

    @staticmethod
    def from_json(data: Any, where: str) -> "LatentSpace":
        """From a file's metadata; `where` names it in messages."""
        try:
            tensors = {CODES: {"shape": data["shape"]}} if "shape" in data else dict(data["tensors"])
            parts = {str(name): Part(tuple(about["shape"]), about.get("vocabulary")) for name, about in tensors.items()}
            whole = [n for p in parts.values() for n in p.shape]
            sane = bool(parts) and all(isinstance(n, int) and n >= 0 for n in whole)
            sane = sane and all(_known(n) and _counted(n, p.vocabulary) for n, p in parts.items())
            name = str(data["space"])
        except (KeyError, TypeError, ValueError, AttributeError):
            sane = False
        if not sane:
            raise G3dError(
                f"{where}: the metadata 'latent_space' is {data}; wanted is one with a name, a shape, and of tokens how many "
                "different ones there are; write it again"
            )
        return LatentSpace(name, parts)

    def __str__(self) -> str:
        if set(self.parts) == {CODES}:
            return f"{self.name} {list(self.parts[CODES].shape)}"
        words = (
            f"{n} {list(p.shape)}" + (f" of {p.vocabulary}" if p.vocabulary else "")
            for n, p in sorted(self.parts.items())
        )
        return f"{self.name} ({', '.join(words)})"


@dataclass(frozen=True)
class Latents:
    """N items of one space. `about` is what else a file says of them: the method, how they were found."""

    space: LatentSpace
    tensors: "Mapping[str, Tensor]"  # by the names of the space, [N, ...]
    names: Sequence[str]  # of the items
    classes: "Tensor | None" = None  # [N]
    split: "Tensor | None" = None  # [N], index into the splits of a dataset
    condition_camera: "Tensor | None" = None  # [N, 25], at which a method that asks for it bakes the scenes
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def codes(self) -> "Tensor":
        """[N, ...], of a space of codes."""
        return self.tensors[CODES]

    def flat(self) -> "Tensor":
        """[N, D], the tensors side by side in the order of their names."""
        import torch

        return torch.cat([self.tensors[name].flatten(1) for name in sorted(self.tensors)], dim=1)

    def pick(self, rows: "Sequence[int] | slice") -> "Latents":
        """Some of the items, in the order of `rows`."""
        rows = range(len(self))[rows] if isinstance(rows, slice) else rows
        chosen = self._each(lambda value: value[list(rows)])
        return replace(chosen, names=[self.names[row] for row in rows])

    def to(self, device: "torch.device | str") -> "Latents":
        """The same, on another device."""
        return self._each(lambda value: value.to(device))

    def _each(self, change: "Callable[[Tensor], Tensor]") -> "Latents":
        besides = (self.classes, self.split, self.condition_camera)
        classes, split, camera = (None if value is None else change(value) for value in besides)
        tensors = {name: change(value) for name, value in self.tensors.items()}
        return replace(self, tensors=tensors, classes=classes, split=split, condition_camera=camera)

    def packed(self) -> "tuple[dict[str, Tensor], dict[str, Any]]":
        """Tensors and metadata of the file of these latents."""
        found = dict(zip(_BESIDES, (self.classes, self.split, self.condition_camera), strict=True))
        besides = {name: value for name, value in found.items() if value is not None}
        return {**self.tensors, **besides}, {**self.space.as_json(), **self.about, "names": list(self.names)}


def join(parts: Sequence[Latents]) -> Latents:
    """Latents one after the other, all of one space; what not every part has is left out."""
    import torch

    first = parts[0]
    assert all(part.space == first.space for part in parts)
    tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in first.tensors}

    def whole(name: str) -> "Tensor | None":
        found = [getattr(part, name) for part in parts]
        return None if any(value is None for value in found) else torch.cat(found)

    names = [name for part in parts for name in part.names]
    return Latents(
        first.space, tensors, names, whole("classes"), whole("split"), whole("condition_camera"), first.about
    )


def gathered(space: LatentSpace, kept: Mapping[int, Latents], sizes: Sequence[int]) -> Latents:
    """The parts that all processes have `kept`, by their numbers, as one; `sizes` are the items of every part."""
    import torch

    if distributed.world() == 1:
        return join([kept[part] for part in sorted(kept)])
    starts, count = [sum(sizes[:part]) for part in range(len(sizes))], sum(sizes)
    blank = {"classes": torch.zeros(count, dtype=torch.int64), "condition_camera": torch.zeros(count, 25)}
    there = distributed.agree(*(any(getattr(few, name) is not None for few in kept.values()) for name in blank))
    besides = {name: value for (name, value), known in zip(blank.items(), there, strict=True) if known}
    tensors = dict(space.zeros(count).tensors)
    for part, few in kept.items():
        rows = slice(starts[part], starts[part] + sizes[part])
        for name, value in tensors.items():
            value[rows] = few.tensors[name]
        for name, value in besides.items():
            value[rows] = getattr(few, name)
    for value in (*(tensors[name] for name in sorted(tensors)), *besides.values()):
        distributed.sum_value(value)
    names = [str(i) for i in range(count)]
    return Latents(space, tensors, names, besides.get("classes"), None, besides.get("condition_camera"))


@dataclass(frozen=True)
class Head:
    """What the header of a file of latents says."""

    path: Path
    digest: str
    seed: int | None
    space: LatentSpace
    names: Sequence[str]
    has: frozenset[str]  # of class, split, condition_camera


def check(path: Path, role: str = "the latents") -> Head:
    """The header of a file of latents, or of the run that has one; anything else is refused in one sentence."""
    head = artifacts.check(files.inside(path, "latents.safetensors"), "latents", role=role)
    tensors = {name: shape[1:] for name, (_, shape) in head.tensors.items() if name not in _BESIDES}
    if not tensors:
        raise G3dError(f"'{head.path}' holds neither codes, tokens nor fields; write it again")
    where = f"'{head.path}' (latents)"
    if "tensors" in head.config or "shape" in head.config:
        space = LatentSpace.from_json(head.config, where)
    elif TOKENS in tensors:
        raise G3dError(f"{where}: the metadata does not say how many different tokens there are; write it again")
    else:
        space = LatentSpace(str(head.config["space"]), {name: Part(tuple(shape)) for name, shape in tensors.items()})
    if {name: tuple(shape) for name, shape in tensors.items()} != {n: p.shape for n, p in space.parts.items()}:
        found = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(tensors.items()))
        raise G3dError(f"{where} holds {found}, but its metadata says {space}; write it again")
    names = [str(name) for name in head.config["names"]]
    return Head(head.path, head.digest, head.seed, space, names, frozenset({*_BESIDES} & {*head.tensors}))


def read(head: Head) -> Latents:
    """The latents of a file: floats as float32, whole numbers as int64, all finite and within their vocabulary."""
    file = artifacts.read(head.path, "latents", role="the latents")
    values = {n: v.float() if v.is_floating_point() else v.long() for n, v in file.values.items()}
    for name, part in head.space.parts.items():
        _check_values(head.path, name, part, values[name])
    about = {k: v for k, v in file.config.items() if k not in {"names", *head.space.as_json()}}
    tensors = {name: values[name] for name in head.space.parts}
    classes, split, camera = (values.get(name) for name in _BESIDES)
    if camera is not None:
        _check_values(head.path, "condition_camera", Part((25,)), camera)
    return Latents(head.space, tensors, head.names, classes, split, camera, about)


def of_array(values: Any, space: LatentSpace, path: Path) -> Latents:
    """Codes that another program wrote, as those of `space`: [N, ...], or one item; w for each layer of w+, and the other way
    round where all layers are alike, as projectors into w write it."""
    import torch

    if set(space.parts) != {CODES}:
        raise G3dError(f"'{path}' holds an array, but the latents of this model are {space}; use g3d encode")
    shape, codes = space.parts[CODES].shape, torch.from_numpy(values)
    if tuple(codes.shape) == shape or (codes.ndim == 1 and codes.shape == shape[-1:]):
        codes = codes[None]
    if len(shape) == 2 and codes.ndim == 2 and codes.shape[1:] == shape[-1:]:
        codes = codes[:, None].expand(-1, *shape)
    if len(shape) == 1 and codes.ndim == 3 and codes.shape[2:] == shape:
        if not _alike(codes):
            raise G3dError(
                f"'{path}' holds codes of their own for {codes.shape[1]} layers (w+), this model takes {space}; give w"
            )
        codes = codes[:, 0]
    if tuple(codes.shape[1:]) != shape or not len(codes):
        raise G3dError(
            f"'{path}' holds an array {list(values.shape)}, this model takes {space}; give [N, ...] of that, or one"
        )
    return Latents(space, {CODES: codes.float().contiguous()}, [str(i) for i in range(len(codes))])


def _alike(codes: "Tensor") -> bool:
    """Whether all layers [N, L, D] are the same."""
    return bool((codes == codes[:, :1]).all())


def write(path: Path, found: Latents, *, seed: int | None = None, parents: Mapping[str, str] | None = None) -> None:
    """Write a file of latents."""
    tensors, about = found.packed()
    artifacts.write(path, "latents", tensors, about, seed=seed, parents=parents)


def same(one: Latents, other: Latents) -> bool:
    """Whether both hold the same latents of the same names."""
    import torch

    equal = one.space == other.space and list(one.names) == list(other.names)
    return equal and all(torch.equal(value, other.tensors[name].cpu()) for name, value in one.tensors.items())


def space_of(head: artifacts.Header) -> LatentSpace:
    """The space that the latents of a model, or of a prior, live in."""
    return LatentSpace.from_json(head.config["latent_space"], f"'{head.path}' ({head.kind})")


def check_same(model: artifacts.Header, other: LatentSpace, path: Path, what: str) -> None:
    """Refuse latents, or a prior, of another space than the model's."""
    wanted = space_of(model)
    if other != wanted:
        raise G3dError(
            f"{what} '{path}' live in {other}, the model '{model.path}' in {wanted}; use {what} of this model"
        )


def _known(name: str) -> bool:
    return name in (CODES, TOKENS) or (name.startswith(FIELDS) and len(name) > len(FIELDS))


def _counted(name: str, vocabulary: Any) -> bool:
    """Whether it is said how many different ones there are of tokens, and of nothing else."""
    if name != TOKENS:
        return vocabulary is None
    return isinstance(vocabulary, int) and 1 <= vocabulary <= MOST_TOKENS


def _check_values(path: Path, name: str, part: Part, values: "Tensor") -> None:
    if part.vocabulary is None:
        if not values.is_floating_point() or not values.isfinite().all():
            raise G3dError(f"'{path}' holds {name} that are not finite; fit the model again")
    elif values.is_floating_point() or (
        values.numel() and not 0 <= int(values.min()) <= int(values.max()) < part.vocabulary
    ):
        raise G3dError(f"'{path}' holds {name} that are no whole numbers below {part.vocabulary}; encode again")
