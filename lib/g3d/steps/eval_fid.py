"""`eval-fid`: the Fréchet distance between the features of two sets of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import dataset, device, files, images
from g3d.errors import G3dError, did_you_mean, existing
from g3d.progress import SILENT, Progress
from g3d.seeds import generator

if TYPE_CHECKING:
    from g3d.metrics.features import Extractor

EXTRACTORS = ("inception", "random")
RESIZES = ("clean", "legacy_pytorch")
SPLITS = (*dataset.SPLITS, "all")


@dataclass(frozen=True)
class Options:
    """`real`, `fake`: a dataset, a folder of images or a zip. `split`: of datasets alone, all if None.

    `num`: at most so many images of each, drawn by `seed`. `resize` (clean if None), `weights` and `trust` belong to
    Inception alone. `out`: a JSON file."""

    real: Path
    fake: Path
    extractor: str = "inception"
    weights: Path | None = None
    trust: bool = False
    resize: str | None = None
    split: str | None = None
    num: int | None = None
    batch: int = 64
    seed: int = 0
    device: str = "auto"
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    inputs = (existing(options.real, "the real images"), existing(options.fake, "the fake images"))
    _check_words(options)
    if options.split is not None and not any(map(_is_dataset, inputs)):
        raise G3dError(
            f"--split {options.split} needs a dataset, and neither '{options.real}' nor '{options.fake}' is one "
            "(a folder with dataset.json); leave --split out, or give folders that hold the split alone"
        )
    if options.out is not None:
        if options.out.is_dir():
            raise G3dError(
                f"--out '{options.out}' is a folder; the figure goes into a file, e.g. {options.out / 'fid.json'}"
            )
        files.refuse_existing(options.out, options.overwrite, inputs)
    resolved: dict[str, Any] = {
        "real": str(options.real), "fake": str(options.fake), "extractor": options.extractor,
        "split": (options.split or "all") if any(map(_is_dataset, inputs)) else None, "num": options.num,
        "batch": options.batch, "seed": options.seed, "device": str(device.pick(options.device)),
        "out": None if options.out is None else str(options.out),
    }  # fmt: skip
    if options.extractor == "inception":
        from g3d.metrics.inception import cached_path

        weights = str(options.weights or cached_path())
        resolved |= {"resize": options.resize or "clean", "weights": weights, "trust": options.trust}
    return resolved


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The distance with all one must know to compare it; written to `out` if given.

    Raises `Missing` when the Inception weights cannot be had, `G3dError` for images that cannot be read or are too few.
    """
    resolved = resolve(options)
    from g3d.metrics.features import features
    from g3d.metrics.frechet import frechet_distance, moments

    sets = {role: _pictures(options, role) for role in ("real", "fake")}
    extractor = _extractor(options, progress)
    found = {}
    for role, (pictures, picked) in sets.items():
        stream = pictures.stream(picked)
        found[role] = moments(features(stream, len(picked), extractor, options.batch, progress, f"{role} images"))
    fewest = min(m.count for m in found.values())
    if fewest <= extractor.dimensions:
        progress.log(
            f"note: {fewest} images for {extractor.dimensions} dimensions; the figure is too high for so few, "
            "compare it only with figures of the same numbers of images"
        )
    result = {
        "metric": extractor.metric, "value": frechet_distance(found["real"], found["fake"]),
        "n_real": found["real"].count, "n_fake": found["fake"].count,
        "extractor": extractor.name, "extractor_sha256": extractor.sha256, "resize": extractor.resize,
        "dimensions": extractor.dimensions, "seed": options.seed,
        **{key: resolved[key] for key in ("real", "fake", "split", "num")},
    }  # fmt: skip
    if options.out is None:
        return result
    files.write_json(options.out, result)
    return {**result, "written": [str(options.out)]}


def _check_words(options: Options) -> None:
    for name, value, allowed in (
        ("--extractor", options.extractor, EXTRACTORS),
        ("--resize", options.resize, RESIZES),
        ("--split", options.split, SPLITS),
    ):
        if value is not None and value not in allowed:
            hint = did_you_mean(value, allowed)
            raise G3dError(f"{name} '{value}' is unknown{hint}; allowed are {', '.join(allowed)}")
    for name, number, least in (("--num", options.num, 2), ("--batch", options.batch, 1)):
        if number is not None and number < least:
            raise G3dError(f"{name} {number} is too small; give {least} or more")
    given = {"--weights": options.weights, "--resize": options.resize, "--trust": options.trust or None}
    foreign = [name for name, value in given.items() if value is not None]
    if options.extractor == "random" and foreign:
        raise G3dError(f"{foreign[0]} belongs to --extractor inception and means nothing to 'random'; leave it out")


def _extractor(options: Options, progress: Progress) -> "Extractor":
    place = device.pick(options.device)
    if options.extractor == "random":
        from g3d.metrics.features import random_extractor

        return random_extractor(place)
    from g3d.metrics.inception import inception_extractor

    return inception_extractor(options.weights, options.resize or "clean", options.trust, place, progress)


def _pictures(options: Options, role: str) -> tuple[images.ImageSet, list[int]]:
    """The pictures of one side and which of them take part, in order."""
    path: Path = getattr(options, role)
    found = images.image_set(path, f"the {role} images")
    picked = list(range(len(found)))
    if options.split in dataset.SPLITS and _is_dataset(path):
        wanted = dataset.SPLITS.index(options.split)
        views = (dataset.open_dataset(path).view_split == wanted).nonzero().squeeze(1).tolist()
        position = {name: i for i, name in enumerate(found.names)}
        picked = [position[f"{view:06d}.png"] for view in views]
    if options.num is not None and options.num < len(picked):
        import torch

        order = torch.randperm(len(picked), generator=generator(options.seed, 0, "eval-fid"))
        picked = sorted(picked[i] for i in order[: options.num].tolist())
    if len(picked) < 2:
        of = f" in the split '{options.split}'" if options.split else ""
        raise G3dError(
            f"the {role} images '{path}' hold {len(picked)} image(s){of}; a distance needs 2 or more of each"
        )
    return found, picked


def _is_dataset(path: Path) -> bool:
    return (path / "dataset.json").is_file()
