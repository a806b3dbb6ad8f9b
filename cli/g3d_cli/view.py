"""`g3d view`: scenes, models, splats and posed pictures in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json

EXAMPLE = "g3d view demo/scenes --no-browser --seconds 1"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def view(
    what: Annotated[
        Path,
        typer.Argument(help="Scenes, a PLY of splats, a run or model, a dataset, or pictures with transforms.json."),
    ],
    prior: Annotated[Path | None, typer.Option("--prior", help="A prior of the model's latents.")] = None,
    up: Annotated[
        str | None, typer.Option("--up", help="The axis that is up in a PLY: y (default), -y, z, -z.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other machines look.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; the next free one where it is taken.")] = 8080,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="End after so many seconds; default: at Ctrl-C.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Look at scenes in a browser: turn them, change settings, see depth and normals, record camera paths.

    Pictures are drawn here at the browser's camera, coarse while it moves, then as render draws them; splats and meshes can
    be sent to the browser instead. Only this machine can look, unless --host says otherwise."""
    options = {
        "what": what, "prior": prior, "up": up, "host": host, "port": port, "browser": browser, "seconds": seconds,
    }  # fmt: skip
    execute("view", options, as_json=as_json, dry_run=dry_run)
