"""`import-checkpoint`: a checkpoint of a method's public code => a model of ours. Nothing in it is executed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from g3d.errors import G3dError, existing
from g3d.methods import METHODS, method
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files, safe_pickle

NETWORKS = ("G_ema", "G")  # of a snapshot, the first that is there


@dataclass(frozen=True)
class Options:
    """A method, its file (.pkl, or .safetensors of a state dict), and what the weights do not say: a preset, settings, the
    side of the pictures that it was trained on."""

    method: str
    file: Path
    out: Path
    preset: str | None = None
    settings: Sequence[str] = ()
    size: int | None = None  # None: as the weights or the method say
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used; the file is read, since its shapes say most of them."""
    tensors, about, network = _converted(options)
    return {
        "method": options.method, "file": str(options.file), "network": network, "settings": about["settings"],
        "values": sum(t.numel() for t in tensors.values()), "out": str(options.out),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write OUT/model.safetensors, which `sample` and `decode` take."""
    tensors, about, network = _converted(options)
    parents = {"checkpoint": files.file_digest(options.file)}
    with files.output_folder(options.out, options.overwrite, (options.file,)) as folder:
        artifacts.write(folder / "model.safetensors", "model", tensors, about, parents=parents)
    progress.log(f"{network}: {sum(t.numel() for t in tensors.values())} values")
    return {"written": [str(options.out)]}


def _converted(options: Options) -> tuple[Mapping[str, Tensor], Mapping[str, Any], str]:
    convert = method(options.method).import_official
    if convert is None:
        able = [name for name in METHODS.own if method(name).import_official is not None]
        raise G3dError(
            f"{options.method} has no checkpoints that can be imported; methods that have: {', '.join(able)}"
        )
    if options.size is not None and options.size < 1:
        raise G3dError(f"--size is {options.size}; it is the side of the pictures, at least 1")
    files.refuse_existing(options.out, options.overwrite, (options.file,))
    state, network = _state(options.file)
    tensors, about = convert(state, options.preset, options.settings, options.size, str(options.file))
    return tensors, about, network


def _state(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """The tensors of the network in a file, and its name there."""
    existing(path, "the checkpoint")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path), path.name
        except (SafetensorError, OSError) as error:
            raise G3dError(f"'{path}' is not a safetensors file that can be read ({error}); fetch it again") from error
    found = safe_pickle.load(path)
    for name in NETWORKS:
        network = found.get(name) if isinstance(found, Mapping) else None
        if network is not None:
            state = safe_pickle.module_tensors(network, str(path))
            if state:
                return state, name
    raise G3dError(f"'{path}' holds no network named {' or '.join(NETWORKS)}; give a snapshot of the public code")
