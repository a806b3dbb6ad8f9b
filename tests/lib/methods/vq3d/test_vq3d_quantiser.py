"""The book of codes: nearest by brute force, straight through, means by hand, dead codes; beside another implementation."""

from dataclasses import replace

import pytest
import torch
from g3d.methods.vq3d import PRESETS
from g3d.methods.vq3d.quantiser import Quantiser, spread
from torch.nn import functional as F

CONFIG = replace(PRESETS["smoke"], codes=7, code_dim=3, codebook="gradient")


def book(**changes: object) -> Quantiser:
    return Quantiser(replace(CONFIG, **changes), torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def test_each_latent_becomes_its_nearest_code() -> None:
    net, raw = book(), torch.randn(2, 5, 3)
    found = net(raw)
    z = F.normalize(raw, dim=-1)
    nearest = torch.cdist(z.double().flatten(0, 1), net.book().double()).argmin(dim=1).view(2, 5)
    assert torch.equal(found.tokens, nearest)
    torch.testing.assert_close(found.codes, net.book()[nearest])
    torch.testing.assert_close(found.latents.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close(net.lookup(found.tokens), net.book()[nearest])
    by_hand = ((z - net.book()[nearest]) ** 2).mean(dim=(1, 2))
    torch.testing.assert_close(found.loss, 1.25 * by_hand)  # both ways, one of them times beta


def test_gradients_pass_straight_through_and_move_codes() -> None:
    net, raw = book(), torch.randn(1, 4, 3, requires_grad=True)
    found = net(raw)
    want = torch.randn(1, 4, 3)
    (slope,) = torch.autograd.grad((found.codes * want).sum(), raw, retain_graph=True)
    (direct,) = torch.autograd.grad((F.normalize(raw, dim=-1) * want).sum(), raw)
    torch.testing.assert_close(slope, direct)
    (of_codes,) = torch.autograd.grad(found.loss.sum(), net.codes)
    chosen = torch.bincount(found.tokens.flatten(), minlength=7) > 0
    assert (of_codes.abs().sum(dim=1)[chosen] > 0).any() and not of_codes[~chosen].any()


def test_means_of_latents_by_hand() -> None:
    net = book(codebook="ema", codebook_decay=0.75)
    assert not net.codes.requires_grad
    before, raw = net.codes.detach().clone(), torch.randn(1, 6, 3)
    found = net(raw)
    net.learn(net.tally(found))
    for code in range(7):
        mine = found.latents[found.tokens == code]
        wanted = (0.75 * before[code] + 0.25 * mine.sum(dim=0)) / (0.75 + 0.25 * len(mine))
        torch.testing.assert_close(net.codes[code], wanted)


def test_codes_that_nobody_chose_become_latents() -> None:
    net, g = book(), torch.Generator().manual_seed(1)
    found = net(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]))
    net.learn(net.tally(found))
    kept = set(found.tokens.flatten().tolist())
    before = net.codes.detach().clone()
    count = net.reset(found.latents.flatten(0, 1), g)
    assert count == 7 - len(kept) and not net.chosen.any()
    for code in range(7):
        if code in kept:
            assert torch.equal(net.codes[code], before[code])
        else:
            assert float((net.codes[code] @ found.latents[0].T).max().detach()) > 0.99
    assert net.reset(found.latents.flatten(0, 1), g) == 7  # nobody was asked meanwhile


def test_usage_perplexity_and_spread() -> None:
    net = book()
    net.used.copy_(torch.tensor([4.0, 4, 4, 4, 0, 0, 0]))
    used, perplexity = net.usage()
    assert int(used) == 4 and float(perplexity) == pytest.approx(4, rel=1e-4)
    assert float(spread(torch.tensor([[[1.0, 0]] * 8]))) == 0
    assert float(spread(torch.tensor([[[1.0, 0], [-1.0, 0]]]))) == 1


def test_beside_another_implementation() -> None:
    """vector-quantize-pytorch with cosine similarity: the same tokens, codes and commitment for the same book."""
    other = pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")
    theirs = other.VectorQuantize(dim=3, codebook_size=7, use_cosine_sim=True, commitment_weight=1.0).eval()
    net, raw = book(codebook="ema"), torch.randn(2, 5, 3)
    theirs._codebook.embed.data.copy_(net.book().unsqueeze(0))
    theirs._codebook.initted.data.fill_(True)
    quantised, tokens, _ = theirs(raw)
    found = net(raw)
    assert torch.equal(found.tokens, tokens)
    torch.testing.assert_close(found.codes, F.normalize(quantised, dim=-1))


def test_learning_beside_another_implementation() -> None:
    """vector-quantize-pytorch while it is fitted: the same commitment, gradient of the latents, and book after three steps."""
    other = pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")
    net = book(codebook="ema", codebook_decay=0.9, commitment=0.25)
    theirs = other.VectorQuantize(
        dim=3, codebook_size=7, use_cosine_sim=True, commitment_weight=0.25, decay=0.9, rotation_trick=False, eps=1e-9
    ).train()
    theirs._codebook.embed.data.copy_(net.book().unsqueeze(0))
    theirs._codebook.embed_avg.data.copy_(net.mean_sums.unsqueeze(0))
    theirs._codebook.cluster_size.data.copy_(net.mean_counts.unsqueeze(0))
    theirs._codebook.initted.data.fill_(True)
    for step in range(3):
        raw = F.normalize(torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(step)), dim=-1)
        ours, yours, wanted = raw.clone().requires_grad_(), raw.clone().requires_grad_(), torch.randn(4, 9, 3)
        found = net(ours)
        quantised, tokens, loss = theirs(yours)
        assert torch.equal(found.tokens, tokens)
        torch.testing.assert_close(found.loss.mean(), loss.sum())
        tangent = wanted - (wanted * raw).sum(dim=-1, keepdim=True) * raw  # ours passes it through the norm
        ((found.codes * wanted).sum() + found.loss.mean()).backward()
        ((quantised * tangent).sum() + loss.sum()).backward()
        assert ours.grad is not None and yours.grad is not None
        flat = yours.grad - (yours.grad * raw).sum(dim=-1, keepdim=True) * raw
        torch.testing.assert_close(ours.grad, flat, rtol=1e-4, atol=1e-5)
        net.learn(net.tally(found))
        torch.testing.assert_close(net.book(), F.normalize(theirs._codebook.embed[0], dim=-1), rtol=1e-4, atol=1e-5)
