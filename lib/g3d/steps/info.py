"""`info`: what a file or folder is, from headers alone; with `levels` how large the Gaussians of its scenes are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files, formats


@dataclass(frozen=True)
class Options:
    """`path`: a g3d file, a dataset, a run, or a folder of scenes or images. `levels`: statistics of scenes of Gaussians."""

    path: Path
    levels: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    return {"path": str(existing(options.path, "the file or folder"))}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """What `path` is. Raises `G3dError` for a foreign, damaged or empty file."""
    path = existing(options.path, "the file or folder")
    if options.levels:
        from g3d.evaluation.levels import level_statistics

        return level_statistics(path)
    return _folder(path) if path.is_dir() else _file(path)


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
    scenes = sorted(path.glob("*.safetensors"))
    if scenes:
        kinds = sorted({artifacts.header(scene).kind for scene in scenes})
        return {
            "format": "folder",
            "files": len(scenes),
            "kinds": kinds,
            "first": scenes[0].name,
            "last": scenes[-1].name,
        }
    pictures = sorted(path.rglob("*.png"))
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
