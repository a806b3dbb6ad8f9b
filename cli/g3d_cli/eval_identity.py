"""`g3d eval-identity`: whether faces are still the same person's."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import AnyCamera, Device, DrawnFrom, DryRun, Inputs, Json, Overwrite

EXAMPLE = "g3d eval-identity demo/data demo/data --split test --network pixels"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_identity(
    true: Annotated[Path, typer.Argument(help="The true faces: a dataset (with landmarks), a folder or a zip.")],
    test: Annotated[Path, typer.Argument(help="The faces to judge, of the same names.")],
    network: Annotated[
        str,
        typer.Option(
            help="TorchScript file with AdaFace's interface, 'dlib' (needs g3d[identity]), or 'pixels' for none (a floor).",
            show_default=False,
        ),
    ],
    trust: Annotated[bool, typer.Option("--trust", help="Run the file of --network, which is code.")] = False,
    channels: Annotated[str, typer.Option(help="What the network wants: bgr (AdaFace) or rgb.")] = "bgr",
    split: Annotated[str | None, typer.Option(help="Views of datasets: train, test or all (default).")] = None,
    objects: Annotated[
        str | None, typer.Option(help="Objects of datasets: train, test, pairs or all (default).")
    ] = None,
    drawn_from: DrawnFrom = None,
    inputs: Inputs = False,
    any_camera: AnyCamera = False,
    input_view: Annotated[
        str | None,
        typer.Option(
            help="Compare all views with this one of their object (0: the first) or, latents:FILE, with its input."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Faces at a time; changes memory and speed only.")] = 64,
    per_item: Annotated[Path | None, typer.Option(help="JSON lines to write: the cosine of each pair.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Say whether faces are still the same person's: the cosine of a face network's embeddings."""
    options = {
        "true": true, "test": test, "network": network, "trust": trust, "channels": channels, "split": split,
        "objects": objects, "drawn_from": drawn_from, "inputs": inputs, "any_camera": any_camera,
        "input_view": input_view, "batch": batch, "per_item": per_item, "device": device, "out": out,
        "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_identity", options, as_json=as_json, dry_run=dry_run)
