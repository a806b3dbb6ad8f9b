"""`g3d report`: one HTML page about a run."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Json, Overwrite

EXAMPLE = "g3d report demo/model --out demo/report.html"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def report(
    run: Annotated[
        Path, typer.Argument(help="The folder of fit-stage1, fit-prior or fit-refiner; it may still be running.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Page to write; default RUN/report.html.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write one self-contained page about a run: curves, last pictures, settings, figures."""
    execute("report", {"run": run, "out": out, "overwrite": overwrite}, as_json=as_json)
