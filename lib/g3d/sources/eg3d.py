"""`prepare-data eg3d FOLDER|ZIP`: pictures with a `dataset.json` of 25 numbers each, as EG3D packs FFHQ, AFHQ and ShapeNet cars.

    {"labels": [["00000/img00000000.png", [25 numbers]], ...]}

The 25 numbers are camera => world (4x4, row by row, OpenCV axes) and the intrinsics (3x3) divided by the picture's size.

Letters: N pictures.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, needs_input, posed
from g3d.sources.posed import shots
from g3d.sources.writing.licence import UNKNOWN, is_licence, licence_of, shortened
from g3d.sources.writing.mirror import with_mirrored
from g3d.storage import foreign, leaving_out, named, zips
from g3d.storage.json_text import parsed

F64 = NDArray[np.float64]
LABELS = "dataset.json"
GROUPS = ("none", "folder")
_OWN_UP = "y"
_SKEW_MOST = 1e-3


@dataclass(frozen=True)
class Options:
    """Options of the source `eg3d`."""

    size: int | None = None
    background: str = "white"
    group: str = "none"  # "folder": the pictures of a folder are views of one object
    up: str = "auto"
    box: float | None = None
    mirror: bool = False
    max_unpacked_gb: float = 100.0


@dataclass(frozen=True)
class _Listing:
    """What lies in the folder or zip."""

    root: Path
    zipped: bool
    stamps: Mapping[str, Any]  # picture => what changes when it does
    labels: Mapping[str, Any] = field(repr=False)
    licence: str
    lead: str = ""  # FOLDER/ of a zip or a folder in which all lies in one
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def place(self, name: str) -> shots.Place:
        return shots.Place(self.root, self.lead + name, self.zipped)


def collect(request: Request) -> Collection:
    """Every picture with its label, in the order of their names."""
    options: Options = request.options
    root = needs_input(request, "eg3d", "the folder or zip of pictures with a dataset.json", "my/ffhq.zip")
    if options.group not in GROUPS:
        raise G3dError(f"--group is '{options.group}'; it is one of {', '.join(GROUPS)}")
    listing = _listing(root, options.max_unpacked_gb)
    names = sorted({*listing.stamps, *listing.labels})
    numbers, faults = _numbers(names, listing)
    c2w = numbers[:, :16].reshape(-1, 4, 4)
    good = np.array([name not in faults for name in names], bool)
    if not good.any():
        raise G3dError(f"{next(iter(faults.values()))} (and so it is with all {len(names)} pictures of '{root}')")
    world = posed.find_world(c2w[good], options.up, _OWN_UP)
    target = shots.target_of(
        (listing.place(n) for n in names if n not in faults),
        options.size,
        options.background,
        photo=True,
        skip_bad=request.skip_bad,
    )
    groups = {PurePosixPath(n).with_suffix("").as_posix(): [i] for i, n in enumerate(names)}
    if options.group == "folder" or len(groups) < len(names):  # a.png beside a.jpg keep their whole names
        groups = {}
        for i, n in enumerate(names):
            parent = PurePosixPath(n).parent.as_posix() if options.group == "folder" else n
            groups.setdefault(root.stem if parent == "." else parent, []).append(i)
    items = [
        _item(name, [names[i] for i in at], numbers[at], listing, faults, world.matrix, target)
        for name, at in groups.items()
    ]
    if options.mirror:
        items = with_mirrored(items, target.width, target.height)
    settings = {
        "input": root.resolve().name, "size": options.size, "background": options.background, "group": options.group,
        "up": options.up, "box": options.box, "mirror": options.mirror,
    }  # fmt: skip
    return Collection(
        root.resolve().name, items, listing.licence, settings, target.width, target.height,
        shots.BACKGROUNDS[options.background], partial(posed.describe, world, options.box, {}), inputs=(root,),
        pictures=len(names) * (2 if options.mirror else 1), left_out=listing.left_out,
    )  # fmt: skip


def _item(name: str, files: Sequence[str], numbers: F64, listing: _Listing, faults: Mapping[str, str], source_to_world: F64,
          target: shots.Target) -> Item:  # fmt: skip
    """The item of these pictures, or one that says what is wrong with the first bad one."""
    bad = [file for file in files if file in faults]
    if bad and (len(bad) == len(files) or not target.skip_bad):
        return Item(name, partial(posed.bad, faults[bad[0]]), posed.stamp(faults[bad[0]]))
    if bad:  # of an object of several pictures, only these go
        numbers = numbers[[file not in faults for file in files]]
        files = [file for file in files if file not in faults]
    left_out = {leaving_out.FAULTY: [faults[file] for file in bad]} if bad else {}
    mark = posed.stamp([listing.stamps[f] for f in files], numbers)
    places = [listing.place(f) for f in files]
    return Item(name, partial(make, places, numbers, source_to_world, target, files[0], left_out), mark)


def make(places: Sequence[shots.Place], numbers: F64, source_to_world: F64, target: shots.Target, file: str,
         left_out: leaving_out.LeftOut) -> Made:  # fmt: skip
    """One object: its pictures with the cameras of their labels [N, 25]."""
    c2w = source_to_world @ numbers[:, :16].reshape(-1, 4, 4)
    k = numbers[:, [16, 20, 18, 21]]  # fx fy cx cy
    found = [shots.Shot(place, pose, row) for place, pose, row in zip(places, c2w, k, strict=True)]
    return shots.made(found, target, {"file": file, **({"left_out": left_out} if left_out else {})})


def _numbers(names: Sequence[str], listing: _Listing) -> tuple[F64, dict[str, str]]:
    """The labels [N, 25] (0 where there is none that can be used), and the sentences on those that cannot be used."""
    numbers, faults = np.zeros((len(names), 25)), {}
    for i, name in enumerate(names):
        where, label = listing.place(name), listing.labels.get(name)
        if name not in listing.stamps:
            faults[name] = (
                f"the picture '{where}' is listed in {LABELS} but is not there; add it or take it off the list"
            )
        elif label is None:
            faults[name] = f"the picture '{where}' has no label in {LABELS}; add its 25 numbers or take it away"
        elif not isinstance(label, list) or len(label) != 25:
            size = len(label) if isinstance(label, list) else 1
            faults[name] = (f"the label of '{where}' has {size} numbers, wanted are the 25 of a camera (4x4 pose, 3x3 "
                            "intrinsics); the source images takes labels of classes")  # fmt: skip
        else:
            try:
                numbers[i] = label
            except (TypeError, ValueError) as error:
                faults[name] = f"the label of '{where}' is not one of numbers ({error}); correct it"
    filled = [i for i, name in enumerate(names) if name not in faults]
    try:
        _check(numbers[filled], lambda i: f"'{listing.place(names[filled[i]])}'")
    except G3dError:  # at least one is bad; one by one takes longer
        for i in filled:
            try:
                _check(numbers[i : i + 1], lambda _, i=i: f"'{listing.place(names[i])}'")  # type: ignore[misc]
            except G3dError as error:
                faults[names[i]] = str(error)
    return numbers, faults


def _check(labels: F64, name: Callable[[int], str]) -> None:
    """Refuse the first of [N, 25] that is no camera of ours."""
    posed.check_poses(labels[:, :16].reshape(-1, 4, 4), name)
    k = labels[:, 16:]  # fx skew cx  0 fy cy  0 0 1
    posed.check_intrinsics(k[:, [0, 4, 2, 5]], name)
    odd = np.abs(k[:, [1, 3, 6, 7, 8]] - [0, 0, 0, 0, 1]).max(1) > _SKEW_MOST
    whole = (k[:, [0, 4]].max(1) > 100) | (k[:, [2, 5]].min(1) <= -1) | (k[:, [2, 5]].max(1) >= 2)
    for bad, wanted in (
        (odd, "wanted is fx 0 cx, 0 fy cy, 0 0 1, without skew"),
        (whole, "they are divided by the picture's size, so that cx is about 0.5"),
    ):
        if bad.any():
            first = int(bad.argmax())
            raise G3dError(f"the intrinsics of {name(first)} are {k[first].tolist()}; {wanted}")


def _listing(root: Path, max_unpacked_gb: float) -> _Listing:
    """The pictures, the labels and the licence in a folder or a zip; where all lies in one folder, it is that folder."""
    zipped = not root.is_dir()
    stamps: dict[str, Any]
    if zipped:
        stamps = {
            n: (m.file_size, m.CRC) for n, m in zips.check(root, max_unpacked_gb).items() if not foreign.is_foreign(n)
        }
    else:
        below = ((p.relative_to(root).as_posix(), p.stat()) for p in foreign.files_below(root))
        stamps = {name: (about.st_size, about.st_mtime_ns) for name, about in below}
    pictures = [n for n in stamps if n.lower().endswith(images.SUFFIXES)]
    lead = foreign.lead(stamps, LABELS, pictures)

    def read(name: str) -> bytes:
        return zips.member(zips.opened(root), name, f"{root}:{name}") if zipped else named.read(root / name, "the file")

    labels = _labels(read(lead + LABELS) if lead + LABELS in stamps else None, root)
    licences = [
        shortened(n, read(n)) for n in stamps if "/" not in n.removeprefix(lead) and is_licence(PurePosixPath(n).name)
    ]
    own = {n.removeprefix(lead): stamps[n] for n in pictures}
    others = foreign.kinds(n for n in stamps if n != lead + LABELS and n.removeprefix(lead) not in own)
    licence = licences[0] if licences else UNKNOWN if zipped else licence_of(root)
    return _Listing(root, zipped, own, labels, licence, lead, others)


def _tidy(name: Any) -> Any:
    """`.\\a\\b.png` => `a/b.png`."""
    return name.replace("\\", "/").removeprefix("./") if isinstance(name, str) else name


def _labels(data: bytes | None, root: Path) -> dict[str, Any]:
    """Picture => label, of the bytes of dataset.json."""
    if data is None:
        raise G3dError(f"'{root}' has no {LABELS} with the cameras; add it, or use the source images, which needs none")
    try:
        table = parsed(data)
        labels = table["labels"]
        found = {_tidy(name): label for name, label in dict(labels).items()}
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise G3dError(f"the {LABELS} of '{root}' cannot be read ({type(error).__name__}: {error}); it holds "
                       '{"labels": [[picture, [25 numbers]], ...]}') from error  # fmt: skip
    if len(found) < len(labels):
        listed = [_tidy(pair[0]) for pair in labels] if isinstance(labels, list) else [_tidy(name) for name in labels]
        twice = next(name for i, name in enumerate(listed) if name in listed[:i])
        raise G3dError(f"the {LABELS} of '{root}' lists '{twice}' twice; list it once")
    if not found or not all(isinstance(name, str) for name in found):
        raise G3dError(
            f"the {LABELS} of '{root}' lists no pictures; it holds {{\"labels\": [[picture, [25 numbers]], ...]}}"
        )
    return found
