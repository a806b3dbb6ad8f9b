"""A step of StyleGAN2's discriminator (forward and backward of one batch) beside its bare convolutions alone.

usage: python recipes/benchmarks/gan_kit.py [REPEATS]

Bare are the same convolutions, forward and backward, each on tensors of its shape, nothing between them. Both in turns;
minima.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from g3d.losses import adversarial
from g3d.nets.discriminator import Discriminator, ResidualBlock, block_sides
from torch.nn import functional as F

# On one thread processor time, which other work on the machine disturbs less.
clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
CASES = ((64, 4), (256, 1))  # side, batch


def convolutions(net: Discriminator, side: int, batch: int) -> list[Callable[[], None]]:
    """Each convolution alone, forward and backward."""
    found = []

    def alone(weight: torch.Tensor, size: int, stride: int, padding: int, first: bool = False) -> None:
        x = torch.randn(batch, weight.shape[1], size, size, requires_grad=not first)
        w = weight.detach().clone().requires_grad_()
        slope = torch.randn_like(F.conv2d(x, w, None, stride, padding))

        def run() -> None:
            x.grad = w.grad = None
            F.conv2d(x, w, None, stride, padding).backward(slope)

        found.append(run)

    alone(net.from_rgb.weight, side, 1, 0, first=True)
    for size, block in zip(block_sides(side), net.blocks, strict=True):
        assert isinstance(block, ResidualBlock)
        alone(block.conv0.weight, size, 1, 1)
        alone(block.conv1.weight, size + 1, 2, 0)
        alone(block.skip.weight, size // 2, 1, 0)
    alone(net.conv.weight, side >> len(net.blocks), 1, 1)
    return found


def step(net: Discriminator, images: torch.Tensor) -> None:
    """As in training, on one batch of real pictures."""
    net.zero_grad(set_to_none=True)
    adversarial.real_loss(net(images)).mean().backward()


def one_by_one(works: list[Callable[[], None]]) -> None:
    """All of them, in turn."""
    for work in works:
        work()


def penalty(net: Discriminator, images: torch.Tensor) -> None:
    """R1 of the batch."""
    net.zero_grad(set_to_none=True)
    leaf = images.detach().requires_grad_()
    adversarial.r1(net(leaf), leaf).mean().backward()


repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
for side, batch in CASES:
    net, images = Discriminator(side), torch.rand(batch, 3, side, side) * 2 - 1
    bare = convolutions(net, side, batch)
    works = (partial(step, net, images), partial(one_by_one, bare), partial(penalty, net, images))
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            start = clock()
            work()
            taken.append(clock() - start)
    whole, floor, r1 = (min(t) * 1000 for t in times)
    print(
        f"{side}² x {batch}: step {whole:.0f} ms, bare convolutions {floor:.0f} ms, share {floor / whole:.2f}; "
        f"R1 {r1:.0f} ms ({r1 / whole:.1f} steps; {torch.get_num_threads()} threads)"
    )
