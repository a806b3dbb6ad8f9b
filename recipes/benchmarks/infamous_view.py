"""A 128² view of 128 points a ray of INFAMOUS-NeRF's fields at the paper's width, beside the same matrix products alone.

usage: python recipes/benchmarks/infamous_view.py [REPEATS] [SIZE_PX]

Both run in turns, on as many threads as torch has; the figures are minima, and the ratio is that of the minima. Codes are folded
into biases, as a scene file has them. `unfolded` counts the layers as tables 8 and 9 print them.
"""

import sys
import time

import torch
from g3d.cameras import CameraPrior
from g3d.methods import settings_of
from g3d.methods.infamous_nerf import layers
from g3d.methods.infamous_nerf.field import Codes, scene
from g3d.methods.infamous_nerf.networks import FaceModel
from g3d.render import POINTS_PER_CHUNK, default_settings, render_scene
from g3d.scenes.scene import World

# On one thread processor time, which other work on the machine disturbs less.
clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
size = int(sys.argv[2]) if len(sys.argv) > 2 else 128

config = settings_of("infamous-nerf", "facescape512", ["hypernetwork=none"])
model = FaceModel(config)
prior = CameraPrior(16.0, 24.0, size, size, default_azimuth_deg=0.0, default_elevation_deg=0.0)
dims = (config.identity_dim, config.identity_dim, config.appearance_dim, config.shape_dim, config.expression_dim)
with torch.no_grad():
    field = scene(
        model,
        Codes(*(torch.randn(1, n) for n in dims)),
        World(((-4.0,) * 3, (4.0,) * 3), 8.0, 26.0, samples=config.points),
    )
    points = size * size * config.points  # every ray meets the box
    sizes = [tuple(weight.shape[1:]) for weight, _ in field.weights.values()]
    products = [
        (torch.randn(POINTS_PER_CHUNK, i), torch.randn(i, o), torch.empty(POINTS_PER_CHUNK, o)) for o, i in sizes
    ]
    settings = default_settings(field)
    ours, floor = [], []
    for _ in range(repeats):
        start = clock()
        render_scene(field, prior.default(), settings)
        middle = clock()
        for _ in range(points // POINTS_PER_CHUNK):
            for h, weight, out in products:
                torch.mm(h, weight, out=out)
        ours.append(middle - start)
        floor.append(clock() - middle)
per_point = sum(2 * o * i for o, i in sizes)
unfolded = sum(2 * t.fan_in * t.outputs for t in layers.targets(config) if t.name not in layers.MODULATION)
print(
    f"{size}², {config.points} points a ray, {per_point / 1e6:.3f} MFLOP a point (unfolded {unfolded / 1e6:.3f}): view "
    f"{min(ours):.2f} s, bare products {min(floor):.2f} s, ratio {min(ours) / min(floor):.2f} "
    f"({torch.get_num_threads()} threads)"
)
