"""The full-size generator of GSGAN on a processor: seconds a scene, beside its own matrix products replayed bare.

usage: gsgan_scene.py [--preset ffhq256] [--threads 2] [--rounds 5]

The products are those that one forward pass makes (recorded as torch dispatches them), each done again by `torch.mm` or
`torch.bmm` into memory that is there. Rounds of both take turns; the least of each is printed, as JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from g3d.methods import gsgan
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Product = tuple[tuple[int, ...], tuple[int, ...]]
_PLACES = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}


class Products(TorchDispatchMode):
    """Shapes of both factors of every product."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _PLACES:
            a, b = args[_PLACES[name] : _PLACES[name] + 2]
            self.found.append((tuple(a.shape), tuple(b.shape)))
        elif "scaled_dot_product" in name:
            q = args[0].flatten(0, 1)
            self.found += [
                (tuple(q.shape), (q.shape[0], q.shape[2], q.shape[1])),
                ((q.shape[0], q.shape[1], q.shape[1]), tuple(q.shape)),
            ]
        return func(*args, **(kwargs or {}))


def bare(products: list[Product]) -> Callable[[], None]:
    """What does the products alone."""
    factors: dict[Product, tuple[Tensor, Tensor, Tensor]] = {}
    for pair in products:
        a, b = (torch.randn(shape) for shape in pair)
        factors[pair] = (a, b, a @ b)

    def run() -> None:
        for pair in products:
            a, b, out = factors[pair]
            (torch.mm if a.dim() == 2 else torch.bmm)(a, b, out=out)

    return run


def least(work: list[Callable[[], object]], rounds: int) -> list[float]:
    """The least seconds of each, in turns."""
    found = [float("inf")] * len(work)
    for _ in range(rounds):
        for i, one in enumerate(work):
            start = time.perf_counter()
            one()
            found[i] = min(found[i], time.perf_counter() - start)
    return found


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser()
    words.add_argument("--preset", default="ffhq256")
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--rounds", type=int, default=5)
    options = words.parse_args()
    torch.set_num_threads(options.threads)
    config = gsgan.PRESETS[options.preset]
    net = gsgan.Generator(config).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():  # as after training: no branch multiplies by zero
            if "scale_by_w" in name or name.endswith(".scale"):
                p.normal_(std=0.3)
    w, cameras = torch.randn(1, config.copies, config.w_dim), torch.eye(4).flatten().repeat(2)[None, :25]

    @torch.no_grad()
    def scene() -> object:
        return net(w, cameras)

    with Products() as seen:
        scene()
    flops = sum(2 * torch.Size(a).numel() * b[-1] for a, b in seen.found)
    ours, products = least([scene, bare(seen.found)], options.rounds)
    found = {
        "preset": options.preset, "threads": options.threads, "scene_s": round(ours, 3), "bare_products_s": round(products, 3),
        "ratio": round(ours / products, 2), "gflop": round(flops / 1e9, 1), "products": len(seen.found),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()
