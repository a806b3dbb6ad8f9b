"""`convert`: scenes of any other kind => scenes of 3D Gaussians, fitted to pictures that the scenes draw of themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d.cameras import SIDE_MOST
from g3d.conversion.fit import Fit, fitted, held_out_psnr
from g3d.conversion.views import drawn_views
from g3d.errors import Failure, G3dError, did_you_mean
from g3d.losses.paired import WINDOW_PX
from g3d.progress import SILENT, Progress
from g3d.render.splat import choose
from g3d.scenes.mlp import reads
from g3d.scenes.scene import Gaussians, MlpField, Scene, tensors_of
from g3d.scenes.scene_file import load_scene, save_scene, scene_files
from g3d.storage import artifacts, files

FORMS = ("gaussians",)
HELD_OUT = 20
NUM_MOST, VIEWS_MOST, STEPS_MOST = 5_000_000, 10_000, 1_000_000
DIRECTIONAL = 4  # coefficients of a colour that depends on the direction


@dataclass(frozen=True)
class Options:
    """Scenes (a file or a folder), and how many Gaussians are fitted to how many views, in how many steps."""

    scenes: Path
    out: Path
    form: str = "gaussians"
    num: int = 20000
    views: int = 100
    size: int = 128
    steps: int = 1000
    seed: int = 0
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    scenes = _checked(options)
    return {
        "scenes": len(scenes), "to": options.form, "num": options.num, "views": options.views, "held_out_views": HELD_OUT,
        "size": options.size, "steps": options.steps, "seed": options.seed, "out": str(options.out),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Write a scene for each, under its name; one scene goes to `out` itself where it ends in .safetensors."""
    scenes = _checked(options)
    figures: dict[str, Any] = {}
    if options.out.suffix == ".safetensors":
        figures[scenes[0].stem] = _convert(scenes[0], options.out, options, progress)
    else:
        with files.output_folder(options.out, options.overwrite, (options.scenes,)) as folder:
            for file in scenes:
                figures[file.stem] = _convert(file, folder / file.name, options, progress)
    return {"written": [str(options.out)], "scenes": figures}


def _convert(file: Path, out: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """One scene; what is recorded in its file and returned."""
    head, scene = artifacts.header(file), load_scene(file)
    assert not isinstance(scene, Gaussians)
    odd = artifacts.not_finite(tensors_of(scene))
    if odd:
        raise G3dError(f"'{file}': its tensor '{odd}' holds NaN or infinity; make the scene again")
    how = Fit(options.num, options.steps, _coefficients(scene), options.seed)
    try:
        views = drawn_views(scene, options.views, options.size, options.seed, "views", progress)
        held_out = drawn_views(scene, HELD_OUT, options.size, options.seed, "held-out views", progress)
        found = fitted(views, scene.world, how, progress)
    except Failure:
        raise
    except G3dError as error:
        raise G3dError(f"'{file}': {error}") from error
    figures = {
        "psnr_held_out": round(held_out_psnr(found, held_out), 2), "psnr_views": round(held_out_psnr(found, views), 2),
        "gaussians": found.means.shape[1], "views": options.views, "held_out_views": HELD_OUT, "steps": options.steps,
        "width": held_out.cameras.width, "height": held_out.cameras.height,
    }  # fmt: skip
    progress.log(
        f"{file.stem}: {figures['psnr_held_out']:.2f} dB of {HELD_OUT} held-out views, {figures['gaussians']} Gaussians"
    )
    save_scene(
        out, found, item=head.config.get("item"), seed=options.seed, parents={"scene": head.digest}, fitted=figures
    )
    return figures


def _coefficients(scene: Scene) -> int:
    """Of spherical harmonics: one where a colour is the same from everywhere."""
    if not isinstance(scene, MlpField):
        return 1
    lit = scene.signal == "occupancy"  # its shading turns with the camera
    return DIRECTIONAL if lit or reads(scene.network, "rgb", "direction") else 1


def _checked(options: Options) -> list[Path]:
    """The scene files, once all of them can be converted and the output written."""
    if options.form not in FORMS:
        raise G3dError(f"--to is '{options.form}', to which nothing is converted{did_you_mean(options.form, FORMS)}")  # fmt: skip
    ranges = {
        "num": (1, NUM_MOST), "views": (1, VIEWS_MOST), "size": (WINDOW_PX, SIDE_MOST), "steps": (1, STEPS_MOST),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        if not low <= getattr(options, name) <= high:
            raise G3dError(f"--{name} is {getattr(options, name)}; it must lie between {low} and {high}")
    scenes = scene_files(options.scenes)
    for file in scenes:
        head = artifacts.header(file)
        if head.config.get("signal") == "image":
            raise G3dError(f"'{file}': an image field is flat, there is nothing to fit Gaussians to; use g3d render")
        if head.kind == "scene/gaussians":
            raise G3dError(f"'{file}' holds 3D Gaussians already; use it as it is, or g3d export-ply --as splats")
        if not head.config.get("world", {}).get("camera_prior"):
            raise G3dError(f"'{file}' records no cameras to be seen from, so it has no views to fit Gaussians to; "
                           "make the scene again from posed data")  # fmt: skip
    if options.out.suffix == ".safetensors" and len(scenes) != 1:
        raise G3dError(f"'{options.out}' is one file, but '{options.scenes}' holds {len(scenes)} scenes; give a folder")
    files.refuse_existing(options.out, options.overwrite, (options.scenes,))
    choose("cpu", torch.device("cpu"))  # what it is fitted by
    return scenes
