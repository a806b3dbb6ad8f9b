"""A 128² view of 32 samples a ray of the full-size HyperNeRFGAN field, beside the same matrix products alone.

usage: python recipes/benchmarks/hypernerfgan_view.py [REPEATS]

Both run in turns, on as many threads as torch has; the figures are minima, and the ratio is that of the minima.
"""

import sys
import time

import torch
from g3d.methods import hypernerfgan, settings_of
from g3d.methods.hypernerfgan.networks import Generator, layer_sizes
from g3d.render import POINTS_PER_CHUNK, render_scene
from g3d.scenes.scene import MlpField

# On one thread processor time, which other work on the machine disturbs less.
clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
SIZE_PX, SAMPLES = 128, 32


def bare(sizes: list[tuple[int, int]], points: int) -> None:
    """The matrix products of the field at so many points, in chunks as the renderer takes them, into the same memory."""
    for _ in range(points // POINTS_PER_CHUNK):
        for (h, weight), out in products:
            torch.mm(h, weight, out=out)


repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
for preset in ("carla", "shapenet-cars"):
    config = settings_of("hypernerfgan", preset, [f"n_samples={SAMPLES}"])
    net = Generator(config)
    model = hypernerfgan.unfitted(net, config)
    scene = hypernerfgan.decode(model, hypernerfgan.draw(model, [0], 0, hypernerfgan.SampleSettings()))
    assert isinstance(scene, MlpField)
    camera = hypernerfgan.cameras.prior_of_settings(config, SIZE_PX, SIZE_PX).default()
    sizes = layer_sizes(config)
    products = [
        ((torch.randn(POINTS_PER_CHUNK, i), torch.randn(i, o)), torch.empty(POINTS_PER_CHUNK, o)) for i, o in sizes
    ]
    points = SIZE_PX * SIZE_PX * SAMPLES
    ours, floor = [], []
    with torch.no_grad():
        for _ in range(repeats):
            start = clock()
            render_scene(scene, camera)
            middle = clock()
            bare(sizes, points)
            ours.append(middle - start)
            floor.append(clock() - middle)
    gflop = 2e-9 * points * sum(i * o for i, o in sizes)
    print(
        f"{preset}, {config.layers} layers, {gflop:.1f} GFLOP: view {min(ours) * 1000:.0f} ms, bare products "
        f"{min(floor) * 1000:.0f} ms, ratio {min(ours) / min(floor):.2f} ({torch.get_num_threads()} threads)"
    )
