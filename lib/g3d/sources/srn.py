"""`prepare-data srn FOLDER`: SRN folders, one an object: `NAME/rgb/*.png`, `NAME/pose/*.txt`, `NAME/intrinsics.txt`.

Poses are 16 numbers, camera => world, OpenCV axes. `intrinsics.txt` begins with `f cx cy 0.` and ends with height and width;
`NAME/intrinsics/*.txt`, a matrix a view, goes before it; without either the focal length of SRN's cars and chairs is taken.

Letters: V views.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, needs_input, posed
from g3d.sources.posed import shots
from g3d.sources.writing.licence import licence_of
from g3d.sources.writing.mirror import with_mirrored
from g3d.storage import files, foreign, leaving_out

F64 = NDArray[np.float64]
KNOWN_FOCAL = 131.25 / 128  # of SRN's cars and chairs, in widths of a picture
_OWN_UP = "z"
_OBJECTS_FOR_UP = 16  # whose cameras say what is up
_SPLIT_WORDS = ("train", "val", "test")


@dataclass(frozen=True)
class Options:
    """Options of the source `srn`."""

    size: int | None = None
    background: str = "white"
    views: int | None = None  # the first ones of each object
    up: str = "auto"
    box: float | None = None
    mirror: bool = False


@dataclass(frozen=True)
class _Folder:
    """One object: its name, folder and split."""

    name: str
    path: Path
    split: str | None


@dataclass(frozen=True)
class _Common:
    """What all objects share."""

    root: Path
    source_to_world: F64  # [4, 4]
    target: shots.Target
    views: int | None
    assumed: bool  # the focal length


def collect(request: Request) -> Collection:
    """Every object folder under `input`, in the order of their names."""
    options: Options = request.options
    root = needs_input(request, "srn", "the folder of SRN objects", "my/cars_train")
    if not root.is_dir():
        raise G3dError(f"'{root}' is a file; give the folder that holds the SRN objects (NAME/rgb, NAME/pose)")
    folders, notes = _folders(root)
    if not folders:
        raise G3dError(f"the folder '{root}' holds no SRN objects (NAME/rgb with pictures and NAME/pose with *.txt); give "
                       "another one")  # fmt: skip
    poses = np.concatenate([np.zeros((0, 4, 4)), *_readable_poses(folders)])
    world = posed.find_world(poses, options.up, _OWN_UP)
    pictures = (shots.Place(p.parent, p.name) for f in folders for p in _pictures(f.path)[:1])
    target = shots.target_of(pictures, options.size, options.background, skip_bad=request.skip_bad)
    assumed = not any(_has_intrinsics(f.path) for f in islice(folders, _OBJECTS_FOR_UP))
    if assumed:
        notes.append(
            f"there is no intrinsics.txt: the focal length of SRN's cars is taken, {KNOWN_FOCAL * 128} at 128 pixels"
        )
    extra = {"intrinsics": "of SRN's cars and chairs, assumed"} if assumed else {}
    common = _Common(root, world.matrix, target, options.views, assumed)
    items = [
        Item(f.name, partial(make, f, common), posed.stamp(*(posed.changed(f.path / n) for n in ("rgb", "pose"))))
        for f in folders
    ]
    if options.mirror:
        items = with_mirrored(items, target.width, target.height)
    settings = {
        "input": root.resolve().name, "size": options.size, "background": options.background, "views": options.views,
        "up": options.up, "box": options.box, "mirror": options.mirror,
    }  # fmt: skip
    return Collection(
        root.resolve().name, items, licence_of(root), settings, target.width, target.height,
        shots.BACKGROUNDS[options.background], partial(posed.describe, world, options.box, extra), inputs=(root,),
        notes=tuple(notes),
    )  # fmt: skip


def make(folder: _Folder, common: _Common) -> Made:
    """One object: all of its pictures with their poses."""
    place = folder.path
    pictures, poses = _pictures(place), _texts(place / "pose")
    left_out: list[str] = []
    if common.target.skip_bad and pictures:
        pictures, poses, left_out = _usable(pictures, poses, place)
    _check_pairs(pictures, poses, place)
    pictures, poses = pictures[: common.views], poses[: common.views]
    if not (common.assumed or _has_intrinsics(place)):
        raise G3dError(f"'{place}' has no intrinsics.txt, other objects have one; add it")
    c2w = np.stack([posed.matrix_of(_numbers(p), (4,), f"'{p}'") for p in poses])
    posed.check_poses(c2w, lambda i: f"'{poses[i]}'")
    width, height, intrinsics = _intrinsics(place, [p.stem for p in pictures])
    posed.check_intrinsics(intrinsics, lambda i: f"'{pictures[i]}'")
    found = [
        shots.Shot(shots.Place(picture.parent, picture.name), pose, k, width, height)
        for picture, pose, k in zip(pictures, common.source_to_world @ c2w, intrinsics, strict=True)
    ]
    entry = {"file": place.name if place == common.root else place.relative_to(common.root).as_posix()}
    more: dict[str, Any] = {} if folder.split is None else {"split": folder.split}
    if left_out:
        more["left_out"] = {leaving_out.FAULTY: left_out}
    return shots.made(found, common.target, {**entry, **more})


def _folders(root: Path) -> tuple[list[_Folder], list[str]]:
    """The objects under `root`, and what is to be said of its splits."""
    if (root / "rgb").is_dir():
        return [_Folder(root.resolve().name, root, None)], []
    inside = [p for p in foreign.inside(root) if p.is_dir()]
    objects = [p for p in inside if (p / "rgb").is_dir()]
    if objects:
        return [_Folder(p.name, p, None) for p in objects], []
    parts = {p: word for p in inside if (word := p.name.rsplit("_", 1)[-1].lower()) in _SPLIT_WORDS}
    again = [p for p in parts if "_" in p.name and p.with_name(p.name.rsplit("_", 1)[0]) in parts]  # cars_train_val
    there = {word for p, word in parts.items() if p not in again}
    notes = [f"'{p}' holds other views of objects that are there already; it is left out" for p in again]
    if "val" in there:
        use = "the split test is made of it" if "test" not in there else "it is left out, since there is a test split"
        notes.append(f"'{root}' has a validation split: {use}")
    found = []
    for part, word in parts.items():
        if part in again or (word == "val" and "test" in there):
            continue
        split = "train" if word == "train" else "test"
        found += [_Folder(p.name, p, split) for p in foreign.inside(part) if (p / "rgb").is_dir()]
    often = Counter(f.name for f in found)
    named = [replace(f, name=f.path.relative_to(root).as_posix()) if often[f.name] > 1 else f for f in found]
    return sorted(named, key=lambda f: f.split == "test"), notes


def _pictures(folder: Path) -> list[Path]:
    place = folder / "rgb"
    return [p for p in foreign.inside(place) if p.suffix.lower() in images.SUFFIXES] if place.is_dir() else []


def _texts(folder: Path) -> list[Path]:
    return foreign.inside(folder, "*.txt") if folder.is_dir() else []


def _check_pairs(pictures: Sequence[Path], poses: Sequence[Path], folder: Path) -> None:
    """Every picture has its pose, and every pose its picture."""
    if not pictures:
        raise G3dError(f"'{folder / 'rgb'}' holds no pictures; take the object away or fill it")
    with_pose, with_picture = {p.stem for p in poses}, {p.stem for p in pictures}
    for picture in pictures:
        if picture.stem not in with_pose:
            raise G3dError(
                f"'{picture}' has no pose '{folder / 'pose' / picture.stem}.txt'; add it or take the picture away"
            )
    for pose in poses:
        if pose.stem not in with_picture:
            raise G3dError(f"'{pose}' has no picture in '{folder / 'rgb'}'; add it or take the pose away")


def _usable(pictures: Sequence[Path], poses: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The pictures with a pose that can be read, their poses, and the sentences on the others."""
    by_stem, kept, faults = {p.stem: p for p in poses}, [], []
    for picture in pictures:
        try:
            if picture.stem not in by_stem:
                _check_pairs([picture], [], folder)
            path = by_stem[picture.stem]
            pose = posed.matrix_of(_numbers(path), (4,), f"'{path}'")
            posed.check_poses(pose[None], [f"'{path}'"].__getitem__)
            kept.append((picture, path))
        except G3dError as error:
            faults.append(str(error))
    stems = {p.stem for p in pictures}
    faults += [
        f"'{p}' has no picture in '{folder / 'rgb'}'; add it or take the pose away"
        for p in poses
        if p.stem not in stems
    ]
    if not kept:
        raise G3dError(f"{faults[0]} (and so it is with all of its {len(faults)} pictures)")
    return [picture for picture, _ in kept], [path for _, path in kept], faults


def _has_intrinsics(folder: Path) -> bool:
    return (folder / "intrinsics.txt").is_file() or (folder / "intrinsics").is_dir()


def _intrinsics(folder: Path, names: Sequence[str]) -> tuple[int, int, F64]:
    """Width and height (0: those of each picture), and fx fy cx cy [V, 4] for them."""
    file, each = folder / "intrinsics.txt", folder / "intrinsics"
    width, height = 0, 0
    if file.is_file():
        width, height, k = _shared_intrinsics(file)
    elif each.is_dir():
        width, height, _ = shots.form_of(
            shots.Place(folder / "rgb", _pictures(folder)[0].name)
        )  # their pixels are those of the pictures
    else:
        return 0, 0, np.tile([KNOWN_FOCAL, KNOWN_FOCAL, 0.5, 0.5], (len(names), 1))
    if not each.is_dir():
        return width, height, np.tile(k, (len(names), 1))
    rows = []
    for name in names:
        path = each / f"{name}.txt"
        if not path.is_file():
            raise G3dError(f"the view '{name}' has no intrinsics '{path}'; add the file")
        m = posed.matrix_of(_numbers(path), (3, 4), f"'{path}'")
        rows.append([m[0, 0], m[1, 1], m[0, 2], m[1, 2]])
    return width, height, np.array(rows)


def _shared_intrinsics(file: Path) -> tuple[int, int, F64]:
    """Width, height, fx fy cx cy of `intrinsics.txt`: its first line, and its last."""
    lines = [line for line in _text(file).splitlines() if line.strip()]
    try:
        focal, cx, cy = (float(v) for v in lines[0].split()[:3])
        height, width = (int(float(v)) for v in lines[-1].split())
    except (IndexError, ValueError, OverflowError) as error:
        raise G3dError(f"'{file}' is not SRN's intrinsics ({error}); its first line is 'f cx cy 0.', its last 'height width'"
                       ) from error  # fmt: skip
    if width < 1 or height < 1:
        raise G3dError(f"'{file}' gives the picture size {width}x{height}; both are at least 1")
    return width, height, np.array([focal, focal, cx, cy])


def _numbers(path: Path) -> list[float]:
    try:
        return [float(word) for word in _text(path).split()]
    except ValueError as error:
        raise G3dError(f"'{path}' does not hold numbers alone ({error}); correct it") from error


def _text(path: Path) -> str:
    try:
        return files.read_bytes(path, "the file", files.JSON_MOST).decode("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise G3dError(f"'{path}' cannot be read as text ({error}); write it again") from error


def _readable_poses(folders: Sequence[_Folder]) -> Iterator[F64]:
    """Poses [V, 4, 4] of the first objects; those that cannot be read are told when their object's turn comes."""
    for folder in islice(folders, _OBJECTS_FOR_UP):
        try:
            poses = [posed.matrix_of(_numbers(p), (4,), "") for p in _texts(folder.path / "pose")]
            if poses:
                posed.check_poses(np.stack(poses), str)
                yield np.stack(poses)
        except G3dError:
            continue
