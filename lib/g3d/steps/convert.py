"""`convert`: scenes of any other kind => scenes of 3D Gaussians, fitted to pictures that the scenes draw of themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d.conversion.whole import HELD_OUT, Plan, converted, told
from g3d.errors import Failure, G3dError, did_you_mean
from g3d.progress import SILENT, Progress
from g3d.render.splat import choose
from g3d.scenes.scene import Gaussians, tensors_of
from g3d.scenes.scene_file import load_scene, save_scene, scene_files
from g3d.storage import artifacts, files

FORMS = ("gaussians",)


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
    try:
        found, figures = converted(scene, _plan(options), progress)
    except Failure:
        raise
    except G3dError as error:
        raise G3dError(f"'{file}': {error}") from error
    progress.log(told(file.stem, figures))
    save_scene(
        out, found, item=head.config.get("item"), seed=options.seed, parents={"scene": head.digest}, fitted=figures
    )
    return figures


def _plan(options: Options) -> Plan:
    return Plan(options.num, options.views, options.size, options.steps, options.seed)


def _checked(options: Options) -> list[Path]:
    """The scene files, once all of them can be converted and the output written."""
    if options.form not in FORMS:
        raise G3dError(f"--to is '{options.form}', to which nothing is converted{did_you_mean(options.form, FORMS)}")  # fmt: skip
    _plan(options).check()
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
