"""`g3d sheet`: pictures of several folders in rows."""

from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite

EXAMPLE = "g3d sheet demo/data:train demo/data:test --columns 4 --out demo/sheet.png"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def sheet(
    folders: Annotated[
        list[str], typer.Argument(help="Image folders, zips, datasets, DATASET:train, DATASET:test, IMAGES:disparity.")
    ],
    out: Out,
    columns: Annotated[int, typer.Option("--columns", help="Pictures in a row.")] = 12,
    rows: Annotated[int, typer.Option("--rows", help="Rows of each folder.")] = 1,
    size: Annotated[int, typer.Option("--size", help="Pixels of a picture on the page.")] = 96,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Lay pictures of several folders out in rows, evenly spread; equally large folders correspond column by column."""
    options = {"folders": folders, "out": out, "columns": columns, "rows": rows, "size": size, "overwrite": overwrite}
    execute("sheet", options, as_json=as_json, dry_run=dry_run)
