"""`g3d import-checkpoint`: checkpoints of public code."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli import choices
from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite, Preset, Set

EXAMPLE = "g3d import-checkpoint hypernerfgan demo/network.pkl --out demo/imported"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def import_checkpoint(
    method: Annotated[str, typer.Argument(help="The method: hypernerfgan or gsgan.", autocompletion=choices.methods)],
    file: Annotated[Path, typer.Argument(help="Its checkpoint (.pkl), or a state dict (.safetensors).")],
    out: Out,
    preset: Preset = None,
    settings: Set = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Side of its pictures, pixels, where the weights do not say it.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a model from a checkpoint of a method's public code. Nothing in the file is executed."""
    options = {
        "method": method, "file": file, "out": out, "preset": preset, "settings": settings or (), "size": size,
        "overwrite": overwrite,
    }  # fmt: skip
    execute("import_checkpoint", options, as_json=as_json, dry_run=dry_run)
