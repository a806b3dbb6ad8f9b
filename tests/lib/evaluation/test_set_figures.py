"""A test bed of synthetic distributions: all figures of sets of features whose answers are known."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from g3d.evaluation.features import features, random_extractor
from g3d.evaluation.pictures import pictures
from g3d.evaluation.set_figures import METRICS, figures, name_of, why_not
from g3d.images import write_image
from g3d.metrics import neighbours

RANDOM = random_extractor()
CLASSES = replace(RANDOM, name="inception", metric="fid", logits=lambda x: 50 * x)


def _normal(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def _whitened(values: np.ndarray) -> np.ndarray:
    """The same with mean 0 and covariance 1, exactly: a Gaussian by its moments."""
    centred = values - values.mean(0)
    return centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T)).T)


def test_gaussians_of_known_distance() -> None:
    """N(0, 1) and N(m, s²): |m|² + Σ (s - 1)², for moments that are exactly these, and for samples up to their error."""
    shift, scale = np.array([1.0, -2.0, 0.5, 0.0]), np.array([2.0, 1.0, 0.5, 3.0])
    known = (shift**2).sum() + ((scale - 1) ** 2).sum()
    real, fake = (_whitened(_normal(400, 4, seed)) for seed in (0, 1))
    found, _ = figures(real.astype(np.float32), (fake * scale + shift).astype(np.float32), CLASSES, ("fid",), 0)
    assert found == {"fid": pytest.approx(known, rel=1e-5)}
    real, fake = (_normal(40_000, 4, seed) for seed in (0, 1))
    found, _ = figures(real.astype(np.float32), (fake * scale + shift).astype(np.float32), CLASSES, ("fid",), 0)
    assert found["fid"] == pytest.approx(known, rel=0.03)


def test_the_same_set_twice() -> None:
    values = _normal(300, 8, 0).astype(np.float32)
    found, near = figures(values, values, CLASSES, METRICS, 0)
    assert found["fid"] == 0  # exactly
    x = values.astype(np.float64)
    kernel = (x @ x.T / 8 + 1) ** 3
    apart = kernel[~np.eye(300, dtype=bool)].mean()
    assert found["kid"] == pytest.approx(
        2 / 300 * (apart - np.diag(kernel).mean())
    )  # i = j counts across alone: below 0
    assert -0.1 < found["kid"] < 0 and found["kid_subsets"] == 1
    assert [found[k] for k in ("precision", "recall", "f1", "density", "coverage")] == [1, 1, 1, 1, 1]
    assert found["is"] == found["is_real"] and found["diversity_real"] == found["diversity_fake"]
    assert near is not None and near.fake_to_real.max() < 1e-2 < near.real_to_real.min()


def test_collapse_shows_in_recall_and_diversity() -> None:
    """Half of the modes are missing, and of the rest one picture each is repeated."""
    modes = _normal(8, 16, 0) * 50
    real = (modes[np.arange(800) % 8] + _normal(800, 16, 1)).astype(np.float32)
    fake = (modes[np.arange(800) % 4] + _normal(4, 16, 2)[np.arange(800) % 4]).astype(np.float32)
    found, _ = figures(real, fake, CLASSES, METRICS, 0)
    assert found["recall"] == 0 and found["coverage"] < 0.2 and found["precision"] > 0.6
    assert found["diversity_fake"] < found["diversity_real"] * 0.9
    assert found["fid"] > 100 and found["kid"] > 1


def test_every_figure_carries_what_it_needs() -> None:
    real, fake = (_normal(n, 8, n).astype(np.float32) for n in (40, 30))
    found, _ = figures(real, fake, CLASSES, METRICS, 0)
    assert list(found) == [
        "fid", "kid", "kid_std", "kid_subsets", "kid_subset_size", "is", "is_std", "is_splits", "is_real", "is_real_std",
        "is_real_splits", "precision", "recall", "f1", "density", "coverage", "precision_k", "recall_k", "density_k",
        "coverage_k", "diversity_real", "diversity_real_pairs", "diversity_fake", "diversity_fake_pairs",
    ]  # fmt: skip
    assert all(np.isfinite(v) for v in found.values())
    assert (found["precision_k"], found["density_k"], found["kid_subset_size"], found["is_splits"]) == (3, 5, 30, 10)
    some, near = figures(real, fake, CLASSES, ("kid", "diversity"), 0)
    assert near is None and set(some) < set(found) and all(found[k] == v for k, v in some.items())


def test_only_clean_inception_has_the_names_of_papers() -> None:
    legacy = replace(CLASSES, metric="fid_legacy_pytorch")
    assert [name_of(m, CLASSES) for m in ("fid", "kid", "is", "recall")] == ["fid", "kid", "is", "recall"]
    assert [name_of(m, legacy) for m in ("fid", "kid", "is")] == [
        "fid_legacy_pytorch",
        "kid_legacy_pytorch",
        "is_legacy_pytorch",
    ]
    assert [name_of(m, RANDOM) for m in ("fid", "kid", "is")] == [
        "frechet_random",
        "kernel_random",
        "class_score_random",
    ]


def test_why_a_figure_is_absent() -> None:
    assert "no classes" in (why_not("is", RANDOM, 100, 100) or "")
    assert why_not("is", CLASSES, 100, 100) is None
    assert why_not("precision", RANDOM, 4, 2) is None and "2 fake" in (why_not("recall", RANDOM, 4, 2) or "")
    assert "4 real images are too few for 5" in (why_not("density", RANDOM, 4, 2) or "")
    assert [m for m in METRICS if why_not(m, RANDOM, 6, 4)] == ["is"]


def test_figures_leave_torch_as_it_was() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        figures(*(_normal(9, 4, s).astype(np.float32) for s in (0, 1)), RANDOM, ("kid",), 0)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


class _Together:
    """Threads in the place of processes: each takes its share of the parts, and sums are over all threads."""

    def __init__(self, count: int):
        self.count, self.here, self.meet = count, threading.local(), threading.Barrier(count)
        self.parts: dict[int, torch.Tensor] = {}

    def mine(self, index: int) -> bool:
        return index % self.count == self.here.rank

    def sum_value(self, value: torch.Tensor) -> torch.Tensor:
        self.parts[self.here.rank] = value.clone()
        self.meet.wait(20)
        total = torch.stack([self.parts[i] for i in range(self.count)]).sum(0, dtype=value.dtype)
        self.meet.wait(20)
        return total

    def run(self, work: Callable[[], object]) -> list[object]:
        def one(rank: int) -> object:
            self.here.rank = rank
            return work()

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(one, range(self.count)))


def test_shares_add_up_to_what_one_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests, features and every figure: the very same, with more and with fewer parts than processes."""
    stream = np.random.default_rng(0)
    for i in range(23):
        write_image(tmp_path / f"{i:02d}.png", stream.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    found = pictures(tmp_path, "the images")
    monkeypatch.setattr(neighbours, "_ROWS", 5)

    def work() -> object:
        values = features(found.read, range(23), RANDOM, 3)
        return found.digest(range(23)), values, figures(values[:12], values[10:], RANDOM, METRICS, 0)[0]

    alone = work()
    together = _Together(3)
    for name in ("mine", "sum_value"):
        monkeypatch.setattr(f"g3d.distributed.{name}", getattr(together, name))
    for digest, values, figs in together.run(work):  # type: ignore[attr-defined]
        assert digest == alone[0] and figs == alone[2]
        np.testing.assert_array_equal(values, alone[1])
    assert alone[2]["precision"] > 0 and alone[2]["recall"] > 0
