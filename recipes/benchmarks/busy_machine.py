"""How long threads that wait should spin, on free cores and beside others' work: `python recipes/benchmarks/busy_machine.py`.

Rows, on two threads: a 64² view of the default mNIF; a training step of it (forward, backward, Adam); the Gaussian rasteriser,
whose threads are plain ones that no policy reaches; two processes of torchrun with two threads each, whole commands that fit a
small mNIF together. Columns, policies of OpenMP's runtime: its default, GOMP_SPINCOUNT of 1,000, 10,000 and 100,000,
OMP_WAIT_POLICY=passive. "busy" is beside two endless loops of Python.

Policies take turns, repeat after repeat, each in a process of its own that is warm, so that a machine that becomes slower does
so for all. A cell is the least time and, behind it, the least that the process used of its processors, in ms. Ratios of a
row can be compared with those of other machines, and nothing else.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from g3d.threads import POLICIES

Times = tuple[float, float]  # ms of the clock, ms of processors
TRIED: dict[str, dict[str, str]] = {
    "default": {},
    **{f"spin {n:,}": {"GOMP_SPINCOUNT": str(n)} for n in (1_000, 10_000, 100_000)},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
CPU = torch.device("cpu")


def view() -> Callable[[], object]:
    """A 64² view of the default mNIF, unfitted."""
    from g3d.evaluation.cost import view_of
    from g3d.methods.mnif import METHOD
    from g3d.scenes.scene import pick

    config = METHOD.config()
    scenes = METHOD.decode(
        METHOD.unfitted(METHOD.build(config), config),
        METHOD.latent_space(config).zeros(device=CPU),
        METHOD.decode_settings(),
    )
    return view_of(pick(scenes, 0), 64, CPU, "auto").draw


def step() -> Callable[[], object]:
    """A training step of the default mNIF on 2 scenes of 256 rays."""
    import mnif

    return mnif.step(mnif.settings("radiance", "autodecode", 2, 2), mnif.drawn("radiance", 2, 256, CPU), CPU)


def splat() -> Callable[[], object]:
    """87,296 Gaussians at 256²."""
    import splat as gaussians

    return gaussians.calls(5, 256)[0]


WORK: dict[str, Callable[[], Callable[[], object]]] = {"view": view, "step": step, "splat": splat}


def environment(policy: str) -> dict[str, str]:
    """Of a child: this policy alone, two threads."""
    kept = {name: value for name, value in os.environ.items() if name not in POLICIES}
    return {**kept, "OMP_NUM_THREADS": "2", **TRIED[policy]}


def child(name: str) -> None:
    """Does the work once for each line that comes, and answers with its times."""
    work = WORK[name]()
    for _ in range(2):
        work()
    print("warm", flush=True)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        work()
        print(json.dumps([1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - used)]), flush=True)


@contextmanager
def warm(name: str, policy: str) -> Iterator[Callable[[], Times]]:
    """A child of this work and policy: each call is one time."""
    words = [sys.executable, __file__, "--child", name]
    with subprocess.Popen(
        words, env=environment(policy), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, said = process.stdin, process.stdout
        assert asked is not None and said is not None
        assert said.readline() == "warm\n", f"{name} did not start"

        def once() -> Times:
            print(file=asked, flush=True)
            wall, used = json.loads(said.readline())
            return wall, used

        yield once
        asked.close()


def together(policy: str, folder: Path) -> Times:
    """Two processes of torchrun fit a small mNIF: a whole command, its start included."""
    words = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "g3d_cli.main",
        "fit-stage1", "mnif", "--data", folder / "data", "--preset", "smoke", "--set", "epochs=60", "--set", "batch=4",
        "--device", "cpu", "--overwrite", "--out", folder / "run",
    ]  # fmt: skip
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(list(map(str, words)), env=environment(policy), check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return 1e3 * wall, 1e3 * used


@contextmanager
def others(busy: bool) -> Iterator[None]:
    """Beside two endless loops, or beside nothing of ours."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * busy)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measured(work: dict[str, Callable[[], Times]], repeats: int) -> dict[str, Times]:
    """Least times of each policy, in turns."""
    best = dict.fromkeys(work, (float("inf"), float("inf")))
    for _ in range(repeats):
        for policy, once in work.items():
            wall, used = once()
            best[policy] = (min(best[policy][0], wall), min(best[policy][1], used))
    return best


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--repeats", type=int, default=9, help="of a piece of work")
    words.add_argument("--commands", type=int, default=2, help="repeats of the command of torchrun; 0 leaves it out")
    words.add_argument("--child", choices=WORK, help=argparse.SUPPRESS)
    how = words.parse_args()
    if how.child:
        child(how.child)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; torch {torch.__version__}; load before "
          f"{os.getloadavg()[0]:.1f}; minima of {how.repeats}, of {how.commands} commands")  # fmt: skip
    print("| ms (of processors) | cores | " + " | ".join(TRIED) + " |\n" + "|---" * (2 + len(TRIED)) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make = [
            "prepare-data",
            "procedural",
            "cars",
            "--num",
            "4",
            "--views",
            "6",
            "--size",
            "24",
            "--workers",
            "1",
            "--out",
        ]
        data = [sys.executable, "-m", "g3d_cli.main", *make, str(Path(folder) / "data")]
        subprocess.run(data, check=True, capture_output=True)
        for name in [*WORK, *(["torchrun"] if how.commands else [])]:
            with ExitStack() as stack:
                work: dict[str, Callable[[], Times]] = {}
                for policy in TRIED:
                    if name in WORK:
                        work[policy] = stack.enter_context(warm(name, policy))
                    else:
                        work[policy] = lambda policy=policy: together(policy, Path(folder))
                for busy in (False, True):
                    with others(busy):
                        best = measured(work, how.repeats if name in WORK else how.commands)
                    cells = [f"{wall:.0f} ({used:.0f})" for wall, used in best.values()]
                    print(f"| {name} | {'busy' if busy else 'free'} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
