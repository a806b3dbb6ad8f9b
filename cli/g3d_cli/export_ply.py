"""`g3d export-ply`: scenes as PLY files."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Out, Overwrite, Seed

EXAMPLE = "g3d export-ply demo/scenes --as mesh --resolution 48 --out demo/plys"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def export_ply(
    scenes: Annotated[Path, typer.Argument(help="A scene, or a folder of scenes.")],
    out: Out,
    form: Annotated[str, typer.Option("--as", help="mesh or points.")] = "mesh",
    resolution: Annotated[int, typer.Option("--resolution", help="Cells on the longest side of the bounds.")] = 128,
    level: Annotated[
        float | None,
        typer.Option("--level", help="Density of the surface; default: a tenth of the diagonal is half opaque."),
    ] = None,
    num: Annotated[int, typer.Option("--num", help="Points of --as points.")] = 20000,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write scenes as PLY, one file each: coloured meshes or points in world units."""
    options = {
        "scenes": scenes, "out": out, "form": form, "resolution": resolution, "level": level, "num": num, "seed": seed,
        "device": device, "overwrite": overwrite,
    }  # fmt: skip
    execute("export_ply", options, as_json=as_json, dry_run=dry_run)
