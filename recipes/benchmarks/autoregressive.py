"""What the cache of keys and values saves, and what a step costs: `python recipes/benchmarks/autoregressive.py --threads 1`.

Rows: a batch of samples drawn with the cache and without (every token from a whole pass over those before it), the same tokens
both ways; a step of training, with and without dropout. Weights are random: speed does not depend on them. Times are of the
processor, minima over the rounds; the slow way is timed once where it takes long.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from g3d.priors.autoregressive.config import PRESETS, SampleSettings
from g3d.priors.autoregressive.network import TokenTransformer, build, dropout_keys, summed_loss
from g3d.priors.autoregressive.sampling import draw, filtered, raced, token_keys
from torch import Tensor

VOCABULARY = 512


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The least of the rounds."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


@torch.no_grad()
def without_cache(network: TokenTransformer, first: Tensor, keys: Tensor) -> Tensor:
    """What `draw` draws, from whole passes."""
    tokens = torch.zeros(keys.shape[:2], dtype=torch.int64)
    for t in range(keys.shape[1]):
        logits = network(first, tokens[:, : t + 1])[:, t]
        tokens[:, t] = raced(filtered(logits, SampleSettings()), keys[:, t])
    return tokens


def sampling(tokens: int, width: int, layers: int, batch: int, rounds: int) -> dict[str, object]:
    settings = replace(PRESETS["laptop"], width=width, heads=width // 32, hidden=4 * width, layers=layers)
    network = build(tokens, VOCABULARY, 0, settings, 0)
    first, keys = torch.zeros(batch, dtype=torch.int64), token_keys(range(batch), 0, tokens)
    fast = seconds(lambda: draw(network, first, keys, SampleSettings()), rounds)
    found: list[Tensor] = []
    slow = seconds(lambda: found.append(without_cache(network, first, keys)), rounds if tokens < 500 else 1)
    assert torch.equal(found[-1], draw(network, first, keys, SampleSettings()))
    each = 1e3 / batch / tokens
    return {
        "row": "sampling", "tokens": tokens, "width": width, "layers": layers, "batch": batch,
        "cached_ms_a_token": round(fast * each, 4), "uncached_ms_a_token": round(slow * each, 4), "times": round(slow / fast, 1),
    }  # fmt: skip


def training(tokens: int, rounds: int) -> dict[str, object]:
    settings = PRESETS["laptop"]
    network = build(tokens, VOCABULARY, 0, settings, 0)
    first = torch.zeros(settings.batch, dtype=torch.int64)
    some = torch.randint(VOCABULARY, (settings.batch, tokens), generator=torch.Generator().manual_seed(0))
    keys = dropout_keys(settings.batch, settings, 0, 0)

    def step(with_keys: Tensor | None) -> None:
        network.zero_grad(set_to_none=True)
        summed_loss(network(first, some, with_keys), some).backward()

    step(keys)
    dropped, plain = seconds(lambda: step(keys), rounds), seconds(lambda: step(None), rounds)
    size = sum(p.numel() for p in network.parameters())
    return {
        "row": "step", "tokens": tokens, "preset": "laptop", "parameters": size, "batch": settings.batch,
        "s": round(dropped, 4), "s_without_dropout": round(plain, 4), "dropout_share": round(1 - plain / dropped, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for size in ((64, 192, 4, 4), (64, 192, 4, 16), (256, 192, 4, 4), (1024, 64, 2, 4), (1024, 192, 4, 4)):
        print(json.dumps(sampling(*size, options.rounds)), flush=True)
    print(json.dumps(training(64, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
