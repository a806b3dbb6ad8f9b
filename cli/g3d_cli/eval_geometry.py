"""`g3d eval-geometry`: how solid rendered objects are, and how right their depth is."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import AnyCamera, Device, DrawnFrom, DryRun, Json, Overwrite

EXAMPLE = "g3d eval-geometry demo/data demo/data --split test"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_geometry(
    images: Annotated[Path, typer.Argument(help="What render --alpha --depth (--disparity) wrote, or a dataset.")],
    true: Annotated[
        Path | None, typer.Argument(help="The truth: a dataset with masks (and depth). Without: cloudy rays alone.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Views of datasets: train, test or all (default).")] = None,
    objects: Annotated[
        str | None, typer.Option(help="Objects of datasets: train, test, pairs or all (default).")
    ] = None,
    drawn_from: DrawnFrom = None,
    region: Annotated[
        str, typer.Option(help="mask: the object. picture: all of it, of what render --disparity wrote.")
    ] = "mask",
    estimator: Annotated[
        Path | None,
        typer.Option(help="Instead of TRUE: TorchScript file; its inverse depth of the pictures themselves."),
    ] = None,
    estimator_size: Annotated[int, typer.Option(help="Its input's side, pixels.", min=1, max=4096)] = 384,
    estimator_norm: Annotated[str, typer.Option(help="Its input's range: half, imagenet, none.")] = "half",
    trust: Annotated[bool, typer.Option("--trust", help="Run an estimator of unknown origin: it is code.")] = False,
    device: Device = "auto",
    any_camera: AnyCamera = False,
    near: Annotated[
        float | None, typer.Option(help="With --far: disparity in VQ3D's units, 1 at near, 0 at far (world units).")
    ] = None,
    far: Annotated[float | None, typer.Option(help="See --near.")] = None,
    per_item: Annotated[Path | None, typer.Option(help="JSON lines to write: the figures of each picture.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Say how solid rendered objects are (cloudy rays, halos), and how right their depth is."""
    options = {
        "images": images, "true": true, "split": split, "objects": objects, "drawn_from": drawn_from,
        "near_world": near, "far_world": far, "region": region, "estimator": estimator,
        "estimator_size": estimator_size, "estimator_norm": estimator_norm, "trust": trust, "device": device,
        "any_camera": any_camera, "per_item": per_item, "out": out, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_geometry", options, as_json=as_json, dry_run=dry_run)
