"""Where a fit of Gaussians begins: at what pixels show, at the points of `export-ply --as points`, or as `convert` begins.

usage: python recipes/benchmarks/convert_start.py [--num 20000] [--steps 300,1000] [--views 100] [--size 128] SCENE...

Pixels: each is drawn by its coverage, at the heaviest interval of its ray, in its own colour. Surface: even in area on the
surface of marching cubes, at the density that `export-ply` takes (a tenth of the diagonal is half opaque), in the field's colour
there. `convert` takes half of either, of unbounded scenes pixels. The rest is that of `g3d convert`. dB: of 20 held-out views.
"""

import argparse
import time
from pathlib import Path

from g3d.conversion.fit import Fit, fitted, held_out_psnr
from g3d.conversion.start import mesh_points, start_points
from g3d.conversion.views import Points, Views, drawn_views, surface_points
from g3d.conversion.whole import HELD_OUT, _coefficients
from g3d.errors import G3dError
from g3d.progress import SILENT
from g3d.scenes.scene import Field, Gaussians
from g3d.scenes.scene_file import load_scene


def of_surface(scene: Field, views: Views, how: Fit) -> Points:
    """As many points as the fit begins with, by `export-ply`'s rule."""
    return Points(*mesh_points(scene, how.begun, how.seed), surface_points(views, 1, how.seed).depth_world)


STARTS = {
    "pixels": lambda _, views, how: surface_points(views, how.begun, how.seed),
    "surface": of_surface,
    "as convert": lambda scene, views, how: start_points(scene, views, how.begun, how.seed),
}


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
            how, decibels, numbers, seconds = Fit(options.num, steps, _coefficients(scene)), [], [], []
            for start in STARTS.values():
                used = time.process_time()
                try:
                    points = start(scene, views, how)
                except G3dError as error:  # a fog may have no surface at that density
                    decibels.append(str(error))
                    continue
                found = fitted(views, points, scene.world, how, SILENT)
                seconds.append(f"{time.process_time() - used:.0f}")
                decibels.append(f"{held_out_psnr(found, held_out):.2f}")
                numbers.append(str(found.means.shape[1]))
            cells = [str(Path(*file.parts[-3:])), str(steps), *(", ".join(x) for x in (decibels, numbers, seconds))]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
