"""`g3d export-ply`: scenes as PLY files, meshes also as OBJ and GLB, splats as .splat."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Out, Overwrite

EXAMPLE = "g3d export-ply demo/scenes --as mesh --resolution 48 --out demo/plys"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def export_ply(
    scenes: Annotated[Path, typer.Argument(help="A scene, or a folder of scenes.")],
    out: Out,
    form: Annotated[str, typer.Option("--as", help="mesh, points, or splats (3D Gaussians for viewers).")] = "mesh",
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="ply, obj or glb of --as mesh, ply or splat of --as splats; default: that of --out, or ply.",
        ),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option("--resolution", help="Cells on the longest side of a field's bounds; default 128.")
    ] = None,
    level: Annotated[
        float | None,
        typer.Option("--level", help="Density of the surface; default: a tenth of the diagonal is half opaque."),
    ] = None,
    num: Annotated[
        int | None, typer.Option("--num", help="Points on a field's surface, of --as points; default 20000.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of these points; default 0.")] = None,
    up: Annotated[
        str | None,
        typer.Option(
            "--up",
            help="The axis that is up in the file, of --as splats: y (default; three.js), -y (SuperSplat, which turns what it "
            "opens), z (viser), -z.",
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write scenes as PLY (meshes also as OBJ or GLB, splats as .splat), one file each: coloured meshes, points or splats in
    world units."""
    options = {
        "scenes": scenes, "out": out, "form": form, "format": format, "resolution": resolution, "level": level,
        "num": num, "seed": seed,
        "up": up, "device": device, "overwrite": overwrite,
    }  # fmt: skip
    execute("export_ply", options, as_json=as_json, dry_run=dry_run)
