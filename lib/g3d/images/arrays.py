"""Arrays of pixels => arrays of pixels: floats as 8 bits, other sizes, contact sheets.

Letters: H, W a picture.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]


def to_u8(values: NDArray[np.float32]) -> U8:
    """Floats in [0, 1] => 0..255, rounded to nearest."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def resized(pixels: U8, width: int, height: int) -> U8:
    """Another size, by a good filter (Lanczos, which also averages when it shrinks)."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def resized_map(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A map of numbers [h, w] => [height, width], bilinear; averaged where it shrinks."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def enlarge(pixels: U8, factor: int) -> U8:
    """Each pixel as a square of `factor`, so that small pictures can be looked at."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def sheet(rows: Sequence[Sequence[U8]], gap_px: int = 2) -> U8:
    """Pictures in rows => one picture on white. Cells are as large as the largest; a smaller one lies in the middle."""
    height = max(picture.shape[0] for row in rows for picture in row)
    width = max(picture.shape[1] for row in rows for picture in row)
    columns = max(len(row) for row in rows)
    page = np.full((len(rows) * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = gap_px + r * (height + gap_px), gap_px + c * (width + gap_px)
            top, left = top + (height - picture.shape[0]) // 2, left + (width - picture.shape[1]) // 2
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page
