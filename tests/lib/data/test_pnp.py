"""Poses from points and pixels, points from poses and pixels."""

import numpy as np
import pytest
from g3d.data import pnp
from posed_scene import look_from
from toy_faces import landmarks

K = np.array([150.0, 150.0, 32.0, 32.0])


def seen(points: np.ndarray, c2w: np.ndarray, k: np.ndarray = K) -> np.ndarray:
    local = (points - c2w[:3, 3]) @ c2w[:3, :3]
    return k[:2] * local[:, :2] / local[:, 2:] + k[2:]


def apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Degrees between two orientations, and the distance between two places over that from the origin."""
    cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), float(
        np.linalg.norm(a[:3, 3] - b[:3, 3]) / np.linalg.norm(b[:3, 3])
    )


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (35, 20), (-80, -25), (60, 40)])
def test_a_pose_is_found_exactly_from_exact_pixels(azimuth: float, elevation: float) -> None:
    true = look_from(azimuth, elevation, 6.0, target=(0.2, -0.1, 0.1))
    found, rest = pnp.camera(landmarks(), seen(landmarks(), true), K)
    turned, moved = apart(found, true)
    assert turned < 1e-4 and moved < 1e-6 and rest < 1e-6


def test_a_pose_is_found_to_a_degree_and_two_percent_where_half_a_pixel_is_wrong() -> None:
    rng = np.random.default_rng(1)
    for azimuth in (-60, -20, 10, 45):
        true = look_from(azimuth, 15, 6.0)
        pixels = seen(landmarks(), true, K * 4) + rng.normal(0, 0.5, (68, 2))  # a picture of 256 pixels
        turned, moved = apart(pnp.camera(landmarks(), pixels, K * 4)[0], true)
        assert turned < 1 and moved < 0.02


def test_points_without_weight_do_not_count() -> None:
    true = look_from(25, 10, 6.0)
    pixels, weights = seen(landmarks(), true), np.ones(68)
    pixels[:30] += 50
    weights[:30] = 0
    found, rest = pnp.camera(landmarks(), pixels, K, weights)
    assert apart(found, true)[0] < 1e-4 and rest < 1e-6


def test_too_few_points_and_points_of_a_plane_are_refused() -> None:
    with pytest.raises(ValueError, match="5 points are known"):
        pnp.camera(landmarks()[:5], np.zeros((5, 2)), K)
    flat = landmarks() * [1, 1, 0]
    with pytest.raises(ValueError, match="in one plane"):
        pnp.camera(flat, seen(flat, look_from(20, 10, 6.0)), K)


def test_points_come_back_from_their_pixels() -> None:
    poses = np.stack([look_from(a, 10, 6.0) for a in (-40, 0, 40)])
    pixels = np.stack([seen(landmarks(), pose) for pose in poses])
    use = np.ones((3, 68), bool)
    use[1:, 5] = False  # one view alone
    use[0, 6] = False  # two views
    found = pnp.triangulated(pixels, use, poses, np.tile(K, (3, 1)))
    assert np.isnan(found[5]).all()
    rest = np.delete(np.arange(68), 5)
    assert np.allclose(found[rest], landmarks()[rest], atol=1e-6)
