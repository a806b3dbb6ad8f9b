"""`g3d prepare-data`: make a dataset from a source."""

from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite, Seed

EXAMPLE = "g3d prepare-data procedural cars --num 8 --views 8 --size 32 --out demo/data"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def prepare_data(
    source: Annotated[str, typer.Argument(help="procedural or meshes.")],
    out: Out,
    input: Annotated[
        str | None,
        typer.Argument(help="procedural: cars, chairs or planes; meshes: a folder of GLB, OBJ, PLY, OFF, STL files."),
    ] = None,
    num: Annotated[int | None, typer.Option("--num", help="Objects to draw (procedural only); default 48.")] = None,
    views: Annotated[int, typer.Option("--views", help="Training views of each object, random from above.")] = 16,
    test_views: Annotated[int, typer.Option("--test-views", help="Test views of each object, on a spiral.")] = 8,
    size: Annotated[int, typer.Option("--size", help="Width and height of a picture, pixels.")] = 64,
    holdout: Annotated[int, typer.Option("--holdout", help="The last N objects become the split 'test'.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out unusable files (meshes only).")] = False,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; default one for each core.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a dataset: pictures, cameras, masks, depth and occupancy of procedural shapes or mesh files."""
    options = {
        "source": source, "input": input, "out": out, "num": num, "views": views, "test_views": test_views, "size": size,
        "holdout": holdout, "skip_bad": skip_bad, "workers": workers, "seed": seed, "overwrite": overwrite,
    }  # fmt: skip
    execute("prepare_data", options, as_json=as_json, dry_run=dry_run)
