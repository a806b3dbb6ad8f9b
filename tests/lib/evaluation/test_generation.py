"""Figures of generated pictures: haze by hand, coverage by hand, solidity; samples of the model's own cameras."""

import numpy as np
import pytest
import torch
from g3d.evaluation.generation import covered, solidity
from g3d.metrics.geometry import haze
from g3d.metrics.neighbours import neighbours

WHITE = np.array([255, 255, 255], np.uint8)


def test_haze_is_what_differs_from_the_background_away_from_solids() -> None:
    picture = np.full((9, 9, 3), 255, np.uint8)
    alpha = np.zeros((9, 9), np.uint8)
    assert haze(picture, alpha, WHITE) == 0
    picture[8, 8] = 0  # one black pixel of 81
    assert haze(picture, alpha, WHITE) == pytest.approx(1 / 81)
    alpha[8, 8] = 255  # it is solid now: it and its two neighbours all around do not count
    assert haze(picture, alpha, WHITE) == 0
    picture[0, 0] = (205, 255, 255)
    assert haze(picture, alpha, WHITE) == pytest.approx(50 / 255 / 3 / (81 - 9))
    alpha[:] = 255
    assert haze(picture, alpha, WHITE) is None


def test_solidity_counts_rays_of_all_pictures() -> None:
    alpha = np.zeros((2, 4, 4), np.uint8)
    alpha[0, 0] = 255  # four solid rays
    alpha[1, 0, :2] = 128  # two clouds
    pictures = np.full((2, 4, 4, 3), 255, np.uint8)
    found = solidity(pictures, alpha, [1.0, 1.0, 1.0])
    assert found["cloudy_share"] == pytest.approx(2 / 6, abs=1e-4) and found["object_share"] == pytest.approx(6 / 32)
    assert found["halo"] == 0
    assert solidity(pictures, np.zeros_like(alpha), [1, 1, 1])["cloudy_share"] is None


def test_coverage_is_that_of_the_evaluation() -> None:
    """Equal to the figures of eval-fid, which never holds all distances at once."""
    g = torch.Generator().manual_seed(0)
    real, fake = torch.randn(60, 5, generator=g), torch.randn(50, 5, generator=g) * 0.7 + 0.3
    wanted = neighbours(real.numpy(), fake.numpy())
    assert covered(fake, real) == pytest.approx(wanted.precision, abs=1e-4)
    assert covered(real, fake) == pytest.approx(wanted.recall, abs=1e-4)
    assert covered(real[:10] + 1000, real) == 0 and covered(real, real) == 1
