"""Light from everywhere, as spherical harmonics of order 2: what a white matt surface with a given normal sends back.

Ramamoorthi and Hanrahan 2001, "An efficient representation for irradiance environment maps": a matt surface sees an
environment L through a cosine lobe, so that nine numbers of L matter, E(n) / pi = sum of A_l / pi * L_lm * Y_lm(n).

No torch here: worker processes import this file. Letters: N normals, C channels (1 or 3).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3d.sources.surfaces.surface import F32

# A_l / pi of the cosine lobe, for l = 0, 1, 1, 1, 2, 2, 2, 2, 2.
_LOBE = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])
_AMBIENT, _KEY, _FILL, _BRIGHTEST, _TINT = (0.3, 0.6), (0.5, 1.0), (0.0, 0.35), (0.85, 1.1), 0.06


@dataclass(frozen=True)
class SphericalHarmonicLight:
    """The nine coefficients L_lm of an environment's radiance: [9], or [9, 3] for coloured light."""

    coefficients: tuple[float, ...] | tuple[tuple[float, float, float], ...]

    def __call__(self, normals: F32) -> F32:
        """Unit normals [N, 3] => brightness of a white surface, [N] or [N, 3], never negative."""
        weights = np.asarray(self.coefficients, np.float64)
        lobe = _LOBE.reshape(-1, *[1] * (weights.ndim - 1))
        found: F32 = np.maximum(harmonics(normals) @ (weights * lobe), 0).astype(np.float32)
        return found


def unlit(normals: F32) -> F32:
    """[N] ones: the surface in its own colours."""
    return np.ones(len(normals), np.float32)


def harmonics(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N, 3] unit directions => the nine real harmonics Y_lm [N, 9], in the order l, then m from -l to l."""
    x, y, z = np.asarray(directions, np.float64).T
    c0, c1 = 0.5 * math.sqrt(1 / math.pi), 0.5 * math.sqrt(3 / math.pi)
    c2, c20, c22 = 0.5 * math.sqrt(15 / math.pi), 0.25 * math.sqrt(5 / math.pi), 0.25 * math.sqrt(15 / math.pi)
    return np.stack(
        [np.full_like(x, c0), c1 * y, c1 * z, c1 * x, c2 * x * y, c2 * y * z, c20 * (3 * z * z - 1), c2 * x * z,
         c22 * (x * x - y * y)], axis=1,
    )  # fmt: skip


def drawn(rng: np.random.Generator) -> SphericalHarmonicLight:
    """A light like one in a room: an even part, a key light from the front and above, a weaker fill, each a little tinted.

    The brightest side of a white ball is 0.85 to 1.1."""
    even = float(rng.uniform(*_AMBIENT)) * harmonics(np.array([[0.0, 0, 1]]))[0, 0] * 4 * math.pi
    total = np.zeros((9, 3))
    total[0] += even * _tint(rng)
    for strength, turn_deg, height_deg in ((_KEY, 80.0, (-10.0, 70.0)), (_FILL, 180.0, (-30.0, 40.0))):
        azimuth, elevation = np.radians([rng.uniform(-turn_deg, turn_deg), rng.uniform(*height_deg)])
        towards = np.array(
            [[np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]]
        )
        total += float(rng.uniform(*strength)) * math.pi * harmonics(towards)[0][:, None] * _tint(rng)
    brightest = float(SphericalHarmonicLight(_rows(total))(_ball()).max())
    return SphericalHarmonicLight(_rows(total * (float(rng.uniform(*_BRIGHTEST)) / brightest)))


def _tint(rng: np.random.Generator) -> NDArray[np.float64]:
    return 1 + rng.uniform(-_TINT, _TINT, 3)


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(r), float(g), float(b)) for r, g, b in values)


def _ball() -> F32:
    """Directions all over the sphere, 5 degrees apart."""
    theta, phi = np.meshgrid(np.radians(np.arange(0, 181, 5)), np.radians(np.arange(0, 360, 5)))
    ball = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    return ball.reshape(-1, 3).astype(np.float32)
