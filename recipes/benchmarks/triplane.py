"""Reading triplanes on a processor: numba kernels beside torch's `grid_sample`, and a whole field beside its bare products.

usage: triplane.py [--threads 1] [--rounds 7]

Points are those of random rays of one camera (50 degrees, R = 1, samples linear in disparity), contracted, planes of extent
0.5 in x and y, the world twice as large. All run in turns; the figures are minima in milliseconds, as rows of RESULTS.md.
"bare" are the matrix products of the MLP alone, by `torch.mm` into memory that is there: one forward, three with gradients.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import torch
from g3d.scenes.planes import Frame, channels_last, features, sampled
from g3d.scenes.scene import Triplane, World, query
from torch import Tensor

FRAME = Frame((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), True, 2.0, (0.5, 0.5, 1.0))
SAMPLES = 32
# scenes, rays of each, channels, side of a plane, width of the MLP
SIZES = ((16, 256, 16, 64, 32), (4, 1024, 32, 256, 32), (1, 4096, 32, 512, 32))


def points_of(scenes: int, rays: int) -> Tensor:
    """[B, R * SAMPLES, 3]"""
    x_y = (torch.rand(scenes, rays, 2) * 2 - 1) * 0.4663  # tan 25 degrees
    t = 1 / torch.linspace(2.0, 0.1, SAMPLES)
    along = torch.cat([x_y, -torch.ones(scenes, rays, 1)], dim=-1)
    return (torch.tensor([0.0, 0, 1]) + along.unsqueeze(2) * t.unsqueeze(-1)).flatten(1, 2)


def least(work: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """The least milliseconds of each, in turns, after one run that compiles."""
    found = {name: float("inf") for name in work}
    for turn in range(rounds + 1):
        for name, one in work.items():
            start = clock()
            one()
            if turn:
                found[name] = min(found[name], (clock() - start) * 1000)
    return found


def bare(rows: int, sizes: list[tuple[int, int]], times: int) -> Callable[[], None]:
    """So many times the products of the layers, in chunks of 8,192 rows."""
    chunk = 8192
    factors = [(torch.randn(chunk, i), torch.randn(i, o), torch.empty(chunk, o)) for i, o in sizes]

    def run() -> None:
        for _ in range(times * (rows // chunk)):
            for a, b, out in factors:
                torch.mm(a, b, out=out)

    return run


def measure(size: tuple[int, int, int, int, int], rounds: int, clock: Callable[[], float]) -> str:
    """A row of the table."""
    scenes, rays, channels, side, hidden = size
    planes = channels_last(torch.randn(scenes, 3, channels, side, side)).requires_grad_()
    usual = planes.detach().contiguous().requires_grad_()  # in the order that grid_sample is used to
    points = points_of(scenes, rays)
    upstream = torch.randn(*points.shape[:2], channels)
    layers = [(channels, hidden), (hidden, 4)]
    nerf = tuple((torch.randn(scenes, o, i), torch.randn(scenes, o)) for i, o in layers)
    for pair in nerf:
        for tensor in pair:
            tensor.requires_grad_()
    leaves = [planes, *(t for pair in nerf for t in pair)]
    scene = Triplane(planes, nerf, World(), (), "sphere", FRAME.extent, FRAME.scale)

    def whole() -> None:
        found = query(scene, points)
        torch.autograd.grad(found.rgb.sum() + found.density.sum(), leaves)

    def both(read: Callable[[Tensor, Tensor, Frame], Tensor], leaf: Tensor) -> object:
        return torch.autograd.grad(read(leaf, points, FRAME), leaf, upstream)

    def forward(read: Callable[[Tensor, Tensor, Frame], Tensor], leaf: Tensor) -> Tensor:
        with torch.no_grad():
            return read(leaf, points, FRAME)

    rows = scenes * rays * SAMPLES
    ms = least(
        {
            "kernel": lambda: forward(features, planes), "torch": lambda: forward(sampled, usual),
            "kernel, both": lambda: both(features, planes), "torch, both": lambda: both(sampled, usual),
            "field": whole, "bare": bare(rows, layers, 3),
        }, rounds, clock,
    )  # fmt: skip
    ratios = (ms["torch"] / ms["kernel"], ms["torch, both"] / ms["kernel, both"], ms["field"] / ms["bare"])
    return (
        f"| {scenes} x {rays * SAMPLES // 1024}k points, {channels} channels, {side}² | {ms['kernel']:.1f} / {ms['torch']:.1f} "
        f"| {ratios[0]:.1f} | {ms['kernel, both']:.1f} / {ms['torch, both']:.1f} | {ratios[1]:.1f} | {ms['field']:.0f} "
        f"| {ms['bare']:.1f} | {ms['kernel, both'] / ms['field']:.2f} | {ratios[2]:.1f} |"
    )


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser()
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--rounds", type=int, default=7)
    options = words.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    # On one thread processor time, which other work on the machine disturbs less.
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(
        "| work | forward, kernel / grid_sample | times | with gradient | times | field with gradient | bare | "
        "lookup's share of it | x bare |"
    )
    for size in SIZES:
        print(measure(size, options.rounds, clock))


if __name__ == "__main__":
    main()
