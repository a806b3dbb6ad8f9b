"""Cosines of basis networks against loops, and against bases whose angle is known."""

import math

import pytest
import torch
from g3d.methods.mnif import Config, MixtureOfSirens, similarity, unfitted


def test_cosines_are_those_of_a_loop() -> None:
    settings = Config(hidden_layers=2, width=6, bases=5, latent_dim=3)
    mixture = MixtureOfSirens(settings, torch.Generator().manual_seed(3))
    found = similarity(unfitted(mixture, settings))
    assert list(found) == [f"layer {i}" for i in range(4)]
    for i, weight in enumerate(mixture.basis_weight):
        rows = [[float(v) for v in base.flatten()] for base in weight.detach()]
        for a in range(5):
            for b in range(5):
                dot = sum(x * y for x, y in zip(rows[a], rows[b], strict=True))
                wanted = abs(dot) / (math.hypot(*rows[a]) * math.hypot(*rows[b])) if a != b else 0.0
                assert float(found[f"layer {i}"][a, b]) == pytest.approx(wanted, abs=1e-6)


def test_parallel_opposite_and_orthogonal_bases() -> None:
    settings = Config(hidden_layers=1, width=4, bases=4, latent_dim=3)
    mixture = MixtureOfSirens(settings)
    with torch.no_grad():
        weight = mixture.basis_weight[1]
        weight[1] = -2.5 * weight[0]
        weight[2:] = 0
        weight[2, 0, 0], weight[3, 3, 3] = 1, 7  # the last one has no angle with the others but its own corner
        weight[:2, 0, 0] = weight[:2, 3, 3] = 0
    alike = similarity(unfitted(mixture, settings))["layer 1"]
    wanted = torch.zeros(4, 4)
    wanted[0, 1] = wanted[1, 0] = 1
    torch.testing.assert_close(alike, wanted, atol=1e-6, rtol=0)
