"""`g3d info`: what a file or folder is, or a method, prior or source."""

from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json

EXAMPLE = "g3d info demo/model/model.safetensors"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def info(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A g3d file, a PLY, a dataset, a run, a folder of scenes or images; or the name of a method, prior or source."
        ),
    ] = None,
    levels: Annotated[
        bool, typer.Option("--levels", help="Instead: mean log-scale of Gaussians, level by level, over all scenes.")
    ] = False,
    tensors: Annotated[
        bool, typer.Option("--tensors", help="Also every tensor of a file, its type and shape.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Say what a file or folder is: format, totals, parents, the settings that are not as by default. Reads headers only,
    but for --levels. --json has all of them.

    Of a method, prior or source: what it can do, its presets, and every setting. Without an argument: which there are."""
    execute(
        "info", {"what": what, "levels": levels, "tensors": tensors, "whole": as_json}, as_json=as_json, dry_run=dry_run
    )
