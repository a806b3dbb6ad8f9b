"""`fit-stage1`: fit the first stage of a method to a dataset, and measure its reconstruction, or what it generates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d import config, distributed, latents
from g3d.cameras import camera_conditioning
from g3d.data.dataset import Dataset, Item
from g3d.data.opening import open_dataset
from g3d.device import pick_device
from g3d.drawing.target import batched
from g3d.errors import G3dError
from g3d.evaluation.generation import DRAWN_BY, Generation, generation
from g3d.evaluation.reconstruction import HELD_OUT, NAMES, Fitted, Reconstruction, reconstruct
from g3d.images import write_image
from g3d.latents import Latents, LatentSpace
from g3d.methods import decoding, method, settings_of
from g3d.methods.contract import Encode, Method
from g3d.methods.encoding import BATCH, encoded
from g3d.progress import SILENT, Progress
from g3d.scenes.scene import Scene
from g3d.seeds import rng
from g3d.storage import artifacts, files, manifest
from g3d.training import folder as folders
from g3d.training import initial
from g3d.training import run as runs

METRIC_VIEWS = 512  # of each split, drawn by seed where there are more
_EVALUATION_VIEWS = 64  # while it trains
_GENERATED_VIEWS = 256  # of a method that draws its own latents
_BEST_BY = (
    (HELD_OUT, True), (NAMES["test"], True), (NAMES["train"], True), ("kernel_efficientnet", False), ("frechet_random", False),
    ("loss", False),
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What to fit: a method, the dataset, and settings over a preset."""

    method: str
    data: Path
    out: Path
    preset: str | None = None
    settings: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    allow_change: bool = False
    overwrite: bool = False
    checkpoint_every: int = 0
    keep: int = 0
    save_every_s: float = runs.SAVE_EVERY_S
    init: Path | None = None


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    settings = settings_of(options.method, options.preset, options.settings)
    method(options.method).check(settings, open_dataset(options.data))
    head = _check(options)
    initial.parents(options.out, options.resume, head)
    return {
        "method": options.method, "preset": options.preset, "settings": config.as_json(settings),
        "meaning": {name: doc for name, _, doc in config.describe(settings)}, "data": str(options.data),
        "out": str(options.out), "seed": options.seed, "device": str(pick_device(options.device)),
        "checkpoint_every": options.checkpoint_every, "keep": options.keep, "save_every_s": options.save_every_s,
        "init": None if head is None else str(head.path),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Fit; writes the run folder and returns figures, PSNR beside the mean image's among them."""
    chosen = method(options.method)
    settings = settings_of(options.method, options.preset, options.settings)
    dataset = open_dataset(options.data)
    chosen.check(settings, dataset)
    head = _check(options)
    manifest.note_changed(progress, options.data)
    device = pick_device(options.device)
    parents = {"dataset": dataset.digest, **initial.parents(options.out, options.resume, head)}
    identity = {"method": options.method, "settings": config.as_json(settings), "parents": parents}
    how = runs.Start(
        options.seed, device, options.resume, options.overwrite, options.allow_change, head, options.save_every_s,
        config.before(settings),
    )  # fmt: skip
    kept = runs.Checkpoints(options.checkpoint_every, options.keep, _BEST_BY)

    def evaluate(current: runs.Run, step: int) -> dict[str, Any]:
        found = _measured(chosen, options, dataset, device, _EVALUATION_VIEWS, SILENT)
        if found is None:
            return {}
        if found.rows:
            write_image(options.out / "grid.png", found.sheet())
            shown = "true and reconstructed" if isinstance(found, Reconstruction) else "real and generated"
            current.picture(shown, found.sheet(), step)
        return found.figures

    with distributed.processes(device), runs.start(options.out, identity, how, progress, kept, evaluate) as current:
        chosen.fit(settings, dataset, current)
        if current.writes:
            files.refuse_unwritten(options.out / "model.safetensors", f"the method {chosen.name}")
        seconds = current.seconds()
        figures: dict[str, Any] = {"seconds": round(seconds, 1), "peak_memory_mb": round(runs.peak_memory_mb(), 1)}
        if current.writes:
            found = _measured(chosen, options, dataset, device, METRIC_VIEWS, progress)
            if found is not None:
                mean_image = {"mean_image_psnr_db": dataset.info.get("mean_image_psnr_db")}
                figures |= {**found.figures, **(mean_image if isinstance(found, Reconstruction) else {})}
                if found.rows:
                    write_image(options.out / "grid.png", found.sheet())
                progress.log("  ".join(f"{k} {v}" for k, v in figures.items()))
            files.write_json(options.out / "metrics.json", figures)
    written = [str(options.out / name) for name in ("model.safetensors", "latents.safetensors", "metrics.json", "best")]
    return {"written": [path for path in written if Path(path).exists()], **figures}


def _check(options: Options) -> artifacts.Header | None:
    """Refuse what cannot be; the model of --init, if there is one."""
    runs.check_times(options.checkpoint_every, options.keep, options.save_every_s)
    inputs = (options.data, *((options.init,) if options.init else ()))
    folders.check_folder(options.out, options.resume, options.overwrite, inputs)
    if options.allow_change and not options.resume:
        raise G3dError("--allow-change belongs to --resume; give both, or neither")
    return initial.opened(options.init, options.method) if options.init else None


def _measured(
    chosen: Method[Any, Any], options: Options, dataset: Dataset, device: torch.device, most: int, progress: Progress
) -> Reconstruction | Generation | None:
    """What the run has published, against the data: samples of a method that draws its own latents; else the training items as
    its latents decode, or, where it has none, as the latents that it finds for some of them and for held-out ones; None where it
    can do none of these."""
    head = artifacts.check(options.out / "model.safetensors", "model")
    model = decoding.load(chosen, head, device)
    if chosen.draw is not None:
        return _generated(chosen, model, options, dataset, progress)
    if chosen.encode is None:
        return None

    def judged(fitted: Fitted) -> Reconstruction:
        def decode(few: Latents) -> Scene:
            return decoding.decode(chosen, model, few, chosen.decode_settings())

        return reconstruct(decode, fitted, dataset, options.seed, most, progress)

    if (options.out / "latents.safetensors").is_file():
        found = latents.read(latents.check(options.out / "latents.safetensors")).to(device)
        return judged(Fitted(chosen.encode.items(model, dataset, "train"), found))
    figures: dict[str, Any] = {}
    rows: list[Any] = []
    for split in ("train", "test"):
        items = chosen.encode.items(model, dataset, split)
        order = torch.randperm(len(items), generator=rng(options.seed, 0, "metric items"))[:most].sort().values
        items = [items[int(i)] for i in order]
        if items:
            few = _encoded(chosen.encode, model, dataset, items, latents.space_of(head), options.seed)
            one = judged(Fitted(items, few, held_out=split == "test"))
            figures, rows = {**figures, **one.figures}, [*rows, *one.rows]
    return Reconstruction(figures, rows)


def _encoded(
    encode: Encode[Any], model: Any, dataset: Dataset, items: list[Item], space: LatentSpace, seed: int
) -> Latents:
    """The latents of items, by the default settings of `encode`."""
    encoder = encode.encoder(model, dataset, items, encode.settings(), seed)
    parts = batched(range(len(items)), BATCH)
    return latents.join([encoded(encoder, items, places, space)[0] for places in parts])


def _generated(
    chosen: Method[Any, Any], model: Any, options: Options, dataset: Dataset, progress: Progress
) -> Generation:
    """Samples of a method that draws its own latents, against the views of the data."""
    assert chosen.draw is not None
    settings = chosen.draw.settings()

    def scenes(numbers: Sequence[int]) -> list[Scene]:
        seen = None
        if chosen.condition is not None:
            seen = camera_conditioning(model.world.camera_prior.sample(options.seed, numbers, DRAWN_BY))
        drawn = decoding.draw(chosen, model, numbers, options.seed, settings, seen)
        return decoding.scenes_of(chosen, model, drawn, chosen.decode_settings())

    return generation(scenes, dataset, options.seed, _GENERATED_VIEWS, progress)
