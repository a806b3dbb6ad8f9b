"""`g3d edit`: change latents."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite

EXAMPLE = "g3d edit interpolate demo/model --items 0,1 --steps 5 --out demo/path.safetensors"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def edit(
    operation: Annotated[str, typer.Argument(help="What to do: interpolate, grid or swap.")],
    latents: Annotated[Path, typer.Argument(help="Latents, or a run that has some.")],
    out: Out,
    items: Annotated[
        str | None,
        typer.Option(
            "--items", help="Numbers or names: 0,5,2 to pass through, or four corners; default the first ones."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Latents from one item to the next, both included; default 8.")
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option("--fields", help="Only these named fields change, e.g. expression or shape,appearance."),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="swap: the item whose fields are taken, or one for each of --to.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="swap: the items that take them, e.g. 0,1,2 or 0-9.")] = None,
    names: Annotated[
        str | None,
        typer.Option("--names", help="swap: names of the results, e.g. of objects of a dataset that they stand for."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make latents from latents: a straight path through several items, a grid between four, or a swap of named fields.

    grid: the items are the corners, top left, top right, bottom left, bottom right; STEPS x STEPS latents, row by row.
    swap: --fields expression --from 3 --to 0,1,2 gives items 0, 1 and 2 the expression of item 3.
    decode draws them: --render FOLDER --sheet PAGE.png shows the grid as a square."""
    options = {
        "operation": operation,
        "latents": latents,
        "out": out,
        "items": items,
        "steps": steps,
        "fields": fields,
        "source": source,
        "to": to,
        "names": names,
        "overwrite": overwrite,
    }
    execute("edit", options, as_json=as_json, dry_run=dry_run)
