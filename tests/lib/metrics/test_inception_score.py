"""The Inception score where its value is known, and against the formula written out."""

import numpy as np
import pytest
import torch
from g3d.metrics.inception_score import inception_score


def _sure(x: torch.Tensor) -> torch.Tensor:
    return x * 1000  # features are one-hot: each picture is surely of one class


def test_known_values() -> None:
    classes = np.eye(8, dtype=np.float32)[np.arange(800) % 8]
    mean, std, splits = inception_score(classes[np.argsort(classes.argmax(1))], _sure, seed=0, splits=1)
    assert mean == pytest.approx(8, rel=1e-9) and std == 0 and splits == 1
    mean, std, splits = inception_score(np.tile(classes[:1], (50, 1)), _sure, seed=0)
    assert (mean, std, splits) == (pytest.approx(1), pytest.approx(0, abs=1e-9), 10)
    unsure = inception_score(np.zeros((50, 8), np.float32), _sure, seed=0)
    assert unsure[0] == pytest.approx(1)


def test_pictures_that_lie_class_by_class_are_mixed() -> None:
    classes = np.eye(10, dtype=np.float32)[np.arange(1000) // 100]
    mean, std, _ = inception_score(classes, _sure, seed=0)
    assert 8.5 < mean < 10 and 0 < std < 0.5  # parts in order would have one class each, and score 1
    assert inception_score(classes, _sure, seed=0)[0] == mean != inception_score(classes, _sure, seed=1)[0]


def test_formula_written_out() -> None:
    features = (
        np.random.default_rng(0).normal(size=(5000, 7)).astype(np.float32)
    )  # more than is turned to classes at a time
    mean, _, _ = inception_score(features, lambda x: 2 * x, seed=0, splits=1)
    p = np.exp(2 * features.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    assert mean == pytest.approx(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()), rel=1e-6)


def test_no_more_parts_than_pictures() -> None:
    assert inception_score(np.eye(3, dtype=np.float32), _sure, seed=0) == (1.0, 0.0, 3)
