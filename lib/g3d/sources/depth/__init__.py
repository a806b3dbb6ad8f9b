"""`prepare-data depth DATASET`: the same dataset with inverse depth for every view.

Exact where the dataset has depth (1 / camera z; 0, infinitely far, where nothing was hit), or from files, or from a monocular
estimator in a TorchScript file. Pictures keep their bytes. A map is stored in 16 bits between its own least and greatest
value; both are kept in the column `inverse_depth_range`, so that stored values mean what they meant before.

Letters: V views of an item, S `--estimator-size`, H W of the dataset's pictures, h w of a map before it is resized.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.depth_estimator import CPU_WORKERS_MOST, Estimator, accepted, estimated
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, Summary, View, needs_input
from g3d.sources.depth.files import absent, matched, read_map, refuse_absent, stamp_of

if TYPE_CHECKING:
    from g3d.data.dataset import Dataset

F32 = NDArray[np.float32]
_WRITTEN = ("format", "name", "views", "width", "height", "objects", "background", "licence", "provenance", "digest", "names",
            "mean_image_psnr_db")  # fmt: skip
"""What the writer says of a dataset itself; everything else of the old one is carried over."""


@dataclass(frozen=True)
class Options:
    """What this source uses of the command line."""

    files: Path | None = None
    estimator: Path | None = None
    estimator_size: int = 384
    estimator_norm: str = "half"
    trust: bool = False
    device: str = "auto"


Way = Estimator | tuple[Path, ...] | None
"""Where an item's inverse depth comes from: a network, a file for each of its views, or its own depth."""


def collect(request: Request) -> Collection:
    """The objects of the dataset `input`, each to be given inverse depth."""
    from g3d.data.opening import open_dataset

    options: Options = request.options
    path = needs_input(request, "depth", "the dataset", "demo/data").resolve()
    old = open_dataset(path)
    if not old.info["views"]:
        raise G3dError(f"'{path}' has no pictures, so they have no depth; give a dataset with pictures")
    ways, told, workers_most = _ways(old, options)
    if not request.skip_bad:
        refuse_absent(old, [way for way in ways if isinstance(way, tuple)])
    items = [
        Item(name, partial(make, path, number, way), f"{old.digest}|{stamp_of(way) if isinstance(way, tuple) else ''}")
        for number, (name, way) in enumerate(zip(old.object_names, ways, strict=True))
    ]
    r, g, b = old.info["background"]
    settings = {"input": path.name, **told, "of": {"digest": old.digest, "provenance": old.info["provenance"]}}
    return Collection(
        str(old.info["name"]), items, str(old.info["licence"]), settings, old.info["width"], old.info["height"], (r, g, b),
        partial(_described, old), _names(old), tuple(p for p in (path, options.files, options.estimator) if p is not None),
        old.info["views"], workers_most,
    )  # fmt: skip


def make(path: Path, number: int, way: Way) -> Made:
    """Object `number` of the dataset `path`, with inverse depth."""
    old = _dataset(path)
    views = old.views(number).tolist()
    new, ranges = [], []
    for i, view in enumerate(views):
        values = _inverse_depth(old, view, way[i] if isinstance(way, tuple) else way)
        steps, ends = quantised(values)
        layers = {kind: old.raw(folder, view) for kind, folder in
                  (("mask", "masks"), ("depth", "depth"), ("normals", "normals"))}  # fmt: skip
        new.append(View(old.raw("images", view) or b"", inverse_depth=images.encode(steps), **layers))
        ranges.append(ends)
    columns: dict[str, NDArray[Any]] = {name: rows[views].numpy() for name, rows in old.labels.items()}
    columns["split"] = old.view_split[views].numpy()
    columns["inverse_depth_range"] = np.array(ranges, np.float32).reshape(-1, 2)
    if old.cameras is not None:
        columns["c2w"], columns["intrinsics"] = old.cameras.c2w[views].numpy(), old.cameras.intrinsics[views].numpy()
    entry = {key: value for key, value in old.info["objects"][number].items() if key != "name"}
    return Made(new, columns, old.shape_arrays(number), entry)


def quantised(values: F32) -> tuple[NDArray[np.uint16], tuple[float, float]]:
    """[H, W] => steps 0..65535 between the least and the greatest value, and these two."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, np.uint16), (low, low)
    return ((values.astype(np.float64) - low) / (high - low) * 65535 + 0.5).astype(np.uint16), (low, high)


def _inverse_depth(old: "Dataset", view: int, way: Estimator | Path | None) -> F32:
    """[H, W]"""
    width, height = old.info["width"], old.info["height"]
    if isinstance(way, Estimator):
        return estimated(way, old.pictures([view])[0], f"view {view:06d} of '{old.path}'")
    if isinstance(way, Path):
        if not way.is_file():
            raise G3dError(f"{absent(old, view, way)}; add one of them")
        return read_map(way, width, height)
    depth = old.depth_world(view)
    return np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)


def _ways(old: "Dataset", options: Options) -> tuple[list[Way], dict[str, Any], int]:
    """For each object where its inverse depth comes from; what the provenance says; the most processes."""
    count, default = len(old.object_names), Options()
    if options.files is not None and options.estimator is not None:
        raise G3dError("--files and --estimator both say where inverse depth comes from; give one of them")
    if options.estimator is None:
        for name in ("estimator_size", "estimator_norm", "trust", "device"):
            if getattr(options, name) != getattr(default, name):
                raise G3dError(f"--{name.replace('_', '-')} is for an --estimator; give one, or leave it out")
    if options.files is not None:
        return list(matched(old, options.files)), {"way": "files", "files": options.files.resolve().name}, 1024
    if options.estimator is not None:
        way = accepted(options.estimator, options.estimator_size, options.estimator_norm, options.trust, options.device)
        told = {
            "way": "estimator",
            "estimator": way.path.name,
            "sha256": way.digest,
            "estimator_size": way.size,
            "estimator_norm": way.norm,
        }
        return [way] * count, told, CPU_WORKERS_MOST if way.device == "cpu" else 1
    if old.raw("depth", 0) is None:
        raise G3dError(f"'{old.path}' has no depth that could be inverted; give --files or --estimator")
    return [None] * count, {"way": "exact"}, 1024


def _described(old: "Dataset", summary: Summary) -> Mapping[str, Any]:
    """Bounds, camera prior, depth scale and all else that the old dataset says of its whole."""
    kept = {key: value for key, value in old.info.items() if key not in _WRITTEN}
    if (old.path / "shapes.safetensors").is_file():
        from g3d.storage import artifacts

        kept["shape_bounds"] = artifacts.header(old.path / "shapes.safetensors").config["bounds"]
    return kept


def _names(old: "Dataset") -> Mapping[str, Any]:
    """Of the numbers in the labels."""
    names: Mapping[str, Any] = old.info.get("names", {})
    return names


@lru_cache(maxsize=1)
def _dataset(path: Path) -> "Dataset":
    """Opened once a process."""
    from g3d.data.opening import open_dataset

    return open_dataset(path)
