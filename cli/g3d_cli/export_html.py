"""`g3d export-html`: scenes as one page that turns them."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite

EXAMPLE = "g3d export-html demo/scenes --out demo/scenes.html"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def export_html(
    scenes: Annotated[Path, typer.Argument(help="A scene, or a folder of scenes.")],
    out: Out,
    title: Annotated[str | None, typer.Option("--title", help="Of the page; default: the name of the scenes.")] = None,
    form: Annotated[
        str | None,
        typer.Option("--as", help="What fields become: mesh (default), or splats, fitted as by g3d convert."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option("--resolution", help="Cells on the longest side of a field's mesh; default 96.")
    ] = None,
    level: Annotated[
        float | None,
        typer.Option("--level", help="Density of a field's surface; default: a tenth of the diagonal is half opaque."),
    ] = None,
    num: Annotated[int | None, typer.Option("--num", help="Gaussians, of --as splats; default 20000.")] = None,
    views: Annotated[
        int | None, typer.Option("--views", help="Views that they are fitted to, of --as splats; default 100.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Width of the views in pixels, of --as splats; default 128.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of a fit, of --as splats; default 1000.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the fits, of --as splats; default 0.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write one self-contained page (HTML, nothing is fetched) that turns scenes in any browser.

    3D Gaussians become splats, fields and solids meshes, or with --as splats Gaussians fitted to them, which look better and
    take half a minute each."""
    options = {
        "scenes": scenes, "out": out, "title": title, "form": form, "resolution": resolution, "level": level, "num": num,
        "views": views, "size": size, "steps": steps, "seed": seed, "overwrite": overwrite,
    }  # fmt: skip
    execute("export_html", options, as_json=as_json, dry_run=dry_run)
