"""Drawing tokens: what is filtered, by hand; the cache against no cache; the same tokens in any batch. And counting, by hand."""

import math

import pytest
import torch
from g3d.nets.keyed import draw_keys
from g3d.priors.autoregressive.config import PRESETS, SampleSettings
from g3d.priors.autoregressive.counts import A, P, Q, counted
from g3d.priors.autoregressive.network import TokenTransformer, build
from g3d.priors.autoregressive.sampling import draw, drawn_classes, filtered, raced, token_keys

SHARES = torch.tensor([[0.1, 0.4, 0.05, 0.25, 0.2]])


def network(tokens: int = 20, vocabulary: int = 11, classes: int = 3) -> TokenTransformer:
    """Of random weights large enough that its tokens depend on each other."""
    made = build(tokens, vocabulary, classes, PRESETS["smoke"], 0)
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(4)
    return made


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (SampleSettings(), [0.1, 0.4, 0.05, 0.25, 0.2]),
        (SampleSettings(top_k=2), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]),
        (SampleSettings(top_k=5), [0.1, 0.4, 0.05, 0.25, 0.2]),
        (SampleSettings(top_p=0.4001), [0, 0.4, 0, 0.25, 0]),  # 0.25 crosses, and stays
        (SampleSettings(top_p=0.3), [0, 0.4, 0, 0, 0]),  # the first one always stays
        (SampleSettings(top_p=0.9), [0.1, 0.4, 0, 0.25, 0.2]),
        (SampleSettings(top_k=3, top_p=0.5), [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0]),  # top-p of what top-k left
        (SampleSettings(temperature=0), [0, 1, 0, 0, 0]),
        (SampleSettings(temperature=0.5), [x * x / 0.275 for x in (0.1, 0.4, 0.05, 0.25, 0.2)]),
    ],
)
def test_what_may_be_drawn(settings: SampleSettings, wanted: list[float]) -> None:
    found = filtered((SHARES.log() + 3).float(), settings)
    torch.testing.assert_close(found, torch.tensor([wanted], dtype=torch.float64), atol=1e-6, rtol=0)


def test_equals_of_the_last_one_stay() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 0.0]])
    assert (filtered(logits, SampleSettings(top_k=2)) > 0).tolist() == [[True, True, True, False]]


def test_next_to_no_temperature_is_the_most_probable_token() -> None:
    found = filtered(torch.tensor([[1.0, 3.0, 2.0], [-1.0, -3.0, -2.0]]), SampleSettings(temperature=1e-310))
    assert found.tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("settings", [SampleSettings(), SampleSettings(top_k=3), SampleSettings(top_p=0.6)])
def test_what_is_drawn_is_as_frequent_as_it_is_probable(settings: SampleSettings) -> None:
    n = 20_000
    probable = filtered(SHARES.log(), settings)
    drawn = raced(probable.expand(n, 5), draw_keys(n, generator=torch.Generator().manual_seed(0)))
    found = torch.bincount(drawn, minlength=5).double() / n
    wanted = (probable / probable.sum())[0]
    assert (found - wanted).abs().max() < 4 * math.sqrt(0.25 / n)
    assert not found[wanted == 0].any()


def test_cached_logits_are_those_without_a_cache() -> None:
    net, tokens = network(), torch.randint(11, (4, 20), generator=torch.Generator().manual_seed(0))
    first = torch.tensor([0, 1, 2, 1])
    whole = net(first, tokens)
    caches = net.caches(4)
    last = [first, *tokens.t()]
    with torch.no_grad():
        found = torch.stack([net.following(last[t], t, caches) for t in range(20)], dim=1)
    assert (whole.max() - whole.min()) > 1
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_what_is_drawn_is_what_whole_passes_draw() -> None:
    """The loop again, without a cache: every token from the whole sequence before it."""
    net, first = network(), torch.tensor([0, 2, 1])
    keys, settings = token_keys(range(3), 5, 20), SampleSettings(temperature=1.3, top_k=8, top_p=0.95)
    tokens = torch.zeros(3, 20, dtype=torch.int64)
    with torch.no_grad():
        for t in range(20):
            tokens[:, t] = raced(filtered(net(first, tokens)[:, t], settings), keys[:, t])
    assert torch.equal(draw(net, first, keys, settings), tokens) and len(tokens.unique()) > 5


def test_the_same_tokens_in_any_batch() -> None:
    net, settings = network(), SampleSettings()
    first = torch.arange(13) % 3
    whole = draw(net, first, token_keys(range(13), 1, 20), settings)
    for size in (1, 4, 6):
        parts = [
            draw(net, first[i : i + size], token_keys(range(13)[i : i + size], 1, 20), settings)
            for i in range(0, 13, size)
        ]
        assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(draw(net, first, token_keys(range(13), 2, 20), settings), whole)
    assert len(whole[first == 0].unique(dim=0)) == 5


def test_a_rounding_hardly_ever_changes_a_token() -> None:
    """Noise as large as that of float32 products, in 30,000 draws of 512 tokens: the cumulative distribution changes a few."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 512, generator=g) * 2
    changed = 0
    for _ in range(15):
        keys = draw_keys(2000, generator=g)
        other = logits + torch.randn(2000, 512, generator=g) * 1e-6
        changed += int(
            (raced(filtered(logits, SampleSettings()), keys) != raced(filtered(other, SampleSettings()), keys)).sum()
        )
    assert changed <= 1


def test_classes_are_drawn_from_their_own_streams() -> None:
    found = drawn_classes(range(1000), 0, torch.tensor([1.0, 0.0, 3.0]))
    assert set(found) == {0, 2} and abs(found.count(2) / 1000 - 0.75) < 0.05
    assert drawn_classes([41], 0, torch.tensor([1.0, 0.0, 3.0])) == found[41:42]


def test_counting_by_hand() -> None:
    """Three latents of two tokens, of a vocabulary of 3; measured on (0, 1)."""
    fitted, held = torch.tensor([[0, 1], [0, 2], [1, 1]]), torch.tensor([[0, 1]])
    found = counted(fitted, held, 3)
    p0, p1 = (2 + A) / (6 + 3 * A), (3 + A) / (6 + 3 * A)  # the counts are 2, 3, 1
    assert found.unigram == pytest.approx(-(math.log2(p0) + math.log2(p1)) / 2)
    at = ((2 + P * p0) / (3 + P), (2 + P * p1) / (3 + P))  # 0 twice at place 0, 1 twice at place 1
    assert found.position == pytest.approx(-sum(map(math.log2, at)) / 2)
    after = (1 + Q * p1) / (2 + Q)  # 0 comes before something twice, once before 1
    assert found.bigram == pytest.approx(-(math.log2(p0) + math.log2(after)) / 2)


def test_counted_models_are_distributions() -> None:
    """Summed over every latent that there can be, 2^-bits is 1."""
    g = torch.Generator().manual_seed(0)
    fitted = torch.randint(3, (9, 2), generator=g)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    sums = [sum(2 ** (-2 * counted(fitted, row[None], 3)[k]) for row in every) for k in range(3)]
    assert sums == pytest.approx([1, 1, 1])
    one = counted(torch.tensor([[0], [1]]), torch.tensor([[2]]), 3)  # single tokens, unseen: finite all the same
    assert all(math.isfinite(bits) for bits in one) and one.bigram == one.unigram
