"""Pictures of two places, paired by name; with the masks, depth and cameras that lie beside them.

A name is the path without its suffix: `a/000003`. The pictures of a dataset have several names, and the first way in which all
of them have a partner is taken: their number (`000013`); the item and the number of its view among the chosen ones, as
`render` and `decode --render` write them (`000002/000001`, or with the object's name); the latter alone for one object; the
number among the chosen ones, as `decode --render` writes image fields.

A picture without a partner is an error. So is a pair whose cameras are recorded and differ.

Letters: H rows, W columns.
"""

import json
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
from g3d.errors import G3dError
from g3d.evaluation.disparity import Sums, read_sums
from g3d.images import U8
from g3d.storage import files, foreign, leaving_out, zips

F32 = NDArray[np.float32]
_SAME_POSE = 1e-4  # largest difference of two c2w that count as one camera


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


@dataclass(frozen=True)
class Side:
    """The pictures of one place by each way of naming them, the preferred one first."""

    path: Path
    schemes: Mapping[str, Mapping[str, Item]]
    depth_kind: str | None = None  # what its depth is, in words
    notes: Sequence[str] = field(default_factory=list)
    data: Dataset | None = None  # where the place is one


@dataclass(frozen=True)
class Pair:
    """The true picture and the one to judge."""

    name: str
    true: Item
    test: Item


@dataclass(frozen=True)
class Pairs:
    """All pairs in the order of their names, and how the names were made."""

    pairs: Sequence[Pair]
    true: Side
    test: Side
    naming: str


def side(path: Path, what: str, split: str | None = None, objects: str | None = None) -> Side:
    """A dataset (its views of `split`, of its `objects` of a split, or of several: `train,pairs`), a folder or a zip."""
    if (path / "dataset.json").is_file():
        return _of_dataset(open_dataset(path), what, split, objects)
    return _Files(images.image_set(path, what)).side(path)


def pair(true: Side, test: Side, any_camera: bool = False) -> Pairs:
    """Every picture with its partner of the same name; `any_camera`: scenes may be drawn by cameras of their own."""
    choices = [(a, b) for a in true.schemes for b in test.schemes]
    overlap = {ab: len(true.schemes[ab[0]].keys() & test.schemes[ab[1]].keys()) for ab in choices}
    whole = [ab for ab in choices if true.schemes[ab[0]].keys() == test.schemes[ab[1]].keys()]
    naming = whole[0] if whole else max(choices, key=lambda ab: overlap[ab])
    firsts, seconds = true.schemes[naming[0]], test.schemes[naming[1]]
    _refuse_missing(true, firsts, test, seconds)
    pairs = [Pair(name, firsts[name], seconds[name]) for name in sorted(firsts)]
    for one in pairs if not any_camera else ():
        _same_camera(one)
    return Pairs(pairs, true, test, naming[0] if naming[0] == naming[1] else " = ".join(naming))


def same_size(one: Pair) -> tuple[U8, U8]:
    """Both pictures of a pair, which must have one size."""
    true, test = one.true.picture(), one.test.picture()
    if true.shape != test.shape:
        raise G3dError(
            f"'{one.true.where}' is {true.shape[1]} x {true.shape[0]} and '{one.test.where}' {test.shape[1]} x {test.shape[0]}; "
            "make them one size"
        )
    return true, test


def absent_depth(found: Pairs) -> str:
    """Why depth is not measured, in words."""
    lacking = [
        str(s.path)
        for s, items in ((found.true, [p.true for p in found.pairs]), (found.test, [p.test for p in found.pairs]))
        if not all(item.depth_world for item in items)
    ]
    return f"no depth beside all pictures of {' and of '.join(lacking)}" if lacking else "no pixel has depth in both"


def _refuse_missing(true: Side, firsts: Mapping[str, Item], test: Side, seconds: Mapping[str, Item]) -> None:
    for here, those, there, others in ((true, firsts, test, seconds), (test, seconds, true, firsts)):
        missing = sorted(those.keys() - others.keys())
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise G3dError(
                f"'{there.path}' has no picture '{missing[0]}'{more} that '{here.path}' has ({len(missing)} of {len(those)} "
                f"without a partner; '{there.path}' holds {len(others)}, the first is '{min(others)}'); give two sets with the "
                "same names, or choose views with --split and --objects"
            )


def _same_camera(one: Pair) -> None:
    a, b = one.true.c2w, one.test.c2w
    if a is not None and b is not None and np.abs(a - b).max() > _SAME_POSE * max(1.0, float(np.abs(a).max())):
        raise G3dError(
            f"'{one.true.where}' and '{one.test.where}' have the name '{one.name}' but other cameras (poses differ by "
            f"{np.abs(a - b).max():.3g}); draw with --cameras dataset:DIR:SPLIT and give the same --split here, or add "
            "--any-camera if each scene has a camera of its own"
        )


def _of_dataset(data: Dataset, what: str, split: str | None, objects: str | None) -> Side:
    chosen = set((objects or "all").split(","))
    wanted = [i for i, o in enumerate(data.info["objects"]) if chosen & {"all", o["split"]}]
    views = {i: [int(v) for v in data.views(i, None if split in (None, "all") else split)] for i in wanted}
    views = {i: found for i, found in views.items() if found}
    if not views:
        raise G3dError(
            f"{what} '{data.path}' hold no views of the split '{split or 'all'}' of objects '{objects or 'all'}'; "
            f"choose others of {', '.join((*OBJECT_SPLITS, 'all'))}"
        )
    stores = {
        name
        for name in ("masks", "depth", "inverse_depth")
        if data.raw(name, next(iter(views.values()))[0]) is not None
    }
    items = {v: _dataset_item(data, v, stores) for found in views.values() for v in found}
    names = data.object_names
    schemes = {"view": {f"{v:06d}": item for v, item in sorted(items.items())}}
    schemes["item/view"] = {
        f"{wanted.index(i):06d}/{k:06d}": items[v] for i, f in views.items() for k, v in enumerate(f)
    }
    schemes["object/view"] = {
        f"{names[i]}/{k:06d}": items[v] for i, found in views.items() for k, v in enumerate(found)
    }
    if len(views) == 1:
        schemes["view of the item"] = {f"{k:06d}": items[v] for k, v in enumerate(next(iter(views.values())))}
    schemes["number"] = {f"{k:06d}": item for k, (_, item) in enumerate(sorted(items.items()))}
    return Side(data.path, schemes, "camera z" if "depth" in stores else None, data=data)


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
        if not self.set.path.is_dir() and len(tops) == 1 and all("/" in key for key in items):  # a zip made of a folder
            schemes["file in its folder"] = {key.split("/", 1)[1]: item for key, item in items.items()}
        return Side(path, schemes, " / ".join(sorted(kinds)) or None, sorted(notes))

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
                matrix = np.asarray(frame.get("transform_matrix", []), np.float64)
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
                    value = json.loads(self._read(name))
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
