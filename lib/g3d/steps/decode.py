"""`decode`: latents => scenes, or at once their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g3d import config, distributed, latents
from g3d.device import pick_device
from g3d.drawing.painter import Drawing
from g3d.drawing.target import BATCH, Target, batched, check_batch
from g3d.item_choice import chosen_items
from g3d.methods import method
from g3d.methods.contract import Method
from g3d.methods.decoding import check_decodes, load, scenes_of
from g3d.progress import SILENT, Progress
from g3d.storage import arrays, artifacts, files

Values = latents.Latents | None
_NAMES = ("w", "ws", "w_plus", "wplus", "latent", "latents", "codes", "z")
"""What projectors call their codes."""


@dataclass(frozen=True)
class Options:
    """A model, latents, which of them, and what to write: scenes, pictures or both."""

    model: Path
    latents: Path
    out: Path | None = None
    items: str | None = None
    settings: Sequence[str] = ()
    images: Path | None = None
    drawing: Drawing = field(default_factory=Drawing)
    batch: int = BATCH  # scenes made at once
    device: str = "auto"
    overwrite: bool = False


@dataclass(frozen=True)
class _Checked:
    """What the options stand for, from headers alone."""

    model: artifacts.Header
    method: Method[Any, Any]
    latents: latents.Head
    values: Values  # of another program's file
    chosen: list[int]
    target: Target
    settings: Any


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse."""
    found = _checked(options)
    return {
        "method": found.method.name, "model": str(found.model.path), "latents": str(found.latents.path),
        "scenes": len(found.chosen), "settings": config.as_json(found.settings), "device": str(pick_device(options.device)),
        **found.target.as_json(),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Decode; the scenes are numbered as the latents are."""
    found, device = _checked(options), pick_device(options.device)
    values, model = found.values or latents.read(found.latents), load(found.method, found.model, device)
    count, done = len(found.chosen), 0
    parents = {"model": found.model.digest, "latents": found.latents.digest}
    with distributed.processes(device), found.target.opened(count, parents) as opened:
        progress.start("scenes", count)
        for part, rows in enumerate(batched(found.chosen, options.batch)):
            if distributed.mine(part):  # whole batches, so that several processes decode what one does
                few = values.pick(rows).to(device)
                for place, scene in enumerate(scenes_of(found.method, model, few, found.settings)):
                    opened.add(done + place, rows[place], scene, few.names[place])
            done += len(rows)
            progress.update(done, count)
    return opened.result(count)


def _checked(options: Options) -> _Checked:
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    found, values = method(str(head.config["method"])), None
    if options.latents.suffix.lower() in arrays.SUFFIXES:
        values = latents.of_array(arrays.read(options.latents, _NAMES), latents.space_of(head), options.latents)
        source = latents.Head(
            options.latents, files.file_digest(options.latents), None, values.space, values.names, frozenset()
        )
    else:
        source = latents.check(options.latents)
    check_decodes(found, head, source)
    chosen = list(range(len(source.names)))
    if options.items is not None:
        chosen = list(dict.fromkeys(chosen_items(options.items, source.names, source.path)))
    check_batch(options.batch)
    target = Target(options.out, options.images, options.drawing, options.overwrite, (head.path, source.path))
    target.check()
    settings = config.override(found.decode_settings(), options.settings, found.name)
    return _Checked(head, found, source, values, chosen, target, settings)
