"""`g3d eval-consistency`: whether the views of scenes agree."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Overwrite, Seed, Size

EXAMPLE = "g3d eval-consistency demo/scenes --num 1 --cameras spiral:6 --hold-out 3 --size 16 --steps 5"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_consistency(
    scenes: Annotated[Path, typer.Argument(help="A scene file, or a folder of them.")],
    num: Annotated[int | None, typer.Option("--num", help="The first so many scenes; default: all.")] = None,
    cameras: Annotated[str, typer.Option("--cameras", help="As for render; several views a scene.")] = "spiral:40",
    hold_out: Annotated[int, typer.Option("--hold-out", help="Every how manieth view is judged, not fitted.")] = 5,
    size: Size = None,
    steps: Annotated[int, typer.Option("--steps", help="Of the fit of a scene's surface.")] = 500,
    mask: Annotated[
        str,
        typer.Option(
            "--mask", help="none; object: pixels that the scene covers; or a folder of masks, SCENE/NNNNNN.png."
        ),
    ] = "none",
    seed: Seed = 0,
    per_item: Annotated[Path | None, typer.Option(help="JSON lines to write: the figures of each scene.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Fit a surface to views of each scene and compare it with held-out ones, and with those fitted: PSNR and SSIM."""
    options = {
        "scenes": scenes, "num": num, "cameras": cameras, "hold_out": hold_out, "size": size, "steps": steps, "mask": mask,
        "seed": seed, "per_item": per_item, "out": out, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_consistency", options, as_json=as_json, dry_run=dry_run)
