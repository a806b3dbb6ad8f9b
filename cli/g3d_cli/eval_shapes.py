"""`g3d eval-shapes`: compare two sets of shapes by Chamfer distance, or occupancy grids by name."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Overwrite, Seed

EXAMPLE = "g3d eval-shapes demo/data demo/data --points 256"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_FORMS = (
    "a folder of PLY files, of NPY files or of occupancy scenes, a dataset with solids, or .npy/.npz clouds [N, P, 3]"
)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_shapes(
    true: Annotated[Path, typer.Argument(help=f"The true shapes: {_FORMS}.")],
    test: Annotated[Path, typer.Argument(help="The shapes to judge, of any of these forms.")],
    grids: Annotated[
        bool, typer.Option("--grids", help="Compare occupancy grids by name instead: MSE, PSNR, IoU over cells.")
    ] = False,
    points: Annotated[int | None, typer.Option(help="Points drawn from the surface of a shape; default 2048.")] = None,
    normalise: Annotated[
        str | None, typer.Option(help="Size of each shape: none (default), unit-sphere or unit-box.")
    ] = None,
    chamfer: Annotated[
        str | None, typer.Option(help="Of distances to nearest points: squared (default) or euclidean.")
    ] = None,
    one_nn: Annotated[
        bool, typer.Option("--one-nn/--no-one-nn", help="1-NN accuracy, too; without it half the time.")
    ] = True,
    skip_empty: Annotated[
        bool, typer.Option("--skip-empty", help="Leave out shapes without a surface; says how many.")
    ] = False,
    cells: Annotated[
        int | None, typer.Option(help="Cells a side of fields' grids; default: the dataset's on the other side, or 64.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of datasets: train, test or all (default).")] = None,
    num: Annotated[int | None, typer.Option(help="At most so many shapes of each side, drawn by --seed.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Histogram of nearest distances (of IoU), .png.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Compare two sets of shapes: coverage, MMD, 1-NN accuracy by Chamfer distance; or occupancy grids by name."""
    options = {
        "true": true, "test": test, "grids": grids, "points": points, "normalise": normalise, "chamfer": chamfer,
        "one_nn": one_nn, "skip_empty": skip_empty, "cells": cells, "split": split, "num": num, "seed": seed, "device": device,
        "out": out, "plot": plot, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_shapes", options, as_json=as_json, dry_run=dry_run)
