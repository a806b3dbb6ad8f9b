"""Random streams: one generator a sample, so that noise does not depend on batch size, device or processes."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 64  # draws fetched at once by `Noise`


def generator(seed: int, index: int, stream: str) -> torch.Generator:
    """The stream of sample `index`: a CPU generator seeded by a hash of (seed, index, stream)."""
    digest = hashlib.sha256(f"{seed}|{index}|{stream}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Noise:
    """Normal noise for a batch of samples, draw after draw, each sample from its own stream."""

    def __init__(self, seed: int, indices: Sequence[int], stream: str, shape: Sequence[int]):
        self._generators = [generator(seed, i, stream) for i in indices]
        self._shape, self._blocks, self._next = tuple(shape), torch.empty(0), BLOCK

    def draw(self) -> Tensor:
        """The next noise, [len(indices), *shape]."""
        if self._next == BLOCK:
            self._blocks = torch.stack([torch.randn(BLOCK, *self._shape, generator=g) for g in self._generators], dim=1)
            self._next = 0
        self._next += 1
        return self._blocks[self._next - 1]


def latents(indices: Sequence[int], seed: int, size: int, stream: str) -> Tensor:
    """Normal noise [n, size], each row from its own stream: the z of generators."""
    return torch.stack([torch.randn(size, generator=generator(seed, i, stream)) for i in indices])


def parse_seeds(text: str) -> list[int]:
    """`0-9,12` => [0, ..., 9, 12]. Raises `ValueError` with a sentence for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise ValueError(f"'{text}' is not a list of seeds; write e.g. 0-9,12")
        found.extend(range(int(first), int(last) + 1) if dash else [int(first)])
    return list(dict.fromkeys(found))
