"""`prepare-data colmap FOLDER`: photographs that COLMAP has posed: `sparse/0/{cameras,images}.{bin,txt}` beside `images/`.

Lenses are taken out of the pictures. Pictures that are not there, and those that COLMAP has not placed, are left out and
counted. `masks/NAME.png` are used where every picture has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, needs_input, posed
from g3d.sources.posed import shots
from g3d.sources.posed.colmap_files import Picture, model_folder, read_model
from g3d.sources.posed.undistort import lens_of
from g3d.sources.writing.licence import licence_of
from g3d.sources.writing.mirror import with_mirrored
from g3d.storage import foreign, leaving_out

_OWN_UP = "-y"  # of COLMAP, whose first camera is the world
_UNPLACED = "pictures that the model has no camera for"


@dataclass(frozen=True)
class Options:
    """Options of the source `colmap`."""

    size: int | None = None
    background: str = "white"
    up: str = "auto"
    box: float | None = None
    mirror: bool = False


def collect(request: Request) -> Collection:
    """The scene in `input`: one object with a view for each picture."""
    options: Options = request.options
    root = needs_input(request, "colmap", "the folder with sparse/0 and images", "my/garden")
    model = model_folder(root) if root.is_dir() else None
    if model is None:
        raise G3dError(f"'{root}' holds no model of COLMAP (sparse/0/images.bin or images.txt); give the folder that holds "
                       "sparse and images")  # fmt: skip
    found, left_out = _shots(root, model, request.skip_bad)
    world = posed.find_world(np.stack([shot.c2w for shot in found]), options.up, _OWN_UP)
    target = shots.target_of(
        (shot.picture for shot in found), options.size, options.background, skip_bad=request.skip_bad,
        masks=any(shot.mask is not None or shot.lens is not None for shot in found),
    )  # fmt: skip
    turned = [replace(shot, c2w=world.matrix @ shot.c2w) for shot in found]
    name = root.resolve().name
    mark = posed.stamp([(str(s.picture), posed.changed(s.picture.root / s.picture.name)) for s in found],
                       *(a for s in found for a in (s.c2w, s.intrinsics)))  # fmt: skip
    items = [Item(name, partial(make, turned, target, model.relative_to(root).as_posix()), mark)]
    if options.mirror:
        items = with_mirrored(items, target.width, target.height)
    settings = {
        "input": name, "size": options.size, "background": options.background, "up": options.up, "box": options.box,
        "mirror": options.mirror,
    }  # fmt: skip
    return Collection(
        name, items, licence_of(root), settings, target.width, target.height, shots.BACKGROUNDS[options.background],
        partial(posed.describe, world, options.box, {}), inputs=(root,), pictures=len(found) * len(items), left_out=left_out,
    )  # fmt: skip


def make(found: Sequence[shots.Shot], target: shots.Target, model: str) -> Made:
    """The scene."""
    return shots.made(found, target, {"model": model})


def _shots(root: Path, model: Path, skip_bad: bool) -> tuple[list[shots.Shot], dict[str, list[str]]]:
    """The posed pictures that are there, in the order of their names, and what is left out."""
    cameras, pictures = read_model(model)
    folder = root / "images" if (root / "images").is_dir() else root
    left_out: dict[str, list[str]] = {}
    found = []
    for picture in sorted(pictures, key=lambda p: p.name):
        if not (folder / picture.name).is_file():
            left_out.setdefault(leaving_out.MISSING, []).append(picture.name)
            continue
        try:
            found.append(_shot(folder, picture, cameras, model))
        except G3dError as error:
            if not skip_bad:
                raise
            left_out.setdefault(leaving_out.FAULTY, []).append(str(error))
    if not found:
        raise G3dError(f"none of the {len(pictures)} pictures of '{model}' can be used"
                       f"{' (' + leaving_out.note(left_out) + ')' if left_out else ''}; put them into '{folder}'")  # fmt: skip
    if any(shot.mask is None for shot in found):
        found = [replace(shot, mask=None) for shot in found]
    placed = {picture.name for picture in pictures}
    below = (p.relative_to(folder).as_posix() for p in foreign.files_below(folder)) if folder != root else iter(())
    unplaced = [n for n in below if n.lower().endswith(images.SUFFIXES) and n not in placed]
    return found, {**left_out, _UNPLACED: unplaced} if unplaced else left_out


def _shot(folder: Path, picture: Picture, cameras: dict[int, dict[str, Any]], model: Path) -> shots.Shot:
    where = f"'{picture.name}' of '{model}'"
    if picture.camera not in cameras:
        raise G3dError(
            f"the picture {where} has the camera {picture.camera}, which is not in the file of cameras; export it again"
        )
    camera = cameras[picture.camera]
    k = np.array([camera[n] for n in ("fx", "fy", "cx", "cy")], np.float64)
    posed.check_poses(picture.c2w[None], lambda _: where)
    posed.check_intrinsics(k[None], lambda _: where)
    masks = [
        n
        for n in (f"{picture.name}.png", str(Path(picture.name).with_suffix(".png")))
        if (folder.parent / "masks" / n).is_file()
    ]
    mask = shots.Place(folder.parent / "masks", masks[0]) if masks and folder.name == "images" else None
    return shots.Shot(shots.Place(folder, picture.name), picture.c2w, k, camera["w"], camera["h"], False,
                      lens_of(camera, where), mask)  # fmt: skip
