"""`g3d eval-recon`: compare pictures with the true ones of the same name."""

from pathlib import Path
from typing import Annotated

import typer

from g3d_cli.execute import execute
from g3d_cli.options import AnyCamera, Device, DrawnFrom, DryRun, Inputs, Json, Overwrite

EXAMPLE = "g3d eval-recon demo/data demo/data --split test --masks"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog=f"\b\nExample: {EXAMPLE}")
def eval_recon(
    true: Annotated[Path, typer.Argument(help="The true images: a dataset, a folder or a zip.")],
    test: Annotated[
        Path,
        typer.Argument(help="The images to judge, of the same names; or what --cameras dataset:DIR of render drew."),
    ],
    split: Annotated[str | None, typer.Option(help="Views of datasets: train, test or all (default).")] = None,
    objects: Annotated[
        str | None, typer.Option(help="Objects of datasets: train, test, pairs or all (default).")
    ] = None,
    drawn_from: DrawnFrom = None,
    inputs: Inputs = False,
    masks: Annotated[bool, typer.Option("--masks", help="Count the object alone, by the true masks/.")] = False,
    mask: Annotated[Path | None, typer.Option(help="Count what the masks of this folder or zip cover.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Cut to x0,y0,x1,y1 (pixels, or parts of the sides), or to each view's box: face, mouth."),
    ] = None,
    erode: Annotated[int, typer.Option(help="Pixels to leave out along the rim of masks.")] = 0,
    by: Annotated[
        str | None, typer.Option(help="Also mean and deviation over groups: subject, object, expression or class.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Other images of the same names: how the figures differ, pair by pair.")
    ] = None,
    ssim_borders: Annotated[
        str, typer.Option(help="valid (Wang, scikit-image), reflect, or zero (Gaussian splatting papers).")
    ] = "valid",
    ms_ssim_scales: Annotated[
        int | None, typer.Option(help="1 to 5; default: 5, and no MS-SSIM for pictures below 161 pixels.")
    ] = None,
    lpips: Annotated[
        Path | None, typer.Option(help="Weights of LPIPS: safetensors of the lpips package, or TorchScript (.pt).")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Run the TorchScript file of --lpips, which is code.")] = False,
    any_camera: AnyCamera = False,
    per_item: Annotated[Path | None, typer.Option(help="JSON lines to write: the figures of each pair.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write; default: print the figures.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Compare pictures with the true ones: PSNR, SSIM, MS-SSIM, LPIPS, perceptual distance, MSE, L1, depth."""
    options = {
        "true": true, "test": test, "split": split, "objects": objects, "drawn_from": drawn_from, "inputs": inputs,
        "masks": masks, "mask": mask, "region": region,
        "erode": erode,
        "by": by, "against": against,
        "ssim_borders": ssim_borders, "ms_ssim_scales": ms_ssim_scales, "lpips": lpips, "trust": trust,
        "any_camera": any_camera, "per_item": per_item, "device": device, "out": out, "overwrite": overwrite,
    }  # fmt: skip
    execute("eval_recon", options, as_json=as_json, dry_run=dry_run)
