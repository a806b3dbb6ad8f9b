"""Features kept in a folder: the same pictures, weights and resize mode are computed once.

The key is a digest over all that features depend on. Not over the batch size and the device, which change the last digits only:
who wants to see those change turns the cache off. Nothing is ever removed; the folder may be deleted at any time.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from g3d import distributed
from g3d.errors import G3dError
from g3d.evaluation.features import F32, Extractor
from g3d.evaluation.pictures import READING
from g3d.progress import Progress
from g3d.storage import artifacts


def default_folder() -> Path:
    """`$G3D_CACHE/features`, else `~/.cache/g3d/features`."""
    root = os.environ.get("G3D_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "g3d") / "features"


@dataclass(frozen=True)
class Entry:
    """A place in the cache."""

    path: Path
    config: dict[str, str | int]  # what it is the place of


def entry(folder: Path, extractor: Extractor, pictures_digest: str, count: int) -> Entry:
    """The place of the features of `count` pictures with a digest (see `Pictures.digest`) by an extractor."""
    config: dict[str, str | int] = {
        "extractor": extractor.name, "extractor_sha256": extractor.sha256, "resize": extractor.resize,
        "reading": READING, "pictures": pictures_digest, "count": count, "dimensions": extractor.dimensions,
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:32]
    return Entry(folder / f"{key}.safetensors", config)


def load(place: Entry, progress: Progress) -> F32 | None:
    """The features [N, D], or None where they are not there, or not whole (which is noted), in any process."""
    found = _load(place, progress)
    (missing,) = distributed.agree(found is None)
    return None if missing else found


def _load(place: Entry, progress: Progress) -> F32 | None:
    if not place.path.exists():
        return None
    try:
        file = artifacts.read(place.path, "features", role="the cached features")
        values: F32 = file.values["features"].numpy()
        config = {key: value for key, value in file.config.items() if key != "values_sha256"}
        whole = values.shape == (place.config["count"], place.config["dimensions"]) and values.dtype.name == "float32"
        if config != place.config or not whole or file.config["values_sha256"] != _digest(values):
            raise G3dError(f"'{place.path}' does not hold what its name says")
    except (G3dError, KeyError) as error:
        progress.log(f"note: cached features are not used ({error}); they are computed again")
        return None
    return values


def save(place: Entry, values: F32, progress: Progress) -> None:
    """Keep features; where that cannot be done, the work goes on with a note. The first process writes."""
    if distributed.rank():
        return
    config = {**place.config, "values_sha256": _digest(values)}
    try:
        artifacts.write(place.path, "features", {"features": torch.from_numpy(values)}, config)
    except G3dError as error:
        progress.log(f"note: the features are not cached ({error})")


def _digest(values: F32) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()
