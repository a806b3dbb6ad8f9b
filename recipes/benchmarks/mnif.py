"""How near mNIF comes to its bare matrix products: `python recipes/benchmarks/mnif.py --device cpu --threads 2`.

Every row does its work and, in turns with it, the bare products of the same sizes: the matrix products that the work was seen to
ask for, forward and backward, in their order and layouts, into memory that is used again, and nothing else. Times are minima.
Sizes are the paper's S models (codes of random numbers: speed does not depend on them), steps hold as many items as --items says.
`memory_mb` is what the work needs beyond what was there before it.

Rows: a stage-1 step of each kind of signal, plain (auto-decoding), by meta-learning of first and of second order, at the same
micro-batch; a 128² view of 32 points a ray; the diffusion prior; instances in a batch against a loop over them; and with --scene
FILE several views of a fitted scene with its empty space skipped.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from g3d import distributed
from g3d.cameras import CameraPrior
from g3d.evaluation.memory import rise_mb
from g3d.methods import mnif
from g3d.methods.mnif import adaptation, batches, signals
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import MixtureOfSirens, code_size, field, weights_of
from g3d.methods.mnif.point_source import PointBatch
from g3d.methods.mnif.ray_source import RayBatch
from g3d.priors import diffusion
from g3d.render import FieldSettings, default_settings, empty_space, render_scene
from g3d.scenes.scene import World, pick, query_output, to
from g3d.scenes.scene_file import load_scene
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

SIZES = {"image": (4, 64, 256, 1024), "voxel": (4, 64, 256, 512), "radiance": (4, 64, 256, 128)}  # L, W, M, H of S
POINTS, DIFFUSION_STEPS, WORLD = 4096, 6, World(samples=32, near_world=0.026)
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


class Row(NamedTuple):
    """`work` handles `count` things called `unit`; `bare` is its products alone."""

    name: str
    work: Callable[[], object]
    bare: Callable[[], object]
    count: float
    unit: str
    gflop: float


class Seen(TorchDispatchMode):
    """Records the operands of every matrix product: their sizes and strides."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            a, b = args[-2:]
            self.products.append((name, (a.shape, a.stride()), (b.shape, b.stride())))
        return func(*args, **(kwargs or {}))


def bare(work: Callable[[], object], device: torch.device) -> tuple[Callable[[], None], float]:
    """The products that `work` asks for, in order, alone; and their floating-point operations in 10⁹."""
    with Seen() as seen:
        work()
    memory: dict[Any, Tensor] = {}

    def operand(role: str, shape: Sequence[int], stride: Sequence[int]) -> Tensor:
        size = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        held = memory.get(role)
        if held is None or len(held) < size:
            held = memory[role] = torch.randn(size, device=device)
        return held

    calls, flop = [], 0
    for name, (shape_a, stride_a), (shape_b, stride_b) in seen.products:
        out = (*shape_a[:-1], shape_b[-1])
        operand("a", shape_a, stride_a), operand("b", shape_b, stride_b), operand("out", (math.prod(out),), (1,))
        calls.append((torch.bmm if "b" in name[:3] else torch.mm, shape_a, stride_a, shape_b, stride_b, out))
        flop += 2 * math.prod(out) * shape_a[-1]

    @torch.no_grad()
    def replay() -> None:
        for product, shape_a, stride_a, shape_b, stride_b, out in calls:
            a, b = memory["a"].as_strided(shape_a, stride_a), memory["b"].as_strided(shape_b, stride_b)
            product(a, b, out=memory["out"][: math.prod(out)].view(out))

    return replay, flop / 1e9


def row(name: str, work: Callable[[], object], count: float, unit: str, device: torch.device) -> Row:
    replay, gflop = bare(work, device)
    return Row(name, work, replay, count, unit, gflop)


def settings(signal: str, how: str, items: int, micro: int) -> Config:
    layers, width, bases, latent = SIZES[signal]
    inner = {} if how == "autodecode" else {"inner_lr": 1.0}
    return Config(
        signal=signal, adaptation=how, hidden_layers=layers, width=width, bases=bases, latent_dim=latent, batch=items,
        micro_batch=micro, **inner,
    )  # fmt: skip


def drawn(signal: str, items: int, rays: int, device: torch.device) -> Any:
    """A batch of random contents: 4,096 points of each item, or `rays` of each scene through the box."""
    g = torch.Generator().manual_seed(0)
    if signal != "radiance":
        inputs, outputs = {"image": (2, 3), "voxel": (3, 1)}[signal]
        x, target = (torch.rand(items, POINTS, n, generator=g) for n in (inputs, outputs))
        return batches.sent(PointBatch(x * 2 - 1, target, torch.ones(items, POINTS)), device)
    aim = torch.rand(items, rays, 3, generator=g) - 0.5
    origins = torch.tensor([0.0, 0, 2.6]).expand_as(aim)
    near, far = torch.full((items, rays), 1.8), torch.full((items, rays), 3.4)
    jitter, rgb = (torch.rand(items, rays, n, generator=g) for n in (32, 3))
    directions = (aim - origins) / 2.6
    return batches.sent(RayBatch(origins, directions, near, far, rgb, torch.ones(items, rays), jitter), device)


def step(config: Config, batch: Any, device: torch.device) -> Callable[[], object]:
    """One step of stage 1 as `fit` makes it: gradients of all micro-batches, then Adam."""
    mixture = MixtureOfSirens(config).to(device)
    codes = nn.Parameter(torch.randn(config.batch, code_size(config), device=device) * 0.01)
    jointly = config.adaptation == "autodecode"
    learnt = [*mixture.parameters(), *([codes] if jointly else [])]
    optimiser = torch.optim.Adam(learnt, lr=1e-4, fused=True)
    loss_of = signals.loss(config, WORLD, device)

    def work() -> None:
        optimiser.zero_grad(set_to_none=True)
        for part in distributed.micro_batches(slice(0, config.batch), config.micro_batch):
            few = batches.items(batch, part)
            if jointly:
                adaptation.joint_backward(mixture, codes[part], few, config, loss_of)
            else:
                adaptation.meta_backward(mixture, codes.detach()[part], few, config, loss_of)
        optimiser.step()

    return work


def steps(how: argparse.Namespace, device: torch.device) -> list[Row]:
    found = []
    for signal in ("image", "voxel", "radiance"):
        ways = ("autodecode",) if signal == "radiance" else ("autodecode", "meta-first-order", "meta")
        items = how.scenes if signal == "radiance" else how.items
        batch = drawn(signal, items, how.rays, device)
        for way in ways:
            config = settings(signal, way, items, min(how.micro_batch, items))
            found.append(row(f"step {signal} {way}", step(config, batch, device), items, "items", device))
    return found


def loops(how: argparse.Namespace, device: torch.device) -> list[Row]:
    """The same instances one by one; with the rows above and `images`, batched against a loop."""
    found = []
    for signal in ("image", "radiance"):
        items = how.scenes if signal == "radiance" else how.items
        config = settings(signal, "autodecode", items, 1)
        batch = drawn(signal, items, how.rays, device)
        found.append(row(f"loop {signal} autodecode", step(config, batch, device), items, "items", device))
    config = settings("image", "autodecode", how.items, 0)
    mixture, codes = MixtureOfSirens(config).to(device), torch.randn(how.items, 1024, device=device)
    x = drawn("image", how.items, 0, device).x

    def images(parts: Sequence[slice]) -> Callable[[], object]:
        @torch.no_grad()
        def work() -> list[Tensor]:
            drawn = []
            for part in parts:
                scenes = field(config, weights_of(mixture.mix(codes[part])), WORLD, drawn=True)
                drawn += [query_output(scenes, x[part, i : i + 1024], "rgb") for i in range(0, POINTS, 1024)]
            return drawn

        return work

    singles = [slice(i, i + 1) for i in range(how.items)]
    found.append(row("images batched", images([slice(0, how.items)]), how.items, "images", device))
    found.append(row("images loop", images(singles), how.items, "images", device))
    return found


def view(device: torch.device) -> Row:
    config = Config()
    model = mnif.unfitted(MixtureOfSirens(config).to(device), config)
    scene = pick(mnif.decode(model, torch.randn(1, 128, device=device)), 0)
    camera = CameraPrior(2.6, 45.0, 128, 128).default().to(device)
    return row("view 128² x 32", lambda: render_scene(scene, camera), 1, "views", device)


def prior(device: torch.device) -> Row:
    """`DIFFUSION_STEPS` steps of 16 codes; the rate is that of all 1,000 (DDPM; DDIM over 50 is twenty times faster)."""
    network = diffusion.ResidualMlp(128, diffusion.Config()).to(device).eval()
    x, t = torch.randn(16, 128, device=device), torch.full((16,), 500, device=device)

    @torch.no_grad()
    def work() -> None:
        for _ in range(DIFFUSION_STEPS):
            network(x, t)

    return row("prior, 1000 steps", work, 16 * DIFFUSION_STEPS / 1000, "latents", device)


def skipping(path: Path, views: int, device: torch.device) -> tuple[list[Row], dict[str, Any]]:
    """Several views of a fitted scene with its empty space skipped (the grid included) and without."""
    scene = to(load_scene(path), device)
    cameras = CameraPrior(2.6, 45.0, 128, 128).orbit(views).to(device)
    how = default_settings(scene)
    assert isinstance(how, FieldSettings)
    ways = {skip: replace(how, samples=32, skip_empty=skip) for skip in ("off", "on")}
    rows = [
        row(
            f"{views} views, skip_empty={skip}",
            lambda way=way: render_scene(scene, cameras, way),
            views,
            "views",
            device,
        )
        for skip, way in ways.items()
    ]
    full, found = (render_scene(scene, cameras, way).rgb for way in ways.values())
    grid = empty_space(scene, cameras, ways["on"])
    assert grid is not None
    return rows, {
        "psnr_db": round(-10 * math.log10(max(float((full - found).square().mean()), 1e-20)), 1),
        "occupied_cells": round(grid.share(), 3),
    }


def timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measured(rows: Sequence[Row], repeats: int, device: torch.device) -> dict[str, dict[str, Any]]:
    """Minima of work and of bare products, all rows and both in turns."""
    memory = {r.name: rise_mb(r.work, device) for r in rows}
    best = {(r.name, what): math.inf for r in rows for what in ("work", "bare")}
    for _ in range(repeats):
        for r in rows:
            best[r.name, "work"] = min(best[r.name, "work"], timed(r.work, device))
            best[r.name, "bare"] = min(best[r.name, "bare"], timed(r.bare, device))
    return {
        r.name: {
            "ms": round(1e3 * best[r.name, "work"], 1), "rate": round(r.count / best[r.name, "work"], 4), "unit": f"{r.unit}/s",
            "share_of_bare": round(best[r.name, "bare"] / best[r.name, "work"], 3), "gflop": round(r.gflop, 2),
            "bare_gflops": round(r.gflop / best[r.name, "bare"], 1), "memory_mb": round(memory[r.name], 1),
        }
        for r in rows
    }  # fmt: skip


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Times against each other, above 1: the first is slower."""
    pairs = {}
    for signal in ("image", "voxel"):
        for way in ("meta-first-order", "meta"):
            pairs[f"{signal}: {way} / plain step"] = (f"step {signal} {way}", f"step {signal} autodecode")
    for signal in ("image", "radiance"):
        pairs[f"{signal}: loop / batched step"] = (f"loop {signal} autodecode", f"step {signal} autodecode")
    pairs["images: loop / batched"] = ("images loop", "images batched")
    views = [name for name in found if "skip_empty" in name]
    if views:
        pairs["views: everywhere / skipping"] = (views[0], views[1])
    return {
        name: round(found[a]["ms"] / found[b]["ms"], 2) for name, (a, b) in pairs.items() if a in found and b in found
    }


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--device", default="cpu")
    words.add_argument("--threads", type=int, default=0, help="of torch on a CPU; 0: as it likes")
    words.add_argument("--repeats", type=int, default=5)
    words.add_argument("--items", type=int, default=8, help="images or solids of a step, 4,096 points each")
    words.add_argument("--micro-batch", type=int, default=4)
    words.add_argument("--scenes", type=int, default=4, help="scenes of a step of rays")
    words.add_argument(
        "--rays", type=int, default=512, help="rays of a scene a step, 32 points each (the paper: 16,384)"
    )
    words.add_argument("--scene", type=Path, help="a fitted radiance scene, drawn with and without skipping")
    words.add_argument("--views", type=int, default=12, help="views of it")
    words.add_argument("--only", default="", help="rows whose name contains this")
    words.add_argument("--json", type=Path, help="write the figures there, too")
    how = words.parse_args()
    device = torch.device(how.device)
    if how.threads:
        torch.set_num_threads(how.threads)
    torch.manual_seed(0)
    rows = [*steps(how, device), *loops(how, device), view(device), prior(device)]
    skipped: dict[str, Any] = {}
    if how.scene:
        more, skipped = skipping(how.scene, how.views, device)
        rows += more
    rows = [r for r in rows if how.only in r.name]
    found = measured(rows, how.repeats, device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{where}; torch {torch.__version__}; minima of {how.repeats}, micro-batch {how.micro_batch}")
    for name, f in found.items():
        print(
            f"{name:32} {f['ms']:9.1f} ms {f['rate']:11.4g} {f['unit']:10} {f['share_of_bare']:6.3f} of bare "
            f"({f['gflop']:7.2f} GFLOP at {f['bare_gflops']:5.1f}/s) {f['memory_mb']:7.1f} MB"
        )
    compared = ratios(found)
    for name, value in {**compared, **skipped}.items():
        print(f"{name:40} {value}")
    if how.json:
        text = json.dumps({"where": where, "rows": found, "ratios": compared, **skipped}, indent=1)
        how.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
