"""`eval-fid`: two sets of images compared by their features: FID, KID, IS, precision, recall, density, coverage, diversity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import images
from g3d.data import columns
from g3d.data.opening import open_dataset
from g3d.device import pick_device
from g3d.errors import G3dError, closest, existing
from g3d.evaluation import extractors
from g3d.progress import SILENT, Progress
from g3d.seeds import rng
from g3d.storage import files, leaving_out, manifest

if TYPE_CHECKING:
    from g3d.evaluation.features import F32, Extractor
    from g3d.evaluation.pictures import Pictures

SPLITS = (*columns.SPLITS, "all")
OBJECTS = (*columns.OBJECT_SPLITS, "all")
PROTOCOLS: Mapping[str, int] = {"fid50k": 50_000, "fid1k": 1_000}
"""Name => how many fakes. The reals are all that there are, unmirrored, as in FID-50k-full of StyleGAN2-ADA, EG3D and GSGAN."""
NO_CACHE = "none"
NEIGHBOURS = {"precision", "recall", "f1", "density", "coverage"}  # figures that need them


@dataclass(frozen=True)
class Options:
    """`real`, `fake`: a dataset, a folder of images or a zip. `split` (of views), `objects` (of a split): of datasets alone,
    all if None.

    `num`: at most so many images of each, drawn by `seed`; `protocol` sets the number of fakes instead. `metrics`: words with
    commas, all if None. `extractor`: a word or a file; `weights`, `trust`, `resize`, `extractor_range`, `extractor_size` belong
    to some extractors. `cache`: a folder, "none", or the usual place if None. `out`: a JSON file, `plot`: a PNG."""

    real: Path
    fake: Path
    extractor: str = "auto"
    weights: Path | None = None
    trust: bool = False
    resize: str | None = None
    extractor_range: str | None = None
    extractor_size: int | None = None
    metrics: str | None = None
    protocol: str | None = None
    split: str | None = None
    objects: str | None = None
    num: int | None = None
    batch: int = 64
    seed: int = 0
    device: str = "auto"
    cache: str | None = None
    plot: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    inputs = (existing(options.real, "the real images"), existing(options.fake, "the fake images"))
    choice = _choice(options)
    choice.check()
    _check_words(options)
    for option, value in (("--split", options.split), ("--objects", options.objects)):
        if value is not None and not any(map(_is_dataset, inputs)):
            raise G3dError(
                f"{option} {value} needs a dataset, and neither '{options.real}' nor '{options.fake}' is one "
                f"(a folder with dataset.json); leave {option} out, or give folders that hold the split alone"
            )
    _check_outputs(options, (*inputs, *choice.files()))
    cache = _cache(options)
    return {
        "real": str(options.real), "fake": str(options.fake), **choice.as_json(), "metrics": list(_wanted(options)),
        "protocol": options.protocol, "split": (options.split or "all") if any(map(_is_dataset, inputs)) else None,
        "objects": (options.objects or "all") if any(map(_is_dataset, inputs)) else None,
        "num": options.num, "batch": options.batch, "seed": options.seed, "device": str(pick_device(options.device)),
        "cache": None if cache is None else str(cache), **{k: None if v is None else str(v) for k, v in
                                                          (("out", options.out), ("plot", options.plot))},
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """All figures with all one must know to compare them; written to `out` if given.

    Raises `Missing` when the weights cannot be had, `G3dError` for images that cannot be read or are too few."""
    resolved = resolve(options)
    from g3d import distributed
    from g3d.evaluation.pictures import READING
    from g3d.evaluation.pose_match import shared_poses
    from g3d.evaluation.set_figures import figures, headline, name_of

    place = pick_device(options.device)
    sets = {role: _pictures(options, role) for role in ("real", "fake")}
    counts = {role: len(picked) for role, (_, picked) in sets.items()}
    with distributed.processes(place):
        progress = SILENT if distributed.rank() else progress
        manifest.note_changed(progress, options.real, options.fake)
        left_out = {role: dict(one.found.left_out) for role, (one, _) in sets.items() if one.found.left_out}
        for role, (one, _) in sets.items():
            if one.found.left_out:
                progress.log(f"{role} images: {leaving_out.note(one.found.left_out)}")
        extractor = _choice(options).load(place, progress)
        wanted, absent = _givable(options, extractor, counts)
        real, fake = (_features(options, role, *sets[role], extractor, progress) for role in ("real", "fake"))
        _note_few(counts, extractor, wanted, progress)
        found, near = figures(real, fake, extractor, wanted, options.seed, place, progress)
        first = distributed.rank() == 0
    leading = name_of(headline(wanted, extractor, min(counts.values())), extractor)
    result = {
        "metric": leading, "value": found[leading], **found, "absent": absent,
        **({"left_out": left_out} if left_out else {}),
        "n_real": counts["real"], "n_fake": counts["fake"], "extractor": extractor.name,
        "extractor_sha256": extractor.sha256, "resize": extractor.resize, "reading": READING,
        "dimensions": extractor.dimensions, "seed": options.seed,
        "fake_poses_in_real": shared_poses(options.real, options.fake, options.split or "all"),
        **{key: resolved[key] for key in ("real", "fake", "split", "objects", "num", "protocol")},
    }  # fmt: skip
    written = [str(p) for p in (options.out, options.plot) if p is not None]
    if not first or not written:
        return result
    if options.out is not None:
        files.write_json(options.out, result)
    if options.plot is not None:
        from g3d.evaluation.neighbour_plot import write_plot

        assert near is not None
        write_plot(options.plot, near, f"{extractor.name}: {options.real} (real), {options.fake} (fake)")
    return {**result, "written": written}


def _choice(options: Options) -> extractors.Choice:
    return extractors.Choice(
        options.extractor, options.weights, options.resize, options.trust, options.extractor_range, options.extractor_size
    )  # fmt: skip


def _check_words(options: Options) -> None:
    for name, value, allowed in (
        ("--protocol", options.protocol, tuple(PROTOCOLS)),
        ("--split", options.split, SPLITS),
        ("--objects", options.objects, OBJECTS),
    ):
        if value is not None and value not in allowed:
            hint = closest(value, allowed)
            raise G3dError(f"{name} '{value}' is unknown{hint}; allowed are {', '.join(allowed)}")
    for name, number, least in (("--num", options.num, 2), ("--batch", options.batch, 1)):
        if number is not None and number < least:
            raise G3dError(f"{name} {number} is too small; give {least} or more")
    if options.protocol is not None and options.num is not None:
        raise G3dError(
            f"--protocol {options.protocol} sets the numbers of images, and so does --num {options.num}; leave one of them out"
        )
    _wanted(options)


def _check_outputs(options: Options, inputs: tuple[Path, ...]) -> None:
    if options.out is not None:
        if options.out.is_dir():
            raise G3dError(
                f"--out '{options.out}' is a folder; the figures go into a file, e.g. {options.out / 'fid.json'}"
            )
        files.refuse_existing(options.out, options.overwrite, inputs)
    if options.plot is not None:
        from g3d.evaluation.neighbour_plot import check_plot

        images.check_png(options.plot, "the plot")
        files.refuse_existing(options.plot, options.overwrite, inputs)
        check_plot()
        if not NEIGHBOURS & set(_wanted(options)):
            raise G3dError(
                "--plot shows the nearest neighbours, which --metrics leaves out; add precision to --metrics"
            )
    if options.out is not None and options.plot is not None:
        files.refuse_overlap([options.out, options.plot])


def _wanted(options: Options) -> tuple[str, ...]:
    """The words of --metrics, in the order of the table; all of them if it is left out."""
    from g3d.evaluation.set_figures import METRICS

    if options.metrics is None:
        return METRICS
    words = [word.strip() for word in options.metrics.split(",")]
    for word in words:
        if word not in METRICS:
            raise G3dError(f"--metrics '{word}' is unknown{closest(word, METRICS)}; allowed are {','.join(METRICS)}")
    return tuple(word for word in METRICS if word in words)


def _givable(
    options: Options, extractor: "Extractor", counts: Mapping[str, int]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The figures that can be given, and why the others cannot; one that was asked for by name is an error."""
    from g3d.evaluation.set_figures import why_not

    wanted = _wanted(options)
    absent = {name: why for name in wanted if (why := why_not(name, extractor, counts["real"], counts["fake"]))}
    if options.metrics is not None and absent:
        name, why = next(iter(absent.items()))
        raise G3dError(f"--metrics {name} cannot be given: {why}; leave it out, or change that")
    if options.plot is not None and not NEIGHBOURS & (set(wanted) - absent.keys()):
        raise G3dError(
            "--plot shows the nearest neighbours of more than 3 images of a side; give more, or leave --plot out"
        )
    return tuple(name for name in wanted if name not in absent), absent


def _note_few(counts: Mapping[str, int], extractor: "Extractor", wanted: Sequence[str], progress: Progress) -> None:
    fewest = min(counts.values())
    if "fid" in wanted and "kid" in wanted and fewest < extractor.kernel_below:
        progress.log(
            f"note: {fewest} images for {extractor.dimensions} dimensions; below {extractor.kernel_below} the Fréchet distance "
            "is too high and rank-deficient, so the kernel distance, which does not grow as they become fewer, leads"
        )
    elif "fid" in wanted and fewest <= extractor.dimensions:
        progress.log(
            f"note: {fewest} images for {extractor.dimensions} dimensions; the figure is too high for so few, "
            "compare it only with figures of the same numbers of images"
        )


def _features(
    options: Options, role: str, found: "Pictures", picked: list[int], extractor: "Extractor", progress: Progress
) -> "F32":
    """Features of one side, from the cache where they are there."""
    from g3d.evaluation import feature_cache
    from g3d.evaluation.features import features

    folder = _cache(options)
    place = feature_cache.entry(folder, extractor, found.digest(picked), len(picked)) if folder is not None else None
    values = feature_cache.load(place, progress) if place is not None else None
    if values is not None:
        progress.log(f"{role} images: {len(values)} features from the cache")
        return values
    values = features(found.read, picked, extractor, options.batch, progress, f"{role} images")
    if place is not None:
        feature_cache.save(place, values, progress)
    if found.odd:
        name = found.found.names[min(found.odd)]
        progress.log(
            f"note: {len(found.odd)} of the {role} images (such as '{name}') have alpha, more than 8 bits or an EXIF turn, "
            "which are left out when figures are to be those of clean-fid; prepare-data images takes them into account"
        )
    return values


def _cache(options: Options) -> Path | None:
    from g3d.evaluation.feature_cache import default_folder

    if options.cache == NO_CACHE:
        return None
    return default_folder() if options.cache is None else Path(options.cache)


def _pictures(options: Options, role: str) -> "tuple[Pictures, list[int]]":
    """The pictures of one side and which of them take part, in order."""
    from g3d.evaluation.pictures import pictures

    path: Path = getattr(options, role)
    found = pictures(path, f"the {role} images")
    picked = list(range(len(found)))
    if _is_dataset(path) and {options.split, options.objects} & set(columns.OBJECT_SPLITS):
        views = open_dataset(path).views_of(options.split, options.objects).tolist()
        position = {name: i for i, name in enumerate(found.found.names)}
        picked = [position[f"{view:06d}.png"] for view in views]
    picked = _drawn(picked, _most(options, role, len(picked)), options.seed)
    if len(picked) < 2:
        words = [("split", options.split), ("objects of the split", options.objects)]
        of = "".join(f" in the {word} '{value}'" for word, value in words if value)
        raise G3dError(
            f"the {role} images '{path}' hold {len(picked)} image(s){of}; a distance needs 2 or more of each"
        )
    return found, picked


def _most(options: Options, role: str, there: int) -> int | None:
    """How many images of a side take part; None for all."""
    if options.protocol is None or role == "real":
        return options.num
    wanted = PROTOCOLS[options.protocol]
    if there < wanted:
        raise G3dError(
            f"--protocol {options.protocol} needs {wanted} fake images, and '{options.fake}' holds {there}; draw them with "
            f"g3d sample MODEL --prior PRIOR --num {wanted} --render FOLDER --cameras dataset:{options.real}, or compare fewer "
            "with --num"
        )
    return wanted


def _drawn(picked: list[int], most: int | None, seed: int) -> list[int]:
    """At most `most`, drawn by seed, in order."""
    if most is None or most >= len(picked):
        return picked
    import torch

    order = torch.randperm(len(picked), generator=rng(seed, 0, "eval-fid"))
    return sorted(picked[i] for i in order[:most].tolist())


def _is_dataset(path: Path) -> bool:
    return (path / "dataset.json").is_file()
