"""`g3d fit-refiner`: fit a refiner to pairs of pictures."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli import choices
from g3d_cli.execute import execute
from g3d_cli.options import (
    AllowChange,
    AnyCamera,
    CheckpointEvery,
    Compile,
    Device,
    DrawnFrom,
    DryRun,
    Json,
    Keep,
    Out,
    Overwrite,
    Resume,
    SaveEvery,
    Seed,
    Set,
    with_flags,
)

EXAMPLE = "g3d fit-refiner demo/data demo/data --split train --preset smoke --out demo/refiner"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def fit_refiner(
    coarse: Annotated[Path, typer.Argument(help="The coarse images: a dataset, a folder or a zip.")],
    true: Annotated[Path, typer.Argument(help="The true images of the same names.")],
    out: Out,
    split: Annotated[str | None, typer.Option(help="Views of datasets: train, test or all (default).")] = None,
    objects: Annotated[
        str | None,
        typer.Option(help="Objects of datasets: train, test, pairs, several (train,pairs) or all (default)."),
    ] = None,
    drawn_from: DrawnFrom = None,
    any_camera: AnyCamera = False,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="paper (the default), laptop or smoke.", autocompletion=choices.refiners),
    ] = None,
    settings: Set = None,
    compile: Compile = False,
    seed: Seed = 0,
    device: Device = "auto",
    checkpoint_every: CheckpointEvery = 0,
    keep: Keep = 0,
    save_every: SaveEvery = 60.0,
    resume: Resume = False,
    allow_change: AllowChange = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Fit a refiner, a diffusion model of true pictures given coarse ones, to pairs of the same names."""
    options = {
        "coarse": coarse, "true": true, "out": out, "split": split, "objects": objects, "drawn_from": drawn_from,
        "any_camera": any_camera,
        "preset": preset, "settings": with_flags(settings, compile), "seed": seed, "device": device, "resume": resume,
        "allow_change": allow_change, "overwrite": overwrite, "checkpoint_every": checkpoint_every, "keep": keep,
        "save_every_s": save_every,
    }  # fmt: skip
    execute("fit_refiner", options, as_json=as_json, dry_run=dry_run)
