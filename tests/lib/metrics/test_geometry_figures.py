"""Cloudy rays and halos of hand-made pictures."""

import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.metrics.geometry import cloud, halo


def test_cloudy_rays_by_hand() -> None:
    alpha = np.array([[0, 25, 26, 128], [229, 230, 255, 10]], np.uint8)
    found = cloud(alpha)  # 0.1 is 25.5, 0.9 is 229.5
    assert (found.cloudy, found.object_rays, found.share) == (3, 5, 0.6)
    mask = np.array([[128, 127, 0, 0], [0, 0, 0, 255]], np.uint8)  # two more rays should have hit
    found = cloud(alpha, mask)
    assert (found.cloudy, found.object_rays) == (3, 7)
    assert cloud(np.zeros((2, 2), np.uint8)).share is None
    with pytest.raises(G3dError, match=r"\[2, 4\] and \[2, 2\]"):
        cloud(alpha, mask[:, :2])


def test_halo_by_hand() -> None:
    true = np.full((2, 2, 3), 255, np.uint8)
    drawn = true.copy()
    drawn[0, 0] = (0, 255, 255)  # 1/3 off, true alpha 0
    drawn[1, 1] = 0  # the object: does not count
    mask = np.array([[0, 0], [0, 1]], np.uint8)
    found = halo(drawn, true, mask, np.array([[51, 0], [0, 255]], np.uint8))
    assert found is not None
    assert (found.colour, found.alpha, found.pixels) == (pytest.approx(1 / 9), pytest.approx(0.2 / 3), 3)
    photo = np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    same = halo(photo, photo, mask)
    assert same is not None and (same.colour, same.alpha) == (0, None)
    assert halo(drawn, true, np.ones((2, 2), np.uint8)) is None
