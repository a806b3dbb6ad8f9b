"""`g3d refine`: make pictures better by a refiner."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Out, Overwrite, Seed, Set

EXAMPLE = "g3d refine demo/data --refiner demo/refiner --split test --out demo/refined"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def refine(
    images: Annotated[
        Path, typer.Argument(help="The images to refine: a folder (as render draws it), a zip or a dataset.")
    ],
    refiner: Annotated[
        Path, typer.Option("--refiner", help="What fit-refiner wrote: a run or its file.", show_default=False)
    ],
    out: Out,
    split: Annotated[str | None, typer.Option(help="Views of a dataset: train, test or all (default).")] = None,
    objects: Annotated[
        str | None,
        typer.Option(help="Objects of a dataset: train, test, pairs, several (train,pairs) or all (default)."),
    ] = None,
    settings: Set = None,
    batch: Annotated[
        int, typer.Option(help="Pictures at once: memory against speed; numbers change by rounding alone.")
    ] = 8,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make pictures better: same names, cameras, masks and depth, other pixels.

    --set ddim_steps=N: deterministic steps of denoising, more of them sharper; 0: all, ancestral."""
    options = {
        "images": images, "refiner": refiner, "out": out, "split": split, "objects": objects, "settings": tuple(settings or ()),
        "batch": batch, "seed": seed, "device": device, "overwrite": overwrite,
    }  # fmt: skip
    execute("refine", options, as_json=as_json, dry_run=dry_run)
