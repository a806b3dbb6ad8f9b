"""The transformer block: against attention written out, its mask, its cache, its parameters."""

import math

import torch
from g3d.nets.transformer import Block, initialise
from torch import Tensor
from torch.nn import functional as F


def block(causal: bool) -> Block:
    torch.manual_seed(0)
    made = Block(12, 3, 5, 20, causal=causal)  # the heads' numbers need not make up the width
    with torch.no_grad():
        for p in made.parameters():
            p.normal_(std=0.4)
    return made


def written_out(b: Block, x: Tensor, causal: bool) -> Tensor:
    """Float64, head by head and token by token."""
    b, x = b.double(), x.double()
    y = b.norm_attention(x)
    q, k, v = (y @ part.t() for part in b.attention.qkv.weight.chunk(3))
    heads = []
    for head in range(3):
        own = slice(5 * head, 5 * head + 5)
        rows = []
        for t in range(x.shape[1]):
            sees = t + 1 if causal else x.shape[1]
            score = torch.einsum("be,bse->bs", q[:, t, own], k[:, :sees, own]) / math.sqrt(5)
            rows.append(torch.einsum("bs,bse->be", score.softmax(dim=1), v[:, :sees, own]))
        heads.append(torch.stack(rows, dim=1))
    x = x + b.attention.out(torch.cat(heads, dim=2))
    return x + b.leave(F.gelu(b.enter(b.norm_feed(x))))


def test_against_attention_written_out() -> None:
    x = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(1))
    for causal in (True, False):
        b = block(causal)
        found = b(x)
        torch.testing.assert_close(found.double(), written_out(b, x, causal), atol=2e-5, rtol=1e-5)


def test_only_without_a_mask_does_a_token_see_what_follows() -> None:
    x = torch.randn(1, 6, 12)
    other = x.clone()
    other[:, 4] += 1
    for causal in (True, False):
        b = block(causal)
        same = (b(x) - b(other)).abs().amax(dim=2)[0] == 0
        assert same.tolist() == ([True] * 4 + [False] * 2 if causal else [False] * 6)


def test_a_cache_gives_what_all_at_once_give() -> None:
    b, x = block(True), torch.randn(3, 9, 12)
    whole = b(x)
    for first in (1, 4):  # the tokens that come together at the start
        cache = b.attention.cache(3, 9, x)
        parts = [b(x[:, :first], cache), *(b(x[:, t : t + 1], cache) for t in range(first, 9))]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
        assert cache.seen == 9


def test_what_is_dropped_is_what_a_part_adds() -> None:
    b, x = block(False), torch.randn(2, 4, 12)
    torch.testing.assert_close(b(x, None, (lambda y: 0 * y, lambda y: 0 * y)), x)
    half = b(x, None, (lambda y: y, lambda y: 0 * y))
    torch.testing.assert_close(half, x + b.attention(b.norm_attention(x)))


def test_parameters_and_their_start() -> None:
    torch.manual_seed(0)
    b = Block(64, 4, 16, 256)
    assert (
        sum(p.numel() for p in b.parameters()) == 3 * 64 * 64 + (64 * 64 + 64) + 64 * 256 + 256 + 256 * 64 + 64 + 4 * 64
    )
    assert b.attention.qkv.bias is None
    initialise(b.requires_grad_(False), 8)
    assert abs(float(b.enter.weight.std()) - 0.02) < 1e-3 and abs(float(b.leave.weight.std()) - 0.005) < 3e-4
    assert abs(float(b.attention.out.weight.std()) - 0.005) < 3e-4 and not b.enter.bias.any()
