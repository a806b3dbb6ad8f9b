"""`g3d profile`: how large and how fast."""

from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Preset, Set, Size

EXAMPLE = "g3d profile mnif --set signal=image --set hidden_layers=2 --set bases=64 --set latent_dim=256 --json"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def profile(
    what: Annotated[str, typer.Argument(help="A method's name, a model or a scene.")],
    preset: Preset = None,
    settings: Set = None,
    size: Size = None,
    device: Device = "auto",
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Count parameters and multiply-adds, time a view, measure memory."""
    options = {"what": what, "preset": preset, "settings": settings or (), "size": size, "device": device}
    execute("profile", options, as_json=as_json, dry_run=dry_run)
