"""`info`: what a file or folder is, from headers alone; or a method, prior or source; or which of these there are."""

import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d import images
from g3d.errors import G3dError, closest, existing
from g3d.progress import SILENT, Progress, amount
from g3d.storage import artifacts, files, foreign, formats, impostors, ply_files
from g3d.training import folder

_SETTINGS = 10  # that are shown
_CLASSES = 10  # names of classes
_SHAPES = (".ply", ".glb", ".gltf", ".obj", ".off", ".stl")


@dataclass(frozen=True)
class Options:
    """`what`: a g3d file, a dataset, a run, a folder of scenes or images; else the name of a method, prior or source; None: the
    list of these. `levels`: statistics of scenes of Gaussians. `tensors`: every tensor of a file, too; `whole`: all that its
    header says, as --json does, not the totals and the settings that matter."""

    what: str | None = None
    levels: bool = False
    tensors: bool = False
    whole: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    path = _path(options)
    return {"name": options.what} if path is None else {"path": str(path)}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """What it is. Raises `G3dError` for a foreign, damaged or empty file, and for a name that nothing has."""
    path = _path(options)
    if path is None:
        from g3d import catalogue

        return catalogue.names() if options.what is None else catalogue.described(options.what)
    if options.levels:
        from g3d.evaluation.levels import level_statistics

        return level_statistics(path)
    if path.is_dir():
        return _folder(path, options)
    return _ply(path) if path.suffix.lower() == ".ply" else _file(path, options)


def _path(options: Options) -> Path | None:
    """The file or folder; None for a name, and for none. What lies on disk goes before a name."""
    if options.what is not None and (os.sep in options.what or os.path.lexists(options.what)):
        return existing(Path(options.what), "the file or folder")
    from g3d import catalogue

    if options.levels:
        raise G3dError("--levels is of scenes; give a file or folder of them")
    if options.what is not None and not catalogue.known(options.what):
        near = closest(options.what, [n for some in catalogue.names().values() for n in some])
        raise G3dError(
            f"the file or folder '{options.what}' does not exist, and no method, prior or source has that name{near}; give the "
            "path of an existing one, or see g3d info for the names"
        )
    return None


def _file(path: Path, options: Options) -> dict[str, Any]:
    head = artifacts.header(path)
    tensors = {name: f"{dtype} {list(shape)}" for name, (dtype, shape) in sorted(head.tensors.items())}
    values = sum(math.prod(shape) for _, shape in head.tensors.values())
    found = {"format": head.kind, "what": formats.ARTIFACTS[head.kind].what}
    about = {
        "written_by": f"g3d {head.version}",
        "seed": head.seed,
        "parents": dict(head.parents),
        "digest": head.digest,
    }
    if options.whole:
        size = {"bytes": path.stat().st_size, "values": values}
        return {**found, **size, **about, "config": dict(head.config), "tensors": tensors}
    total = f"{amount(path.stat().st_size)}B, {values:,} values in {len(tensors)} tensors"
    rest = {
        key: value for key, value in head.config.items() if key not in ("settings", "world", "names", "input_views")
    }
    if isinstance(known := rest.get("class_names"), list) and len(known) > _CLASSES:
        rest["class_names"] = [*known[:_CLASSES], f"and {len(known) - _CLASSES} more"]
    world = {"world": head.config["world"]} if head.kind.startswith("scene/") and "world" in head.config else {}
    shown = {"tensors": tensors} if options.tensors else {}
    return {**found, "size": total, **about, **rest, **_settings(head), **world, **shown}


def _settings(head: artifacts.Header) -> dict[str, Any]:
    """The settings that are not as by default, the first of them where they are many; and how many are left out."""
    table = head.config.get("settings")
    if not isinstance(table, dict):
        return {}
    from g3d import catalogue

    usual = catalogue.defaults(str(head.config.get("method", head.config.get("kind"))))
    order = [*(name for name in usual if name in table), *(name for name in table if name not in usual)]
    changed = [name for name in order if name not in usual or usual[name] != table[name]]
    shown = {name: table[name] for name in changed[:_SETTINGS]}
    more = f"{len(table) - len(shown)}, of which {len(table) - len(changed)} are as by default; --json shows all"
    return {"further_settings": more, **({"settings": shown} if shown else {})}


def _ply(path: Path) -> dict[str, Any]:
    """What a PLY holds, ours or another one: 3D Gaussians, a mesh or points."""
    impostors.refuse_file(path)
    tables = {one.name: one for one in ply_files.elements(path)}
    vertices = tables.get("vertex", ply_files.Element("vertex", 0, []))
    has = set(vertices.properties)
    about = {
        "size": f"{amount(path.stat().st_size)}B, {ply_files.encoding(path)}", "properties": list(vertices.properties),
        "comments": ply_files.comments(path),
    }  # fmt: skip
    if "packed_position" in has:
        what = {"what": "3D Gaussians, packed by SuperSplat; import-ply reads them", "gaussians": vertices.count}
    elif {"scale_0", "rot_0", "opacity"} <= has:
        rest = sum(name.startswith("f_rest_") for name in has)
        degree = math.isqrt(rest // 3 + 1) - 1
        what = {"what": "3D Gaussians; import-ply reads them", "gaussians": vertices.count, "sh_degree": degree}
    elif "face" in tables and tables["face"].count:
        what = {"what": "a mesh", "vertices": vertices.count, "faces": tables["face"].count}
    else:
        what = {"what": "points", "points": vertices.count}
    return {"format": "ply", **what, **about}


def _folder(path: Path, options: Options) -> dict[str, Any]:
    if (path / "dataset.json").is_file():
        from g3d.data.opening import description  # with torch, which headers do without

        described = description(path / "dataset.json")
        return {**described, "objects": len(described["objects"])}
    for name in ("model.safetensors", "prior.safetensors", "refiner.safetensors"):
        if (path / name).is_file():
            return {**_file(path / name, options), "run": _run(path)}
    if folder.is_run(path):
        return {"format": "run", "fitted": "nothing yet, or nothing that g3d knows", "run": _run(path)}
    everything = list(foreign.files_below(path))
    places = (p.parent for p in everything if p.name == "config.json")
    runs = sorted(place.relative_to(path).as_posix() for place in places if folder.is_run(place))
    if runs:
        return {"format": "runs", "runs": runs}
    scenes = foreign.inside(path, "*.safetensors")
    if scenes:
        kinds = sorted({artifacts.header(scene).kind for scene in scenes})
        return {
            "format": "folder",
            "files": len(scenes),
            "kinds": kinds,
            "first": scenes[0].name,
            "last": scenes[-1].name,
        }
    below = [p for p in everything if not {*p.relative_to(path).parts[:-1]} & {*images.NOT_PICTURES}]
    pictures = [p for p in below if p.suffix.lower() in images.SUFFIXES]
    if pictures:
        tables = [files.read_json(p, "the cameras").get("frames") for p in below if p.name == "transforms.json"]
        cameras = sum(len(frames) for frames in tables if isinstance(frames, list))
        return {"format": "images", "pictures": len(pictures), "cameras": cameras}
    shapes = Counter(p.suffix.lower() for p in below if p.suffix.lower() in _SHAPES)
    if shapes:
        return {"format": "shapes", "files": {suffix.removeprefix("."): n for suffix, n in sorted(shapes.items())}}
    raise G3dError(
        f"'{path}' is a folder in which g3d finds no dataset, run, scenes, images or meshes; give another one"
    )


def _run(path: Path) -> dict[str, Any]:
    """What else lies in a run folder, and its figures."""
    figures = files.read_json(path / "metrics.json", "the figures") if (path / "metrics.json").is_file() else None
    return {"files": sorted(p.name for p in path.iterdir() if p.is_file()), "figures": figures}
