"""`export-ply`: scenes => PLY files (meshes also OBJ and GLB, splats also .splat) in world units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d.device import pick_device
from g3d.drawing.surfaces import colour_of, surface_mesh
from g3d.errors import Failure, G3dError, did_you_mean
from g3d.export.mesh import evaluate
from g3d.export.mesh_formats import write_glb, write_obj
from g3d.export.ply import write_mesh, write_points
from g3d.export.points import surface_points
from g3d.export.splats import write_splat, write_splats
from g3d.images import to_u8
from g3d.progress import SILENT, Progress
from g3d.render.splat import turn
from g3d.render.splat.harmonics import sh_colour
from g3d.scenes.scene import Gaussians, to
from g3d.scenes.scene_file import load_scene, scene_files
from g3d.storage import artifacts, files

FORMS = ("mesh", "points", "splats")
RESOLUTION, NUM, SEED = 128, 20000, 0  # where they are not given
NUM_MOST = 10_000_000
_MESHES = {".ply": write_mesh, ".obj": write_obj, ".glb": write_glb}
_SPLATS = {".ply": write_splats, ".splat": write_splat}
_WRITTEN: dict[str, Sequence[str]] = {"mesh": [*_MESHES], "points": [".ply"], "splats": [*_SPLATS]}
_SUFFIXES = {suffix: None for form in _WRITTEN.values() for suffix in form}  # in this order
_PACKED = (".spz", ".sog", ".ksplat")  # of splats, made of a PLY by other tools
_SHAPES = (".stl", ".off", ".gltf", ".fbx", ".dae", ".usdz", ".usd", ".3mf", *_PACKED, ".xyz", ".pcd", ".npz",
           ".safetensors")  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Scenes (a file or a folder), the form, and how fine it is.

    None means not given: what would have no effect is refused. `resolution` and `level` belong to fields, `num` and
    `seed` to points drawn from their surface, `up` to splats."""

    scenes: Path
    out: Path
    form: str = "mesh"
    format: str | None = None  # of the files; None: that of `out`, or PLY
    resolution: int | None = None
    level: float | None = None
    num: int | None = None
    seed: int | None = None
    up: str | None = None  # the axis that points up in the files, of splats
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    scenes = _checked(options)
    drawn = {"points": options.num or NUM, "seed": options.seed or SEED} if options.form == "points" else {}
    fields = any(artifacts.header(file).kind != "scene/gaussians" for file in scenes)
    fine = {"resolution": options.resolution or RESOLUTION, "level": options.level, **drawn} if fields else {}
    return {
        "scenes": len(scenes), "as": options.form, "format": _format(options), **fine,
        **({"up": options.up or "y"} if options.form == "splats" else {}),
        "out": str(options.out),
        "device": str(pick_device(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write one file a scene, under the scene's name; one scene goes to `out` itself where that is a file's name."""
    scenes = _checked(options)
    device = pick_device(options.device)
    figures: dict[str, Any] = {}
    dropped: dict[str, int] = {}
    if options.out.suffix.lower() in _SUFFIXES:
        figures = _export(scenes[0], options.out, options, device, progress)
    else:
        with files.output_folder(options.out, options.overwrite, (options.scenes,)) as folder:
            for file in scenes:
                figures = _export(file, folder / f"{file.stem}.{_format(options)}", options, device, progress)
                dropped |= {file.stem: figures["dropped"]} if figures.get("dropped") else {}
    if figures.get("dropped"):
        dropped[scenes[-1].stem] = figures["dropped"]
    if dropped:
        progress.log(
            f"left out: {sum(dropped.values())} Gaussians with NaN, infinity or zeros alone, of {len(dropped)} scenes"
        )
    return {"written": [str(options.out)], "scenes": len(scenes), "last": figures, "left_out": dropped}


def _export(file: Path, out: Path, options: Options, device: torch.device, progress: Progress) -> dict[str, Any]:
    scene = to(load_scene(file), device)
    try:
        if isinstance(scene, Gaussians):
            if not scene.means.shape[1]:
                raise G3dError("it holds no Gaussians, so there is nothing to write; leave it out")
            return _splats(scene, out, options.up or "y") if options.form == "splats" else _gaussians(scene, out)
        mesh = surface_mesh(scene, options.resolution or RESOLUTION, options.level, device, progress)
        if options.form == "points":
            points, normals = surface_points(mesh.vertices, mesh.faces, options.num or NUM, options.seed or SEED)
            write_points(out, points, to_u8(evaluate(colour_of(scene), points, device)), normals)
            return {"points": len(points)}
    except Failure:
        raise
    except G3dError as error:
        raise G3dError(f"'{file}': {error}") from error
    _MESHES[out.suffix.lower()](out, mesh.vertices, mesh.faces, mesh.colours)
    return {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def _gaussians(scene: Gaussians, out: Path) -> dict[str, Any]:
    """The centres, each in its own colour."""
    down = torch.tensor([0.0, -1.0, 0.0], device=scene.means.device).expand_as(scene.means[0])
    colours = to_u8((sh_colour(scene.sh[0], down) + 0.5).clamp(0, 1).cpu().numpy())
    write_points(out, scene.means[0].cpu().numpy(), colours)
    return {"points": len(colours)}


def _splats(scene: Gaussians, out: Path, up: str) -> dict[str, Any]:
    """All that the Gaussians are, with `up` up; rows that are no numbers are left out, and counted."""
    turned = turn.turned(scene, turn.from_y_up(up))
    arrays = (getattr(turned, n)[0].cpu().numpy() for n in ("means", "log_scales", "quats", "opacity_logits", "sh"))
    dropped = _SPLATS[out.suffix.lower()](out, *arrays)
    return {"splats": scene.means.shape[1] - dropped, "dropped": dropped}


def _checked(options: Options) -> list[Path]:
    """The scene files, once every option has its range and an effect on each of them, and the output can be written."""
    if options.form not in FORMS:
        raise G3dError(f"--as {options.form} is unknown{did_you_mean(options.form, FORMS)}")
    if options.resolution is not None and not 2 <= options.resolution <= 1024:
        raise G3dError(f"--resolution is {options.resolution}; it must lie between 2 and 1024")
    if options.num is not None and not 1 <= options.num <= NUM_MOST:
        raise G3dError(f"--num is {options.num}; it must lie between 1 and {NUM_MOST}")
    if options.form == "mesh":
        _refuse(options, ("num", "seed"), "--as mesh draws no points")
    if options.form == "splats":
        turn.from_y_up(options.up or "y")
    else:
        _refuse(options, ("up",), "only --as splats turns what it writes")
    _check_format(options)
    scenes = scene_files(options.scenes)
    for file in scenes:
        head = artifacts.header(file)
        if head.config.get("signal") == "image":
            raise G3dError(f"'{file}': an image field has no surface to export; use g3d render")
        if head.kind == "scene/gaussians":
            if options.form == "mesh":
                raise G3dError(f"'{file}': 3D Gaussians have no surface to mesh; use --as splats or --as points")
            _refuse(
                options, ("resolution", "level", "num", "seed"), f"the Gaussians of '{file}' are written as they are"
            )
        elif options.form == "splats":
            raise G3dError(f"'{file}' holds no 3D Gaussians; use --as mesh or --as points")
    if options.out.suffix.lower() in _SUFFIXES and len(scenes) != 1:
        raise G3dError(f"'{options.out}' is one file, but '{options.scenes}' holds {len(scenes)} scenes; give a folder")
    files.refuse_existing(options.out, options.overwrite, (options.scenes,))
    return scenes


def _format(options: Options) -> str:
    """Of the files: as given, else that of `out`, else PLY."""
    suffix = options.out.suffix.lower()
    return options.format or (suffix[1:] if suffix in _SUFFIXES else "ply")


def _check_format(options: Options) -> None:
    """Refuse a form or a name that the files cannot have."""
    suffix = options.out.suffix.lower()
    if options.format is not None and f".{options.format}" not in _SUFFIXES:
        raise G3dError(f"--format is '{options.format}'; it is one of {_names(_SUFFIXES)}{_elsewhere(options.format)}")
    if suffix in _SHAPES and suffix not in _SUFFIXES:
        raise G3dError(f"'{options.out}' asks for {suffix[1:].upper()}, which is not written; name it .ply, .obj or .glb "
                       f"(splats: .ply or .splat), or give a folder{_elsewhere(suffix[1:])}")  # fmt: skip
    if suffix in _SUFFIXES and options.format not in (None, suffix[1:]):
        raise G3dError(
            f"--format {options.format} and '{options.out}' contradict each other; leave --format out, or rename it"
        )
    written, asked = _WRITTEN[options.form], _format(options)
    if f".{asked}" not in written:
        other = next(form for form, suffixes in _WRITTEN.items() if f".{asked}" in suffixes)
        alone = f"PLY{' alone' if len(written) == 1 else ''}{''.join(f' or {s[1:].upper()}' for s in written[1:])}"
        raise G3dError(f"--as {options.form} is written as {alone}, not as {asked.upper()}; use --as {other}, or .ply")


def _names(suffixes: Iterable[str]) -> str:
    return ", ".join(suffix[1:] for suffix in suffixes)


def _elsewhere(name: str) -> str:
    """Who writes a form of splats that is not written here."""
    return f"; splat-transform makes {name.upper()} of a PLY of splats" if f".{name}" in _PACKED else ""


def _refuse(options: Options, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise G3dError(f"--{name} has no effect: {why}; leave it out")
