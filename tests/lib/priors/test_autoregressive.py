"""The autoregressive prior against a source whose entropy and statistics are known; classes, resume, micro-batches, sizes."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import unchecked
from g3d import latents
from g3d.data.columns import SPLITS
from g3d.errors import G3dError, Interrupted
from g3d.latents import TEST, Latents, LatentSpace, Part
from g3d.nets.keyed import dropout
from g3d.priors import autoregressive, prior
from g3d.priors.autoregressive.config import PRESETS, Config
from g3d.priors.autoregressive.held_out import divided
from g3d.priors.autoregressive.network import TokenTransformer, build, dropout_keys, summed_loss
from g3d.steps import fit_prior
from g3d.storage import artifacts, files

V, T = 8, 12  # different tokens, tokens of a latent
CHAIN = (torch.randn(V, V, generator=torch.Generator().manual_seed(1)) * 2).softmax(dim=1)  # p(next | token)
FEW = ["steps=12", "batch=8", "evaluate_every=5", "width=16", "layers=1"]


def markov(count: int) -> torch.Tensor:
    """Latents of a chain: the first token is uniform, every other depends on the one before it."""
    g = torch.Generator().manual_seed(2)
    found = [torch.randint(V, (count,), generator=g)]
    for _ in range(T - 1):
        found.append(torch.multinomial(CHAIN[found[-1]], 1, generator=g)[:, 0])
    return torch.stack(found, dim=1)


def entropy_bits() -> float:
    """Bits a token of the chain."""
    each = -(CHAIN * CHAIN.log2()).sum(dim=1)
    share, total = torch.ones(V) / V, torch.tensor(V).log2()
    for _ in range(T - 1):
        total, share = total + (share * each).sum(), share @ CHAIN
    return float(total) / T


def written(path: Path, tokens: torch.Tensor, vocabulary: int = V, **more: Any) -> Path:
    space = LatentSpace("tokens", {"tokens": Part(tuple(tokens.shape[1:]), vocabulary)})
    latents.write(path, Latents(space, {"tokens": tokens}, [str(i) for i in range(len(tokens))], **more))
    return path


def options(source: Path, out: Path, settings: list[str], **more: Any) -> fit_prior.Options:
    return fit_prior.Options(source, out, "autoregressive", settings, device="cpu", preset="smoke", **more)


def loaded(run: Path) -> autoregressive.Loaded:
    return autoregressive.load(artifacts.read(run / "prior.safetensors", "prior"), torch.device("cpu"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run fitted to the chain for four seconds."""
    folder = tmp_path_factory.mktemp("chain")
    settings = ["steps=250", "batch=64", "lr=5e-3", "dropout=0.05", "held_out=0.2", "evaluate_every=100"]
    fit_prior.run(options(written(folder / "l.safetensors", markov(1200)), folder / "p", settings))
    return folder / "p"


@pytest.mark.slow
def test_bits_come_down_to_the_entropy_of_the_source(chain: Path) -> None:
    figures = files.read_json(chain / "metrics.json", "figures")
    found, entropy = figures["held_out_bits_per_token"], entropy_bits()
    assert entropy * 0.97 < found < entropy * 1.03
    assert found < figures["held_out_unigram_bits"] - 0.8 and found < figures["held_out_position_bits"] - 0.8
    assert abs(figures["held_out_bigram_bits"] - found) < 0.05  # the source is a bigram
    head = artifacts.header(chain / "prior.safetensors")
    assert head.config["figures"]["held_out_bits_per_token"] == found
    log = [json.loads(line) for line in (chain / "log.jsonl").read_text().splitlines()]
    lines = [line for line in log if "held_out_bits_per_token" in line]
    assert lines and lines[-1]["bits_per_token"] == pytest.approx(lines[-1]["loss"] / 0.693147, rel=1e-4)


@pytest.mark.slow
def test_samples_have_the_bigrams_of_the_source(chain: Path) -> None:
    tokens = autoregressive.sample(loaded(chain), range(3000), 0, autoregressive.SampleSettings()).tensors["tokens"]
    assert tokens.shape == (3000, T) and tokens.dtype == torch.int64
    pairs = torch.bincount((tokens[:, :-1] * V + tokens[:, 1:]).flatten(), minlength=V * V).view(V, V).double()
    found = pairs / pairs.sum(dim=1, keepdim=True)
    assert (found - CHAIN).abs().max() < 0.08 and (found - CHAIN).abs().mean() < 0.015
    first = torch.bincount(tokens[:, 0], minlength=V).double() / 3000
    assert (first - 1 / V).abs().max() < 0.04


@pytest.mark.slow
def test_the_class_decides_the_token(tmp_path: Path) -> None:
    """Latents of class c hold nothing but token 2 c; classes 0, 1 and 3 are there 1 : 1 : 2."""
    classes = torch.tensor([0, 1, 3, 3]).repeat(30)
    tokens = (2 * classes).unsqueeze(1).expand(-1, 5)
    source = written(tmp_path / "l.safetensors", tokens.contiguous(), classes=classes)
    fit_prior.run(options(source, tmp_path / "p", ["steps=120", "batch=32", "lr=1e-2", "dropout=0", "held_out=0"]))
    fitted, kind = loaded(tmp_path / "p"), prior("autoregressive")
    assert kind.classes is not None and kind.classes(artifacts.header(tmp_path / "p/prior.safetensors")) == 4
    assert fitted.class_counts.tolist() == [30, 30, 0, 60] and not (tmp_path / "p/metrics.json").exists()
    asked = [0, 1, 3, 0, 1]
    found = autoregressive.sample(fitted, range(5), 0, autoregressive.SampleSettings(), asked)
    assert found.classes is not None and found.classes.tolist() == asked
    assert torch.equal(found.tensors["tokens"], (2 * found.classes).unsqueeze(1).expand(-1, 5))
    free = autoregressive.sample(fitted, range(400), 0, autoregressive.SampleSettings())
    assert free.classes is not None
    share = torch.bincount(free.classes, minlength=4).double() / 400
    assert (share - torch.tensor([0.25, 0.25, 0, 0.5])).abs().max() < 0.06
    assert torch.equal(free.tensors["tokens"][:, 0], 2 * free.classes)
    alone = autoregressive.sample(fitted, [7], 0, autoregressive.SampleSettings())
    assert alone.classes is not None and alone.classes[0] == free.classes[7]
    for odd in (2, 4, -1):
        with pytest.raises(G3dError, match=f"3 classes from 0 to 3, and saw nothing of class {odd}"):
            autoregressive.sample(fitted, [0], 0, autoregressive.SampleSettings(), [odd])


def test_a_prior_without_classes_refuses_one(tmp_path: Path) -> None:
    fit_prior.run(options(written(tmp_path / "l.safetensors", markov(20)), tmp_path / "p", FEW))
    with pytest.raises(G3dError, match="knows no classes"):
        autoregressive.sample(loaded(tmp_path / "p"), [0], 0, autoregressive.SampleSettings(), [0])
    with pytest.raises(G3dError, match="top_k is 9, but the prior knows 8 tokens"):
        autoregressive.sample(loaded(tmp_path / "p"), [0], 0, autoregressive.SampleSettings(top_k=9))


def test_an_interrupted_fit_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """With dropout, classes, evaluations and checkpoints on the way."""
    classes = torch.arange(40) % 3
    source = written(tmp_path / "l.safetensors", markov(40), classes=classes)
    more: dict[str, Any] = {"checkpoint_every": 7, "keep": 9}
    whole, cut = (options(source, tmp_path / name, [*FEW, "steps=30"], **more) for name in "wc")
    fit_prior.run(whole)

    class Stops:
        def log(self, line: str) -> None: ...
        def start(self, label: str, total: int) -> None: ...
        def update(self, done: int, total: int, **figures: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        fit_prior.run(cut, Stops())
    assert 0 < artifacts.header(tmp_path / "c/state.safetensors").config["step"] < 30
    fit_prior.run(replace(cut, resume=True))
    for name in ("prior.safetensors", "state.safetensors", "best/metrics.json", "checkpoints/000021/prior.safetensors"):
        assert (tmp_path / "w" / name).read_bytes() == (tmp_path / "c" / name).read_bytes(), name
    assert files.read_json(tmp_path / "w/best/metrics.json", "best")["metric"] == "held_out_bits_per_token"


def test_micro_batches_and_checkpointing_change_nothing(tmp_path: Path) -> None:
    source = written(tmp_path / "l.safetensors", markov(40))
    ways = {"plain": [], "micro": ["micro_batch=3"], "again": ["checkpointing=true"], "still": ["dropout=0"]}
    for name, way in ways.items():
        fit_prior.run(options(source, tmp_path / name, [*FEW, "dropout=0.3", *way]))
    plain, micro, again, still = (loaded(tmp_path / name).network.state_dict() for name in ways)
    for name, value in plain.items():
        torch.testing.assert_close(micro[name], value, rtol=1e-3, atol=2e-5)
        assert torch.equal(again[name], value), name
    assert not torch.allclose(still["logits.weight"], plain["logits.weight"], atol=1e-3)


def test_dropout_falls_on_embeddings_and_on_what_every_part_adds() -> None:
    """A reference that drops by the same keys, place by place; nothing falls without keys."""
    settings = replace(PRESETS["smoke"], dropout=0.4)
    network = build(T, V, 0, settings, 0)
    first, tokens = torch.zeros(3, dtype=torch.int64), markov(3)
    keys = dropout_keys(3, settings, 0, 5)
    x = torch.cat([network.start(first)[:, None], network.token(tokens[:, :-1])], dim=1) + network.position.weight
    x = dropout(x, keys[:, 0], 0.4)
    for place, block in ((1, network.blocks[0]), (3, network.blocks[1])):
        x = x + dropout(block.attention(block.norm_attention(x)), keys[:, place], 0.4)  # type: ignore[operator, union-attr]
        fed = block.leave(torch.nn.functional.gelu(block.enter(block.norm_feed(x))))  # type: ignore[operator, union-attr]
        x = x + dropout(fed, keys[:, place + 1], 0.4)
    torch.testing.assert_close(network(first, tokens, keys), network.logits(network.norm(x)))
    assert not torch.allclose(network(first, tokens), network(first, tokens, keys), atol=1e-3)
    assert not torch.equal(dropout_keys(3, settings, 0, 6), keys) and len({*keys.flatten(0, 1)[:, 0].tolist()}) == 15


def test_every_logit_comes_from_what_lies_before_it() -> None:
    network = build(T, V, 4, PRESETS["smoke"], 0)
    tokens = markov(2)
    other = tokens.clone()
    other[:, 5] = (other[:, 5] + 1) % V
    first = torch.tensor([1, 2])
    same = (network(first, tokens) - network(first, other)).abs().amax(dim=(0, 2)) == 0
    assert same.tolist() == [True] * 6 + [False] * 6  # token 5 is known from place 6 on
    assert (network(first, tokens) - network(first.flip(0), tokens)).abs().amax(dim=(0, 2)).min() > 0
    assert summed_loss(torch.zeros(2, T, V), tokens) == pytest.approx(2 * T * torch.tensor(V).log())


def test_vim_base_by_hand() -> None:
    """24 x (4 x 1536^2 + 2 x 1536 x 6144) of the matrices alone: 679 M; 8,192 tokens, 1,024 places and 1,000 classes beside."""
    c = Config()
    assert (c.layers, c.heads, c.head_dim * c.heads, c.width, c.hidden, c.dropout) == (24, 16, 1536, 1536, 6144, 0.1)
    assert (c.lr, c.warmup) == (4.5e-4, 5000) and PRESETS["vim-base"] == c
    with torch.device("meta"):
        network = TokenTransformer(1024, 8192, 1000, c)
    w, f = 1536, 6144
    block = 3 * w * w + (w * w + w) + (w * f + f) + (f * w + w) + 4 * w  # qkv, out, the feed-forward part, two norms
    assert sum(p.numel() for p in network.blocks.parameters()) == 24 * block == 679_845_888
    count = 24 * block + (8192 + 1024 + 1000) * w + 2 * w + (w * 8192 + 8192)
    assert sum(p.numel() for p in network.parameters()) == count == 708_131_840


def test_what_is_held_out() -> None:
    space = LatentSpace("tokens", {"tokens": Part((1,), 100)})
    tokens = torch.arange(100).unsqueeze(1)
    whole = Latents(space, {"tokens": tokens}, [str(i) for i in range(100)])
    data = divided(whole, Config(held_out=0.1), 3)
    held, fitted = data.held.tokens.flatten().tolist(), data.fitted.tokens.flatten().tolist()
    assert len(held) == 10 and sorted(held + fitted) == list(range(100)) and held != list(range(10))
    assert divided(whole, Config(held_out=0.1), 4).held.tokens.flatten().tolist() != held
    assert SPLITS[TEST] == "test"
    split = (tokens.flatten() % 4 == 0).long()
    assert divided(replace(whole, split=split), Config(), 0).held.tokens.flatten().tolist() == list(range(0, 100, 4))
    for same in (torch.zeros(100), torch.ones(100)):  # all of one split: a share
        assert len(divided(replace(whole, split=same.long()), Config(held_out=0.1), 0).held.tokens) == 10
    assert not len(divided(whole, Config(held_out=0), 0).held.tokens)
    few = divided(whole.pick([0, 1]), Config(held_out=0.9), 0)
    assert len(few.held.tokens) == len(few.fitted.tokens) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network.token.weight": torch.zeros(5, 16)}, "network.token.weight.*wanted are finite floats"),
        ({"class_counts": torch.tensor([0.0, 0.0])}, "counts nothing"),
        ({"network.norm.weight": torch.full((16,), float("nan"))}, "network.norm.weight"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, torch.Tensor], words: str) -> None:
    fit_prior.run(options(written(tmp_path / "l.safetensors", markov(20)), tmp_path / "p", FEW))
    file = artifacts.read(tmp_path / "p/prior.safetensors", "prior")
    with unchecked():
        artifacts.write(tmp_path / "p/prior.safetensors", "prior", {**file.values, **change}, file.config)
    with pytest.raises(G3dError, match=words):
        loaded(tmp_path / "p")
