"""Where a step of VQ3D's first stage goes: `python recipes/benchmarks/vq3d.py --preset laptop32`; `--full` the paper's size.

Rows: encoder and quantiser, decoder with the planes' head, rendering of the step's rays (both rounds), each with its gradients;
the whole step without and with discriminators (as `fit` makes them, AdamW included); `encode`, a pass without gradients. Beside
each the matrix products that it was seen to ask for, alone. `--full` times the forward pass of `mvs1-256` once, part by part.
Weights and pictures are random: speed does not depend on them. Times are of the processor, minima over the rounds, all in turns.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from g3d.methods.vq3d import PRESETS, views
from g3d.methods.vq3d.batches import Batch
from g3d.methods.vq3d.config import Config
from g3d.methods.vq3d.networks import Autoencoder
from g3d.methods.vq3d.training import Phase, autoencoder_step, discriminator_step, start
from g3d.render import render_scene
from mnif import bare
from torch import Tensor

CPU = torch.device("cpu")
Work = Callable[[], object]


def seconds(work: Work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def drawn(config: Config) -> Batch:
    """A step of random pictures."""
    g = torch.Generator().manual_seed(0)
    count, pixels = config.batch, config.resolution**2
    pictures = torch.rand(count, 3, config.resolution, config.resolution, generator=g)
    depth, jitter, novel_jitter = torch.rand(3, count, pixels, generator=g)
    chosen = torch.randperm(pixels, generator=g)[: config.rays or pixels]
    return Batch(pictures, depth, jitter, novel_jitter, torch.rand(count, 2, generator=g), chosen)


def rows(config: Config) -> dict[str, Work]:
    """What is timed, by name."""
    game = start(config, views.world_of(config, (0.0, 0.0, 0.0)), 0, CPU)
    model, batch = game.model, drawn(config)
    codes = torch.randn(config.batch, config.tokens, config.code_dim)
    with torch.no_grad():
        planes = model.decode(codes)
    like = torch.randn_like(planes)
    pixels = batch.pixels.expand(config.batch, -1)

    def encoding() -> None:
        found = model.quantiser(model.encode(batch.pictures))
        (found.codes.sum() + found.loss.sum()).backward()

    def rendering() -> None:
        scene = model.scene(planes.detach().requires_grad_(), game.world)
        view = views.seen(scene, views.canonical(config), config, pixels, batch.jitter[:, batch.pixels])
        (view.rgb.sum() + view.disparity.sum()).backward()

    @torch.no_grad()
    def encode() -> Tensor:
        return model.quantiser(model.encode(batch.pictures)).tokens

    def step(phase: Phase) -> None:
        autoencoder_step(game, batch, phase, CPU)
        if phase.whole:
            discriminator_step(game, batch, phase, CPU, penalise=False)

    return {
        "encoder": encoding, "decoder": lambda: model.decode(codes).backward(like), "rendering": rendering,
        "step": lambda: step(Phase(False, False)), "step, discriminators": lambda: step(Phase(True, True)), "encode": encode,
    }  # fmt: skip


def measured(config: Config, rounds: int) -> dict[str, dict[str, float]]:
    """Minima of works and of their products, in turns."""
    works = rows(config)
    alone = {name: bare(work, CPU) for name, work in works.items()}
    best = {(name, what): math.inf for name in works for what in ("work", "bare")}
    for _ in range(rounds):
        for name, work in works.items():
            best[name, "work"] = min(best[name, "work"], seconds(work))
            best[name, "bare"] = min(best[name, "bare"], seconds(alone[name][0]))
    return {
        name: {
            "ms": round(1e3 * best[name, "work"], 1), "bare_ms": round(1e3 * best[name, "bare"], 1),
            "share_of_bare": round(best[name, "bare"] / best[name, "work"], 3), "gflop": round(alone[name][1], 2),
            "pictures_per_s": round(config.batch / best[name, "work"], 1),
        }
        for name in works
    }  # fmt: skip


@torch.no_grad()
def full(config: Config) -> dict[str, Any]:
    """The forward pass of one picture at full size, part by part, once."""
    model = Autoencoder(config, torch.Generator().manual_seed(0)).eval()
    picture = torch.rand(1, 3, config.resolution, config.resolution)
    found: dict[str, Any] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.process_time()
        value = work()
        found[name] = round(time.process_time() - begin, 2)
        return value

    quantised = timed("encoder_s", lambda: model.quantiser(model.encode(picture)))
    features = timed("decoder_s", lambda: model.decoder(quantised.codes))
    timed("head_s", lambda: model.head(features))
    scene = model.scene(model.decode(quantised.codes), views.world_of(config, (0.0, 0.0, 0.0)))
    timed("view_s", lambda: render_scene(scene, views.canonical(config)))
    return found | {"parameters": sum(p.numel() for p in model.parameters())}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--preset", default="laptop32", choices=sorted(PRESETS))
    words.add_argument("--batch", type=int, default=0, help="pictures a step; 0: the preset's")
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--full", action="store_true", help="the forward pass of mvs1-256 instead, once")
    how = words.parse_args()
    torch.set_num_threads(how.threads)
    torch.manual_seed(0)
    if how.full:
        print(json.dumps(full(PRESETS["mvs1-256"])))
        return
    config = PRESETS[how.preset]
    for name, figures in measured(replace(config, batch=how.batch or config.batch), how.rounds).items():
        print(json.dumps({"row": name, **figures}))


if __name__ == "__main__":
    main()
