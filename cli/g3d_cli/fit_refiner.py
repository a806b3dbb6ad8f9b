"""`g3d fit-refiner`: fit a refiner to pairs of pictures."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli import choices
from g3d_cli.execute import execute
from g3d_cli.options import AnyCamera, DrawnFrom, Fitted, Out, fits

EXAMPLE = "g3d fit-refiner demo/data demo/data --split train --preset smoke --out demo/refiner"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
@fits
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
    *,
    fitted: Fitted,
) -> None:
    """Fit a refiner, a diffusion model of true pictures given coarse ones, to pairs of the same names."""
    options = {
        "coarse": coarse, "true": true, "out": out, "split": split, "objects": objects, "drawn_from": drawn_from,
        "any_camera": any_camera, "preset": preset, **fitted.options,
    }  # fmt: skip
    execute("fit_refiner", options, as_json=fitted.as_json, dry_run=fitted.dry_run)
