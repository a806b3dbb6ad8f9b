"""`g3d compare`: runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Overwrite

EXAMPLE = "g3d compare demo/model demo/model-2 --figures psnr_db,seconds"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of fit-stage1, of fit-prior, or of fit-refiner.")],
    figures: Annotated[str | None, typer.Option("--figures", help="Which, separated by commas; default all.")] = None,
    also: Annotated[
        str | None,
        typer.Option("--also", help="JSON files in each run whose numbers count, too, e.g. fid_s1.json,fid_s2.json."),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a line for each run there, too.")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page there, too: the table, and the curves of all runs' logs."),
    ] = None,
    curves: Annotated[
        str | None, typer.Option("--curves", help="Of --html: which, separated by commas; default all.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Show the settings that differ between runs and the figures of each; runs that differ in their seed alone are one row,
    mean and deviation."""
    options = {
        "runs": runs, "figures": None if figures is None else _words(figures), "also": _words(also or ""), "csv": csv,
        "html": html, "curves": None if curves is None else _words(curves), "overwrite": overwrite,
    }  # fmt: skip
    execute("compare", options, as_json=as_json, dry_run=dry_run)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
