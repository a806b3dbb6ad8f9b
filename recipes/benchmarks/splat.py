"""The Gaussian rasteriser against the arithmetic limit of the machine, stage by stage; on a GPU against gsplat.

The limit: the pairs of pixel and Gaussian that must be blended (alpha counts, the pixel still takes it), 31 floating-point
operations each for a picture and 79 with its gradient, at the rate of fused multiply-adds that the same threads reach in
the same run. Times are minima of `--repeats` runs, in turns, of whole calls: checks, torch and all stages.

With `--processor-time` every time, that of the multiply-adds too, is what the process used of its processors: for a machine
that others use as well. It says nothing about how well threads share the work.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from g3d.cameras import Cameras
from g3d.kernels import threads
from g3d.kernels.compile import FLAGS
from g3d.render.splat import rasterize
from g3d.render.splat.cpu import function
from g3d.render.splat.cpu.inspection import REGISTER, fused_on_wide_registers
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.lanes import load, store
from g3d.render.splat.cpu.project import CENTRE_X, CENTRE_Y, HALF_X, HALF_Y, PEAK, RECORD, TILE, P, Q, R
from g3d.scenes.scene import Gaussians, World

FLOP, FLOP_WITH_GRADIENT = 31, 79
TO_PASS = {"W1": (35, 27), "W2": (32, 25)}
FOCAL, DISTANCE = 4.2647, 2.7  # of the width; world units
STAGES = {
    "project_share": "project", "fill_share": "lists", "blend_tiles": "blend", "blend_tiles_backward": "blend back",
    "project_share_backward": "project back",
}  # fmt: skip


def workload(levels: int, size: int) -> tuple[Gaussians, torch.Tensor, Cameras, torch.Tensor]:
    """A bumpy shell: level l holds 256 * 4^l Gaussians of about 16 / 2^l pixels at 256² => scene, colours, camera, gradient."""
    rng = np.random.default_rng(0)
    pixel_world = DISTANCE / (FOCAL * 256)
    means, log_scales = [], []
    for level in range(levels):
        n = 256 * 4**level
        d = rng.normal(size=(n, 3))
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        r = 0.30 * (1 + 0.12 * np.sin(4 * d[:, 0] + 1) * np.cos(3 * d[:, 1]) + 0.08 * np.sin(7 * d[:, 2]))
        means.append(d * np.clip(r + rng.normal(size=n) * 0.015, 0, 0.5)[:, None])
        log_scales.append(np.log(16.0 * pixel_world / 2**level) + rng.normal(size=(n, 3)) * 0.4)
    n = sum(map(len, means))
    quats, logits, colours = rng.normal(size=(n, 4)), rng.normal(size=n) * 2, rng.uniform(size=(n, 3))
    parts = (np.concatenate(means), np.concatenate(log_scales), quats, logits, np.zeros((n, 1, 3)))
    scene = Gaussians(*(torch.from_numpy(p).float()[None] for p in parts), world=World())  # type: ignore[misc, arg-type]
    gradient = torch.from_numpy(rng.normal(size=(size, size, 3))).float()[None, None]
    return scene, torch.from_numpy(colours).float()[None], camera(size), gradient


def camera(size: int) -> Cameras:
    """Turned a little about both axes, `DISTANCE` from the origin."""
    (ca, sa), (cb, sb) = ((np.cos(t), np.sin(t)) for t in (0.3, 0.15))
    turn = np.array([[1, 0, 0], [0, cb, -sb], [0, sb, cb]]) @ np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    w2c = np.eye(4)
    w2c[:3, :3], w2c[:3, 3] = turn, [0, 0, DISTANCE]
    focal = FOCAL * size
    intrinsics = torch.tensor([[focal, focal, size / 2, size / 2]])
    return Cameras(torch.from_numpy(np.linalg.inv(w2c)).float()[None], intrinsics, size, size)


@numba.njit(nogil=True, **FLAGS)
def _multiply_add(a: Any, n: int) -> None:
    k, c = load(a, 0), load(a, LANES)
    x0 = load(a, 2 * LANES)
    x1, x2, x3, x4 = x0 + c, x0 - c, x0 + k, x0 - k
    x5, x6, x7, x8, x9 = x1 + c, x2 - c, x3 + k, x4 - k, x1 + k
    for _ in range(n):
        x0, x1, x2, x3, x4 = x0 * k + c, x1 * k + c, x2 * k + c, x3 * k + c, x4 * k + c
        x5, x6, x7, x8, x9 = x5 * k + c, x6 * k + c, x7 * k + c, x8 * k + c, x9 * k + c
    store(a, 2 * LANES, x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9)


def rate(parts: int) -> float:
    """Floating-point operations a second of fused multiply-adds on so many threads."""
    rounds = 2_000_000
    arrays = [np.full(3 * LANES, 0.5, np.float32) for _ in range(parts)]
    best = min(timed(lambda: threads.share(lambda part: _multiply_add(arrays[part], rounds), parts)) for _ in range(7))
    return parts * rounds * 10 * LANES * 2 / best


@numba.njit(**FLAGS)
def _pairs(starts: Any, order: Any, records: Any, tiles_x: int, width: int, height: int) -> int:
    """Pairs of pixel and Gaussian that must be blended, one by one."""
    found = 0
    for tile in range(len(starts) - 1):
        x0, y0 = tile % tiles_x * TILE, tile // tiles_x * TILE
        through = np.ones((TILE, TILE))
        for k in range(starts[tile], starts[tile + 1]):
            g = np.int64(order[k]) * RECORD
            cx, cy = records[g + CENTRE_X] - 0.5 - x0, records[g + CENTRE_Y] - 0.5 - y0
            left, right = (
                max(0, int(cx - records[g + HALF_X])),
                min(TILE - 1, width - 1 - x0, int(cx + records[g + HALF_X])),
            )
            top, bottom = (
                max(0, int(cy - records[g + HALF_Y])),
                min(TILE - 1, height - 1 - y0, int(cy + records[g + HALF_Y])),
            )
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    u, v = records[g + P] * (x - cx) + records[g + Q] * (y - cy), records[g + R] * (y - cy)
                    alpha = min(2 ** (records[g + PEAK] - u * u - v * v), 0.999)
                    if alpha >= 1 / 255 and through[y, x] > 1e-4:
                        found += 1
                        through[y, x] *= 1 - alpha
    return found


def pairs(scene: Gaussians, colours: torch.Tensor, view: Cameras) -> tuple[int, int]:
    """How many pairs, and how many lanes the kernel spends on them."""
    tensors = (scene.means, scene.log_scales, scene.quats, scene.opacity_logits)
    arrays = function.Scene(*(t[0].numpy() for t in tensors))
    w2c = torch.linalg.inv(view.c2w[0].double())[:3].float()
    cam = function.camera(w2c, view.intrinsics[0], view.width, view.height)
    lists = function.listed(arrays, colours[0].numpy(), cam, view.width, view.height, False)
    rgb = torch.empty(view.height, view.width, 3)
    drawn = function.blended(lists, np.zeros(3, np.float32), (rgb, torch.empty(view.height, view.width), None))
    # the lists of `listed` are in order only after blending
    count = _pairs(lists.starts, lists.order, lists.records, lists.tiles_x, view.width, view.height)
    return count, drawn.vectors * LANES


CLOCK = [time.perf_counter]


def timed(call: Callable[[], object]) -> float:
    start = CLOCK[0]()
    call()
    return CLOCK[0]() - start


class Watch:
    """Notes the time of every stage while it is entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._share = threads.share

    def __enter__(self) -> "Watch":
        def share(task: Callable[[int], object], parts: int) -> None:
            name = STAGES.get(task.__name__, "other")
            self.seconds.setdefault(name, []).append(timed(lambda: self._share(task, parts)))

        threads.share = share
        return self

    def __exit__(self, *_: object) -> None:
        threads.share = self._share


def calls(levels: int, size: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """A picture, and a picture with the gradients of five tensors."""
    scene, colours, view, gradient = workload(levels, size)
    leaves = [
        t.clone().requires_grad_() for t in (scene.means, scene.log_scales, scene.quats, scene.opacity_logits, colours)
    ]
    live = Gaussians(*leaves[:4], sh=scene.sh, world=World())

    def forward() -> object:
        with torch.no_grad():
            return rasterize(scene, view, colours=colours, background=(0, 0, 0), depth=False, backend="cpu")

    def both() -> object:
        rgb = rasterize(live, view, colours=leaves[4], background=(0, 0, 0), depth=False, backend="cpu").rgb
        return torch.autograd.grad(rgb, leaves, gradient)

    return forward, both


def on_the_cpu(repeats: int) -> bool:
    """The tables; returns whether all bounds are kept."""
    kept = True
    made = {name: calls(levels, size) for name, (levels, size) in {"W1": (5, 256), "W2": (6, 512)}.items()}
    print(f"lanes {LANES}; fused multiply-adds on {REGISTER} in the code of the kernels: {fused_on_wide_registers()}")
    for both in made.values():
        both[1]()
    best: dict[tuple[str, int, int], float] = {}
    stages: dict[tuple[str, int], dict[str, float]] = {}
    rates = {1: 0.0, 2: 0.0}
    for _ in range(repeats):
        for count in (1, 2):
            rates[count] = max(rates[count], rate(count))
            torch.set_num_threads(count)
            for name, both in made.items():
                for which, call in enumerate(both):
                    with Watch() as watch:
                        took = timed(call)
                    key = (name, count, which)
                    best[key] = min(best.get(key, 1e9), took)
                    if which:
                        found = stages.setdefault((name, count), {})
                        for stage, seconds in watch.seconds.items():
                            found[stage] = min(found.get(stage, 1e9), *seconds)
    print(f"fused multiply-adds: {rates[1] / 1e9:.0f} GFLOP/s by 1 thread, {rates[2] / 1e9:.0f} by 2")
    print(
        "| workload | threads | picture, ms | x limit | with gradient, ms | x limit | "
        + " | ".join(STAGES.values())
        + " |"
    )
    print("|---" * (6 + len(STAGES)) + "|")
    for name, (levels, size) in {"W1": (5, 256), "W2": (6, 512)}.items():
        scene, colours, view, _ = workload(levels, size)
        count, lanes = pairs(scene, colours, view)
        for n in (1, 2):
            times = [best[name, n, which] for which in (0, 1)]
            multiples = [t * rates[n] / (count * f) for t, f in zip(times, (FLOP, FLOP_WITH_GRADIENT), strict=True)]
            kept = kept and all(m <= most for m, most in zip(multiples, TO_PASS[name], strict=True))
            cells = [name, n, *(f"{x:.1f}" for x in (times[0] * 1e3, multiples[0], times[1] * 1e3, multiples[1]))]
            cells += [f"{stages[name, n][s] * 1e3:.1f}" for s in STAGES.values()]
            print("| " + " | ".join(map(str, cells)) + " |")
        print(
            f"{name}: {scene.means.shape[1]} Gaussians, {count / 1e6:.2f} M pairs, {count / lanes:.0%} of the lanes at work"
        )
    print("all bounds are kept" if kept else f"NOT within the bounds {TO_PASS}")
    return kept


def over_sizes(repeats: int) -> None:
    """W1's Gaussians in pictures of several sizes, two threads."""
    torch.set_num_threads(2)
    sizes = (64, 128, 256, 512, 1024)
    made = {size: calls(5, size) for size in sizes}
    best = {(s, w): min(timed(made[s][w]) for _ in range(repeats)) for s in sizes for w in (0, 1)}
    print("| W1 in a picture of | " + " | ".join(f"{s}²" for s in sizes) + " |\n" + "|---" * (len(sizes) + 1) + "|")
    for which, name in enumerate(("picture, ms", "with gradient, ms")):
        print(f"| {name} | " + " | ".join(f"{best[s, which] * 1e3:.1f}" for s in sizes) + " |")


def on_a_gpu(repeats: int) -> None:
    """Triton's kernels beside gsplat's, for several scenes at once."""
    if not torch.cuda.is_available():
        print("no GPU here: the Triton kernels were not timed")
        return
    for levels, size in ((5, 256), (6, 512)):
        scene, colours, view, gradient = (
            t.cuda() if isinstance(t, torch.Tensor) else t for t in workload(levels, size)
        )
        view = view.to("cuda")
        for count in (1, 8, 32):
            parts = (scene.means, scene.log_scales, scene.quats, scene.opacity_logits, colours)
            leaves = [p.cuda().repeat(count, *[1] * (p.dim() - 1)).requires_grad_() for p in parts]
            many = Gaussians(*leaves[:4], sh=scene.sh.cuda().repeat(count, 1, 1, 1), world=World())
            up = gradient.expand(count, 1, -1, -1, -1)
            best: dict[tuple[str, int], float] = {}
            for backend in ("gpu", "gsplat") * repeats:
                for which in (0, 1):
                    torch.cuda.synchronize()
                    start = time.perf_counter()
                    rgb = rasterize(
                        many, view, colours=leaves[4], background=(0, 0, 0), depth=False, backend=backend
                    ).rgb
                    if which:
                        torch.autograd.grad(rgb, leaves, up)
                    torch.cuda.synchronize()
                    best[backend, which] = min(best.get((backend, which), 1e9), time.perf_counter() - start)
            shown = ", ".join(f"{b} {best[b, 0] * 1e3:.2f} and {best[b, 1] * 1e3:.2f}" for b in ("gpu", "gsplat"))
            print(f"{count} scenes of {scene.means.shape[1]} at {size}²: picture and with gradient, ms: {shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--processor-time", action="store_true")
    wanted = parser.parse_args()
    if wanted.processor_time:
        CLOCK[0] = time.process_time
        print("processor time, not wall time")
    within = on_the_cpu(wanted.repeats)
    over_sizes(max(3, wanted.repeats // 3))
    on_a_gpu(wanted.repeats)
    raise SystemExit(0 if within else 1)
