"""`eval-identity`: whether faces are still the same person's, by a face network that the user gives."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.device import pick_device
from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress
from g3d.storage import manifest

if TYPE_CHECKING:
    from g3d.evaluation.identity import Embedder
    from g3d.evaluation.input_views import Faces
    from g3d.images import U8

PIXELS, DLIB = "pixels", "dlib"


@dataclass(frozen=True)
class Options:
    """`true`, `test`: a dataset, a folder of images or a zip. `network`: a TorchScript file, `dlib` (optional packages), or
    `pixels` for none.

    `input_view`: every view is compared with this view of its object (0: its first; `latents:FILE`: the one that encode wrote
    down), from which a model made the object, instead of with its own true picture. `inputs`: only the views that the latents
    of `drawn_from` were found from.
    `channels`: the order that the network wants, bgr (AdaFace) or rgb. `any_camera`: pairs may be seen by cameras that
    differ."""

    true: Path
    test: Path
    network: str
    trust: bool = False
    channels: str = "bgr"
    split: str | None = None
    objects: str | None = None
    drawn_from: Path | None = None
    any_camera: bool = False
    input_view: int | str | None = None
    inputs: bool = False
    batch: int = 64
    per_item: Path | None = None
    device: str = "auto"
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before any image is read."""
    from g3d.evaluation.drawn_from import check_drawn_from
    from g3d.evaluation.input_views import check_inputs, parsed
    from g3d.evaluation.outcome import OBJECTS, SPLITS, check_outputs, check_words, needs_dataset

    inputs = [existing(options.true, "the true images"), existing(options.test, "the images to judge")]
    check_words({"--split": (options.split, SPLITS), "--objects": (options.objects, OBJECTS),
                 "--channels": (options.channels, ("bgr", "rgb"))})  # fmt: skip
    needs_dataset({"--split": options.split, "--objects": options.objects}, inputs)
    inputs += check_drawn_from(options.drawn_from, options.true)
    view = parsed(options.input_view)
    inputs += [view] if isinstance(view, Path) else []
    if isinstance(view, int) and view < 0:
        raise G3dError(f"--input-view {options.input_view} is no view; give 0 (an object's first) or more")
    check_inputs(options.inputs, options.drawn_from)
    if options.inputs and view is not None:
        raise G3dError("--inputs judges the input views, which --input-view leaves out; give one of them")
    if options.batch < 1:
        raise G3dError(f"--batch {options.batch} is too small; give 1 or more")
    if options.network in (PIXELS, DLIB):
        if options.trust or options.channels != "bgr":
            raise G3dError(
                f"--trust and --channels belong to a network's file and mean nothing to '{options.network}'; leave them out"
            )
    else:
        inputs.append(existing(Path(options.network), "the face network"))
    check_outputs({"--out": options.out, "--per-item": options.per_item}, options.overwrite, tuple(inputs))
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    return {**shown, "device": str(pick_device(options.device))}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Mean and standard deviation of the cosine, with all one must know to compare it; written to `out` if given."""
    resolve(options)
    from g3d.evaluation.drawn_from import item_names
    from g3d.evaluation.identity import cosines
    from g3d.evaluation.input_views import against_inputs, only_inputs, parsed, recorded
    from g3d.evaluation.outcome import write_results
    from g3d.evaluation.pairs import pair, side
    from g3d.metrics.paired import summary

    manifest.note_changed(progress, options.true, options.test)
    found = pair(
        side(options.true, "the true images", options.split, options.objects, item_names(options.drawn_from)),
        side(options.test, "the images to judge", options.split, options.objects),
        options.any_camera,
    )
    if options.inputs and options.drawn_from is not None:
        found = only_inputs(found, recorded(options.drawn_from))
    embedder = _embedder(options)
    pairs = [(one.true, one.true, one.test) for one in found.pairs]
    view = parsed(options.input_view)
    if view is not None:
        pairs = against_inputs(found, view if isinstance(view, int) else recorded(view))
    by_landmarks = all(one.true.landmarks_px is not None for one in found.pairs)
    if not by_landmarks:
        progress.log(
            "note: the true images have no landmarks; faces are not aligned, the middle of each picture is taken"
        )
    values: list[float] = []
    progress.start("faces", len(pairs))
    for group in _groups(pairs, options.batch):
        crops = [_crops(one, by_landmarks, embedder) for one in group]
        vectors = [embedder.embed([crop[k] for crop in crops]) for k in (0, 1)]
        values += cosines(vectors[0], vectors[1])
        progress.update(len(values), len(pairs))
    name = "identity_cosine" if embedder.sha256 else "pixel_cosine"
    points = "68" if options.network == DLIB else "5"
    how = (
        f"{points} points of the true landmarks, for both pictures"
        if by_landmarks
        else "square in the middle, no landmarks"
    )
    result = {
        "metric": name, "n": len(values), **summary([{name: value} for value in values]),
        "network": embedder.name, "network_sha256": embedder.sha256,
        "channels": options.channels if options.network not in (PIXELS, DLIB) else None,
        "alignment": how,
        "input_view": view if isinstance(view, int | None) else options.input_view,
        **({"inputs": True} if options.inputs else {}),
        "crop_px": embedder.size_px, "std": "over pairs, divided by n", "naming": found.naming,
        "true": str(options.true), "test": str(options.test), "split": options.split, "objects": options.objects,
    }  # fmt: skip
    lines = [{"name": test.where, name: value} for (_, _, test), value in zip(pairs, values, strict=True)]
    if view is None:
        lines = [{**line, "name": one.name} for line, one in zip(lines, found.pairs, strict=True)]
    return write_results(result, lines, options.out, options.per_item)


def _embedder(options: Options) -> "Embedder":
    from g3d.evaluation.identity import network_embedder, pixel_embedder

    if options.network == PIXELS:
        return pixel_embedder()
    if options.network == DLIB:
        from g3d.evaluation.identity_dlib import dlib_embedder

        return dlib_embedder()
    return network_embedder(Path(options.network), options.trust, options.channels, pick_device(options.device))


def _groups(pairs: "Sequence[Faces]", size: int) -> "Iterator[Sequence[Faces]]":
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


def _crops(one: "Faces", by_landmarks: bool, embedder: "Embedder") -> "tuple[U8, U8]":
    """The face to compare with and the face to judge, each by its own landmarks."""
    from g3d.evaluation.pairs import Pair, same_size

    with_which, true, test = one
    judged = same_size(Pair("", true, test))[1]
    reference = with_which.picture()
    try:
        return (
            embedder.crop(reference, with_which.landmarks_px if by_landmarks else None),
            embedder.crop(judged, true.landmarks_px if by_landmarks else None),
        )
    except G3dError as error:
        raise G3dError(f"'{with_which.where}': {error}") from error
