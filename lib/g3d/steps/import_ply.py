"""`import-ply`: a PLY of 3D Gaussians => a scene file, y up, with a camera that looks at it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing
from g3d.importers.splat_scene import gaussians_of
from g3d.importers.splats import read_splats
from g3d.progress import SILENT, Progress
from g3d.render.splat import turn
from g3d.scenes.scene import Gaussians
from g3d.scenes.scene_file import save_scene
from g3d.storage import files, leaving_out


@dataclass(frozen=True)
class Options:
    """The file, and the axis that points up in it."""

    file: Path
    out: Path
    up: str = "y"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    _check(options)
    return {"file": str(options.file), "out": str(options.out), "up": options.up}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write the scene; rows that hold NaN or infinity are left out, and counted."""
    _check(options)
    read = read_splats(options.file)
    total = len(read.means) + read.dropped
    if not len(read.means):
        raise G3dError(f"'{options.file}' holds no Gaussians that can be drawn, of {total} rows"
                       f"{': ' + leaving_out.note(read.left_out) if read.left_out else ''}; give another file")  # fmt: skip
    if read.left_out:
        progress.log(f"of {total} Gaussians {leaving_out.note(read.left_out)}")
    scene = gaussians_of(read, options.up)
    parents = {"ply": files.file_digest(options.file)}
    save_scene(options.out, scene, item=options.file.stem, parents=parents, left_out=read.left_out)
    first = {why: rows[:1000] for why, rows in read.left_out.items()}
    return {
        "written": [str(options.out)], "splats": len(read.means), "dropped": read.dropped, "left_out": first,
        "sh_degree": _degree(scene),
    }  # fmt: skip


def _check(options: Options) -> None:
    existing(options.file, "the PLY file")
    turn.from_y_up(options.up)
    if options.out.suffix != ".safetensors":
        raise G3dError(f"the scene '{options.out}' must be a file that ends in .safetensors; rename it")
    files.refuse_existing(options.out, options.overwrite, (options.file,))


def _degree(scene: Gaussians) -> int:
    return int(scene.sh.shape[2] ** 0.5) - 1
