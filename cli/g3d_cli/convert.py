"""`g3d convert`: scenes of any other kind as scenes of 3D Gaussians."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite, Seed

EXAMPLE = "g3d convert demo/scenes --to gaussians --out demo/splats"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def convert(
    scenes: Annotated[Path, typer.Argument(help="A scene, or a folder of scenes.")],
    out: Out,
    form: Annotated[str, typer.Option("--to", help="What they become: gaussians.")] = "gaussians",
    num: Annotated[int, typer.Option("--num", help="Gaussians of a scene, at most.")] = 20000,
    views: Annotated[int, typer.Option("--views", help="Views that they are fitted to.")] = 100,
    size: Annotated[int, typer.Option("--size", help="Width of the views in pixels.")] = 128,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the fit, a view each.")] = 1000,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Fit 3D Gaussians to views that each scene draws of itself, from where its training cameras stood.

    PSNR of 20 held-out views is printed, and recorded in the scene. On the processor."""
    options = {
        "scenes": scenes, "out": out, "form": form, "num": num, "views": views, "size": size, "steps": steps, "seed": seed,
        "overwrite": overwrite,
    }  # fmt: skip
    execute("convert", options, as_json=as_json, dry_run=dry_run)
