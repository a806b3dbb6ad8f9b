"""`info`: what a file or folder is, from headers alone; or a method, prior or source; or which of these there are."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d import images
from g3d.errors import G3dError, closest, existing
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files, foreign, formats


@dataclass(frozen=True)
class Options:
    """`what`: a g3d file, a dataset, a run, a folder of scenes or images; else the name of a method, prior or source; None: the
    list of these. `levels`: statistics of scenes of Gaussians."""

    what: str | None = None
    levels: bool = False


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
    return _folder(path) if path.is_dir() else _file(path)


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


def _file(path: Path) -> dict[str, Any]:
    head = artifacts.header(path)
    tensors = {name: f"{dtype} {list(shape)}" for name, (dtype, shape) in sorted(head.tensors.items())}
    parameters = sum(_product(shape) for _, shape in head.tensors.values())
    return {
        "format": head.kind, "what": formats.ARTIFACTS[head.kind].what, "bytes": path.stat().st_size, "values": parameters,
        "written_by": f"g3d {head.version}", "seed": head.seed, "parents": dict(head.parents), "digest": head.digest,
        "config": dict(head.config), "tensors": tensors,
    }  # fmt: skip


def _folder(path: Path) -> dict[str, Any]:
    if (path / "dataset.json").is_file():
        described = files.read_json(path / "dataset.json", "the dataset description")
        objects = described.get("objects", [])
        return {**described, "objects": len(objects)}
    for name in ("model.safetensors", "prior.safetensors", "refiner.safetensors"):
        if (path / name).is_file():
            return {**_file(path / name), "run": _run(path)}
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
    pictures = [p for p in foreign.files_below(path) if p.suffix.lower() in images.SUFFIXES]
    if pictures:
        return {"format": "images", "pictures": len(pictures), "cameras": len(list(path.rglob("transforms.json")))}
    raise G3dError(f"'{path}' is a folder in which g3d finds no dataset, model, scenes or images; give another one")


def _run(path: Path) -> dict[str, Any]:
    """What else lies in a run folder, and its figures."""
    figures = files.read_json(path / "metrics.json", "the figures") if (path / "metrics.json").is_file() else None
    return {"files": sorted(p.name for p in path.iterdir() if p.is_file()), "figures": figures}


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
