"""Where a fit of Gaussians to a scene begins: at what its pixels show, or at the points of `export-ply --as points`.

usage: python recipes/benchmarks/convert_start.py [--num 20000] [--steps 300,1000] [--views 100] [--size 128] SCENE...

Pixels: each is drawn by its coverage, at the heaviest interval of its ray, in its own colour. Surface: even in area on the
surface of marching cubes, at the density that `export-ply` takes (a tenth of the diagonal is half opaque), in the field's colour
there. Everything else is that of `g3d convert`. Rows: dB of 20 held-out views.
"""

import argparse
import time
from pathlib import Path

import torch
from g3d.conversion.fit import START_SHARE, Fit, fitted, held_out_psnr, start_points
from g3d.conversion.views import Points, Views, drawn_views
from g3d.conversion.whole import HELD_OUT, _coefficients
from g3d.drawing.surfaces import colour_of, surface_mesh
from g3d.errors import G3dError
from g3d.export.mesh import evaluate
from g3d.export.points import surface_points
from g3d.progress import SILENT
from g3d.scenes.scene import Field, Gaussians
from g3d.scenes.scene_file import load_scene

CELLS = 128  # the default of export-ply
CPU = torch.device("cpu")


def of_surface(scene: Field, views: Views, how: Fit) -> Points:
    """As many points as the fit begins with, by `export-ply`'s rule."""
    mesh = surface_mesh(scene, CELLS, None, CPU)
    points, _ = surface_points(mesh.vertices, mesh.faces, max(1, round(how.num * START_SHARE)), how.seed)
    colours = torch.from_numpy(evaluate(colour_of(scene), points, CPU))
    return Points(torch.from_numpy(points), colours, start_points(views, how).depth_world)


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("scenes", nargs="+", type=Path)
    words.add_argument("--num", type=int, default=20000)
    words.add_argument("--steps", default="300,1000")
    words.add_argument("--views", type=int, default=100)
    words.add_argument("--size", type=int, default=128)
    options = words.parse_args()
    print(
        "| scene | steps | pixels, dB | surface, dB | Gaussians | seconds of processors |\n" + "|---" * 6 + "|",
        flush=True,
    )
    for file in options.scenes:
        scene = load_scene(file)
        assert not isinstance(scene, Gaussians)
        views = drawn_views(scene, options.views, options.size, 0, "views", SILENT)
        held_out = drawn_views(scene, HELD_OUT, options.size, 0, "held-out views", SILENT)
        for steps in map(int, options.steps.split(",")):
            how, cells = Fit(options.num, steps, _coefficients(scene)), [str(Path(*file.parts[-3:])), str(steps)]
            numbers, seconds = [], []
            for start in ("pixels", "surface"):
                used = time.process_time()
                try:
                    points = start_points(views, how) if start == "pixels" else of_surface(scene, views, how)
                except G3dError as error:  # a fog may have no surface at that density
                    cells.append(str(error))
                    continue
                found = fitted(views, points, scene.world, how, SILENT)
                seconds.append(f"{time.process_time() - used:.0f}")
                cells.append(f"{held_out_psnr(found, held_out):.2f}")
                numbers.append(str(found.means.shape[1]))
            print(f"| {' | '.join(cells)} | {', '.join(numbers)} | {', '.join(seconds)} |", flush=True)


if __name__ == "__main__":
    main()
