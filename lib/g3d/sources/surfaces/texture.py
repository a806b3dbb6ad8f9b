"""Looking up a texture: between texels, and in a copy of half its size, a quarter, ... where samples lie further apart.

No torch here: worker processes import this file. Letters: F triangles, N samples.
"""

import numpy as np
from numpy.typing import NDArray

from g3d.sources.surfaces.surface import F32, Surface

_LEVELS_MOST = 12  # halves of a texture


class Texture:
    """A picture [H, W, 3] that repeats, and its halves, made when one is needed."""

    def __init__(self, picture: NDArray[np.uint8]):
        self._levels = [np.ascontiguousarray(picture)]

    def colours(self, uv: F32, texels_apart: F32) -> F32:
        """[N, 3] in [0, 1] at `uv` [N, 2] (v down), where neighbouring samples lie `texels_apart` [N] from each other."""
        level = np.rint(np.log2(np.maximum(texels_apart, np.float32(1)))).astype(np.int64)
        low, high = int(level.min()), int(level.max())
        if low == high:
            return _texel(self._level(low), uv)
        found = np.empty((len(uv), 3), np.float32)
        for number in range(low, high + 1):
            at = np.nonzero(level == number)[0]
            if len(at):
                found[at] = _texel(self._level(number), uv.take(at, 0))
        return found

    def _level(self, number: int) -> NDArray[np.uint8]:
        """The picture halved so often, or as often as it goes."""
        while len(self._levels) <= min(number, _LEVELS_MOST) and min(self._levels[-1].shape[:2]) >= 2:
            self._levels.append(_half(self._levels[-1]))
        return self._levels[min(number, len(self._levels) - 1)]


def texels_per_world(surface: Surface, doubled_areas: NDArray[np.float64]) -> F32 | None:
    """[F] how many texels lie along a world unit; None where there are no textures."""
    if surface.uvs is None or surface.texture is None or not surface.textures:
        return None
    size = np.array([(p.shape[1], p.shape[0]) for p in surface.textures], np.float64)[np.maximum(surface.texture, 0)]
    a, b, c = np.moveaxis(surface.uvs.astype(np.float64) * size[:, None], 1, 0)
    e, f = b - a, c - a
    return np.asarray(np.sqrt(np.abs(e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]) / doubled_areas), np.float32)


def _half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of each 2 x 2 texels."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    wide = picture[:height, :width].astype(np.uint16)
    return ((wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2] + 2) // 4).astype(np.uint8)


def _texel(picture: NDArray[np.uint8], uv: F32) -> F32:
    """Colours [N, 3] in [0, 1] between the four nearest texels; the texture repeats."""
    height, width = picture.shape[:2]
    x, y = uv[:, 0] * width - np.float32(0.5), uv[:, 1] * height - np.float32(0.5)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, top = x0.astype(np.int64) % width, y0.astype(np.int64) % height
    right, bottom = (left + 1) % width, (top + 1) % height * width
    top *= width
    flat = picture.reshape(-1, 3)
    upper = flat.take(top + left, 0) * (1 - fx) + flat.take(top + right, 0) * fx
    lower = flat.take(bottom + left, 0) * (1 - fx) + flat.take(bottom + right, 0) * fx
    colour: F32 = (upper * (1 - fy) + lower * fy) * np.float32(1 / 255)
    return colour
