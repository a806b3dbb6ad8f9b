"""Lens distortion, against a picture known in closed form, seen through the lens pixel by pixel in float64."""

import math
from typing import Any

import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.sources.posed.undistort import Lens, distorted, lens_of, undistorted

WIDTH, HEIGHT = 96, 72
K = np.array([80.0, 84.0, 47.0, 37.5])
BARREL = Lens((-0.25, 0.06, -0.01), (), 0.002, -0.003)
PINCUSHION = Lens((0.2, 0.05), (), -0.001, 0.002)
FISHEYE = Lens((0.05, -0.02, 0.01, 0.0), fisheye=True)
RATIONAL = Lens((0.3, 0.05, 0.01), (0.45, 0.1, 0.02), 0.001, 0.001)


def _grid(x: Any, y: Any) -> Any:
    """The scene: soft lines across and down, with colours that differ left from right and top from bottom."""
    lines = 0.5 + 0.25 * np.cos(x * 40) + 0.25 * np.cos(y * 40)
    return np.stack([lines, 0.5 + 0.5 * np.tanh(2 * x), 0.5 + 0.5 * np.tanh(2 * y)], -1) * 255


def _ideal_of(lens: Lens, u: Any, v: Any) -> tuple[Any, Any]:
    """The ideal place of a distorted one, by Newton's method with a numerical derivative: another way than the library's."""
    x, y = u.copy(), v.copy()
    h = 1e-6
    for _ in range(30):
        fx, fy = distorted(lens, x, y)
        ax, ay = ((b - a) / h for a, b in zip((fx, fy), distorted(lens, x + h, y), strict=True))
        bx, by = ((b - a) / h for a, b in zip((fx, fy), distorted(lens, x, y + h), strict=True))
        det = ax * by - ay * bx
        x, y = x - ((fx - u) * by - (fy - v) * bx) / det, y - (ax * (fy - v) - ay * (fx - u)) / det
    return x, y


def _places() -> tuple[Any, Any]:
    fx, fy, cx, cy = K
    return tuple(np.meshgrid((np.arange(WIDTH) + 0.5 - cx) / fx, (np.arange(HEIGHT) + 0.5 - cy) / fy))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "lens", [BARREL, PINCUSHION, RATIONAL, FISHEYE], ids=["barrel", "pincushion", "rational", "fisheye"]
)
def test_a_known_grid_seen_through_a_lens_comes_back(lens: Lens) -> None:
    x, y = _places()
    bent = np.rint(_grid(*_ideal_of(lens, x, y))).astype(np.uint8)
    ideal = _grid(x, y)
    found, seen = undistorted(bent, lens, K)
    assert found.dtype == np.uint8 and found.shape == bent.shape
    inner = seen.copy()
    inner[[0, -1]], inner[:, [0, -1]] = False, False
    error = np.abs(found.astype(float) - ideal)[inner]
    assert error.mean() < 1.0 and error.max() < 14  # 256 steps; the lines are 13 pixels apart
    assert np.abs(bent.astype(float) - ideal)[inner].mean() > 5  # what the lens had done
    assert (found[~seen] == 0).all()


def test_which_pixels_the_lens_had_seen() -> None:
    """By the definition: the distorted place of the pixel's centre lies inside the picture."""
    x, y = _places()
    fx, fy, cx, cy = K
    bent_x, bent_y = distorted(PINCUSHION, x, y)
    inside = (
        (bent_x * fx + cx >= 0) & (bent_x * fx + cx <= WIDTH) & (bent_y * fy + cy >= 0) & (bent_y * fy + cy <= HEIGHT)
    )
    _, seen = undistorted(np.zeros((HEIGHT, WIDTH), np.uint8), PINCUSHION, K)
    assert (seen == inside).all() and 0 < (~seen).sum() < seen.size / 2


def test_a_formula_with_pencil_and_paper() -> None:
    """x = 1, y = 2: r2 = 5; d = 1 + .1*5 + .01*25 = 1.75; x' = 1.75 + .2*2 + .3*(5 + 2), y' = 3.5 + .1*(5 + 8) + .6*2."""
    x, y = distorted(Lens((0.1, 0.01), (), 0.1, 0.3), np.array(1.0), np.array(2.0))
    assert (float(x), float(y)) == pytest.approx((1.75 + 0.4 + 2.1, 3.5 + 1.3 + 1.2))
    x, y = distorted(Lens((0.2,), (0.1,)), np.array(1.0), np.array(0.0))
    assert (float(x), float(y)) == pytest.approx((1.2 / 1.1, 0))


def test_where_the_polynomial_turns_back_nothing_is_seen() -> None:
    """r (1 - r^2 / 3) grows until r = 1 only; farther out the picture would appear a second time."""
    k = np.array([20.0, 20, 32, 32])
    _, seen = undistorted(np.full((64, 64), 9, np.uint8), Lens((-1 / 3,)), k)
    v, u = np.nonzero(seen)
    assert np.hypot(u + 0.5 - 32, v + 0.5 - 32).max() / 20 == pytest.approx(1, abs=0.05)


def test_depth_takes_the_nearest_pixel() -> None:
    depth = np.where(np.arange(WIDTH) < 47, 1000, 5000).astype(np.uint16)[None].repeat(HEIGHT, 0)
    found, _ = undistorted(depth, BARREL, K, nearest=True)
    assert found.dtype == np.uint16 and set(np.unique(found)) <= {0, 1000, 5000}


def test_no_distortion_changes_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    found, seen = undistorted(noise, Lens((0.0,)), K)
    assert (found == noise).all() and seen.all()


def test_the_terms_of_a_file() -> None:
    assert lens_of({"k1": 0, "k2": 0.0, "camera_model": "OPENCV"}, "f") is None
    assert lens_of({"camera_model": "PINHOLE"}, "f") is None and lens_of({}, "f") is None
    assert lens_of({"k1": 0.1, "k4": 0.2, "p2": 0.3}, "f") == Lens(
        (0.1, 0, 0, 0.2), (), 0, 0.3
    )  # nerfstudio: k4 is of r^8
    full = {"camera_model": "FULL_OPENCV", "k1": 0.1, "k4": 0.2, "k6": 0.3}
    assert lens_of(full, "f") == Lens((0.1, 0, 0), (0.2, 0, 0.3))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"camera_model": "THIN_PRISM_FISHEYE", "k1": 0.1}, "camera model THIN_PRISM_FISHEYE"),
        ({"camera_model": "EQUIRECTANGULAR"}, "camera model EQUIRECTANGULAR"),
        ({"is_fisheye": True, "k5": 0.1}, "k5"),
        ({"ftheta_p0": 1.0}, "camera model ftheta_p0"),
        ({"k1": math.nan}, "not finite"),
        ({"k5": 0.1}, "k5 or k6"),
        ({"camera_model": "PINHOLE", "k1": 0.1}, "camera model PINHOLE and the lens distortion k1"),
    ],
)
def test_lenses_that_are_refused_by_name(frame: dict[str, Any], words: str) -> None:
    with pytest.raises(G3dError, match=f"frame 3 of 'a.json'.*{words}"):
        lens_of(frame, "frame 3 of 'a.json'")
