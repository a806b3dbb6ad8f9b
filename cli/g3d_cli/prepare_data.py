"""`g3d prepare-data`: make a dataset from a source."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from g3d_cli.choices import names
from g3d_cli.execute import execute
from g3d_cli.options import DryRun, Json, Out, Overwrite, Seed

EXAMPLE = "g3d prepare-data procedural cars --num 8 --views 8 --size 32 --out demo/data"
SOURCES = """\b
SOURCE and its INPUT:
  procedural  cars, chairs or planes, drawn from --seed
  meshes      a folder of GLB, GLTF, OBJ, PLY, OFF, STL files
  voxels      such a folder, or IM-Net's .hdf5: occupancy and points, no pictures
  images      a folder or zip of pictures; classes by subfolder or dataset.json
  eg3d        a folder or zip with a dataset.json of 25 numbers a picture
  srn         folders of rgb/ pose/ intrinsics.txt
  colmap      photographs posed by COLMAP: sparse/0 and images
  transforms  transforms.json of NeRF-synthetic, instant-ngp, nerfstudio, g3d render
  faces       the ICT face model's folder, or one in the FaceScape layout
  portraits   photographs of faces with landmarks and emotions, posed by them
  depth       a dataset, to which it adds inverse depth
"""
_EXAMPLES = {
    "procedural": "cars --num 8 --views 8 --size 32", "meshes": "my/cars --views 50 --size 64", "voxels": "my/cars --cells 64",
    "images": "my/photos --size 64", "eg3d": "ffhq.zip --size 256", "srn": "cars_train --size 128 --views 50",
    "transforms": "lego --size 128", "faces": "my/facekit --num 12 --expressions 8 --size 64",
    "depth": "pictures --estimator dpt.pt --trust", "colmap": "my/garden --size 128",
    "portraits": "my/ffhq --labels my/features --landmarks my/landmarks --size 256",
}  # fmt: skip
LICENCES = {
    "procedural": "What it draws is CC0.",
    "meshes": "The models are their authors'; the text of a licence file in their folder goes into dataset.json.",
    "voxels": "IM-Net's HDF5 files are made of ShapeNet's models, for research that is not commercial; your own are yours.",
    "images": "A licence file or text in the folder or zip goes into dataset.json; what says nothing is written down as unknown.",
    "eg3d": "FFHQ: CC BY-NC-SA 4.0, photographs have their own; AFHQ: CC BY-NC 4.0. A licence file goes into dataset.json.",
    "srn": "SRN's cars and chairs are drawn from ShapeNet's models, for research that is not commercial.",
    "transforms": "A licence file beside transforms.json goes into dataset.json.",
    "colmap": "The photographs are their authors'; a licence file in the folder goes into dataset.json.",
    "faces": "The ICT face model: MIT. FaceScape: by a licence agreement with its authors, research that is not commercial.",
    "portraits": "Faces are people's: FFHQ is CC BY-NC-SA 4.0, CelebA-HQ for research that is not commercial.",
    "depth": "That of the dataset, which it copies; an estimator's weights have a licence of their own.",
}  # fmt: skip
_SOURCE = "source"  # in the context: the one that help is asked about


class _OfSource(TyperCommand):
    """`prepare-data SOURCE --help` shows the options of that source, with its own example."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        if "--help" in args and words:
            from g3d.steps.prepare_data import foreign_options

            ctx.meta[_SOURCE] = next((word for word in words if foreign_options(word) is not None), None)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        source, every = ctx.meta.get(_SOURCE), self.params
        if source is not None:
            from g3d.steps.prepare_data import foreign_options

            foreign = foreign_options(source) or set()
            self.params = [param for param in every if param.name not in foreign]
        try:
            super().format_options(ctx, formatter)
        finally:
            self.params = every

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        source, whole = ctx.meta.get(_SOURCE), self.epilog
        if source in _EXAMPLES:
            licence = f"Licence: {LICENCES[source]}"
            self.epilog = f"{licence}\n\n\b\nExample: g3d prepare-data {source} {_EXAMPLES[source]} --out data"
        try:
            super().format_epilog(ctx, formatter)
        finally:
            self.epilog = whole


def _sources(incomplete: str) -> list[str]:
    """Completion of SOURCE."""
    return [name for name in names(dict.fromkeys(_EXAMPLES), "g3d.sources") if name.startswith(incomplete)]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _option(name: str, help: str, **more: Any) -> Any:
    return typer.Option(name, help=help, show_default=False, **more)


@app.command(cls=_OfSource, epilog=f"{SOURCES}\n\n\b\nExample: {EXAMPLE}")
def prepare_data(
    source: Annotated[str, typer.Argument(help="One of those below.", show_default=False, autocompletion=_sources)],
    out: Out,
    input: Annotated[str | None, typer.Argument(help="What the source reads.", show_default=False)] = None,
    size: Annotated[int | None, _option("--size", "Width and height of a picture, pixels.")] = None,
    split: Annotated[
        Path | None, _option("--split", "Names of test objects, one a line; or JSON of two lists.")
    ] = None,
    holdout: Annotated[int, typer.Option("--holdout", help="The last N objects become the split 'test'.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out what cannot be used, and list it.")] = False,
    store: Annotated[str, typer.Option("--store", help="Pictures in a folder, or in a stored zip.")] = "folder",
    workers: Annotated[int | None, _option("--workers", "Processes; default one for each core.")] = None,
    num: Annotated[int | None, _option("--num", "procedural: objects (48); faces: subjects (24).")] = None,
    views: Annotated[int | None, _option("--views", "Training views of an object (16); srn: the most.")] = None,
    test_views: Annotated[int | None, _option("--test-views", "Test views of an object, from other places.")] = None,
    cameras: Annotated[str | None, _option("--cameras", "meshes: hemisphere, sphere or file:transforms.json.")] = None,
    normals: Annotated[bool | None, _option("--normals", "Where drawn: world normals, too.")] = None,
    backgrounds: Annotated[Path | None, _option("--backgrounds", "meshes: folder of photos to put behind.")] = None,
    background: Annotated[str | None, _option("--background", "white or black, under transparent pictures.")] = None,
    mirror: Annotated[bool | None, _option("--mirror", "Pictures: add mirrored copies.")] = None,
    group: Annotated[
        str | None, _option("--group", "What is an object; eg3d: none, folder; transforms: auto, file, none.")
    ] = None,
    up: Annotated[str | None, _option("--up", "Axis that is up in the source: y, z, -y, ..., auto.")] = None,
    box: Annotated[float | None, _option("--box", "Posed pictures: half side of the bounds, world units.")] = None,
    cells: Annotated[int | None, _option("--cells", "voxels: cells a side (64).")] = None,
    points: Annotated[int | None, _option("--points", "voxels: points near the surface (16384).")] = None,
    expressions: Annotated[
        str | None, _option("--expressions", "faces, portraits: the first N of 20, or a list: neutral,grin or 0,15-18.")
    ] = None,
    frame: Annotated[str | None, _option("--frame", "faces: head, or face, which is closer.")] = None,
    holdout_subjects: Annotated[int | None, _option("--holdout-subjects", "faces: the last N become 'test'.")] = None,
    holdout_pairs: Annotated[
        str | None, _option("--holdout-pairs", "faces: subject:expression,... become 'pairs', never trained.")
    ] = None,
    labels: Annotated[Path | None, _option("--labels", "portraits: folder of JSON of ffhq-features-dataset.")] = None,
    landmarks: Annotated[
        Path | None,
        _option(
            "--landmarks", "portraits, FaceScape: folder of 68 landmarks, a file a picture; or dlib, which finds them."
        ),
    ] = None,
    lit: Annotated[bool | None, _option("--lit", "faces: random light and jittered poses.")] = None,
    files: Annotated[Path | None, _option("--files", "depth: folder of inverse depth, a file a view.")] = None,
    estimator: Annotated[Path | None, _option("--estimator", "depth: TorchScript file of an estimator.")] = None,
    estimator_size: Annotated[int | None, _option("--estimator-size", "Its input's side, pixels (384).")] = None,
    estimator_norm: Annotated[
        str | None, _option("--estimator-norm", "Its input's range: half, imagenet, none.")
    ] = None,
    trust: Annotated[bool | None, _option("--trust", "Run an estimator of unknown origin: it is code.")] = None,
    device: Annotated[str | None, _option("--device", "For an estimator: auto, cpu, cuda or cuda:N.")] = None,
    max_unpacked_gb: Annotated[float | None, _option("--max-unpacked-gb", "What a zip may unpack to (100).")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a dataset: pictures, with cameras, masks, depth, labels, occupancy where the source has them.

    Interrupted, the same command goes on where it stopped."""
    options = {
        "source": source, "input": input, "out": out, "split": split, "holdout": holdout, "store": store,
        "skip_bad": skip_bad, "workers": workers, "seed": seed, "overwrite": overwrite, "num": num, "views": views,
        "test_views": test_views, "size": size, "cameras": cameras, "normals": normals, "backgrounds": backgrounds,
        "background": background, "mirror": mirror, "group": group, "up": up, "box": box, "cells": cells,
        "points": points, "expressions": expressions, "frame": frame,
        "holdout_subjects": holdout_subjects, "holdout_pairs": holdout_pairs, "labels": labels, "landmarks": landmarks,
        "lit": lit, "files": files,
        "estimator": estimator, "estimator_size": estimator_size, "estimator_norm": estimator_norm, "trust": trust,
        "device": device, "max_unpacked_gb": max_unpacked_gb,
    }  # fmt: skip
    execute("prepare_data", options, as_json=as_json, dry_run=dry_run)
