"""`decode`: latents => scenes, or at once their pictures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from g3d import config, device, distributed
from g3d.drawing.camera_plan import CameraPlan
from g3d.drawing.painter import Drawing, Painter, maybe_painter
from g3d.errors import G3dError
from g3d.methods import method
from g3d.progress import SILENT, Progress
from g3d.scenes.scene import Scene, pick
from g3d.scenes.scene_file import save_scene
from g3d.seeds import parse_seeds
from g3d.storage import artifacts, files

BATCH = 16  # scenes decoded at once
Conditions = Callable[[Sequence[int]], Tensor]  # numbers of scenes => the cameras [n, 25] that they are baked at


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
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse."""
    head, source, chosen, target = _checked(options)
    name = str(head.config["method"])
    settings = config.override(method(name).DecodeSettings(), options.settings, name)
    return {
        "method": name, "model": str(head.path), "latents": str(source.path), "scenes": len(chosen),
        "settings": config.as_json(settings), "device": str(device.pick(options.device)), **target.as_json(),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Decode; the scenes are numbered as the latents are."""
    head, source, chosen, target = _checked(options)
    file = artifacts.read(head.path, "model", role="the model")
    latents = artifacts.read(source.path, "latents", role="the latents")
    codes, names = latents.values["codes"].float(), [str(n) for n in latents.config["names"]]
    batches = ((part, partial(codes.__getitem__, part), [names[i] for i in part]) for part in batched(chosen))
    parents = {"latents": latents.digest}
    return write_scenes(
        file, batches, len(chosen), options.settings, target, options.device, parents, progress,
        _recorded(file, latents.values.get("condition_camera")),
    )  # fmt: skip


def _recorded(file: artifacts.Artifact, cameras: Tensor | None) -> Conditions | None:
    """The conditions [N, 25] that latents record, for a method that takes any."""
    if cameras is None or not hasattr(method(str(file.config["method"])), "conditioned"):
        return None
    return cameras.float().__getitem__


def _checked(options: Options) -> tuple[artifacts.Header, artifacts.Header, list[int], "Target"]:
    """Model, latents, which of them, and where to: from headers alone."""
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    source = artifacts.check(files.inside(options.latents, "latents.safetensors"), "latents", role="the latents")
    same_space(head, source, "the latents")
    if "codes" not in source.tensors:
        raise G3dError(f"'{source.path}' holds no codes that the method {head.config['method']} can decode")
    chosen = _chosen(options.items, source.tensors["codes"][1][0], source.path)
    target = Target(options.out, options.images, options.drawing, options.overwrite, (head.path, source.path))
    target.check()
    return head, source, chosen, target


@dataclass(frozen=True)
class Target:
    """Where scenes go: a folder of files, a folder of pictures, or both."""

    scenes: Path | None
    images: Path | None
    drawing: Drawing
    overwrite: bool
    inputs: tuple[Path, ...]
    seed: int | None = None  # of the codes, where they were drawn

    def check(self) -> None:
        """Refuse, before anything is made, what could not be written, and cameras that mean nothing."""
        if self.scenes is None and self.images is None:
            raise G3dError("there is nothing to write; give --out SCENES, --render IMAGES, or both")
        outputs = [p for p in (self.scenes, self.images, self.drawing.sheet, self.drawing.video) if p is not None]
        for out in outputs:
            files.refuse_existing(out, self.overwrite, self.inputs)
        files.refuse_overlap(outputs)
        if self.images is not None:
            CameraPlan(self.drawing.cameras, self.drawing.seed, self.drawing.size)

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        shown = {"out": self.scenes, "render": self.images}
        return {name: None if path is None else str(path) for name, path in shown.items()}


def write_scenes(
    file: artifacts.Artifact,
    batches: Iterable[tuple[Sequence[int], Callable[[], Tensor], Sequence[str | None]]],
    count: int,
    settings: Sequence[str],
    target: Target,
    device_text: str,
    parents: Mapping[str, str],
    progress: Progress,
    conditions: Conditions | None = None,
) -> dict[str, Any]:
    """Decode batches of (numbers, what makes their codes, item names) and write each scene; several processes share the
    batches out. Nothing but a batch is ever in memory. `conditions` gives the cameras that scenes are baked at."""
    name = str(file.config["method"])
    module = method(name)
    decode_settings = config.override(module.DecodeSettings(), settings, name)
    where = device.pick(device_text)
    model = module.load(file, where)
    whose = {"model": file.digest, **parents}
    done = 0
    with (
        distributed.processes(where),
        _maybe_folder(target) as folder,
        maybe_painter(target.images, target.drawing, count, target.overwrite, target.inputs) as paint,
    ):
        progress.start("scenes", count)
        for part, (numbers, draw, items) in enumerate(batches):
            if distributed.mine(part):  # whole batches, so that several processes decode what one does
                seen = None if conditions is None else conditions(numbers)
                baked = model if seen is None else module.conditioned(model, seen)
                scenes = module.decode(baked, draw().to(where), decode_settings)
                for place, (number, item) in enumerate(zip(numbers, items, strict=True)):
                    scene = pick(scenes, place) if seen is None else _baked(pick(scenes, place), seen[place])
                    _emit(done + place, f"{number:06d}", scene, item, folder, paint, whose, target.seed)
            done += len(numbers)
            progress.update(done, count)
    written = ([str(target.scenes)] if target.scenes else []) + (paint.written if paint else [])
    return {"written": written, "scenes": count, **({"views": paint.views_drawn} if paint else {})}


def _baked(scene: Scene, condition: Tensor) -> Scene:
    """The scene with a record of the camera [25] that it was baked at."""
    return replace(scene, world=replace(scene.world, condition_camera=tuple(condition.tolist())))


def _emit(
    place: int,
    name: str,
    scene: Scene,
    item: str | None,
    folder: Path | None,
    paint: Painter | None,
    parents: Mapping[str, str],
    seed: int | None,
) -> None:
    if folder is not None:
        save_scene(folder / f"{name}.safetensors", scene, item=item, seed=seed, parents=parents)
    if paint is not None:
        paint.add(place, name, scene, item)


@contextmanager
def _maybe_folder(target: Target) -> Iterator[Path | None]:
    if target.scenes is None:
        yield None
        return
    with distributed.shared_folder(target.scenes, target.overwrite, target.inputs) as folder:
        yield folder


def batched(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Consecutive parts of `BATCH`."""
    for i in range(0, len(numbers), BATCH):
        yield numbers[i : i + BATCH]


def same_space(model: artifacts.Header, other: artifacts.Header, what: str) -> None:
    """Refuse latents or priors that belong to another space than the model's."""
    want = model.config["latent_space"]
    if other.kind == "latents":
        found = {
            "space": other.config["space"],
            "shape": list(other.tensors["codes"][1][1:]) if "codes" in other.tensors else None,
        }
    else:
        found = other.config["latent_space"]
    if found != want:
        raise G3dError(
            f"{what} '{other.path}' live in {found['space']} {found['shape']}, the model '{model.path}' in "
            f"{want['space']} {want['shape']}; use {what} of this model"
        )


def _chosen(items: str | None, count: int, path: Path) -> list[int]:
    if items is None:
        return list(range(count))
    try:
        chosen = parse_seeds(items)
    except ValueError as error:
        raise G3dError(str(error).replace("seeds", "items")) from error
    if max(chosen) >= count:
        raise G3dError(f"item {max(chosen)} is not in '{path}', which holds {count}; choose from 0-{count - 1}")
    return chosen
