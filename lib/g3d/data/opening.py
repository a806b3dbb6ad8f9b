"""Opens a dataset folder; whatever is not as `prepare-data` writes it is refused in one sentence."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.cameras import CameraPrior, Cameras
from g3d.data.columns import FORMAT, OBJECT_SPLITS, SPLITS, VIEWS_MOST
from g3d.data.dataset import UNIT_BOX, Dataset
from g3d.errors import G3dError, existing
from g3d.storage import artifacts, files

_KEYS = ("format", "name", "views", "width", "height", "objects", "background", "licence", "provenance", "digest")


def open_dataset(path: Path) -> Dataset:
    """Open a dataset folder; anything else is refused in one sentence."""
    existing(path, "the dataset")
    if not path.is_dir() or not (path / "dataset.json").is_file():
        raise G3dError(f"'{path}' is not a dataset folder (it has no dataset.json); make one with g3d prepare-data")
    info = description(path / "dataset.json")
    labels = _labels(path, info)
    cameras, view_object, view_split = _posed(path, info, labels)
    data = Dataset(path, info, cameras, view_object, view_split, labels)
    _check_pictures(data, info["views"])
    for folder, there, what in (
        ("depth", "depth_scale" in info, "depth_scale in dataset.json"),
        ("inverse_depth", "inverse_depth_range" in labels, "inverse_depth_range in labels.safetensors"),
    ):
        if folder in data.stores and not there:
            raise G3dError(f"'{path}' has {folder}, but not what its steps mean ({what}); prepare it again")
    return data


def description(file: Path) -> dict[str, Any]:
    """dataset.json with every key that a reader relies on, each of the right form."""
    info = files.read_json(file, "the dataset description")
    missing = [k for k in _KEYS if k not in info]
    if missing or info["format"] != FORMAT:
        raise G3dError(f"'{file}' is not {FORMAT} (lacks {', '.join(missing) or 'nothing'}); prepare it again")
    counts = [info["views"], info["width"], info["height"]]
    solids_only = counts == [0, 0, 0]  # a dataset of shapes has no pictures
    named = isinstance(info["objects"], list) and all(
        isinstance(o, dict) and {"name", "split"} <= o.keys() and o["split"] in OBJECT_SPLITS for o in info["objects"]
    )
    if not named or not (solids_only or all(isinstance(n, int) and 0 < n <= VIEWS_MOST for n in counts)):
        raise G3dError(
            f"'{file}' is damaged: views, width and height are whole numbers, objects a list of name and "
            f"split ({', '.join(OBJECT_SPLITS)}); prepare it again"
        )
    background, bounds = info["background"], info.get("bounds", UNIT_BOX)
    if not _numbers(background, 3) or not all(0 <= v <= 1 for v in background):
        raise G3dError(f"'{file}': background is {background}; wanted are three numbers in [0, 1], e.g. [1, 1, 1]")
    boxed = isinstance(bounds, list) and len(bounds) == 2 and all(_numbers(corner, 3) for corner in bounds)
    if not boxed or not all(low < high for low, high in zip(*bounds, strict=True)):
        raise G3dError(
            f"'{file}': bounds is {bounds}; wanted are the low and the high corner of a box, three numbers each, low < high"
        )
    names = info.get("names", {})
    if not isinstance(names, dict) or not all(isinstance(known, list) for known in names.values()):
        raise G3dError(f"'{file}': names is {str(names)[:80]}; wanted are lists of names by label; prepare it again")
    _check_lengths(info, file)
    if info.get("camera_prior"):
        CameraPrior.from_json(info["camera_prior"], f"'{file}' (camera_prior)")
    return info


def _check_lengths(info: Mapping[str, Any], file: Path) -> None:
    """World units of a step of depth, and the planes between which rays are sampled, where they are said."""
    for key in ("depth_scale", "near_world", "far_world"):
        if key in info and not (_numbers([info[key]], 1) and info[key] > 0):
            raise G3dError(f"'{file}': {key} is {str(info[key])[:80]}; wanted is a number above 0; prepare it again")
    if "near_world" in info and "far_world" in info and info["near_world"] >= info["far_world"]:
        raise G3dError(
            f"'{file}': near_world is {info['near_world']}, far_world {info['far_world']}; wanted is near_world < far_world"
        )


def _numbers(value: Any, count: int) -> bool:
    """Whether a JSON value is a list of so many finite numbers."""
    plain = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return plain and len(value) == count and all(math.isfinite(v) for v in value)


def _labels(path: Path, info: Mapping[str, Any]) -> dict[str, Tensor]:
    """What labels.safetensors says of each view, if it is there."""
    if not (path / "labels.safetensors").is_file():
        return {}
    file = artifacts.read(path / "labels.safetensors", "labels", role="the labels")
    for name, values in file.values.items():
        if len(values) != info["views"]:
            raise G3dError(f"'{path}' has {info['views']} views but {len(values)} labels ({name}); prepare it again")
    return dict(file.values)


def _posed(path: Path, info: Mapping[str, Any], labels: dict[str, Tensor]) -> tuple[Cameras | None, Tensor, Tensor]:
    """Cameras, object and split of each view [V]; where nothing says them, one object of one split."""
    views = info["views"]
    nothing = torch.zeros(views, dtype=torch.int64)
    if not (path / "cameras.safetensors").is_file():
        of, split = (labels.pop(name, nothing).long() for name in ("object", "split"))
        _check_index(path, info, of, split)
        return None, of, split
    file = artifacts.read(path / "cameras.safetensors", "cameras", role="the cameras")
    for key in ("width", "height"):
        if file.config[key] != info[key]:
            raise G3dError(
                f"'{file.path}' is for pictures of {key} {file.config[key]}, but '{path / 'dataset.json'}' says {key} "
                f"{info[key]}; prepare it again"
            )
    cameras = Cameras(
        file.values["c2w"].float(), file.values["intrinsics"].float(), int(info["width"]), int(info["height"])
    )
    view_object = file.values.get("object", nothing).long()
    view_split = file.values.get("split", nothing).long()
    if len(cameras) != views:
        raise G3dError(f"'{path}' has {views} views but {len(cameras)} cameras; prepare it again")
    _check_index(path, info, view_object, view_split)
    return cameras, view_object, view_split


def _check_index(path: Path, info: Mapping[str, Any], view_object: Tensor, view_split: Tensor) -> None:
    for found, known in ((view_object, info["objects"]), (view_split, SPLITS)):
        if not ((found >= 0) & (found < len(known))).all():
            raise G3dError(f"'{path}' has views of objects or splits that dataset.json does not list; prepare it again")


def _check_pictures(data: Dataset, views: int) -> None:
    """One picture a view, NNNNNN.png, and none besides: whoever counts the folder counts the views."""
    store = data.stores.get("images")
    folder = data.path / "images" if store is None else store.path
    wanted = {f"{view:06d}.png" for view in range(views)}
    there = set() if store is None else store.names()
    missing, foreign = sorted(wanted - there), sorted(there - wanted)
    if missing:
        raise G3dError(
            f"'{folder}' holds {views - len(missing)} of the {views} pictures that dataset.json lists, not '{missing[0]}'; "
            "prepare it again"
        )
    if foreign:
        raise G3dError(
            f"'{folder}' holds '{foreign[0]}', which is no view of dataset.json (views is {views}: 000000.png to "
            f"{views - 1:06d}.png); take it away, or correct views"
        )
