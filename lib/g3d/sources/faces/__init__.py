"""`prepare-data faces FOLDER`: subjects x 20 expressions x cameras, from the ICT face model, or from a FaceScape folder.

The ICT model (`model.py`) gives shapes without an albedo, so `paint.py` draws one a subject. Views are as
MoFaNeRF and INFAMOUS-NeRF use them: unlit on black, 16 units away, f = 1200 px at 512, yaw -90..81 and pitch -30..45 degrees.
An object is a subject with an expression; cameras are held out, with --holdout-subjects subjects, with --holdout-pairs single
expressions of subjects whose others are trained.

Letters: V views, N vertices, F triangles.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.data.columns import PAIRS
from g3d.errors import G3dError, require_module
from g3d.sources import Collection, Item, Made, Request, needs_input
from g3d.sources.faces import choices, facescape, marks, paint
from g3d.sources.faces.frames import DEPTH_SCALE, FRAMES, camera_angles_deg, describe, frame, intrinsics_px, poses
from g3d.sources.faces.light import SphericalHarmonicLight, drawn, unlit
from g3d.sources.faces.model import EXPRESSIONS, INDICES, PACKED, load
from g3d.sources.faces.regions import openness, regions, vertex_normals
from g3d.sources.surfaces.drawing import draw_view
from g3d.sources.surfaces.raycast import OPEN3D_INSTALL, Caster, Light
from g3d.sources.surfaces.surface import F32, Surface
from g3d.sources.writing.licence import licence_of
from g3d.storage import named

NUM, VIEWS, TEST_VIEWS, SIZE = 24, 16, 4, 128
BACKGROUND = (0.0, 0.0, 0.0)
GAIN = (0.8, 1.1)  # of an expression, drawn for each subject
JITTER_DEG = 5.0  # of the cameras of the lit set
_TEXTURED = {"face": 0, "head": 1, "mouth_socket": 1, "eye_sockets": 1, "left_eye": 2, "right_eye": 3}
_TEXTURES = ("face", "head", "left_eye", "right_eye")


@dataclass(frozen=True)
class Options:
    """What this source takes from the command line; None is the layout's own default."""

    num: int | None = None  # subjects
    views: int | None = None  # training cameras
    test_views: int | None = None  # held-out cameras
    size: int | None = None  # pixels
    expressions: int | str = len(EXPRESSIONS)  # the first so many, or their names
    frame: str = "head"
    holdout_subjects: int = 0  # the last so many are test objects
    holdout_pairs: str | None = None  # subject:expression,...
    lit: bool = False
    normals: bool = False
    landmarks: Path | None = None  # FaceScape: a folder of 68 points, a file a picture; or dlib


@dataclass(frozen=True)
class Face:
    """One subject with one expression, and from where it is seen."""

    folder: Path
    seed: int
    subject: int
    expression: int
    angles_deg: tuple[tuple[int, int], ...]  # V yaw and pitch
    train_views: int  # the first of the V views
    size: int
    lit: bool
    normals: bool
    split: str
    label: int = 0  # the expression's number among those of the dataset
    frame: str = "head"


def collect(request: Request) -> Collection:
    """Every subject with every expression; which layout the folder has is seen from its files."""
    folder = needs_input(request, "faces", "a folder with the face model or the FaceScape data", "my/ict-facekit")
    options: Options = request.options
    _check(options)
    if (folder / PACKED).is_file():
        if options.landmarks is not None:
            raise G3dError("--landmarks is for FaceScape's photographs; the face model has its own, so leave it out")
        return _collect_model(folder, options, request.seed)
    if facescape.is_facescape(folder):
        given = {"lit": options.lit, "normals": options.normals, "frame": options.frame != "head"}
        word = next((name for name, is_given in given.items() if is_given), None)
        if word is not None:
            raise G3dError(
                f"--{word} is for the face model; '{folder}' holds photographs in the FaceScape layout, so drop it"
            )
        return facescape.collect(folder, options, request.seed)
    raise G3dError(f"'{folder}' holds neither the packed ICT face model ({PACKED} and {INDICES}) nor photographs in the "
                   "FaceScape layout (1/1_neutral/params.json, ...); give the folder of one of them")  # fmt: skip


def _check(options: Options) -> None:
    least = {"num": 1, "views": 1, "test_views": 0, "size": 8, "holdout_subjects": 0}
    for name, low in least.items():
        value = getattr(options, name)
        if value is not None and value < low:
            raise G3dError(f"--{name.replace('_', '-')} is {value}; it is at least {low}")
    choices.expressions(options.expressions)
    frame(options.frame)


def _collect_model(folder: Path, options: Options, seed: int) -> Collection:
    num = NUM if options.num is None else options.num
    views = VIEWS if options.views is None else options.views
    test_views = TEST_VIEWS if options.test_views is None else options.test_views
    size = SIZE if options.size is None else options.size
    if options.holdout_subjects >= num:
        raise G3dError(
            f"--holdout-subjects is {options.holdout_subjects}, of {num} subjects; leave at least one for training"
        )
    angles = camera_angles_deg(views, test_views, seed)
    needed = (folder / PACKED, folder / INDICES)
    missing = [p.name for p in needed if not p.is_file()]
    if missing:
        raise G3dError(f"'{folder}' lacks {', '.join(missing)} of the face model; fetch it beside the other file")
    whole = hashlib.sha256()
    for place in needed:
        whole.update(named.read(place, "the face model"))
    digest = f"sha256:{whole.hexdigest()}"
    chosen, subjects = choices.expressions(options.expressions), [f"subject-{i:03d}" for i in range(num)]
    pairs = choices.pairs(options.holdout_pairs, subjects, chosen, options.holdout_subjects)
    names, items = [choices.NAMES[i] for i in chosen], []
    for subject in range(num):
        of_subject = "train" if subject < num - options.holdout_subjects else "test"
        for label, expression in enumerate(chosen):
            split = PAIRS if (subject, expression) in pairs else of_subject
            face = Face(
                folder, seed, subject, expression, angles, views, size, options.lit, options.normals, split, label, options.frame
            )  # fmt: skip
            items.append(Item(f"{subjects[subject]}/{names[label]}", partial(make, face), digest[:23]))
    settings: dict[str, Any] = {
        "input": folder.resolve().name, "model": digest, "num": num, "views": views, "test_views": test_views,
        "size": size, "holdout_subjects": options.holdout_subjects, "lit": options.lit, "normals": options.normals,
        **({} if options.frame == "head" else {"frame": options.frame}), **choices.settings(chosen, options.holdout_pairs),
    }  # fmt: skip
    return Collection(
        f"faces {folder.resolve().name}" + (" lit" if options.lit else ""), items, licence_of(folder), settings, size, size,
        BACKGROUND, partial(describe, size, FRAMES[options.frame]), {"expression": names, "subject": subjects}, (folder,),
        len(items) * len(angles),
    )  # fmt: skip


def make(face: Face) -> Made:
    """Draw one face from all of its cameras."""
    require_module("open3d", "prepare-data", OPEN3D_INSTALL)
    model, vertices = load(face.folder), vertices_of(face)
    angles, lights = _angles_and_lights(face)
    count = len(angles)
    seen = FRAMES[face.frame]
    c2w, intrinsics = poses(angles, seen.target), np.tile(intrinsics_px(face.size, seen.focal_share), (count, 1))
    surface = surface_of(face, vertices)
    caster = Caster(surface, light=unlit)
    views = [
        draw_view(caster.relit(light), pose, k, face.size, face.size, DEPTH_SCALE, BACKGROUND, normals=face.normals)
        for pose, k, light in zip(c2w, intrinsics, lights, strict=True)
    ]
    entry: dict[str, Any] = {
        "subject": face.subject, "expression": tuple(EXPRESSIONS)[face.expression], "gain": round(gain_of(face), 4),
        "split": face.split, "appearance": paint.appearance(face.seed, face.subject).as_json(),
    }  # fmt: skip
    coloured = [light for light in lights if isinstance(light, SphericalHarmonicLight)]
    if coloured:
        entry["light"] = [np.round(light.coefficients, 4).tolist() for light in coloured]
    columns: dict[str, NDArray[Any]] = {
        "c2w": c2w, "intrinsics": intrinsics, "split": (np.arange(count) >= face.train_views).astype(np.uint8),
        "subject": np.full(count, face.subject), "expression": np.full(count, face.label),
        **marks.columns(caster, vertices[model.landmarks], c2w, intrinsics, (face.size, face.size)),
    }  # fmt: skip
    points = surface.corners.reshape(-1, 3)
    return Made(views, columns, entry=entry, box=(points.min(0).tolist(), points.max(0).tolist()))


def gain_of(face: Face) -> float:
    """How strong the subject makes the expression."""
    return float(_own_stream(face, "gain").uniform(*GAIN))


def _own_stream(face: Face, name: str) -> np.random.Generator:
    return paint.stream(face.seed, face.subject * len(EXPRESSIONS) + face.expression, name)


def vertices_of(face: Face) -> F32:
    """[N, 3] world units."""
    model, identity = load(face.folder), _identity(face.folder, face.seed, face.subject)
    return model.world(identity + model.expression(tuple(EXPRESSIONS)[face.expression], gain_of(face), identity))


def surface_of(face: Face, vertices: F32) -> Surface:
    """The painted face; with smooth normals where light falls on it."""
    model = load(face.folder)
    uvs, texture = _layout(face.folder)
    colours = paint.corner_colours(model, openness(face.folder))
    smooth = _corner_normals(face.folder, vertices) if face.lit or face.normals else None
    return Surface(
        vertices[model.triangles],
        colours,
        uvs,
        texture,
        _textures(face.folder, face.seed, face.subject, face.size),
        smooth,
    )


def _corner_normals(folder: Path, vertices: F32) -> F32:
    """[F, 3, 3] smooth, but for the cut under the shoulders, which is flat and has a sharp rim."""
    model = load(folder)
    cut = model.regions["cut"]
    skin = np.delete(model.triangles, cut, axis=0)
    normals = vertex_normals(vertices, skin)[model.triangles]
    a, b, c = np.moveaxis(vertices[model.triangles[cut]], 1, 0)
    flat = np.cross(b - a, c - a)
    normals[cut] = (flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12))[:, None]
    return normals


def _angles_and_lights(face: Face) -> tuple[NDArray[np.float64], list[Light]]:
    """The cameras' angles [V, 2] and a light for each view; in the lit set both are drawn."""
    angles = np.array(face.angles_deg, np.float64)
    if not face.lit:
        return angles, [unlit] * len(angles)
    rng = _own_stream(face, "stress")
    angles = angles + rng.uniform(-JITTER_DEG, JITTER_DEG, angles.shape)
    return angles, [drawn(rng) for _ in angles]


@lru_cache(maxsize=2)
def _identity(folder: Path, seed: int, subject: int) -> F32:
    model = load(folder)
    return model.identity(paint.stream(seed, subject, "identity").standard_normal(model.modes))


@lru_cache(maxsize=2)
def _textures(folder: Path, seed: int, subject: int, size: int) -> tuple[NDArray[np.uint8], ...]:
    """Painted at four texels a pixel and averaged to two, so that what is finer than a pixel does not flicker."""
    texels = min(1024, max(256, 1 << (4 * size - 1).bit_length()))
    noise_seed = int(paint.stream(seed, subject, "noise").integers(1 << 32))
    painted = paint.paint(paint.appearance(seed, subject), regions(folder, texels), noise_seed)
    halved = max(1, min(2, texels // (2 * size)))
    return tuple(_averaged(painted[name], halved) for name in _TEXTURES)


def _averaged(picture: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    height, width = picture.shape[0] // by, picture.shape[1] // by
    blocks = picture.reshape(height, by, width, by, 3).astype(np.uint16).sum((1, 3))
    mean: NDArray[np.uint8] = ((blocks + by * by // 2) // (by * by)).astype(np.uint8)
    return mean


@lru_cache(maxsize=1)
def _layout(folder: Path) -> tuple[F32, NDArray[np.int32]]:
    """Texture coordinates [F, 3, 2], v down, and the texture of each triangle [F]."""
    model = load(folder)
    texture = np.full(len(model.triangles), -1, np.int32)
    uvs = model.uvs.copy()
    for name, which in _TEXTURED.items():
        texture[model.regions[name]] = which
        uvs[model.regions[name], :, 0] -= 1.0 if which == 1 else 0.0  # the head has the second tile
    uvs[..., 1] = 1 - uvs[..., 1]
    return uvs, texture
