"""The pictures of one place (a dataset, a folder, a zip) by name, with the masks, depth and cameras that lie beside them.

A name is the path without its suffix: `a/000003`. The pictures of a dataset have several names: their number (`000013`); the item
and the number of its view among the chosen ones, as `render` and `decode --render` write them (`000002/000001`, or with the
object's name); the latter alone for one object; the number among the chosen ones, as `decode --render` writes image fields.

Letters: H rows, W columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.cameras import OPENGL_FLIP
from g3d.data.columns import OBJECT_SPLITS
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError, did_you_mean
from g3d.evaluation.disparity import Sums, read_sums
from g3d.images import U8
from g3d.storage import files, foreign, leaving_out, zips
from g3d.storage.json_text import parsed

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Item:
    """One picture, and what is known of it. Each function reads when called; None where there is no such thing."""

    where: str  # for messages
    picture: Callable[[], U8]
    mask: Callable[[], U8] | None = None  # [H, W] coverage, 0..255
    depth_world: Callable[[], F32] | None = None  # [H, W] camera z, 0: nothing
    inverse_depth: Callable[[], F32] | None = None  # [H, W] of an estimator, in units of its own
    c2w: NDArray[np.float64] | None = None  # OpenCV
    landmarks_px: NDArray[np.float64] | None = None  # [68, 2]
    disparity: Callable[[], Sums] | None = None  # of its rays
    view: int | None = None  # of a dataset
    size_px: Callable[[], tuple[int, int]] | None = None  # width and height, as the file's header says


@dataclass(frozen=True)
class Side:
    """The pictures of one place by each way of naming them, the preferred one first."""

    path: Path
    schemes: Mapping[str, Mapping[str, Item]]
    depth_kind: str | None = None  # what its depth is, in words
    notes: Sequence[str] = field(default_factory=list)
    data: Dataset | None = None  # where the place is one
    items: Sequence[str] = ()  # where items say what the other place's folders show: their names
    left_out: frozenset[str] = frozenset()  # and what of the other place does not count
    of_objects: bool = (
        False  # files show an object each, as render draws one view of many scenes, not views of one object
    )
    shows: Mapping[str, str] = field(
        default_factory=dict
    )  # folder ("": the place itself) => item that it shows, if it says so


def side(
    path: Path, what: str, split: str | None = None, objects: str | None = None, items: Sequence[str] | None = None
) -> Side:
    """A dataset (its views of `split`, of its `objects` of a split, or of several: `train,pairs`), a folder or a zip. `items`:
    the objects of the dataset, by name, that the other place's folders 000000, 000001, ... show."""
    if (path / "dataset.json").is_file():
        return _of_dataset(open_dataset(path), what, split, objects, items)
    return _Files(images.image_set(path, what)).side(path)


def _of_dataset(data: Dataset, what: str, split: str | None, objects: str | None, items: Sequence[str] | None) -> Side:
    names, chosen = data.object_names, set((objects or "all").split(","))
    of_split = [i for i, o in enumerate(data.info["objects"]) if chosen & {"all", o["split"]}]
    places = list(enumerate(of_split)) if items is None else _places(data, what, items)  # number of a folder, object
    wanted = [(place, i) for place, i in places if i in set(of_split)]
    views = {i: [int(v) for v in data.views(i, None if split in (None, "all") else split)] for _, i in places}
    chosen_views = {i: views[i] for i in dict.fromkeys(i for _, i in wanted) if views[i]}
    if not chosen_views:
        raise G3dError(
            f"{what} '{data.path}' hold no views of the split '{split or 'all'}' of objects '{objects or 'all'}'; "
            f"choose others of {', '.join((*OBJECT_SPLITS, 'all'))}"
        )
    first = next(iter(chosen_views.values()))[0]
    stores = {name for name in ("masks", "depth", "inverse_depth") if data.raw(name, first) is not None}
    found = {v: _dataset_item(data, v, stores) for each in chosen_views.values() for v in each}
    by_item = {f"{p:06d}/{k:06d}": found[v] for p, i in wanted for k, v in enumerate(views[i])}
    if items is not None:
        others = {f"{p:06d}/{k:06d}" for p, i in places for k in range(len(views[i]))} - by_item.keys()
        named = {"item/view": by_item}
        if len(items) == 1:  # whose views are drawn into no folder of their own
            named["view of the item"] = {name.partition("/")[2]: item for name, item in by_item.items()}
        return Side(
            data.path, named, "camera z" if "depth" in stores else None, (), data, tuple(items), frozenset(others)
        )
    schemes = {"view": {f"{v:06d}": item for v, item in sorted(found.items())}, "item/view": by_item}
    schemes["object/view"] = {
        f"{names[i]}/{k:06d}": found[v] for i, each in chosen_views.items() for k, v in enumerate(each)
    }
    if len(chosen_views) == 1:
        schemes["view of the item"] = {f"{k:06d}": found[v] for k, v in enumerate(next(iter(chosen_views.values())))}
    schemes["number"] = {f"{k:06d}": item for k, (_, item) in enumerate(sorted(found.items()))}
    return Side(data.path, schemes, "camera z" if "depth" in stores else None, data=data)


def _places(data: Dataset, what: str, items: Sequence[str]) -> list[tuple[int, int]]:
    """Place and object of each item; the one that is no object of the dataset is named."""
    known = {name: i for i, name in enumerate(data.object_names)}
    lacking = next((name for name in items if name not in known), None)
    if lacking is not None:
        raise G3dError(f"{what} '{data.path}' hold no object '{lacking}', which an item is named "
                       f"after{did_you_mean(lacking, known)}; give items with the names of its objects")  # fmt: skip
    return [(place, known[name]) for place, name in enumerate(items)]


def _dataset_item(data: Dataset, view: int, stores: set[str]) -> Item:
    marks = data.labels.get("landmarks")
    return Item(
        f"{data.path}/images/{view:06d}.png",
        lambda: data.pictures([view])[0],
        (lambda: data.mask(view)) if "masks" in stores else None,
        (lambda: data.depth_world(view)) if "depth" in stores else None,
        (lambda: data.inverse_depth(view)) if "inverse_depth" in stores else None,
        None if data.cameras is None else data.cameras.c2w[view].double().numpy(),
        None if marks is None else marks[view].double().numpy(),
        view=view,
        size_px=lambda: (data.info["width"], data.info["height"]),
    )


class _Files:
    """A folder or a zip: `a/masks/x.png`, `a/depth/x.png` and, in a folder, `a/disparity/x.safetensors` belong to `a/x.png`,
    `a/transforms.json` to all of `a`."""

    def __init__(self, found: images.ImageSet):
        self.set = found

    @cached_property
    def names(self) -> frozenset[str]:
        """All files, posix paths below the root."""
        root = self.set.path
        if root.is_dir():
            return frozenset(p.relative_to(root).as_posix() for p in foreign.files_below(root))
        return frozenset(n for n in zips.opened(root).namelist() if not foreign.is_foreign(n))

    def side(self, path: Path) -> Side:
        """The side of these files; `path` is the place that the user named."""
        items: dict[str, Item] = {}
        notes: set[str] = set()
        kinds: set[str] = set()
        for name in self.set.names:
            key = str(PurePosixPath(name).with_suffix(""))
            if key in items:
                raise G3dError(
                    f"'{path}' holds two pictures of the name '{key}', so pairs are not clear; keep one of them"
                )
            items[key] = self._item(name, notes, kinds)
        if self.set.left_out:
            notes.add(f"of '{path}' {leaving_out.note(self.set.left_out)}")
        schemes = {"file": items}
        tops = {PurePosixPath(key).parts[0] for key in items}
        root = PurePosixPath()
        if not self.set.path.is_dir() and len(tops) == 1 and all("/" in key for key in items):  # a zip made of a folder
            schemes["file in its folder"] = {key.split("/", 1)[1]: item for key, item in items.items()}
            root = PurePosixPath(*tops)
        of_objects = self._json(str(root / "transforms.json")).get("frames_show") == "objects"
        folders = {PurePosixPath(key).parent for key in items}
        said = {f.relative_to(root).as_posix(): self._json(str(f / "transforms.json")).get("item") for f in folders}
        shows = {folder if folder != "." else "": item for folder, item in said.items() if isinstance(item, str)}
        return Side(path, schemes, " / ".join(sorted(kinds)) or None, sorted(notes), of_objects=of_objects, shows=shows)

    def _item(self, name: str, notes: set[str], kinds: set[str]) -> Item:
        where = self._where(name)
        mask, depth = self._beside(name, "masks"), self._beside(name, "depth")
        disparity = self._beside(name, "disparity", ".safetensors") if self.set.path.is_dir() else None
        scale = None
        if depth is not None:
            scale, kind = self._depth_scale(depth)
            if scale is None:
                notes.add(
                    f"'{self._where(depth)}' has no depth.json with a depth_scale beside it; depth is not compared"
                )
            else:
                kinds.add(kind)
        return Item(
            where,
            lambda: images.decode(self._read(name), where),
            None if mask is None else lambda: images.decode_mask(self._read(mask), self._where(mask)),
            None if depth is None or scale is None else lambda: self._depth(depth, scale),
            None,
            self._poses(str(PurePosixPath(name).parent)).get(PurePosixPath(name).stem),
            disparity=None if disparity is None else lambda: read_sums(self.set.path / disparity),
            size_px=lambda: self.set.size(name),
        )

    def _depth(self, name: str, scale: float) -> F32:
        return images.decode_grey(self._read(name), self._where(name)).astype(np.float32) * np.float32(scale)

    def _beside(self, name: str, kind: str, suffix: str = ".png") -> str | None:
        """The file of another kind for a picture: in a folder beside it, or in one at the root."""
        path = PurePosixPath(name)
        choices = [path.parent / kind / f"{path.stem}{suffix}", PurePosixPath(kind) / path.with_suffix(suffix)]
        return next((str(choice) for choice in choices if str(choice) in self.names), None)

    def _depth_scale(self, name: str) -> tuple[float | None, str]:
        """World units a step, and what the depth is in words."""
        about = self._json(str(PurePosixPath(name).parent / "depth.json"))
        scale = about.get("depth_scale", (about.get("depth_scales") or {}).get(PurePosixPath(name).name))
        if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
            return None, ""
        return float(scale), str(about.get("what", "unnamed")).partition(",")[0]

    def _poses(self, folder: str) -> Mapping[str, NDArray[np.float64]]:
        """Stem of a picture => c2w (OpenCV), of the folder's transforms.json."""
        if folder not in self._known:
            found = {}
            about = self._json(str(PurePosixPath(folder) / "transforms.json"))
            ours = about.get("world_up") == "y"  # other tools turn the world, and their poses say nothing of ours
            for frame in about.get("frames", []) if ours else []:
                try:
                    matrix = np.asarray(frame.get("transform_matrix", []), np.float64)
                except (ValueError, TypeError, AttributeError, OverflowError) as error:
                    raise G3dError(
                        f"'{PurePosixPath(folder) / 'transforms.json'}' has a frame whose transform_matrix is no 4 x 4 numbers; "
                        "correct it or draw the pictures again"
                    ) from error
                if matrix.shape == (4, 4):
                    found[PurePosixPath(str(frame.get("file_path", ""))).stem] = (
                        matrix * OPENGL_FLIP.numpy()
                    )  # OpenGL => OpenCV
            self._known[folder] = found
        return self._known[folder]

    @cached_property
    def _known(self) -> dict[str, Mapping[str, NDArray[np.float64]]]:
        return {}

    @cached_property
    def _parsed(self) -> dict[str, dict[str, Any]]:
        return {}

    def _json(self, name: str) -> dict[str, Any]:
        if name not in self._parsed:
            self._parsed[name] = {}
            if name in self.names:
                try:
                    value = parsed(self._read(name))
                except (ValueError, RecursionError) as error:
                    raise G3dError(f"'{self._where(name)}' is not valid JSON ({error}); write it again") from error
                self._parsed[name] = value if isinstance(value, dict) else {}
        return self._parsed[name]

    def _read(self, name: str) -> bytes:
        if self.set.path.is_dir():
            return files.read_bytes(self.set.path / name, "the file", files.JSON_MOST)
        return zips.member(zips.opened(self.set.path), name, self._where(name))

    def _where(self, name: str) -> str:
        return f"{self.set.path}{'/' if self.set.path.is_dir() else ':'}{name}"
