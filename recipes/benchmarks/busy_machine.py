"""How long threads that wait should look before they sleep: wall and processor time on free cores and beside busy loops.

A view of the default mNIF (64²), a training step of its smoke preset, a picture of Gaussians by the numba kernels (which use no
OpenMP), and two processes that add gradients up, each in a process of its own with two threads; minima of the rounds.

usage: busy_machine.py [--rounds 7] [--only free|busy]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from g3d.threads import POLICIES

TRIED = {
    "default (300,000)": {},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "spin 100,000": {"GOMP_SPINCOUNT": "100000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many plain loops beside what is measured."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for other in others:
            other.kill()


def spent() -> float:
    """Processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def least(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The least wall and processor milliseconds of a piece of work, after one that warms up."""
    work()
    found = []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), spent()
        work()
        found.append((time.perf_counter() - wall, spent() - processor))
    return min(w for w, _ in found) * 1000, min(p for _, p in found) * 1000


def child(rounds: int) -> dict[str, tuple[float, float]]:
    """All pieces of work, in this process."""
    import torch
    from g3d.cameras import CameraPrior
    from g3d.methods import method, settings_of
    from g3d.render import render_scene
    from g3d.render.splat import rasterize
    from g3d.scenes.scene import Gaussians, World

    torch.manual_seed(0)
    mnif, settings = method("mnif"), settings_of("mnif", None, [])
    network = mnif.build(settings)
    model = mnif.unfitted(network, settings)
    camera = CameraPrior(2.6, 45.0, 64, 64).default()
    scene = mnif.decode(model, mnif.latent_space(settings).zeros(), mnif.decode_settings())
    layers = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(6)))
    points = torch.randn(16_384, 64)

    def step() -> None:
        layers.zero_grad()
        layers(points).sin().square().mean().backward()

    cloud = Gaussians(
        torch.randn(1, 5000, 3) * 0.4, torch.full((1, 5000, 3), -3.5), torch.randn(1, 5000, 4), torch.randn(1, 5000),
        torch.rand(1, 5000, 1, 3), World(),
    )  # fmt: skip
    return {
        "view": least(lambda: render_scene(scene, camera), rounds),
        "training step": least(step, rounds),
        "Gaussians": least(lambda: rasterize(cloud, camera), rounds),
    }


def pair(rounds: int) -> dict[str, tuple[float, float]]:
    """A sum of gradients over two processes with a product before it; of the first."""
    import torch
    from g3d import distributed

    with distributed.processes(torch.device("cpu")):
        weight = torch.nn.Parameter(torch.randn(512, 512))

        def step() -> None:
            weight.grad = None
            (torch.randn(2048, 512) @ weight).square().mean().backward()
            distributed.sum_gradients([weight])

        found = least(step, rounds)
        return {"two processes": found} if distributed.rank() == 0 else {}


def main() -> None:
    """A row a policy, for free and for busy cores."""
    words = argparse.ArgumentParser()
    words.add_argument("--rounds", type=int, default=7)
    words.add_argument("--only", choices=["free", "busy"])
    words.add_argument("--as", dest="role", choices=["child", "pair"])
    args = words.parse_args()
    if args.role:
        found = child(args.rounds) if args.role == "child" else pair(args.rounds)
        if found:
            print(json.dumps(found))
        return
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for loops, name in ((0, "free"), (2, "busy")):
        if args.only not in (None, name):
            continue
        for policy, change in TRIED.items():
            kept = {k: v for k, v in os.environ.items() if k not in POLICIES}
            figures: dict[str, tuple[float, float]] = {}
            with busy(loops):
                for role, run, threads in (("child", [], "2"), ("pair", torchrun, "1")):
                    command = [sys.executable, *run, __file__, "--rounds", str(args.rounds), "--as", role]
                    env = {**kept, **change, "OMP_NUM_THREADS": threads}
                    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
                    figures |= json.loads(done.stdout.strip().splitlines()[-1])
            row = "  ".join(f"{what} {wall:.1f} ({processor:.1f})" for what, (wall, processor) in figures.items())
            print(f"{name:5} {policy:18} {row}", flush=True)


if __name__ == "__main__":
    main()
