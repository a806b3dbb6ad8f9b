"""What may lie beside FaceScape's photographs: the recording's mesh, masks, landmarks; and what views know by them.

    FOLDER/12/4_anger.ply (or .obj)   the recording's mesh in the world of its cameras, where FaceScape's archives of shapes put
                                      it when they are unpacked into the same folder: coverage and depth are ray cast from it
    FOLDER/12/4_anger/masks/0.png     what counts as the person, by a program of the user's; it takes the place of the mesh's
                                      coverage
    LANDMARKS/12/4_anger/0.txt        68 points, pixels of the photograph; a view may lack them

Landmarks of two or more views (of files, or found by dlib) become points of the recording's world, which every view then has.

No torch here: worker processes import this file. Letters: V views, K points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.data import pnp
from g3d.data.columns import Made
from g3d.errors import G3dError, require_module
from g3d.face_landmarks import DLIB, dlib_finder
from g3d.images import U8
from g3d.sources.faces import marks
from g3d.sources.faces.frames import projected
from g3d.sources.faces.light import unlit
from g3d.sources.portraits import labels
from g3d.sources.posed import shots
from g3d.sources.posed.undistort import distorted
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.sources.surfaces.raycast import OPEN3D_INSTALL, Caster
from g3d.sources.surfaces.surface import F32, checked

F64 = NDArray[np.float64]
MESHES = (".ply", ".obj")
MASKS = "masks"
DEPTH_SCALE = 64.0 / 65535  # world units of a step: four times as far as the cameras stand
OTHERWISE = "give a folder of landmarks, --landmarks FOLDER"
_ROUNDS = 30  # of taking the distortion of a point away


@dataclass(frozen=True)
class Beside:
    """What every recording of the data has."""

    meshes: bool = False
    masks: bool = False
    landmarks: Path | str | None = None  # a folder; or DLIB, which finds them

    def layers(self) -> list[str]:
        """In words, of dataset.json."""
        return [name for name, there in (("meshes", self.meshes), ("masks", self.masks)) if there]


@dataclass(frozen=True)
class Placement:
    """World of a recording => ours: scale * rotation @ (point - centre)."""

    rotation: F64
    centre: F64
    scale: float


def found_in(recordings: Sequence[Path], landmarks: Path | None) -> Beside:
    """What is there for any of the recordings (the others are then refused one by one), and where landmarks are from."""
    where: Path | str | None = landmarks
    if landmarks is not None and str(landmarks) == DLIB and not landmarks.exists():
        dlib_finder(OTHERWISE)  # refuses before any picture is read
        where = DLIB
    elif landmarks is not None and not landmarks.is_dir():
        raise G3dError(f"--landmarks '{landmarks}' is no folder; give one with SUBJECT/EXPRESSION/VIEW.txt, or dlib")
    meshes = any(mesh_of(place) is not None for place in recordings)
    if meshes:
        require_module("open3d", "reading the meshes beside FaceScape's photographs", OPEN3D_INSTALL)
    return Beside(meshes, any((place / MASKS).is_dir() for place in recordings), where)


def mesh_of(recording: Path) -> Path | None:
    """The mesh beside a recording's folder."""
    return next((p for end in MESHES if (p := recording.with_name(recording.name + end)).is_file()), None)


def mask_of(recording: Path, view: int) -> shots.Place:
    """The mask of a view; refused where the recording lacks it, as others have theirs."""
    for end in images.SUFFIXES:
        if (recording / MASKS / f"{view}{end}").is_file():
            return shots.Place(recording, f"{MASKS}/{view}{end}")
    raise G3dError(f"'{recording}' has no {MASKS}/{view}.png, while recordings of this data have masks; add it")


def completed(
    made: Made, taken: Sequence[shots.Shot], recording: Path, beside: Beside, placement: Placement, views: Sequence[int]
) -> Made:
    """The views of a recording with coverage, depth and landmarks, as far as the data has what they need."""
    caster = _caster(recording, placement) if beside.meshes else None
    if caster is not None:
        made = _with_mesh(made, caster, keep_masks=beside.masks)
    if beside.landmarks is None:
        return made
    c2w, k = (np.asarray(made.columns[name], np.float64) for name in ("c2w", "intrinsics"))
    if beside.landmarks == DLIB:
        each = [dlib_finder(OTHERWISE)(_picture(view.picture)) for view in made.views]
    else:
        own = Path(beside.landmarks) / recording.parent.name / recording.name
        each = [_of_file(own, view, shot, row) for view, shot, row in zip(views, taken, k, strict=True)]
    points, off = _joined(each, c2w, k, recording)
    first = _picture(made.views[0].picture)
    columns = marks.columns(caster, points, c2w, k, (first.shape[1], first.shape[0]))
    entry = {**made.entry, "landmarks_off_px": round(off, 2), "landmarks_of_views": sum(e is not None for e in each)}
    return replace(made, columns={**made.columns, **columns}, entry=entry)


def _caster(recording: Path, placement: Placement) -> Caster:
    path = mesh_of(recording)
    if path is None:
        raise G3dError(
            f"'{recording}' has no {recording.name}.ply beside it, while recordings of this data have meshes; add it"
        )
    surface = checked(read_surface(path, painted=False), str(path))
    corners = placement.scale * (surface.corners.astype(np.float64) - placement.centre) @ placement.rotation.T
    return Caster(replace(surface, corners=corners.astype(np.float32)), light=unlit)


def _with_mesh(made: Made, caster: Caster, keep_masks: bool) -> Made:
    """Depth of the mesh; and, without masks of the user, its coverage, as far as the lens had seen the picture."""
    views = []
    for view, c2w, k in zip(made.views, made.columns["c2w"], made.columns["intrinsics"], strict=True):
        assert view.mask is not None
        mask = images.decode_mask(view.mask, "a mask just made")
        height, width = mask.shape
        drawn = caster.draw(c2w.astype(np.float32), k.astype(np.float32), width, height, (0.0, 0.0, 0.0))
        steps = np.minimum(np.rint(drawn.depth_world / np.float32(DEPTH_SCALE)), 65535).astype(np.uint16)
        mask = mask if keep_masks else np.minimum(mask, drawn.mask)
        views.append(replace(view, mask=images.encode(mask), depth=images.encode(steps)))
    return replace(made, views=views)


def _of_file(folder: Path, view: int, shot: shots.Shot, intrinsics: F64) -> F64 | None:
    """Landmarks of a photograph => of the view that was made of it: without distortion, by its own intrinsics."""
    path = next((p for end in labels.LANDMARK_SUFFIXES if (p := folder / f"{view}{end}").is_file()), None)
    if path is None:
        return None
    width, height, _ = shots.form_of(shot.picture)
    stored = shot.intrinsics * np.array([width / shot.width, height / shot.height] * 2)
    bent = (labels.landmarks(path) - stored[2:]) / stored[:2]
    ideal = bent.copy()
    for _ in range(_ROUNDS if shot.lens is not None else 0):
        assert shot.lens is not None
        ideal += bent - np.stack(distorted(shot.lens, ideal[:, 0], ideal[:, 1]), axis=1)
    found: F64 = ideal * intrinsics[:2] + intrinsics[2:]
    return found


def _joined(each: Sequence[F64 | None], c2w: F64, k: F64, recording: Path) -> tuple[F32, float]:
    """[68, 3] points of our world that the views' landmarks are pictures of, and how far they lie off these, pixels."""
    seen = [i for i, one in enumerate(each) if one is not None]
    pixels = np.stack([one for one in each if one is not None]) if seen else np.zeros((0, labels.COUNT, 2))
    found = pnp.triangulated(pixels, np.ones(pixels.shape[:2], bool), c2w[seen], k[seen])
    if not np.isfinite(found).all():
        raise G3dError(
            f"'{recording}' has landmarks of {len(seen)} of its {len(each)} views, from which no points can be found; two "
            "or more from different sides are needed"
        )
    points: F32 = found.astype(np.float32)
    again = np.stack([projected(points, c2w[i].astype(np.float32), k[i].astype(np.float32)) for i in seen])
    return points, float(np.linalg.norm(again - pixels, axis=2).mean())


def _picture(data: bytes) -> U8:
    return images.decode(data, "a picture just made")
