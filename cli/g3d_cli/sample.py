"""`g3d sample`: new scenes."""

from pathlib import Path
from typing import Annotated

import typer

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
    with_short,
)  # fmt: skip

EXAMPLE = "g3d sample demo/model --prior demo/prior --num 4 --out demo/scenes"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def sample(
    model: Annotated[Path, typer.Argument(help="A model, or the run that has it.")],
    prior: Annotated[Path | None, typer.Option("--prior", help="A prior, or the run that has it.")] = None,
    num: Annotated[
        int | None, typer.Option("--num", help="How many; the same as --seeds 0-(N-1).", max=1_000_000)
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Which samples of --seed, e.g. 0-9,12.")] = None,
    out: MaybeOut = None,
    latents: Annotated[
        Path | None, typer.Option("--latents", help="Write the latents, too: for edit and decode.")
    ] = None,
    truncation: Annotated[
        float | None, typer.Option("--truncation", help="Short for --set truncation=X: 1 all variety, 0 the mean.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Short for --set temperature=X: 1 as fitted, below it safer.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Short for --set top_k=K: only the K most probable tokens.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", help="Short for --set top_p=P: the most probable tokens up to a sum of P."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Classes of the samples, in turns, e.g. 3 or 0-9, or names where the prior has them: cat,dog.",
        ),
    ] = None,
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
    """Draw scenes from a model (with its prior, where it needs one), or with --render at once the pictures of `render`."""
    how = drawing(
        cameras=cameras, size=size, settings=render_set, masks=masks, depth=depth, video=video, sheet=sheet, fps=fps,
        disparity=disparity, seed=seed, into=render_into, pairs=True,
    )  # fmt: skip
    short = {"truncation": truncation, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    options = {
        "model": model, "prior": prior, "num": num, "seeds": seeds, "out": out, "latents": latents,
        "settings": with_short(settings, **short), "images": render_into, "seed": seed,
        "classes": classes, "batch": batch, "device": device, "overwrite": overwrite,
    }  # fmt: skip
    execute("sample", options, as_json=as_json, dry_run=dry_run, drawing=how)
