"""`g3d eval-transfer`: whether drawn faces take on expressions."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DrawnFrom, DryRun, Json, Overwrite

EXAMPLE = "g3d eval-transfer demo/faces demo/faces --split test --objects train,pairs"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_transfer(
    true: Annotated[Path, typer.Argument(help="The true faces: a dataset of prepare-data faces.")],
    test: Annotated[Path, typer.Argument(help="The faces to judge, of the same names, neutral ones with them.")],
    split: Annotated[str | None, typer.Option(help="Views: train, test or all (default).")] = None,
    objects: Annotated[
        str | None, typer.Option(help="Objects: train, test, pairs, several (train,pairs) or all (default).")
    ] = None,
    drawn_from: DrawnFrom = None,
    neutral: Annotated[str, typer.Option(help="The expression from which changes are counted.")] = "neutral",
    landmarks: Annotated[
        str | None, typer.Option(help="Find landmarks by 'dlib' (needs g3d[identity]), and say how far off they are.")
    ] = None,
    per_item: Annotated[Path | None, typer.Option(help="JSON lines to write: the figures of each picture.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Say whether drawn faces take on expressions: how much of the true change they miss, PSNR of face and mouth.

    The change residual is 0 where an expression changes a face as it should and 1 where it changes nothing."""
    options = {
        "true": true, "test": test, "split": split, "objects": objects, "drawn_from": drawn_from,
        "neutral": neutral, "landmarks": landmarks,
        "per_item": per_item, "out": out, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_transfer", options, as_json=as_json, dry_run=dry_run)
