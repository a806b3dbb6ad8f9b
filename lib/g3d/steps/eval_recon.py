"""`eval-recon`: how close pictures are to the true ones of the same name, and their depth to the true depth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g3d import device
from g3d.errors import G3dError, Missing, existing
from g3d.progress import SILENT, Progress, track

if TYPE_CHECKING:
    import torch

    from g3d.evaluation.pairs import Item, Pair, Pairs, Side
    from g3d.evaluation.perceptual import Perceptual
    from g3d.evaluation.region import Region
    from g3d.metrics.paired import Distance, How

BORDERS = ("valid", "reflect", "zero")
Mask = NDArray[np.bool_]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Options:
    """`true`, `test`: a dataset, a folder of images or a zip. `split` (of views) and `objects` (a split, too) are of datasets.

    What counts: everything, or the object in the true masks (`masks`), or in those of a folder (`mask`), and of that the
    rectangle `region`, to which pictures are cut first. `ms_ssim_scales`: five where pictures are large enough if None.
    `any_camera`: pairs may be seen by cameras that differ. `lpips`: a file of weights. `out`: a JSON file; `per_item`: a file
    of a JSON line a pair."""

    true: Path
    test: Path
    split: str | None = None
    objects: str | None = None
    masks: bool = False
    mask: Path | None = None
    region: str | None = None
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
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_outputs, check_words, needs_dataset

    inputs = (existing(options.true, "the true images"), existing(options.test, "the images to judge"))
    check_words({"--split": (options.split, SPLITS), "--objects": (options.objects, OBJECTS),
                 "--ssim-borders": (options.ssim_borders, BORDERS)})  # fmt: skip
    needs_dataset({"--split": options.split, "--objects": options.objects}, inputs)
    if options.masks and options.mask is not None:
        raise G3dError(f"--masks takes the true masks and --mask those of '{options.mask}'; give one of the two")
    if options.trust and options.lpips is None:
        raise G3dError("--trust lets a file of --lpips run, but there is none; leave it out")
    extra = [
        existing(path, what)
        for path, what in ((options.mask, "the masks"), (options.lpips, "the LPIPS weights"))
        if path
    ]
    check_outputs({"--out": options.out, "--per-item": options.per_item}, options.overwrite, (*inputs, *extra))
    if options.region is not None:
        from g3d.evaluation.region import parse_region

        parse_region(options.region)
    if options.ms_ssim_scales is not None:
        from g3d.losses.paired import SCALE_EXPONENTS

        if not 1 <= options.ms_ssim_scales <= len(SCALE_EXPONENTS):
            raise G3dError(
                f"--ms-ssim-scales {options.ms_ssim_scales} does not exist; give 1 to {len(SCALE_EXPONENTS)}"
            )
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return {**shown, "device": str(device.pick(options.device))}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Mean and standard deviation of each figure, with all one must know to compare them; written to `out` if given."""
    resolve(options)
    from g3d.evaluation.outcome import write_results
    from g3d.evaluation.pairs import pair, same_size, side
    from g3d.metrics.paired import How, summary

    true = side(options.true, "the true images", options.split, options.objects)
    test = side(options.test, "the images to judge", options.split, options.objects)
    found = pair(true, test, options.any_camera)
    mask_of, mask_word = _masks(options, found)
    perceptual, where = _perceptual(options), device.pick(options.device)
    installed, lacking = _installed(where)
    lpips = None if perceptual is None else perceptual.distance
    how = How(options.ssim_borders, options.ms_ssim_scales, lpips, installed, where)
    has_depth = all(one.true.depth_world and one.test.depth_world for one in found.pairs)
    for note in (*true.notes, *test.notes):
        progress.log(f"note: {note}")
    rows: list[dict[str, float]] = []
    depths: list[dict[str, float]] = []
    sizes: set[tuple[int, int]] = set()
    region = _region(options)
    for one in track(found.pairs, len(found.pairs), "pairs", progress):
        mask, (true_picture, test_picture) = mask_of(one), same_size(one)
        sizes.add(true_picture.shape[:2])
        rows.append(_figures(one, true_picture, test_picture, mask, region, how))
        depths.append(_depth(one, mask, region, true_picture.shape[:2]) if has_depth else {})
    result = {
        "metric": "reconstruction", "n": len(rows), **summary(rows), **_depth_summary(depths, found),
        **_how(options, perceptual, lacking, rows), "mask": mask_word, "region": options.region, "naming": found.naming,
        "true": str(options.true), "test": str(options.test), "split": options.split, "objects": options.objects,
        "sizes": sorted(f"{w}x{h}" for h, w in sizes),
    }  # fmt: skip
    lines = [{"name": one.name, **row, **depth} for one, row, depth in zip(found.pairs, rows, depths, strict=True)]
    return write_results(result, lines, options.out, options.per_item)


def _figures(
    one: "Pair", true: U8, test: U8, mask: Mask | None, region: "Region | None", how: "How"
) -> dict[str, float]:
    from g3d.metrics.paired import compare

    if mask is not None and mask.shape != true.shape[:2]:
        raise G3dError(
            f"the mask of '{one.name}' is {mask.shape[1]} x {mask.shape[0]}, its picture {true.shape[1]} x {true.shape[0]}; "
            "make them one size"
        )
    if region is not None:
        true, test = region.crop(true, one.true.where), region.crop(test, one.test.where)
        mask = None if mask is None else region.crop(mask, one.true.where)
    if mask is not None and not mask.any():
        cut = " in --region" if region is not None else ""
        raise G3dError(
            f"the mask of '{one.name}' covers nothing{cut}, so there is nothing to compare; take the pair out"
        )
    try:
        return compare(true, test, mask, how)
    except G3dError as error:
        raise G3dError(f"'{one.test.where}': {error}") from error


def _depth(one: "Pair", mask: Mask | None, region: "Region | None", size: tuple[int, ...]) -> dict[str, float]:
    from g3d.metrics.depth import compare_depth

    assert one.true.depth_world is not None and one.test.depth_world is not None
    true, test = one.true.depth_world(), one.test.depth_world()
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


def _installed(where: "torch.device") -> "tuple[Distance | None, str | None]":
    """The perceptual distance whose network comes with g3d; None, and why, where its package was left out."""
    from g3d.evaluation.perceptual import installed

    try:
        return installed(where), None
    except Missing as error:
        return None, str(error)


def _perceptual(options: Options) -> "Perceptual | None":
    if options.lpips is None:
        return None
    from g3d.evaluation.perceptual import perceptual

    return perceptual(options.lpips, options.trust, device.pick(options.device))


def _region(options: Options) -> "Region | None":
    from g3d.evaluation.region import parse_region

    return None if options.region is None else parse_region(options.region)


def _masks(options: Options, found: "Pairs") -> tuple[Callable[["Pair"], Mask | None], str]:
    """What gives the mask of a pair [H, W], and which it is in words."""
    from g3d.evaluation.pairs import side
    from g3d.metrics.geometry import OBJECT_LEVEL

    rule = f"{OBJECT_LEVEL} of 255 or more is the object"
    if options.masks:
        lacking = next((p.true.where for p in found.pairs if p.true.mask is None), None)
        if lacking is not None:
            raise G3dError(
                f"--masks needs a mask of every true picture, and '{lacking}' has none in masks/; give --mask FOLDER"
            )
        return lambda one: one.true.mask() >= OBJECT_LEVEL if one.true.mask else None, f"true masks, {rule}"
    if options.mask is None:
        return lambda one: None, "none"
    masks = _mask_items(side(options.mask, "the masks"), found, options.mask)
    return lambda one: masks[one.name].picture()[..., 0] >= OBJECT_LEVEL, f"{options.mask}, {rule}"


def _mask_items(masks: "Side", found: "Pairs", path: Path) -> "Mapping[str, Item]":
    items = next(iter(masks.schemes.values()))
    lacking = [one.name for one in found.pairs if one.name not in items]
    if lacking:
        raise G3dError(
            f"the masks '{path}' have none of the name '{lacking[0]}' ({len(lacking)} of {len(found.pairs)} missing); give "
            "masks with the names of the pictures"
        )
    return items
