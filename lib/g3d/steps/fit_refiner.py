"""`fit-refiner`: fit a refiner to pairs of pictures of the same names, coarse and true."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import config, distributed
from g3d.device import pick_device
from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress
from g3d.refiners import PRESETS, Config, PairSource, fit
from g3d.storage import files, manifest
from g3d.training import folder as folders
from g3d.training import run as runs

if TYPE_CHECKING:
    from g3d.evaluation.pairs import Pairs


@dataclass(frozen=True)
class Options:
    """`coarse`, `true`: a dataset, a folder of images or a zip, of the same names. `split` (of views) and `objects` (a split, or
    several) are of datasets, `drawn_from` latents whose names say which of its objects the folders of `coarse` show.
    `settings` over those of `preset`."""

    coarse: Path
    true: Path
    out: Path
    split: str | None = None
    objects: str | None = None
    drawn_from: Path | None = None
    any_camera: bool = False
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


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; refuses what `run` would refuse before it reads pictures."""
    settings = _checked(options)
    return {
        "preset": options.preset, "settings": config.as_json(settings), "coarse": str(options.coarse), "true": str(options.true),
        "split": options.split, "objects": options.objects, "any_camera": options.any_camera, "out": str(options.out),
        "seed": options.seed, "device": str(pick_device(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Fit; writes `refiner.safetensors` and `metrics.json` into the run folder."""
    settings, device = _checked(options), pick_device(options.device)
    found = _pairs(options)
    manifest.note_changed(progress, options.coarse, options.true)
    identity = {
        "refiner": "diffusion", "settings": config.as_json(settings), "parents": _digests(options, found), "split": options.split,
        "objects": options.objects,
    }  # fmt: skip
    how = runs.Start(
        options.seed, device, options.resume, options.overwrite, options.allow_change, None, options.save_every_s,
        config.before(settings),
    )  # fmt: skip
    kept = runs.Checkpoints(options.checkpoint_every, options.keep)
    with distributed.processes(device), runs.start(options.out, identity, how, progress, kept) as current:
        fit(settings, source(found), current)
        seconds, writes = round(current.seconds(), 1), current.writes
    figures = {
        "seconds": seconds,
        "peak_memory_mb": round(runs.peak_memory_mb(), 1),
        "pairs": len(found.pairs),
        "naming": found.naming,
    }
    if writes:
        files.write_json(options.out / "metrics.json", figures)
        progress.log("  ".join(f"{name} {value}" for name, value in figures.items()))
    return {"written": [str(options.out / name) for name in ("refiner.safetensors", "metrics.json")], **figures}


def source(found: "Pairs") -> PairSource:
    """The pairs as the refiner reads them: coarse, then true."""
    from g3d.evaluation.pairs import same_size

    def read(index: int) -> Any:
        true, coarse = same_size(found.pairs[index])
        return coarse, true

    return PairSource([one.name for one in found.pairs], read)


def _checked(options: Options) -> Config:
    from g3d.evaluation.drawn_from import check_drawn_from
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_words, needs_dataset

    inputs = (existing(options.coarse, "the coarse images"), existing(options.true, "the true images"))
    check_words({"--split": (options.split, SPLITS)})
    for word in (options.objects or "all").split(","):
        check_words({"--objects": (word, OBJECTS)})
    needs_dataset({"--split": options.split, "--objects": options.objects}, inputs)
    drawn_from = check_drawn_from(options.drawn_from, options.true)
    start = config.preset(PRESETS, options.preset, "the refiner") if options.preset else Config()
    settings = config.override(start, options.settings, "the refiner")
    runs.check_times(options.checkpoint_every, options.keep, options.save_every_s)
    folders.check_folder(options.out, options.resume, options.overwrite, (*inputs, *drawn_from))
    if options.allow_change and not options.resume:
        raise G3dError("--allow-change belongs to --resume; give both, or neither")
    return settings


def _pairs(options: Options) -> "Pairs":
    from g3d.evaluation.drawn_from import item_names
    from g3d.evaluation.pairs import pair, side

    items = item_names(options.drawn_from)
    true = side(options.true, "the true images", options.split, options.objects, items)
    return pair(true, side(options.coarse, "the coarse images", options.split, options.objects), options.any_camera)


def _digests(options: Options, found: "Pairs") -> dict[str, str]:
    """What the pictures of both sides are, so that a run is resumed with those that it began with."""
    from g3d.evaluation.pictures import pictures

    result = {}
    for name in ("coarse", "true"):
        path: Path = getattr(options, name)
        there = pictures(path, f"the {name} images")
        result[name] = there.digest(range(len(there)))
    return result
