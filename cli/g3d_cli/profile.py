"""`g3d profile`: how large and how fast."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Backend, Device, DryRun, Json, Overwrite, Preset, Set, Size

EXAMPLE = "g3d profile mnif --set signal=image --set hidden_layers=2 --set bases=64 --set latent_dim=256 --json"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def profile(
    what: Annotated[str, typer.Argument(help="A method's name, a model or a scene.")],
    preset: Preset = None,
    settings: Set = None,
    size: Size = None,
    sizes: Annotated[str | None, typer.Option(help="Several widths in pixels, a row each: 64,128,256.")] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="A setting's values, a row each: bases=16,64; several: all combinations.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Measure METHOD, METHOD:PRESET or a file beside it, and divide by its figures.")
    ] = None,
    grid: Annotated[
        int | None, typer.Option(help="Instead of a view all cells of a grid of an occupancy field, so many a side.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Views whose times the median and quartiles are of.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Times over --sizes, .png.")] = None,
    similarity: Annotated[
        Path | None, typer.Option(help="How alike the basis networks of each layer are, .png.")
    ] = None,
    overwrite: Overwrite = False,
    backend: Backend = "auto",
    device: Device = "auto",
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Count parameters and multiply-adds, time a view, measure memory; over sizes, settings, against another."""
    options = {
        "what": what, "preset": preset, "settings": settings or (), "size": size, "sizes": sizes, "sweep": sweep or (),
        "against": against, "repeats": repeats, "plot": plot, "similarity": similarity, "overwrite": overwrite,
        "backend": backend, "device": device, "grid": grid,
    }  # fmt: skip
    execute("profile", options, as_json=as_json, dry_run=dry_run)
