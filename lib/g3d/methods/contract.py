"""The contract of a method: one value of typed callables. What a method need not have is a group that is None where absent.

Commands know this value and nothing else of a method. A method's package builds it under the name `METHOD`.

Letters: B latents, S items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.latents import Latents, LatentSpace
from g3d.scenes.scene import Scene, World
from g3d.storage.artifacts import Artifact
from g3d.training.run import Run


class Loaded(Protocol):
    """A model as `load` gives it: what else it holds is its method's own."""

    @property
    def config(self) -> Any:
        """The settings that it was fitted with."""

    @property
    def network(self) -> nn.Module:
        """Its parameters, to be counted."""

    @property
    def world(self) -> World:
        """What its scenes live in."""


C = TypeVar("C")  # the settings of a method
M = TypeVar("M", bound=Loaded)  # a model of it


@dataclass(frozen=True)
class Encoded:
    """What was found of S items: their latents, where it was measured the mean squared error with them, and where it matters the
    cameras."""

    tensors: Mapping[str, Tensor]  # by the names of the latent space, [S, ...]
    mse: Tensor | None = None  # [S], of values in [0, 1]
    cameras: Tensor | None = None  # [S, 25], that the scenes are baked at


@dataclass(frozen=True)
class Encode(Generic[M]):
    """How latents of a dataset's items are found."""

    settings: type[Any]  # what --set may change
    items: Callable[[M, Dataset, str], list[Item]]
    """The items of a split (train, test, all) that latents can stand for; refuses data that does not fit."""
    encoder: Callable[[M, Dataset, Sequence[Item], Any, int], Callable[[Sequence[int]], Encoded]]
    """(model, dataset, items, settings, seed) => a function of places in items."""
    note: Callable[[M, Dataset, Any], str | None] | None = None
    """(model, dataset, settings) => what is said of it in the log, if anything."""
    inputs: Callable[[M, Dataset, Item, Any, int], Sequence[int]] | None = None
    """(model, dataset, item, settings, seed) => the views of the dataset that the item's latents are found from, where an item
    has more of them."""


@dataclass(frozen=True)
class Draw(Generic[M]):
    """How latents are drawn without a prior."""

    settings: type[Any]  # what --set may change, e.g. truncation
    draw: Callable[[M, Sequence[int], int, Any], Latents]
    """(model, numbers, seed, settings): number i depends on (seed, i) alone, and on the camera of its condition."""
    space: Callable[[Any, Any], LatentSpace] | None = None
    """(the model's settings, settings) => the space of what is drawn, where it need not be the model's latent space."""


@dataclass(frozen=True)
class Tuned:
    """A model moved to draw some items: the tensors and the metadata of its file, the mean squared error."""

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]
    mse: float


@dataclass(frozen=True)
class Needs:
    """A setting has an effect only where another one has one of some values, or any but some."""

    key: str
    values: tuple[Any, ...] = ()
    other_than: tuple[Any, ...] = ()

    def met(self, config: Any) -> bool:
        """Whether it has an effect in `config`."""
        value = getattr(config, self.key)
        return value in self.values if self.values else value not in self.other_than

    def __str__(self) -> str:
        if self.values:
            return f"{self.key}={' or '.join(str(v) for v in self.values)}"
        return f"{self.key} other than {' or '.join(str(v) for v in self.other_than)}"


@dataclass(frozen=True)
class Method(Generic[C, M]):
    """A first stage."""

    name: str
    paper: str  # one line: title, authors, year
    config: type[C]  # a frozen dataclass of settings (`config.setting`)
    presets: Mapping[str, C]
    build: Callable[[C], nn.Module]
    """The network, unfitted."""
    check: Callable[[C, Dataset], object]
    """Refuses, before anything is written, data or settings that the method cannot use."""
    fit: Callable[[C, Dataset, Run], None]
    """Writes model.safetensors (and latents.safetensors, where latents are part of what is fitted) into the run. What --resume
    and --init put into the networks is asked of `run.restore`; a run whose method does not ask refuses --init."""
    load: Callable[[Artifact, torch.device], M]
    unfitted: Callable[[Any, C], M]
    """A built network => a model without a file, to be measured."""
    latent_space: Callable[[C], LatentSpace]
    decode: Callable[[M, Latents, Any], Scene]
    """(model, B latents, settings) => a batch of B scenes."""
    decode_settings: type[Any]
    needs: Mapping[str, Needs] = field(default_factory=dict)
    """Settings that have an effect beside others only: given where they have none, they are refused (`refuse_idle`)."""

    encode: Encode[M] | None = None
    draw: Draw[M] | None = None
    condition: Callable[[M, Tensor], M] | None = None
    """Where what a scene shows depends on a camera: the model as it draws and decodes for cameras [1 or B, 25]."""
    tune: Callable[[M, Dataset, Sequence[Item], Latents, Any], Tuned] | None = None
    """(model, dataset, items, their latents, encode's settings): pivotal tuning."""
    similarity: Callable[[M], Mapping[str, Tensor]] | None = None
    """Layer => how alike its parts are [P, P], 0 to 1, of a method with several parts a layer."""
    other_spaces: Callable[[C], Sequence[LatentSpace]] | None = None
    """Spaces whose latents `decode` takes besides the model's latent space."""
    counts: Callable[[C], Mapping[str, float]] | None = None
    """More figures for profile, by name."""
    import_official: (
        Callable[[Mapping[str, Tensor], str | None, Sequence[str], int | None, str],
                 tuple[Mapping[str, Tensor], Mapping[str, Any]]] | None
    ) = None  # fmt: skip
    """(state, preset, key=value pairs, side of the pictures, where) => tensors and metadata of a model file."""


CALLS: Mapping[str, Sequence[str]] = {
    "build": ("config",), "check": ("config", "dataset"), "fit": ("config", "dataset", "run"), "load": ("file", "device"),
    "unfitted": ("network", "config"), "latent_space": ("config",), "decode": ("model", "latents", "settings"),
    "condition": ("model", "cameras"), "tune": ("model", "dataset", "items", "latents", "settings"), "similarity": ("model",),
    "other_spaces": ("config",), "counts": ("config",), "import_official": ("state", "preset", "pairs", "size", "where"),
}  # fmt: skip
"""The functions of a method and their arguments, which are checked when it is asked for."""


def refuse_idle(method: Method[C, Any], config: C, start: C, given: Sequence[str]) -> None:
    """Refuse settings that were `given` over those of `start` and have no effect beside the others."""
    for name in given:
        needed, value, before = method.needs.get(name), getattr(config, name), getattr(start, name)
        if needed is not None and value != before and not needed.met(config):
            raise G3dError(
                f"{method.name}: {name}={value} has no effect with {needed.key}={getattr(config, needed.key)}; it belongs to "
                f"{needed}, so leave it out"
            )


def of_codes(decode: Callable[[M, Tensor, Any], Scene]) -> Callable[[M, Latents, Any], Scene]:
    """`decode` of a method whose latents are codes alone, from its function of codes [B, ...]."""
    return lambda model, latents, settings: decode(model, latents.codes, settings)


def drawn_codes(
    space: Callable[[M], LatentSpace], draw: Callable[[M, Sequence[int], int, Any], Tensor]
) -> Callable[[M, Sequence[int], int, Any], Latents]:
    """`draw` of a method whose latents are codes alone, from its function that gives codes [B, ...]."""

    def drawn(model: M, numbers: Sequence[int], seed: int, settings: Any) -> Latents:
        codes = draw(model, numbers, seed, settings)
        return Latents(space(model), {"codes": codes}, [f"{number:06d}" for number in numbers])

    return drawn
