"""The words of `--region`: a rectangle of a picture, in pixels or in parts of its sides.

Letters: H rows, W columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError


@dataclass(frozen=True)
class Region:
    """x0 <= x < x1, y0 <= y < y1; pixels from the upper left corner, or parts of width and height."""

    x0: float
    y0: float
    x1: float
    y1: float
    fractions: bool

    def slices(self, height: int, width: int, where: str) -> tuple[slice, slice]:
        """Rows and columns of a picture; parts are rounded to the nearest pixel."""
        across, down = (width, height) if self.fractions else (1, 1)
        x0, y0, x1, y1 = (
            int(np.floor(v + 0.5)) for v in (self.x0 * across, self.y0 * down, self.x1 * across, self.y1 * down)
        )
        if x1 > width or y1 > height or x0 >= x1 or y0 >= y1:
            raise G3dError(
                f"--region {x0},{y0},{x1},{y1} does not lie in '{where}', which is {width} x {height}; give x0,y0,x1,y1 with "
                "0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height"
            )
        return slice(y0, y1), slice(x0, x1)

    def crop(self, pixels: NDArray[Any], where: str) -> NDArray[Any]:
        """The rectangle of an array [H, W, ...]."""
        return pixels[self.slices(pixels.shape[0], pixels.shape[1], where)]


def parse_region(text: str, words: Iterable[str] = ()) -> Region:
    """`x0,y0,x1,y1`: parts of the sides if none is above 1, else pixels. `words`: what else may stand there, for messages."""
    wanted = "give four numbers x0,y0,x1,y1: pixels (10,20,90,100), or parts of the sides, none above 1 (0.25,0.25,0.75,0.75)"
    wanted += f"; or {' or '.join(words)}" if words else ""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise G3dError(f"--region '{text}' is not understood; {wanted}") from error
    values = np.array([x0, y0, x1, y1])
    if not np.isfinite(values).all() or (values < 0).any() or x0 >= x1 or y0 >= y1:
        raise G3dError(f"--region '{text}' is no rectangle; {wanted}")
    fractions = bool((values <= 1).all())
    if not fractions and (values != np.floor(values)).any():
        raise G3dError(f"--region '{text}' mixes pixels and parts of pixels; {wanted}")
    return Region(x0, y0, x1, y1, fractions)
