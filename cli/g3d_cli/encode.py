"""`g3d encode`: data to latents."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Out, Overwrite, Seed, Set

EXAMPLE = "g3d encode demo/model --data demo/data --set steps=20 --out demo/latents.safetensors"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def encode(
    model: Annotated[Path, typer.Argument(help="A model, or the run that has it.")],
    data: Annotated[Path, typer.Option("--data", help="A dataset made by prepare-data.", show_default=False)],
    out: Out,
    split: Annotated[str, typer.Option("--split", help="Which objects: train, test, pairs or all.")] = "train",
    items: Annotated[
        str | None, typer.Option("--items", help="Of the split: numbers, ranges or names, e.g. 0-9 or a name.")
    ] = None,
    num: Annotated[int | None, typer.Option("--num", help="The first so many of the split.")] = None,
    tuned_model: Annotated[
        Path | None,
        typer.Option("--tuned-model", help="Also write a model tuned to draw the items by their latents (GANs)."),
    ] = None,
    settings: Set = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Find the latents of a dataset's items, also of those that the model never saw, and say how well they fit."""
    options = {
        "model": model, "data": data, "out": out, "split": split, "settings": settings or (), "seed": seed, "device": device,
        "overwrite": overwrite, "items": items, "num": num, "tuned_model": tuned_model,
    }  # fmt: skip
    execute("encode", options, as_json=as_json, dry_run=dry_run)
