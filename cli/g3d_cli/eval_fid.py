"""`g3d eval-fid`: compare two sets of images by their features."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import Device, DryRun, Json, Overwrite, Seed

EXAMPLE = "g3d eval-fid demo/data demo/sampled --split train --extractor efficientnet"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_fid(
    real: Annotated[Path, typer.Argument(help="The true images: a dataset, a folder or a zip.")],
    fake: Annotated[Path, typer.Argument(help="The images to judge: a dataset, a folder or a zip.")],
    extractor: Annotated[
        str,
        typer.Option(
            help="auto, inception (the FID of papers), efficientnet (installed with g3d), random (knows no pictures), or a "
            "TorchScript or ONNX file. auto: inception where its file is at hand or can be had, else efficientnet."
        ),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Inception TorchScript file; default: the cache ($G3D_CACHE or ~/.cache/g3d), or a download."
        ),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run a TorchScript file whose hash is not the known one.")
    ] = False,
    resize: Annotated[
        str | None, typer.Option(help="Of inception: clean (default), legacy_tensorflow or legacy_pytorch.")
    ] = None,
    extractor_range: Annotated[
        str | None,
        typer.Option(help="What a file takes: unit [0, 1], signed [-1, 1], imagenet (normalised) or bytes 0..255."),
    ] = None,
    extractor_size: Annotated[
        int | None, typer.Option(help="Pixels a side that a file takes; default its own or 224; 0: as they are.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Some of fid,kid,is,precision,recall,f1,density,coverage,diversity; default: all that can be."
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="fid50k or fid1k: so many fakes, drawn by --seed where there are more, against all reals."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Views of datasets: train, test or all (default).")] = None,
    objects: Annotated[
        str | None, typer.Option(help="Of datasets, views of these objects: train, test, pairs or all.")
    ] = None,
    num: Annotated[int | None, typer.Option(help="At most so many images of each, drawn by --seed.")] = None,
    batch: Annotated[int, typer.Option(help="Images at a time; changes memory and speed only.")] = 64,
    seed: Seed = 0,
    device: Device = "auto",
    cache: Annotated[
        str | None,
        typer.Option(help="Folder that keeps features, or none; default: features in $G3D_CACHE or ~/.cache/g3d."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Histogram of nearest neighbours to write (.png).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Compare two sets of images by their features: FID, KID, IS, precision, recall, density, coverage, diversity.

    Figures of a 3D model depend on its cameras: draw the fakes with --cameras dataset:REAL of g3d sample."""
    options = {
        "real": real, "fake": fake, "extractor": extractor, "weights": weights, "trust": trust, "resize": resize,
        "extractor_range": extractor_range, "extractor_size": extractor_size, "metrics": metrics, "protocol": protocol,
        "split": split, "objects": objects, "num": num, "batch": batch, "seed": seed, "device": device, "cache": cache,
        "plot": plot, "out": out, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_fid", options, as_json=as_json, dry_run=dry_run)
