"""`g3d fit-prior`: fit a prior to latents."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli import choices
from g3d_cli.execute import execute
from g3d_cli.options import Fitted, Out, fits

EXAMPLE = "g3d fit-prior demo/model --kind gaussian --out demo/prior"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(
    cls=choices.OfKind,
    epilog=f"{choices.listed('Kinds, of which fit-prior --kind K --help shows presets and settings:', choices.KINDS)}\n\n"
    f"\b\nExample: {EXAMPLE}",
)
@fits
def fit_prior(
    latents: Annotated[
        list[Path], typer.Argument(help="Latents, or a run that has some; several are fitted together.")
    ],
    out: Out,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", help="gaussian, interpolation, diffusion or autoregressive.", autocompletion=choices.kinds
        ),
    ] = "diffusion",
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Start from a preset of the kind.", autocompletion=choices.presets_of_kind),
    ] = None,
    *,
    fitted: Fitted,
) -> None:
    """Fit a prior to latents, from which `sample` then draws."""
    options = {
        "latents": latents[0], "more": latents[1:], "out": out, "kind": kind, "preset": preset, **fitted.options,
    }  # fmt: skip
    execute("fit_prior", options, as_json=fitted.as_json, dry_run=fitted.dry_run)
