"""`g3d decode`: latents to scenes."""

from pathlib import Path
from typing import Annotated

import typer
from g3d.errors import G3dError

from g3d_cli.execute import execute
from g3d_cli.options import (
    Batch,
    CamerasOption,
    Depth,
    Device,
    Disparity,
    DryRun,
    Fps,
    Json,
    Masks,
    MaybeOut,
    Overwrite,
    RenderInto,
    RenderSet,
    Seed,
    Set,
    Sheet,
    Size,
    Video,
    drawing,
)  # fmt: skip

EXAMPLE = "g3d decode demo/model demo/model --items 0-3 --out demo/decoded"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def decode(
    model: Annotated[Path, typer.Argument(help="A model, or the run that has it.")],
    latents: Annotated[Path, typer.Argument(help="Latents, or a run that has some.")],
    out: MaybeOut = None,
    items: Annotated[str | None, typer.Option("--items", help="Which latents, e.g. 0-9,12; default all.")] = None,
    settings: Set = None,
    render_into: RenderInto = None,
    cameras: CamerasOption = "default",
    size: Size = None,
    render_set: RenderSet = None,
    masks: Masks = False,
    depth: Depth = False,
    disparity: Disparity = False,
    video: Video = None,
    sheet: Sheet = None,
    fps: Fps = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Turn latents into scenes, or with --render at once into the pictures that `render` would draw."""
    if render_into is None and seed != 0:
        raise G3dError(
            "--seed draws the cameras of --render, but nothing is rendered; add --render FOLDER, or leave it out"
        )
    how = drawing(
        cameras=cameras, size=size, settings=render_set, masks=masks, depth=depth, video=video, sheet=sheet, fps=fps,
        disparity=disparity, seed=seed, into=render_into,
    )  # fmt: skip
    options = {
        "model": model, "latents": latents, "out": out, "items": items, "settings": settings or (), "images": render_into,
        "batch": batch, "device": device, "overwrite": overwrite,
    }  # fmt: skip
    execute("decode", options, as_json=as_json, dry_run=dry_run, drawing=how)
