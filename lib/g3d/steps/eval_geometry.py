"""`eval-geometry`: how solid the objects of rendered pictures are, and how right their depth is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from g3d.device import pick_device
from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress, track
from g3d.storage import manifest

if TYPE_CHECKING:
    from g3d.evaluation.disparity_judge import Estimate
    from g3d.evaluation.pairs import Item, Pair, Pairs
    from g3d.metrics.depth import Fit

REGIONS = ("mask", "picture")


@dataclass(frozen=True)
class Options:
    """`images`: what `render --alpha --depth` wrote, or a dataset. `true`: a dataset, or a folder with masks (and depth).

    `drawn_from`: latents whose names say which objects of `true` the folders of `images` show.

    `near_world`, `far_world`: disparity in VQ3D's units, 1 at near and 0 at far, against true disparity stretched to 0..1 in
    each picture; without them both are inverse depths in world units.

    `region`: what counts, the object in the `mask`, or the whole `picture`, of which only the disparity that `render
    --disparity` wrote is judged. `estimator`: a TorchScript file that stands for the truth, as of `prepare-data depth`.
    `any_camera`: pairs may be seen by cameras that differ."""

    images: Path
    true: Path | None = None
    split: str | None = None
    objects: str | None = None
    drawn_from: Path | None = None
    near_world: float | None = None
    far_world: float | None = None
    region: str = "mask"
    estimator: Path | None = None
    estimator_size: int = 384
    estimator_norm: str = "half"
    trust: bool = False
    device: str = "auto"
    any_camera: bool = False
    per_item: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    from g3d.evaluation.drawn_from import check_drawn_from
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_outputs, check_words, needs_dataset

    inputs = [existing(options.images, "the images")]
    if options.true is not None:
        inputs.append(existing(options.true, "the true images"))
    words = {"--split": (options.split, SPLITS), "--objects": (options.objects, OBJECTS)}
    check_words({**words, "--region": (options.region, REGIONS)})
    if options.estimator is not None:
        inputs.append(existing(options.estimator, "the estimator"))
    _check_truth(options)
    needs_dataset({"--split": options.split, "--objects": options.objects}, inputs)
    inputs += check_drawn_from(options.drawn_from, options.true)
    near, far = options.near_world, options.far_world
    if (near is None) != (far is None):
        raise G3dError(f"--near {near} and --far {far} belong together; give both, or neither")
    if near is not None and far is not None:
        if not 0 < near < far:
            raise G3dError(f"--near {near:g} and --far {far:g} must be 0 < near < far, in world units; give others")
        if options.true is None:
            raise G3dError("--near and --far are units of a comparison with true depth; give the true images, too")
    check_outputs({"--out": options.out, "--per-item": options.per_item}, options.overwrite, tuple(inputs))
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return {**shown, "device": str(pick_device(options.device))}


def _check_truth(options: Options) -> None:
    """Refuse what says twice what is true, or nothing where it is needed."""
    default = Options(options.images)
    if options.estimator is None:
        for name in ("estimator_size", "estimator_norm", "trust", "device"):
            if getattr(options, name) != getattr(default, name):
                raise G3dError(f"--{name.replace('_', '-')} is for an --estimator; give one, or leave it out")
    elif options.true is not None:
        raise G3dError(f"'{options.true}' and --estimator both say what is true; give one of them")
    if options.region == "picture":
        if options.true is None and options.estimator is None:
            raise G3dError("--region picture compares disparity; give a dataset with inverse depth, or an --estimator")
        if options.near_world is not None:
            raise G3dError("--near and --far are of depth maps, disparity records its own; leave them out")


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """The figures with all one must know to compare them; written to `out` if given."""
    resolve(options)
    from g3d.evaluation.disparity_judge import Judge
    from g3d.evaluation.drawn_from import item_names
    from g3d.evaluation.outcome import write_results
    from g3d.evaluation.pairs import pair, side

    manifest.note_changed(progress, options.images, options.true)
    test = side(options.images, "the images", options.split, options.objects)
    found = None
    items: list[tuple[str, Item, Pair | None]]
    if options.true is None:
        items = [(name, item, None) for name, item in next(iter(test.schemes.values())).items()]
    else:
        known = side(options.true, "the true images", options.split, options.objects, item_names(options.drawn_from))
        found = pair(known, test, options.any_camera)
        items = [(one.name, one.test, one) for one in found.pairs]
        if options.region == "mask":
            _need_masks([(one.name, one.true) for one in found.pairs], "the true pictures", "prepare them with masks")
    judge = Judge(options.region, _estimate(options))
    judge.check([(item, one) for _, item, one in items])
    if options.region == "mask":
        _need_masks([(name, item) for name, item, _ in items], "the pictures", "draw them with render --alpha")
    for note in (*test.notes, *(found.true.notes if found else ())):
        progress.log(f"note: {note}")
    lines = []
    for name, item, one in track(items, len(items), "pictures", progress):
        solid = options.region == "mask"
        line = {"name": name, **(_solid(item, one) if solid else {}), **judge.figures(item, one)}
        lines.append(line | (_depth(one, options) if one is not None and solid else {}))
    result = {
        "metric": "geometry", "n": len(lines), **_figures(lines, options, found), **judge.words(found is not None),
        **_estimator_words(options),
        "std": "over pictures, divided by n", "images": str(options.images),
        "true": None if options.true is None else str(options.true), "naming": found.naming if found else None,
        "split": options.split, "objects": options.objects,
    }  # fmt: skip
    return write_results(result, lines, options.out, options.per_item)


def _estimate(options: Options) -> "Estimate | None":
    """What the estimator makes of a picture, if there is one."""
    if options.estimator is None:
        return None
    from g3d.depth_estimator import accepted, estimated

    size, norm = options.estimator_size, options.estimator_norm
    return partial(estimated, accepted(options.estimator, size, norm, options.trust, options.device))


def _estimator_words(options: Options) -> dict[str, Any]:
    """Of the estimator what its figures depend on."""
    if options.estimator is None:
        return {}
    names = ("estimator", "estimator_size", "estimator_norm")
    return {name: str(value) if isinstance(value := getattr(options, name), Path) else value for name in names}


def _figures(lines: "list[dict[str, Any]]", options: Options, found: "Pairs | None") -> dict[str, Any]:
    """Means over pictures, and what they are of."""
    if options.region == "picture":
        from g3d.metrics.paired import summary

        return summary([{name: value for name, value in line.items() if name != "name"} for line in lines])
    return {
        **_summary(lines), **_depth_words(options, found, lines),
        "cloudy": "0.1 < alpha < 0.9; object rays: alpha > 0.1" + (" or in the true mask" if found else ""),
    }  # fmt: skip


def _need_masks(items: "list[tuple[str, Item]]", what: str, instead: str) -> None:
    lacking = [item.where for _, item in items if item.mask is None]
    if lacking:
        raise G3dError(
            f"{what} need masks, and {len(lacking)} of {len(items)} have none, e.g. '{lacking[0]}'; {instead}"
        )


def _solid(item: "Item", one: "Pair | None") -> dict[str, Any]:
    """Rays of one picture, and its halo where the truth is known."""
    from g3d.evaluation.pairs import same_size
    from g3d.metrics.geometry import cloud, halo

    assert item.mask is not None
    alpha = item.mask()
    if one is None:
        seen = cloud(alpha)
        return {"cloudy_share": seen.share, "cloudy_rays": seen.cloudy, "object_rays": seen.object_rays}
    assert one.true.mask is not None
    true_mask = one.true.mask()
    true, test = same_size(one)
    try:
        seen, drawn = cloud(alpha, true_mask), halo(test, true, true_mask, alpha)
    except G3dError as error:
        raise G3dError(f"the masks of '{one.test.where}' and '{one.true.where}': {error}") from error
    return {
        "cloudy_share": seen.share, "cloudy_rays": seen.cloudy, "object_rays": seen.object_rays,
        "halo": None if drawn is None else drawn.colour, "halo_alpha": None if drawn is None else drawn.alpha,
    }  # fmt: skip


def _depth(one: "Pair", options: Options) -> dict[str, Any]:
    """Depth of one pair in the true mask; nothing where one of them has none."""
    from g3d.metrics.depth import compare_depth
    from g3d.metrics.geometry import OBJECT_LEVEL

    if one.test.depth_world is None or one.true.mask is None:
        return {}
    mask, test = one.true.mask() >= OBJECT_LEVEL, one.test.depth_world()
    if one.true.depth_world is not None:
        true = one.true.depth_world()
        compared = compare_depth(true, test, mask, one.name)
        if compared is None:
            return {}
        both = mask & (true > 0) & (test > 0)
        fit = _fit(test[both], 1 / true[both].astype(np.float64), options)
        return {
            "depth_rmse_world": compared.rmse_world, "depth_accuracy": compared.accuracy,
            "depth_accuracy_inverse": compared.accuracy_inverse, "depth_missing": compared.missing,
            "depth_pixels": compared.pixels, **fit,
        }  # fmt: skip
    if one.true.inverse_depth is None:
        return {}
    return _inverse_alone(one, test, mask, options)


def _inverse_alone(
    one: "Pair", test: "np.ndarray[Any, Any]", mask: "np.ndarray[Any, Any]", options: Options
) -> dict[str, Any]:
    """Against an estimator's inverse depth, which has no world units; its infinitely far (0) counts, too."""
    from g3d.metrics.depth import depth_accuracy

    assert one.true.inverse_depth is not None
    true = one.true.inverse_depth()
    if not true.shape == test.shape == mask.shape:
        raise G3dError(
            f"the inverse depth of '{one.true.where}' has size {list(true.shape)}, the depth of '{one.test.where}' "
            f"{list(test.shape)}; make them one size"
        )
    both = mask & (test > 0)
    if not both.any():
        return {}
    accuracy = depth_accuracy(true[both], 1 / test[both].astype(np.float64))
    return {
        "depth_accuracy_inverse": accuracy,
        "depth_pixels": int(both.sum()),
        **_fit(test[both], true[both], options),
    }


def _fit(test_world: "np.ndarray[Any, Any]", true_inverse: "np.ndarray[Any, Any]", options: Options) -> dict[str, Any]:
    """s* and t* of one picture, from its counted pixels [n]."""
    from g3d.metrics.depth import fit_disparity, min_max, normalised_disparity

    predicted: Any = 1 / test_world.astype(np.float64)
    if options.near_world is not None and options.far_world is not None:
        predicted = normalised_disparity(predicted, options.near_world, options.far_world)
        true_inverse = min_max(true_inverse)
    fit: Fit | None = fit_disparity(predicted, true_inverse)
    return {} if fit is None else {"disparity_scale": fit.scale, "disparity_shift": fit.shift}


def _summary(lines: "list[dict[str, Any]]") -> dict[str, Any]:
    """Means over pictures; the share of cloudy rays also over all rays."""
    from g3d.metrics.paired import summary

    counts = ("cloudy_rays", "object_rays", "depth_pixels", "name")
    rows: list[Mapping[str, float]] = [
        {name: value for name, value in line.items() if name not in counts and value is not None} for line in lines
    ]
    cloudy, rays = (sum(line[name] for line in lines) for name in counts[:2])
    if not rays:
        raise G3dError("no picture shows an object (alpha is 0.1 or less everywhere); give pictures that show one")
    return {**summary(rows), "cloudy_share_of_all_rays": cloudy / rays, "cloudy_rays": cloudy, "object_rays": rays}


def _depth_words(options: Options, found: "Pairs | None", lines: "list[dict[str, Any]]") -> dict[str, Any]:
    """What the depth is, or why it is absent."""
    if found is None:
        return {"depth": "absent: no true images given", "halo_note": "absent: no true images given"}
    counted = [line["depth_pixels"] for line in lines if "depth_pixels" in line]
    if not counted:
        from g3d.evaluation.pairs import absent_depth

        return {"depth": f"absent: {absent_depth(found)}"}
    exact = any("depth_rmse_world" in line for line in lines)
    units = "1 / world unit, both"
    if options.near_world is not None:
        units = f"1 at {options.near_world:g}, 0 at {options.far_world:g}; true: 0..1 in each picture"
    elif not exact:
        units = "predicted 1 / world unit, true as its estimator gives it"
    kind = found.true.depth_kind if exact else "inverse depth of an estimator"
    return {
        "depth": f"{found.test.depth_kind} against {kind}, in the true mask", "depth_n": len(counted),
        "depth_pixels": sum(counted),
        "disparity_units": units, "disparity_fit": "true inverse depth = scale * predicted + shift, a picture at a time",
    }  # fmt: skip
