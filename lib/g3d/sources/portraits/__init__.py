"""`prepare-data portraits FOLDER`: photographs of faces with 68 landmarks and an expression each, one subject a picture.

Cameras are found from the landmarks and a mean face, in the world of `prepare-data faces` and by its lens, so that a model of
multi-view faces can be fitted on to photographs. Pictures are cropped to their centre square (FFHQ and CelebA-HQ are square).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from g3d import images
from g3d.data import pnp
from g3d.errors import G3dError, existing
from g3d.face_landmarks import DLIB, dlib_finder
from g3d.sources import Collection, Item, Made, Request, Summary, View, needs_input
from g3d.sources.faces import choices, frames
from g3d.sources.faces.model import EXPRESSIONS
from g3d.sources.portraits import labels
from g3d.sources.portraits.mean_face import MEAN_FACE_WORLD
from g3d.sources.writing.licence import licence_of
from g3d.storage import named

MOST_OFF_SHARE = 0.1  # of a picture's side, that landmarks may be off the mean face on the average
LOW, HIGH = (-2.8, -3.8, -2.4), (2.8, 3.4, 2.7)  # corners of the box that heads lie in, world units
BLACK = (0, 0, 0)
_OTHERWISE = "give a folder of landmarks, --landmarks FOLDER"


@dataclass(frozen=True)
class Options:
    """What this source uses of the command line."""

    size: int = 256
    labels: Path | None = None  # a folder of features, a JSON a picture
    landmarks: Path | None = None  # a folder of landmarks, a file a picture; or DLIB, which finds them
    expressions: int | str = len(EXPRESSIONS)  # what is known by number: those of the multi-view data


def collect(request: Request) -> Collection:
    """Every photograph that has its landmarks and features, by the names of the files."""
    folder = needs_input(request, "portraits", "a folder of photographs of faces", "my/ffhq")
    options: Options = request.options
    for word in ("labels", "landmarks"):
        if getattr(options, word) is None:
            what = "emotions, as ffhq-features-dataset has them" if word == "labels" else "files of 68 landmarks"
            more = f" (or --landmarks {DLIB}, which finds them)" if word == "landmarks" else ""
            raise G3dError(f"the source 'portraits' needs --{word}, a folder of {what}, one a picture{more}")
    assert options.labels is not None and options.landmarks is not None
    features = existing(options.labels, "the folder of labels")
    by_dlib = str(options.landmarks) == DLIB and not options.landmarks.exists()
    if by_dlib:
        dlib_finder(_OTHERWISE)  # refuses before any picture is read
    marks = None if by_dlib else existing(options.landmarks, "the folder of landmarks")
    names = tuple(choices.NAMES[i] for i in choices.expressions(options.expressions))
    pictures = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES and not p.name.startswith(".")
    )
    if not pictures:
        raise G3dError(f"'{folder}' holds no pictures ({', '.join(images.SUFFIXES)}); give another folder")
    items, stems = [], [p.stem for p in pictures]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise G3dError(f"'{folder}' has two pictures named '{twice}', whose labels would be the same; rename one")
    for number, picture in enumerate(pictures):
        own = tuple(marks / f"{picture.stem}{suffix}" for suffix in labels.LANDMARK_SUFFIXES) if marks else None
        shot = Shot(picture, features / f"{picture.stem}.json", own, number, options.size, names)
        items.append(Item(picture.stem, partial(make, shot), _stamp(shot)))
    settings: dict[str, Any] = {
        "input": folder.resolve().name,
        "size": options.size,
        **({"landmarks": DLIB} if by_dlib else {}),
        **choices.settings(choices.expressions(options.expressions), None),
    }
    known = {"expression": names, "subject": stems}
    return Collection(
        f"portraits {folder.resolve().name}", items, licence_of(folder), settings, options.size, options.size, (0.0, 0.0, 0.0),
        partial(describe, options.size), known, (folder, features, *([marks] if marks else [])), len(items),
    )  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One photograph and where what is known of it lies."""

    picture: Path
    features: Path
    landmarks: tuple[Path, ...] | None  # the first that is there; None: they are looked for in the picture
    number: int
    size: int
    names: tuple[str, ...]  # of the expressions, by number


def make(shot: Shot) -> Made:
    """One photograph as a subject with an expression, seen once."""
    name = labels.expression(shot.features)
    if name not in shot.names:
        raise G3dError(f"'{shot.picture}' shows '{name}', which --expressions leaves out ({', '.join(shot.names)})")
    data = named.read(shot.picture, "the photograph")
    picture = images.encode(images.decode_square(data, str(shot.picture), shot.size, BLACK), photo=True)
    whole, where = landmarks_of(shot, data)
    pixels = cropped(whole, images.size_of(shot.picture), shot.size)
    k = frames.intrinsics_px(shot.size).astype(np.float64)
    try:
        c2w, off = pnp.camera(MEAN_FACE_WORLD, pixels, k)
    except ValueError as error:
        raise G3dError(f"no camera fits the landmarks {where}: {error}; replace them") from error
    if off > MOST_OFF_SHARE * shot.size:
        raise G3dError(
            f"the landmarks {where} are {off:.1f} pixels off a face on the average, or not in the 68-point order; replace them"
        )
    columns = {
        "c2w": c2w[None], "intrinsics": k[None], "subject": np.array([shot.number]),
        "expression": np.array([shot.names.index(name)]), "landmarks": pixels[None],
    }  # fmt: skip
    entry = {"file": shot.picture.name, "subject": shot.number, "expression": name, "landmarks_off_px": round(off, 2)}
    return Made([View(picture)], columns, entry=entry, box=(LOW, HIGH))


def landmarks_of(shot: Shot, data: bytes) -> tuple[labels.F64, str]:
    """[68, 2] pixels of the whole photograph, from its file or found in it; and where they are from, for messages."""
    if shot.landmarks is None:
        found = dlib_finder(_OTHERWISE)(images.decode(data, str(shot.picture), BLACK))
        if found is None:
            raise G3dError(f"dlib's detector finds no face in '{shot.picture}'; {_OTHERWISE}")
        return found, f"that dlib finds in '{shot.picture}'"
    path = next((p for p in shot.landmarks if p.is_file()), None)
    if path is None:
        raise G3dError(
            f"'{shot.picture}' has no landmarks '{shot.landmarks[0].with_suffix('')}' with {', '.join(labels.LANDMARK_SUFFIXES)}"
        )
    return labels.landmarks(path), f"'{path}'"


def cropped(pixels: labels.F64, whole: tuple[int, int], size: int) -> labels.F64:
    """Landmarks of a photograph => of its centre square, `size` pixels a side."""
    side = min(whole)
    corner = np.array([(length - side) // 2 for length in whole], np.float64)
    return (pixels - corner) * (size / side)


def describe(size: int, summary: Summary) -> Mapping[str, Any]:
    """What dataset.json says of the whole: as of multi-view faces, but that a photograph is behind everything."""
    found = dict(frames.describe(size, frames.FRAMES["head"], summary))
    return {**found, "bounds": [list(LOW), list(HIGH)]}


def _stamp(shot: Shot) -> str:
    """Size and time of the files that an item is made from."""
    found = []
    for path in (shot.picture, shot.features, *(shot.landmarks or ())):
        if path.is_file():
            stat = path.stat()
            found.append(f"{stat.st_size}-{stat.st_mtime_ns}")
    return "|".join(found)
