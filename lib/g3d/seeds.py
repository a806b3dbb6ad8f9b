"""Random streams: one generator a sample, so that noise does not depend on batch size, device or processes."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 64  # draws fetched at once by `Noise`, where they are small
MOST = 1_000_000  # numbers in a list: what is made from them gets names of six digits
_DIGITS = 18  # of a number, so that it fits in 64 bits


def rng(seed: int, index: int | str, stream: str) -> torch.Generator:
    """The stream of sample `index`: a CPU generator seeded by a hash of (seed, index, stream)."""
    digest = hashlib.sha256(f"{seed}|{index}|{stream}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Noise:
    """Normal noise for a batch of samples, draw after draw, each sample (a number or a name) from its own stream."""

    def __init__(self, seed: int, indices: Sequence[int | str], stream: str, shape: Sequence[int], block: int = BLOCK):
        self._generators = [rng(seed, i, stream) for i in indices]
        self._shape, self._blocks, self._next, self._block = tuple(shape), torch.empty(0), block, block

    def draw(self) -> Tensor:
        """The next noise, [len(indices), *shape]."""
        if self._next == self._block:
            self._blocks = torch.stack(
                [torch.randn(self._block, *self._shape, generator=g) for g in self._generators], dim=1
            )
            self._next = 0
        self._next += 1
        return self._blocks[self._next - 1]


def latents(indices: Sequence[int], seed: int, size: int, stream: str) -> Tensor:
    """Normal noise [n, size], each row from its own stream: the z of generators."""
    return torch.stack([torch.randn(size, generator=rng(seed, i, stream)) for i in indices])


def parse_seeds(text: str) -> list[int]:
    """`0-9,12` => [0, ..., 9, 12], each once. Raises `ValueError` with a sentence for anything else, and for more than `MOST`."""
    found: dict[int, None] = {}
    for part in text.split(","):
        words = part.strip().split("-")
        if len(words) > 2 or not all(word.isdecimal() for word in words):
            raise ValueError(f"'{text}' is not a list of seeds; write e.g. 0-9,12")
        longest = max(len(word) for word in words)
        if longest > _DIGITS:
            raise ValueError(f"seeds have at most {_DIGITS} digits, not {longest}; write e.g. 0-9,12")
        first, last = int(words[0]), int(words[-1])
        if last < first:
            raise ValueError(f"'{text}' is not a list of seeds; write e.g. 0-9,12")
        if last - first < MOST:  # a range is looked at before it is written out
            found |= dict.fromkeys(range(first, last + 1))
        if last - first >= MOST or len(found) > MOST:
            raise ValueError(f"'{text}' lists more than {MOST} seeds; take them in parts, e.g. 0-{MOST - 1}")
    return list(found)
