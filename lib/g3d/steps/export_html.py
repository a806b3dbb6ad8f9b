"""`export-html`: scenes => one self-contained page that turns them: splats of 3D Gaussians, meshes or fitted splats of fields."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g3d.cameras import CameraPrior
from g3d.conversion.whole import Plan, converted, told
from g3d.drawing.surfaces import surface_mesh
from g3d.drawing.whole_view import cameras_of
from g3d.errors import Failure, G3dError, did_you_mean
from g3d.export.mesh import vertex_normals
from g3d.export.page import Shape, page
from g3d.images import to_u8
from g3d.progress import SILENT, Progress, track
from g3d.render.occupancy import BASE_COLOUR
from g3d.render.splat import choose
from g3d.render.splat.harmonics import sh_colour
from g3d.render.splat.turn import rotations
from g3d.scenes.scene import Field, Gaussians, MlpField
from g3d.scenes.scene_file import load_scene, scene_files
from g3d.storage import artifacts, files

FORMS = ("mesh", "splats")  # of fields
RESOLUTION = 96
MESHED, FITTED = ("resolution", "level"), ("num", "views", "size", "steps", "seed")  # options of either form


@dataclass(frozen=True)
class Options:
    """Scenes (a file or a folder), the page, and what fields become (None: not given).

    `resolution` and `level` belong to their meshes, `num`, `views`, `size`, `steps` and `seed`, as of `convert`, to splats."""

    scenes: Path
    out: Path
    title: str | None = None
    form: str | None = None
    resolution: int | None = None
    level: float | None = None
    num: int | None = None
    views: int | None = None
    size: int | None = None
    steps: int | None = None
    seed: int | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    scenes = _checked(options)
    fine = asdict(_plan(options)) if options.form == "splats" else _fineness(options)
    return {
        "scenes": len(scenes), "title": _title(options), "as": options.form or FORMS[0], **fine, "out": str(options.out),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the page."""
    scenes = _checked(options)
    # Fits have bars of their own.
    each = scenes if options.form == "splats" else track(scenes, len(scenes), "scenes", progress)
    fitted: dict[str, Any] = {}
    shapes = [_shape(file, options, fitted, progress) for file in each]
    text = page(_title(options), shapes)
    with files.atomic(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return {"written": [str(options.out)], "scenes": len(shapes), "bytes": len(text.encode()), "fitted": fitted}


def _title(options: Options) -> str:
    return options.title if options.title is not None else options.scenes.resolve().stem


def _plan(options: Options) -> Plan:
    """As given, else the defaults of `convert`."""
    return Plan(**{name: getattr(options, name) for name in FITTED if getattr(options, name) is not None})


def _fineness(options: Options) -> dict[str, Any]:
    return {"resolution": options.resolution or RESOLUTION, "level": options.level}


def _shape(file: Path, options: Options, fitted: dict[str, Any], progress: Progress) -> Shape:
    """One scene; the figures of a fit go to `fitted` under its name."""
    scene = load_scene(file)
    prior = cameras_of(scene.world)
    try:
        if not isinstance(scene, Gaussians) and options.form == "splats":
            scene, fitted[file.stem] = converted(scene, _plan(options), progress)
            progress.log(told(file.stem, fitted[file.stem]))
        if isinstance(scene, Gaussians):
            kind, arrays = "splats", _splats(scene, prior)
        else:
            kind, arrays = "mesh", _mesh(scene, options.resolution or RESOLUTION, options.level)
    except Failure:
        raise
    except G3dError as error:
        raise G3dError(f"'{file}': {error}") from error
    return Shape(
        file.stem, kind, arrays, scene.world.background, prior.target, prior.radius_world,
        prior.default_azimuth_deg, prior.default_elevation_deg, min(prior.fov_deg, 120.0),
    )  # fmt: skip


def _splats(scene: Gaussians, prior: CameraPrior) -> dict[str, Any]:
    """Means, covariances and colours, which are those that the default camera sees; rows that are no numbers are left out."""
    means, logits = scene.means[0], scene.opacity_logits[0]
    half = rotations(scene.quats[0]) * scene.log_scales[0].clamp(max=10).exp()[:, None]
    full = half @ half.transpose(1, 2)  # [N, 3, 3]
    cov = full[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]
    eye = prior.default().c2w[0, :3, 3]
    rgb = (sh_colour(scene.sh[0], means - eye) + 0.5).clamp(0, 1)
    rgba = torch.cat([rgb, logits.sigmoid()[:, None]], dim=1)
    fine = torch.isfinite(torch.cat([means, cov, rgba], dim=1)).all(dim=1)
    if not bool(fine.any()):
        raise G3dError("it holds no Gaussians that can be drawn")
    return {"means": means[fine].numpy(), "cov": cov[fine].numpy(), "rgba": to_u8(rgba[fine].numpy())}


def _mesh(scene: Field, resolution: int, level: float | None) -> dict[str, Any]:
    """The surface in its own colours; that of a solid, which has none, in the colour and the light that `render` gives it."""
    mesh = surface_mesh(scene, resolution, level, torch.device("cpu"))
    arrays = {"vertices": mesh.vertices, "faces": mesh.faces.astype(np.int32), "rgb": mesh.colours}
    if isinstance(scene, MlpField) and scene.signal == "occupancy":
        normals = vertex_normals(mesh.vertices, mesh.faces)
        arrays["rgb"] = np.tile(to_u8(np.array(BASE_COLOUR, np.float32)), (len(mesh.vertices), 1))
        arrays["normals"] = np.rint(128 + 127 * normals).astype(np.uint8)
    return arrays


def _checked(options: Options) -> list[Path]:
    """The scene files, once the page can be written and every option has an effect."""
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise G3dError(f"the page '{options.out}' must be a file that ends in .html; rename it")
    if options.resolution is not None and not 2 <= options.resolution <= 512:
        raise G3dError(f"--resolution is {options.resolution}; it must lie between 2 and 512")
    if options.form is not None and options.form not in FORMS:
        raise G3dError(f"--as {options.form} is unknown{did_you_mean(options.form, FORMS)}")
    _plan(options).check()
    scenes = scene_files(options.scenes)
    heads = [artifacts.header(file) for file in scenes]
    for head in heads:
        if head.config.get("signal") == "image":
            raise G3dError(f"'{head.path}': an image field is flat, there is nothing to turn; use g3d render")
        gaussians = head.kind == "scene/gaussians"
        if options.form == "mesh" and gaussians:
            raise G3dError(f"'{head.path}': 3D Gaussians have no surface to mesh; leave --as out")
        if options.form == "splats" and not gaussians and not head.config.get("world", {}).get("camera_prior"):
            raise G3dError(f"'{head.path}' records no cameras to be seen from, so it has no views to fit Gaussians to; use "
                           "--as mesh")  # fmt: skip
    _refuse_idle(options, [head.kind == "scene/gaussians" for head in heads])
    files.refuse_existing(options.out, options.overwrite, (options.scenes,))
    if options.form == "splats":
        choose("cpu", torch.device("cpu"))  # what they are fitted by
    return scenes


def _refuse_idle(options: Options, gaussians: Sequence[bool]) -> None:
    """Refuse options without an effect on any of the scenes."""
    for name in (*MESHED, *FITTED):
        if getattr(options, name) is None:
            continue
        if all(gaussians):
            made = "meshed" if name in MESHED else "fitted"
            raise G3dError(f"--{name} has no effect: 3D Gaussians are not {made}; leave it out")
        if name in MESHED and options.form == "splats":
            raise G3dError(f"--{name} has no effect: --as splats makes no mesh; leave it out")
        if name in FITTED and options.form != "splats":
            raise G3dError(f"--{name} has no effect: a mesh is not fitted; leave it out, or give --as splats")
