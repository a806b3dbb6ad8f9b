"""`g3d render`: scenes as images."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import (
    Backend,
    CamerasOption,
    Depth,
    DepthKind,
    Device,
    Disparity,
    DryRun,
    Fps,
    Json,
    Masks,
    Out,
    Overwrite,
    Seed,
    Set,
    Sheet,
    Size,
    Video,
    drawing,
)  # fmt: skip

EXAMPLE = "g3d render demo/scenes --cameras orbit:12 --size 64 --out demo/views --sheet demo/views.png"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def render(
    scenes: Annotated[Path, typer.Argument(help="A scene, or a folder of scenes.")],
    out: Out,
    cameras: CamerasOption = "default",
    size: Size = None,
    settings: Set = None,
    masks: Masks = False,
    depth: Depth = False,
    disparity: Disparity = False,
    depth_kind: DepthKind = None,
    video: Video = None,
    sheet: Sheet = None,
    fps: Fps = None,
    seed: Seed = 0,
    backend: Backend = "auto",
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Draw scenes: PNG with cameras in transforms.json; masks, depth, a video, a contact sheet.

    Where several views of a radiance field make it worth it, its empty space is found once and skipped;
    --set skip_empty=on or off decides otherwise."""
    how = drawing(
        cameras=cameras,
        size=size,
        settings=settings,
        masks=masks,
        depth=depth,
        disparity=disparity,
        depth_kind=depth_kind,
        video=video,
        sheet=sheet,
        fps=fps,
        seed=seed,
        backend=backend,
    )
    options = {"scenes": scenes, "out": out, "device": device, "overwrite": overwrite}
    execute("render", options, as_json=as_json, dry_run=dry_run, drawing=how)
