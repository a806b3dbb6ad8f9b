"""`eval-recon`: how close pictures are to the true ones of the same name, and their depth to the true depth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.device import pick_device
from g3d.errors import G3dError, Missing, existing
from g3d.progress import SILENT, Progress, track
from g3d.storage import manifest

if TYPE_CHECKING:
    import torch

    from g3d.evaluation.counted import Counted
    from g3d.evaluation.pairs import Pair, Pairs
    from g3d.evaluation.perceptual import Perceptual
    from g3d.metrics.paired import Distance, How

BORDERS = ("valid", "reflect", "zero")
_ERODE_MOST = 8192  # pixels, the longest side of a picture that is drawn


@dataclass(frozen=True)
class Options:
    """`true`, `test`: a dataset, a folder of images or a zip. `split` (of views) and `objects` (a split, too) are of datasets.
    `drawn_from`: latents whose names say which objects the folders of `test` show; `inputs`: only the views that these were found
    from.

    What counts: everything, or the object in the true masks (`masks`), or in those of a folder (`mask`), and of that the
    rectangle `region`, to which pictures are cut first (`face`, `mouth`: that box of each true view);
    `erode`: pixels taken from the masks' rim. `by`: also over groups of
    that label. `against`: other images of the same pictures, to be compared with pair by pair.
    `ms_ssim_scales`: five where pictures are large enough if None.
    `any_camera`: pairs may be seen by cameras that differ. `lpips`: a file of weights. `out`: a JSON file; `per_item`: a file
    of a JSON line a pair."""

    true: Path
    test: Path
    split: str | None = None
    objects: str | None = None
    drawn_from: Path | None = None
    inputs: bool = False
    masks: bool = False
    mask: Path | None = None
    region: str | None = None
    erode: int = 0
    by: str | None = None
    against: Path | None = None
    ssim_borders: str = "valid"
    ms_ssim_scales: int | None = None
    lpips: Path | None = None
    trust: bool = False
    any_camera: bool = False
    per_item: Path | None = None
    device: str = "auto"
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    from g3d.evaluation.counted import check_region
    from g3d.evaluation.drawn_from import check_drawn_from
    from g3d.evaluation.groups import KINDS
    from g3d.evaluation.input_views import check_inputs
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_outputs, check_words, needs_dataset

    inputs = (existing(options.true, "the true images"), existing(options.test, "the images to judge"))
    check_words({"--split": (options.split, SPLITS), "--objects": (options.objects, OBJECTS),
                 "--by": (options.by, KINDS), "--ssim-borders": (options.ssim_borders, BORDERS)})  # fmt: skip
    needs_dataset({"--split": options.split, "--objects": options.objects}, inputs)
    drawn_from = check_drawn_from(options.drawn_from, options.true)
    check_inputs(options.inputs, options.drawn_from)
    if options.masks and options.mask is not None:
        raise G3dError(f"--masks takes the true masks and --mask those of '{options.mask}'; give one of the two")
    if options.erode > _ERODE_MOST:
        raise G3dError(f"--erode is {options.erode}; it must be at most {_ERODE_MOST}")
    if options.erode < 0 or (options.erode and not options.masks and options.mask is None):
        raise G3dError(
            f"--erode {options.erode} takes pixels from the rim of masks; give 0 or more, with --masks or --mask"
        )
    if options.trust and options.lpips is None:
        raise G3dError("--trust lets a file of --lpips run, but there is none; leave it out")
    extra = [
        existing(path, what)
        for path, what in (
            (options.mask, "the masks"),
            (options.lpips, "the LPIPS weights"),
            (options.against, "the images to compare with"),
        )
        if path
    ]
    check_outputs(
        {"--out": options.out, "--per-item": options.per_item}, options.overwrite, (*inputs, *extra, *drawn_from)
    )
    check_region(options.region)
    if options.ms_ssim_scales is not None:
        from g3d.losses.paired import SCALE_EXPONENTS

        if not 1 <= options.ms_ssim_scales <= len(SCALE_EXPONENTS):
            raise G3dError(
                f"--ms-ssim-scales {options.ms_ssim_scales} does not exist; give 1 to {len(SCALE_EXPONENTS)}"
            )
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return {**shown, "device": str(pick_device(options.device))}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Mean and standard deviation of each figure, with all one must know to compare them; written to `out` if given."""
    resolve(options)
    from g3d.evaluation.counted import counted
    from g3d.evaluation.drawn_from import item_names
    from g3d.evaluation.groups import names_of, over_groups
    from g3d.evaluation.input_views import only_inputs, recorded
    from g3d.evaluation.outcome import write_results
    from g3d.evaluation.pairs import pair, side
    from g3d.metrics.paired import How, summary

    manifest.note_changed(progress, options.true, options.test)
    true = side(options.true, "the true images", options.split, options.objects, item_names(options.drawn_from))
    test = side(options.test, "the images to judge", options.split, options.objects)
    found = pair(true, test, options.any_camera)
    other = None
    if options.against is not None:
        of_other = side(options.against, "the images to compare with", options.split, options.objects)
        other = pair(true, of_other, options.any_camera)
    if options.inputs and options.drawn_from is not None:
        known = recorded(options.drawn_from)
        found, other = only_inputs(found, known), None if other is None else only_inputs(other, known)
    counts = counted(found, options.masks, options.mask, options.region, options.erode)
    groups = None if options.by is None else names_of(found, options.by)
    perceptual, device = _perceptual(options), pick_device(options.device)
    installed, lacking = _installed(device)
    lpips = None if perceptual is None else perceptual.distance
    how = How(options.ssim_borders, options.ms_ssim_scales, lpips, installed, device)
    has_depth = all(one.true.depth_world and one.test.depth_world for one in found.pairs)
    for note in (*true.notes, *test.notes):
        progress.log(f"note: {note}")
    judged = _judged(found, counts, how, progress)
    rows = judged.rows
    depths = [_depth(one, counts) if has_depth else {} for one in found.pairs]
    grouped = (
        {}
        if groups is None
        else over_groups([a | b for a, b in zip(rows, depths, strict=True)], groups, options.by or "")
    )
    result = {
        "metric": "reconstruction", "n": len(rows), **summary(rows),
        "gradient_energy": judged.gradient_energy(), **_depth_summary(depths, found), **grouped,
        **_against(options, rows, other, how, groups, progress), **_floor(found, counts, how),
        **_how(options, perceptual, lacking, rows), "mask": counts.mask_word, "region": options.region,
        "naming": found.naming, "true": str(options.true), "test": str(options.test), "split": options.split,
        "objects": options.objects, **({"inputs": True} if options.inputs else {}), "sizes": sorted(judged.sizes),
    }  # fmt: skip
    lines = [{"name": one.name, **row, **depth} for one, row, depth in zip(found.pairs, rows, depths, strict=True)]
    return write_results(result, lines, options.out, options.per_item)


def _against(
    options: Options, rows: Sequence[Mapping[str, float]], other: "Pairs | None", how: "How", groups: list[str] | None,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """How the figures differ from those of another set of the same pictures, pair by pair."""
    if other is None:
        return {}
    from g3d.evaluation.counted import counted
    from g3d.evaluation.groups import differences

    counts = counted(other, options.masks, options.mask, options.region, options.erode)
    others = _judged(other, counts, how, progress)
    return {
        "against": str(options.against),
        "against_gradient_energy": others.gradient_energy(),
        "differences": differences(rows, others.rows, groups, options.by or "pair"),
    }


@dataclass
class _Judged:
    """The figures of every pair, and what is known of all pictures together."""

    rows: list[dict[str, float]]
    sizes: set[str]  # of the pictures, before they are cut
    energy: dict[str, float]  # of the gradients of all pictures, true and test

    def gradient_energy(self) -> float | None:
        """That of the pictures to judge, of that of the true ones: 1 as sharp, less blurred, more noisy."""
        return self.energy["test"] / self.energy["true"] if self.energy["true"] else None


def _judged(found: "Pairs", counts: "Counted", how: "How", progress: Progress) -> _Judged:
    from g3d.evaluation.pairs import same_size
    from g3d.metrics.paired import compare
    from g3d.metrics.sharpness import gradient_energy

    judged = _Judged([], set(), {"true": 0.0, "test": 0.0})
    for one in track(found.pairs, len(found.pairs), "pairs", progress):
        whole = same_size(one)
        judged.sizes.add(f"{whole[0].shape[1]}x{whole[0].shape[0]}")
        true, test, mask = counts.cut(one, *whole)
        try:
            judged.rows.append(compare(true, test, mask, how))
        except G3dError as error:
            raise G3dError(f"'{one.test.where}': {error}") from error
        judged.energy["true"] += gradient_energy(true, mask)
        judged.energy["test"] += gradient_energy(test, mask)
    return judged


def _floor(found: "Pairs", counts: "Counted", how: "How") -> dict[str, Any]:
    """The figures of the mean picture of each pair's camera, `floor_psnr_db` and so on; or why there are none."""
    from g3d.evaluation.floor import Floor
    from g3d.metrics.paired import compare, summary

    floor = Floor(found.true)
    if not all(floor.knows(one.true) for one in found.pairs):
        return {"floor": f"absent: {floor.why_not}"} if found.true.data is not None else {}
    plain = replace(how, lpips=None, perceptual=None)
    rows = [compare(*counts.cut(one, one.true.picture(), floor.picture(one.true)), plain) for one in found.pairs]
    return {
        "floor": "the mean picture of each camera, of the training objects",
        **{f"floor_{name}": value for name, value in summary(rows).items()},
    }


def _depth(one: "Pair", counts: "Counted") -> dict[str, float]:
    from g3d.metrics.depth import compare_depth

    assert one.true.depth_world is not None and one.test.depth_world is not None
    true, test = one.true.depth_world(), one.test.depth_world()
    mask, region, size = counts.mask_of(one), counts.region_of(one), one.true.picture().shape[:2]
    for item, found_size in ((one.true, true.shape), (one.test, test.shape)):
        if found_size != size:
            raise G3dError(
                f"the depth of '{item.where}' is {found_size[1]} x {found_size[0]}, its picture {size[1]} x {size[0]}; make "
                "them one size"
            )
    if region is not None:
        true, test = region.crop(true, one.true.where), region.crop(test, one.test.where)
        mask = None if mask is None else region.crop(mask, one.true.where)
    found = compare_depth(true, test, mask, one.name)
    if found is None:
        return {}
    return {
        "depth_rmse_world": found.rmse_world, "depth_accuracy": found.accuracy,
        "depth_accuracy_inverse": found.accuracy_inverse, "depth_missing": found.missing, "depth_pixels": found.pixels,
    }  # fmt: skip


def _depth_summary(depths: Sequence[Mapping[str, float]], found: "Pairs") -> dict[str, Any]:
    from g3d.evaluation.pairs import absent_depth
    from g3d.metrics.paired import summary

    rows = [depth for depth in depths if depth]
    if not rows:
        return {"depth": f"absent: {absent_depth(found)}"}
    figures = summary(rows)
    pixels = int(sum(row["depth_pixels"] for row in rows))
    kept = {name: value for name, value in figures.items() if not name.startswith("depth_pixels")}
    return {
        **kept,
        "depth_n": len(rows),
        "depth_pixels": pixels,
        "depth": f"{found.test.depth_kind} against {found.true.depth_kind}",
    }


def _how(
    options: Options, perceptual: "Perceptual | None", lacking: str | None, rows: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """The settings that a figure depends on; for one that is absent, why."""
    from g3d.losses.paired import SCALE_EXPONENTS, SIGMA_PX, WINDOW_PX, least_px

    scales = options.ms_ssim_scales or len(SCALE_EXPONENTS)
    result: dict[str, Any] = {
        "ssim_window": f"gaussian {WINDOW_PX} px, sigma {SIGMA_PX} px, borders {options.ssim_borders}, mean over channels",
        "std": "over pairs, divided by n",
    }
    if all("ms_ssim" in row for row in rows):
        result["ms_ssim_scales"] = scales
    else:
        result["ms_ssim_note"] = (
            f"absent of some or all: {scales} scales need {least_px(scales)} px; --ms-ssim-scales takes fewer"
        )
    result |= _how_installed(lacking, rows)
    if perceptual is None:
        return {**result, "lpips_note": "absent: no weights; give --lpips FILE"}
    return {**result, "lpips_network": perceptual.network, "lpips_sha256": perceptual.sha256}


def _how_installed(lacking: str | None, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Which network the perceptual distance is of, or why it is absent."""
    from g3d.losses.perceptual import LEAST_PX, NAME, SHA256

    if all(NAME in row for row in rows):
        return {f"{NAME}_sha256": SHA256}
    return {f"{NAME}_note": f"absent of some or all: {lacking or f'it needs {LEAST_PX} px a side'}"}


def _installed(device: "torch.device") -> "tuple[Distance | None, str | None]":
    """The perceptual distance whose network comes with g3d; None, and why, where its package was left out."""
    from g3d.evaluation.perceptual import installed

    try:
        return installed(device), None
    except Missing as error:
        return None, str(error)


def _perceptual(options: Options) -> "Perceptual | None":
    if options.lpips is None:
        return None
    from g3d.evaluation.perceptual import perceptual

    return perceptual(options.lpips, options.trust, pick_device(options.device))
