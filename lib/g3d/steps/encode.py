"""`encode`: items of a dataset => latents, by a model whose weights stay as they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from g3d import config, distributed, latents
from g3d.data.columns import OBJECT_SPLITS
from g3d.data.dataset import Dataset, Item
from g3d.data.opening import open_dataset
from g3d.device import pick_device
from g3d.drawing.target import batched
from g3d.errors import G3dError, closest
from g3d.item_choice import chosen_items
from g3d.latents import Latents
from g3d.methods import decoding, method
from g3d.methods.contract import Encode, Method, Tuned
from g3d.methods.encoding import BATCH, encoded
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files, manifest
from g3d.storage.kept import Kept, kept_or_read

_SPLITS = (*OBJECT_SPLITS, "all")


@dataclass(frozen=True)
class Options:
    """A model, a dataset, which of its objects (`split`: train, test, all), and how latents are found."""

    model: Path
    data: Path
    out: Path
    split: str = "train"
    settings: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    items: str | None = None  # of the split: numbers, ranges or names; default all
    num: int | None = None  # the first so many of the split
    tuned_model: Path | None = None  # also write a model that draws the items better by their latents


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it reads data."""
    head, found, _, settings = _checked(options)
    open_dataset(options.data)
    part = {name: value for name in ("items", "num") if (value := getattr(options, name)) is not None}
    return {
        "model": str(head.path), "method": found.name, "data": str(options.data), "split": options.split, **part,
        "settings": config.as_json(settings), "meaning": {name: doc for name, _, doc in config.describe(settings)},
        "out": str(options.out), "seed": options.seed, "device": str(pick_device(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT, kept: Kept | None = None) -> dict[str, Any]:
    """Find and write the latents; returns how well they fit, where that was measured: PSNR, of the mean squared error of each
    item and of all. The model is `kept`, if at all, from one call to the next."""
    head, found, encode, settings = _checked(options)
    dataset, device = open_dataset(options.data), pick_device(options.device)
    manifest.note_changed(progress, options.data)
    model = kept_or_read(kept, head, str(device), lambda: decoding.load(found, head, device))
    items = encode.items(model, dataset, options.split)
    if not items:
        raise G3dError(f"'{options.data}' has no objects in the split '{options.split}'; choose another --split")
    items = _part(options, items)
    encoder = encode.encoder(model, dataset, items, settings, options.seed)
    note = None if encode.note is None else encode.note(model, dataset, settings)
    if note is not None:
        progress.log(note)
    space, errors, measured = latents.space_of(head), torch.zeros(len(items)), False
    parts_found: dict[int, Latents] = {}
    figures: dict[str, Any] = {}
    with distributed.processes(device):
        progress.start("encode", len(items))
        parts = list(batched(range(len(items)), BATCH))
        for part, places in enumerate(parts):
            if distributed.mine(part):  # whole batches, so that several processes find what one does
                few, mse = encoded(encoder, items, places, space)
                parts_found[part] = few.to("cpu")
                if mse is not None:
                    errors[list(places)], measured = mse.cpu(), True
            progress.update(places[-1] + 1, len(items))
        whole = latents.gathered(space, parts_found, [len(places) for places in parts])
        distributed.sum_value(errors)
        (measured,) = distributed.agree(measured)
        if distributed.rank() == 0:
            seen = _inputs(encode, model, dataset, items, settings, options.seed)
            _write(options, head, dataset, items, whole, settings, seen)
            if options.tuned_model is not None:
                assert found.tune is not None
                moved = found.tune(model, dataset, items, whole, settings)
                figures["tuned_psnr_of_mean_mse_db"] = round(-10 * math.log10(max(moved.mse, 1e-12)), 3)
                _write_tuned(options, head, dataset, moved)
    tuned = [] if options.tuned_model is None else [str(options.tuned_model)]
    figures = {**(_fit(errors) if measured else {}), **figures}
    if figures and distributed.rank() == 0:
        progress.log("  ".join(f"{name} {value:.6g}" for name, value in figures.items()))
    return {"written": [str(options.out), *tuned], "latents": len(items), **figures}


def _fit(errors: torch.Tensor) -> dict[str, float]:
    """Figures of the mean squared errors [N]."""
    each = -10 * errors.clamp(min=1e-12).log10()
    mean = float(errors.double().mean())
    return {
        "mse": mean, "psnr_db": round(float(each.mean()), 3),
        "psnr_of_mean_mse_db": round(-10 * math.log10(max(mean, 1e-12)), 3),
    }  # fmt: skip


def _checked(options: Options) -> tuple[artifacts.Header, Method[Any, Any], Encode[Any], Any]:
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    found = method(str(head.config["method"]))
    if found.encode is None:
        raise G3dError(f"the method {found.name} finds no codes of data; its latents come from sample or from a prior")
    if options.split not in _SPLITS:
        raise G3dError(
            f"there is no split '{options.split}'{closest(options.split, _SPLITS)}; splits: {', '.join(_SPLITS)}"
        )
    if options.num is not None and (options.items is not None or options.num < 1):
        raise G3dError(
            f"--num is {options.num}; it must be at least 1"
            if options.num < 1
            else f"--num {options.num} and --items {options.items} both say which items; leave one of them out"
        )
    settings = config.override(found.encode.settings(), options.settings, found.name)
    files.refuse_existing(options.out, options.overwrite, (head.path, options.data))
    if options.tuned_model is not None:
        if found.tune is None:
            raise G3dError(f"the method {found.name} tunes no model to its items; leave --tuned-model out")
        files.refuse_existing(options.tuned_model, options.overwrite, (head.path, options.data))
        files.refuse_overlap([options.out, options.tuned_model])
    return head, found, found.encode, settings


def _part(options: Options, items: list[Item]) -> list[Item]:
    """Those of the split that are asked for."""
    if options.num is not None:
        return items[: options.num]
    if options.items is None:
        return items
    names = [item.name for item in items]
    return [items[i] for i in dict.fromkeys(chosen_items(options.items, names, options.data))]


def _write(
    options: Options, head: artifacts.Header, dataset: Dataset, items: list[Item], whole: Latents, settings: Any,
    seen: Mapping[str, Any],
) -> None:  # fmt: skip
    """The latents, with the split and, where they are known, the class of each and the camera that it is decoded at."""
    split = torch.tensor([_split(dataset, item) for item in items])
    classes = None
    if "class" in dataset.labels:
        views = [int(dataset.views(item.object)[0]) if item.view is None else item.view for item in items]
        classes = dataset.labels["class"][views].long()
    known = list(dataset.info.get("names", {}).get("class", []))
    named = {} if classes is None or known == [str(n) for n in range(len(known))] else {latents.CLASS_NAMES: known}
    about = {"method": head.config["method"], "encode": config.as_json(settings), **named, **seen}
    names = [item.name for item in items]
    whole = replace(whole, names=names, classes=classes, split=split, about=about)
    latents.write(options.out, whole, seed=options.seed, parents={"model": head.digest, "dataset": dataset.digest})


def _inputs(
    encode: Encode[Any], model: Any, dataset: Dataset, items: list[Item], settings: Any, seed: int
) -> dict[str, Any]:
    """Which views of the dataset each item's latents were found from, by its name, where a method chooses them."""
    if encode.inputs is None:
        return {}
    found = {item.name: [int(view) for view in encode.inputs(model, dataset, item, settings, seed)] for item in items}
    return {latents.INPUT_VIEWS: found}


def _split(dataset: Dataset, item: Item) -> int:
    """That of the object; a test view of a training object is of the test split, too."""
    of_object = OBJECT_SPLITS.index(dataset.info["objects"][item.object]["split"])
    return of_object if item.view is None else max(of_object, int(dataset.view_split[item.view]))


def _write_tuned(options: Options, head: artifacts.Header, dataset: Dataset, moved: Tuned) -> None:
    """The tuned model as a folder that `sample` and `decode` take."""
    assert options.tuned_model is not None
    parents = {"model": head.digest, "dataset": dataset.digest}
    with files.output_folder(options.tuned_model, options.overwrite, (head.path, options.data)) as folder:
        artifacts.write(
            folder / "model.safetensors", "model", moved.tensors, moved.about, seed=options.seed, parents=parents
        )
