"""Looking up a texture: between texels, and in a copy of half its size, a quarter, ... where samples lie further apart.

No torch here: worker processes import this file. Letters: F triangles, N samples.
"""

import numpy as np
from numpy.typing import NDArray

from g3d.sources.surfaces.surface import F32, Surface

_LEVELS_MOST = 12  # halves of a texture


class Texture:
    """A picture [H, W, C] that repeats (or as `wrap` says), and its halves, made when one is needed."""

    def __init__(self, picture: NDArray[np.uint8], wrap: tuple[str, str] = ("repeat", "repeat")):
        self._levels = [np.ascontiguousarray(picture)]
        self._wrap = wrap

    def colours(self, uv: F32, texels_apart: F32) -> F32:
        """[N, 3] in [0, 1] at `uv` [N, 2] (v down), where neighbouring samples lie `texels_apart` [N] from each other."""
        level = np.rint(np.log2(np.maximum(texels_apart, np.float32(1)))).astype(np.int64)
        low, high = int(level.min()), int(level.max())
        if low == high:
            return _texel(self._level(low), uv, self._wrap)
        found = np.empty((len(uv), 3), np.float32)
        for number in range(low, high + 1):
            at = np.nonzero(level == number)[0]
            if len(at):
                found[at] = _texel(self._level(number), uv.take(at, 0), self._wrap)
        return found

    def _level(self, number: int) -> NDArray[np.uint8]:
        """The picture halved so often, or as often as it goes."""
        number = min(max(number, 0), _LEVELS_MOST)  # coordinates that are huge have no number of texels between them
        while len(self._levels) <= number and min(self._levels[-1].shape[:2]) >= 2:
            self._levels.append(_half(self._levels[-1]))
        return self._levels[min(number, len(self._levels) - 1)]


class Paint:
    """The colours of a surface at places on its triangles, and its holes."""

    def __init__(self, surface: Surface, doubled_areas: NDArray[np.float64]):
        self._plain = bool((surface.colours == surface.colours[:, :1]).all())
        self._colours = from_first_corner(surface.colours)
        self._uvs = None if surface.uvs is None else from_first_corner(surface.uvs)
        self._which = surface.texture
        wraps = surface.wraps or (("repeat", "repeat"),) * len(surface.textures)
        self._textures = [Texture(picture, wrap) for picture, wrap in zip(surface.textures, wraps, strict=True)]
        self._texels = texels_per_world(surface, doubled_areas)
        self._holes = {
            i: (Texture(cutout.alpha[..., None], wraps[i]), np.float32(cutout.least / 255))
            for i, cutout in enumerate(surface.cutouts)
            if cutout is not None
        }

    @property
    def has_holes(self) -> bool:
        """Whether any texture has some."""
        return bool(self._holes)

    def colours(self, face: NDArray[np.int64], uv: F32, apart_world: F32) -> F32:
        """[N, 3] before light; samples lie `apart_world` [N] from their neighbours."""
        base: F32 = self._colours[0].take(face, 0) if self._plain else between(self._colours, face, uv)
        if self._uvs is not None and self._texels is not None and self._which is not None:
            place, which = between(self._uvs, face, uv), self._which.take(face)
            texels_apart = self._texels.take(face) * apart_world
            for number, texture in enumerate(self._textures):
                at = np.nonzero(which == number)[0]
                if len(at) == len(face):
                    base *= texture.colours(place, texels_apart)
                elif len(at):
                    base[at] *= texture.colours(place.take(at, 0), texels_apart.take(at))
        return base

    def in_hole(self, face: NDArray[np.int64], uv: F32) -> NDArray[np.bool_]:
        """[N] whether there is nothing."""
        found = np.zeros(len(face), bool)
        if self._uvs is None or self._which is None:
            return found
        place, which = between(self._uvs, face, uv), self._which.take(face)
        for number, (alpha, least) in self._holes.items():
            at = np.nonzero(which == number)[0]
            if len(at):
                found[at] = alpha.colours(place.take(at, 0), np.ones(len(at), np.float32))[:, 0] < least
        return found


def from_first_corner(values: F32) -> tuple[F32, F32, F32]:
    """[F, 3, C] at corners => value at the first corner and its change towards the other two, [F, C] each."""
    first = values[:, 0]
    return np.ascontiguousarray(first), values[:, 1] - first, values[:, 2] - first


def between(triple: tuple[F32, F32, F32], face: NDArray[np.int64], uv: F32) -> F32:
    """[N, C] of points on triangles; `uv` [N, 2] weighs the second and the third corner."""
    origin, along_u, along_v = triple
    found: F32 = origin.take(face, 0) + uv[:, :1] * along_u.take(face, 0) + uv[:, 1:] * along_v.take(face, 0)
    return found


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


def _texel(picture: NDArray[np.uint8], uv: F32, wrap: tuple[str, str]) -> F32:
    """Colours [N, C] in [0, 1] between the four nearest texels; beyond the border the texture goes on as `wrap` says."""
    height, width, channels = picture.shape
    x, y = uv[:, 0] * width - np.float32(0.5), uv[:, 1] * height - np.float32(0.5)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, right = (_wrapped(x0.astype(np.int64) + k, width, wrap[0]) for k in (0, 1))
    top, bottom = (_wrapped(y0.astype(np.int64) + k, height, wrap[1]) * width for k in (0, 1))
    flat = picture.reshape(-1, channels)
    upper = flat.take(top + left, 0) * (1 - fx) + flat.take(top + right, 0) * fx
    lower = flat.take(bottom + left, 0) * (1 - fx) + flat.take(bottom + right, 0) * fx
    colour: F32 = (upper * (1 - fy) + lower * fy) * np.float32(1 / 255)
    return colour


def _wrapped(at: NDArray[np.int64], count: int, way: str) -> NDArray[np.int64]:
    """Texels of any number => those that there are."""
    if way == "clamp":
        return at.clip(0, count - 1)
    if way == "mirror":
        at = at % (2 * count)
        return np.where(at < count, at, 2 * count - 1 - at)
    return at % count
