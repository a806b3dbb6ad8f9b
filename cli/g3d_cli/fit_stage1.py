"""`g3d fit-stage1`: fit the first stage of a method."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli import choices
from g3d_cli.execute import execute
from g3d_cli.options import Fitted, Out, Preset, fits

EXAMPLE = "g3d fit-stage1 mnif --data demo/data --preset smoke --out demo/model"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(
    cls=choices.OfMethod,
    epilog=f"{choices.listed('METHOD, of which fit-stage1 METHOD --help shows presets and settings:', choices.METHODS)}\n\n"
    f"\b\nExample: {EXAMPLE}",
)
@fits
def fit_stage1(
    method: Annotated[str, typer.Argument(help="One of those below.", autocompletion=choices.methods)],
    data: Annotated[Path, typer.Option("--data", help="A dataset made by prepare-data.", show_default=False)],
    out: Out,
    preset: Preset = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            help="Start from the weights of a model of the same method, a file or a run; a GAN's discriminator and the codes "
            "that are fitted with a model start afresh.",
        ),
    ] = None,
    *,
    fitted: Fitted,
) -> None:
    """Fit the first stage of a method to a dataset. Start it with torchrun to use several processes."""
    options = {
        "method": method, "data": data, "out": out, "preset": preset, "init": init, **fitted.options,
    }  # fmt: skip
    execute("fit_stage1", options, as_json=fitted.as_json, dry_run=fitted.dry_run)
