"""The memory wall: peak memory and processor time of a HyperNeRFGAN training step, by patch, samples and how it is cut up.

usage: python recipes/benchmarks/memory_wall.py              the table, each row in a process of its own
       python recipes/benchmarks/memory_wall.py key=value... one row

A row is the preset `carla` (batch 4) on noise at 128²: one step of the generator, one of the discriminator, one R1.
"""

import resource
import subprocess
import sys
import time

import torch

ROWS = [
    [f"patch_size={p}", f"n_samples={n}", *cut]
    for p, n in ((32, 32), (64, 64))
    for cut in ([], ["checkpoint=true"], ["micro_batch=1"], ["micro_batch=1", "checkpoint=true"])
]


def measure(pairs: list[str]) -> str:
    """One row, in this process."""
    from g3d.methods import settings_of
    from g3d.methods.hypernerfgan import training
    from g3d.methods.hypernerfgan.cameras import cube, prior_of_settings, reach
    from g3d.methods.hypernerfgan.patches import Batch, Views
    from g3d.nets import augment
    from g3d.render import rays
    from g3d.scenes.scene import World

    config = settings_of("hypernerfgan", "carla", pairs)
    prior = prior_of_settings(config, 128, 128)
    bounds = cube(reach(prior, config.near_world, config.far_world))
    world = World(bounds, config.near_world, config.far_world, samples=config.n_samples, camera_prior=prior)
    count, side, points = config.batch, config.patch_size, config.n_samples
    drawn = augment.noise([torch.Generator().manual_seed(i) for i in range(count)])
    cameras = prior.sample(0, range(count))
    pixels = torch.arange(side * side).expand(count, -1)
    directions = rays.pixel_directions(cameras.intrinsics, cameras.c2w, pixels, 128)
    near = torch.full(pixels.shape, config.near_world)
    views = Views(
        torch.randn(count, config.z_dim), cameras.c2w[:, None, :3, 3].expand_as(directions), directions, near,
        torch.full_like(near, config.far_world), torch.rand(count, side * side, points),
        torch.randn(count, side * side, points), drawn,
    )  # fmt: skip
    device = torch.device("cpu")
    game = training.start(config, world, 0, device)
    batch = Batch(torch.rand(count, 3, side, side) * 2 - 1, drawn, drawn, views, views)
    before, peaks, times = _peak_mb(), [], []
    for work in (
        lambda: training.generator_step(game, views, device),
        lambda: training.discriminator_step(game, batch, device),
        lambda: training.r1_step(game, batch, device),
    ):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
        peaks.append(_peak_mb())
    cells = [*pairs, f"{peaks[-1]:.0f} MB", f"{peaks[0] - before:.0f} MB", *(f"{t:.1f} s" for t in times)]
    return " | ".join(cells)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if len(sys.argv) > 1:
    print(measure(sys.argv[1:]), flush=True)
else:
    print(
        "settings ... | peak of all | rise of the generator step | generator step | discriminator step | R1 (processor time)"
    )
    for row in ROWS:
        subprocess.run([sys.executable, __file__, *row], check=True)
