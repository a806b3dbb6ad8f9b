"""`import-ply`: a PLY of 3D Gaussians => a scene file, y up, with a camera that looks at it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.cameras import CameraPrior
from g3d.errors import G3dError, existing
from g3d.importers.splats import read_splats
from g3d.progress import SILENT, Progress
from g3d.render.splat import turn
from g3d.scenes.scene import Gaussians, World
from g3d.scenes.scene_file import save_scene
from g3d.storage import files, leaving_out

SIZE_PX, FOV_DEG = 512, 45.0
SIGMAS = 3.0  # of a Gaussian, within which it is seen
INNER = 0.98  # share of the Gaussians that the default camera shows: strays do not count


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
    means, log_scales, quats, logits, sh = (
        torch.from_numpy(t)[None] for t in (read.means, read.log_scales, read.quats, read.opacity_logits, read.sh)
    )
    scene = turn.turned(Gaussians(means, log_scales, quats, logits, sh, World()), turn.from_y_up(options.up).T)
    scene = replace(scene, world=_world(scene.means[0].double(), scene.log_scales[0].amax(dim=1).double()))
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


def _world(means: Tensor, log_scales: Tensor) -> World:
    """Bounds around all, and a camera prior around where most are [N, 3], as large as they are [N]."""
    ordered, count = means.sort(dim=0).values, len(means)
    stray = int((1 - INNER) / 2 * (count - 1))
    target = (ordered[stray] + ordered[count - 1 - stray]) / 2
    distance = (means - target).norm(dim=1)
    reach = max(float(distance.sort().values[int(INNER * (len(distance) - 1))]), 1e-3)
    reach = max(reach, SIGMAS * float(log_scales.median().exp()))  # the camera stands outside of a single one
    low, high = means.amin(dim=0) - 1e-3 * reach, means.amax(dim=0) + 1e-3 * reach
    prior = CameraPrior(
        2.8 * reach, FOV_DEG, SIZE_PX, SIZE_PX, elevation_deg=(-30.0, 60.0), distribution="uniform",
        target=(float(target[0]), float(target[1]), float(target[2])), default_azimuth_deg=0.0, default_elevation_deg=10.0,
    )  # fmt: skip
    corners = tuple(tuple(float(x) for x in corner) for corner in (low, high))
    far = 2.8 * reach + float(distance.max()) + reach
    return World(corners, 0.01 * reach, far, camera_prior=prior)  # type: ignore[arg-type]
