"""`encode`: items of a dataset => latents, by a model whose weights stay as they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from g3d import config, device, distributed
from g3d.data.columns import SPLITS
from g3d.data.dataset import Dataset, Item
from g3d.data.opening import open_dataset
from g3d.errors import G3dError, did_you_mean
from g3d.methods import method
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files

BATCH = 16  # items whose codes are found at once
_SPLITS = (*SPLITS, "all")


@dataclass(frozen=True)
class Options:
    """A model, a dataset, which of its objects (`split`: train, test, all), and how codes are found."""

    model: Path
    data: Path
    out: Path
    split: str = "train"
    settings: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False
    tuned_model: Path | None = None  # also write a model that draws the items better by their codes


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it reads data."""
    head, _, settings = _checked(options)
    open_dataset(options.data)
    return {
        "model": str(head.path), "method": head.config["method"], "data": str(options.data), "split": options.split,
        "settings": config.as_json(settings), "meaning": {name: doc for name, _, doc in config.describe(settings)},
        "out": str(options.out), "seed": options.seed, "device": str(device.pick(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Find and write the codes; returns how well they fit: PSNR, of the mean squared error of each item and of all."""
    head, module, settings = _checked(options)
    dataset, where = open_dataset(options.data), device.pick(options.device)
    model = module.load(artifacts.read(head.path, "model", role="the model"), where)
    items = module.items(model, dataset, options.split)
    if not items:
        raise G3dError(f"'{options.data}' has no objects in the split '{options.split}'; choose another --split")
    encode = module.encoder(model, dataset, items, settings, options.seed)
    if hasattr(module, "encode_note"):
        progress.log(module.encode_note(settings))
    shape = head.config["latent_space"]["shape"]
    codes, errors = torch.zeros(len(items), math.prod(shape)), torch.zeros(len(items))
    cameras = torch.zeros(len(items), 25) if hasattr(module, "conditioned") else None
    figures: dict[str, Any] = {}
    with distributed.processes(where):
        progress.start("encode", len(items))
        for part, start in enumerate(range(0, len(items), BATCH)):
            places = range(start, min(start + BATCH, len(items)))
            if distributed.mine(part):  # whole batches, so that several processes find what one does
                found, error, *seen = encode(places)
                codes[start : places.stop], errors[start : places.stop] = found.flatten(1).cpu(), error.cpu()
                if cameras is not None:
                    cameras[start : places.stop] = seen[0].cpu()
            progress.update(places.stop, len(items))
        for found_by_all in (codes, errors, *([] if cameras is None else [cameras])):
            distributed.sum_value(found_by_all)
        if distributed.rank() == 0:
            _write(options, head, dataset, items, codes.unflatten(1, shape), cameras, settings)
            if options.tuned_model is not None:
                assert cameras is not None
                tensors, about, after = module.tuned(
                    model, dataset, items, codes.unflatten(1, shape), cameras, settings
                )
                figures["tuned_psnr_of_mean_mse_db"] = round(-10 * math.log10(max(after, 1e-12)), 3)
                _write_tuned(options, head, dataset, tensors, about)
    each = -10 * errors.clamp(min=1e-12).log10()
    mean = float(errors.double().mean())
    tuned = [] if options.tuned_model is None else [str(options.tuned_model)]
    return {
        "written": [str(options.out), *tuned], "latents": len(items), "mse": mean, "psnr_db": round(float(each.mean()), 3),
        "psnr_of_mean_mse_db": round(-10 * math.log10(max(mean, 1e-12)), 3), **figures,
    }  # fmt: skip


def _checked(options: Options) -> tuple[artifacts.Header, ModuleType, Any]:
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    name = str(head.config["method"])
    module = method(name)
    if not hasattr(module, "encoder"):
        raise G3dError(f"the method {name} finds no codes of data; its latents come from sample or from a prior")
    if options.split not in _SPLITS:
        raise G3dError(
            f"there is no split '{options.split}'{did_you_mean(options.split, _SPLITS)}; splits: {', '.join(_SPLITS)}"
        )
    settings = config.override(module.EncodeSettings(), options.settings, name)
    files.refuse_existing(options.out, options.overwrite, (head.path, options.data))
    if options.tuned_model is not None:
        if not hasattr(module, "tuned"):
            raise G3dError(f"the method {name} tunes no model to its items; leave --tuned-model out")
        files.refuse_existing(options.tuned_model, options.overwrite, (head.path, options.data))
        files.refuse_overlap([options.out, options.tuned_model])
    return head, module, settings


def _write(
    options: Options, head: artifacts.Header, dataset: Dataset, items: list[Item], codes: Tensor, cameras: Tensor | None,
    settings: Any,
) -> None:  # fmt: skip
    """The latents, with the split and, where they are known, the class of each and the camera that it is decoded at."""
    split = torch.tensor([SPLITS.index(dataset.info["objects"][item.object]["split"]) for item in items])
    tensors = {"codes": codes, "split": split, **({} if cameras is None else {"condition_camera": cameras})}
    if "class" in dataset.labels:
        views = [int(dataset.views(item.object)[0]) if item.view is None else item.view for item in items]
        tensors["class"] = dataset.labels["class"][views].long()
    about = {
        **head.config["latent_space"],
        "names": [item.name for item in items], "method": head.config["method"], "encode": config.as_json(settings),
    }  # fmt: skip
    parents = {"model": head.digest, "dataset": dataset.digest}
    artifacts.write(options.out, "latents", tensors, about, seed=options.seed, parents=parents)


def _write_tuned(
    options: Options, head: artifacts.Header, dataset: Dataset, tensors: dict[str, Tensor], about: dict[str, Any]
) -> None:  # fmt: skip
    """The tuned model as a folder that `sample` and `decode` take."""
    assert options.tuned_model is not None
    parents = {"model": head.digest, "dataset": dataset.digest}
    with files.output_folder(options.tuned_model, options.overwrite, (head.path, options.data)) as folder:
        artifacts.write(folder / "model.safetensors", "model", tensors, about, seed=options.seed, parents=parents)
