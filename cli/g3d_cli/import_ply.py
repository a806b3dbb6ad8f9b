"""`g3d import-ply`: a PLY of 3D Gaussians as a scene."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite

EXAMPLE = "g3d import-ply demo/splats.ply --out demo/imported.safetensors"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def import_ply(
    file: Annotated[Path, typer.Argument(help="A PLY of 3D Gaussian splatting, plain or packed by SuperSplat.")],
    out: Out,
    up: Annotated[str, typer.Option("--up", help="The axis that is up in the file: y, -y, z, -z.")] = "y",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Read 3D Gaussians of other programs as a scene file, with a camera that looks at them."""
    options = {"file": file, "out": out, "up": up, "overwrite": overwrite}
    execute("import_ply", options, as_json=as_json, dry_run=dry_run)
