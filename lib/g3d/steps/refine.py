"""`refine`: pictures => better ones under the same names, with the cameras, masks and whatever else lies beside them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from g3d import cameras, config, distributed, images
from g3d.device import pick_device
from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress
from g3d.refiners import Config, SampleSettings, load, refine, refuse_larger
from g3d.storage import artifacts, files, manifest, named

if TYPE_CHECKING:
    from g3d.evaluation.pairs import Item
    from g3d.refiners import Loaded


@dataclass(frozen=True)
class Options:
    """`images`: a folder of images, a zip or a dataset (its views of `split`, of its `objects`); `refiner`: a file or a run."""

    images: Path
    refiner: Path
    out: Path
    split: str | None = None
    objects: str | None = None
    settings: Sequence[str] = ()
    batch: int = 8
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it reads pictures."""
    head, settings = _checked(options)
    steps = head.config["settings"].get("ddim_steps") if settings.ddim_steps is None else settings.ddim_steps
    return {
        "images": str(options.images), "refiner": str(head.path), "settings": {**config.as_json(settings), "ddim_steps": steps},
        "split": options.split, "objects": options.objects, "batch": options.batch, "out": str(options.out),
        "seed": options.seed, "device": str(pick_device(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Refine every picture; the folder appears under its name when it is whole."""
    head, settings = _checked(options)
    device = pick_device(options.device)
    loaded = load(artifacts.read(head.path, "refiner", role="the refiner"), device)
    items = _inputs(options)
    names = sorted(items)
    for name in names:  # all of them before the first is refined
        size_px = items[name].size_px
        if size_px is not None:
            refuse_larger(loaded, name, *size_px())
    manifest.note_changed(progress, options.images)
    inputs = (options.images, head.path)
    with distributed.processes(device), distributed.shared_folder(options.out, options.overwrite, inputs) as folder:
        if distributed.rank() == 0:
            _beside(options, folder, names)
        groups = [names[i : i + options.batch] for i in range(0, len(names), options.batch)]
        progress.start("pictures", len(names))
        done = 0
        for number, group in enumerate(groups):
            done += len(group)
            if distributed.mine(number):
                _group(loaded, {name: items[name].picture() for name in group}, folder, options.seed, settings)
            progress.update(done, len(names))
    return {"written": [str(options.out)], "pictures": len(names)}


def _group(loaded: "Loaded", found: Mapping[str, images.U8], folder: Path, seed: int, settings: SampleSettings) -> None:
    """Refine and write some pictures; those of one size together."""
    for size in dict.fromkeys(picture.shape for picture in found.values()):
        same = [name for name, picture in found.items() if picture.shape == size]
        refined = refine(loaded, np.stack([found[name] for name in same]), same, seed, settings)
        for name, picture in zip(same, refined, strict=True):
            images.write_image(folder / f"{name}.png", picture)


def _checked(options: Options) -> tuple[artifacts.Header, SampleSettings]:
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_words, needs_dataset

    existing(options.images, "the images to refine")
    check_words({"--split": (options.split, SPLITS)})
    for word in (options.objects or "all").split(","):
        check_words({"--objects": (word, OBJECTS)})
    needs_dataset({"--split": options.split, "--objects": options.objects}, (options.images,))
    if options.batch < 1:
        raise G3dError(f"--batch {options.batch} is too small; give 1 or more")
    head = artifacts.check(files.inside(options.refiner, "refiner.safetensors"), "refiner", role="the refiner")
    settings = config.override(SampleSettings(), options.settings, "refine")
    most = config.from_json(Config, head.config["settings"], f"the refiner '{head.path}'").time_steps
    if settings.ddim_steps is not None and settings.ddim_steps > most:
        raise G3dError(f"ddim_steps is {settings.ddim_steps}, but the refiner has {most} steps; give at most that")
    files.refuse_existing(options.out, options.overwrite, (options.images, head.path))
    return head, settings


def _inputs(options: Options) -> "Mapping[str, Item]":
    """The pictures by their names, without suffix."""
    from g3d.evaluation.pairs import side

    return next(iter(side(options.images, "the images to refine", options.split, options.objects).schemes.values()))


def _beside(options: Options, folder: Path, names: Sequence[str]) -> None:
    """Everything that lies beside the pictures, as it is; of a dataset the masks and cameras of its views."""
    from g3d.data.opening import open_dataset

    if (options.images / "dataset.json").is_file():
        data, views = open_dataset(options.images), [int(name) for name in names]
        for view in views:
            mask = data.raw("masks", view)
            if mask is not None:
                _write(folder / "masks" / f"{view:06d}.png", mask)
        if data.cameras is not None:
            cameras.write_transforms(
                folder / "transforms.json", data.cameras[views], [f"{view:06d}.png" for view in views]
            )
        return
    if not options.images.is_dir():
        return
    pictures = set(images.image_set(options.images).names)
    for path in sorted(p for p in options.images.rglob("*") if p.is_file()):
        name = path.relative_to(options.images).as_posix()
        if name in pictures:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "transforms.json":
            _write(target, _as_png(path))
        else:
            shutil.copyfile(path, target)


def _as_png(path: Path) -> bytes:
    """The cameras of a folder whose pictures are PNG now, whatever they were."""
    data = named.read(path, "the image")
    about = files.read_json(path, "the cameras")
    frames = about.get("frames", []) if isinstance(about, dict) else []
    changed = False
    for frame in frames if isinstance(frames, list) else []:
        name = PurePosixPath(str(frame.get("file_path", ""))) if isinstance(frame, dict) else PurePosixPath("")
        if name.suffix.lower() in images.SUFFIXES and name.suffix != ".png":
            frame["file_path"], changed = str(name.with_suffix(".png")), True
    return (json.dumps(about, indent=1) + "\n").encode() if changed else data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
