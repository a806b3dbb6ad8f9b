"""How solid rendered objects are: cloudy rays, halos.

* Cloudy: the share of object rays whose alpha lies between 0.1 and 0.9. A solid object has few, at its outline; a fog is all
  cloud. An object ray has alpha above 0.1, or hits the object in the true mask.
* Halo: the mean of |rgb - background| where the true alpha is 0, over channels, of values in [0, 1]. There the true picture is
  the background, so photographs behind the object are allowed for.

Letters: H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np

from g3d.errors import G3dError
from g3d.images import U8

CLOUDY = (0.1, 0.9)  # alpha, both ends excluded
OBJECT_LEVEL = 128  # of 255: from here on a pixel of a true mask is the object's


@dataclass(frozen=True)
class Cloud:
    """Rays of one picture."""

    cloudy: int
    object_rays: int

    @property
    def share(self) -> float | None:
        """None where nothing of an object is seen."""
        return self.cloudy / self.object_rays if self.object_rays else None


@dataclass(frozen=True)
class Halo:
    """What is drawn where nothing should be, in one picture."""

    colour: float  # mean |rgb - background|
    alpha: float | None  # mean alpha
    pixels: int


def cloud(alpha: U8, true_mask: U8 | None = None) -> Cloud:
    """Cloudy and object rays of one picture, from alpha [H, W] and, where there is one, the true mask [H, W], 0..255."""
    low, high = (255 * end for end in CLOUDY)  # 25.5 and 229.5: no step of 8 bits lies on them
    cloudy = (alpha > low) & (alpha < high)
    of_object = alpha > low
    if true_mask is not None:
        _check(alpha.shape, true_mask.shape)
        of_object |= true_mask >= OBJECT_LEVEL
    return Cloud(int(cloudy.sum()), int(of_object.sum()))


def halo(picture: U8, true_picture: U8, true_mask: U8, alpha: U8 | None = None) -> Halo | None:
    """Halo of one picture [H, W, 3]; None where the object covers everything."""
    _check(picture.shape, true_picture.shape)
    _check(picture.shape[:2], true_mask.shape)
    empty = true_mask == 0
    if not empty.any():
        return None
    difference = np.abs(picture[empty].astype(np.float64) - true_picture[empty]) / 255
    return Halo(float(difference.mean()), None if alpha is None else float(alpha[empty].mean() / 255), int(empty.sum()))


def _check(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    if first != second:
        raise G3dError(f"pictures of sizes {list(first)} and {list(second)} cannot be compared; make them one size")


def haze(picture: U8, alpha: U8, background: U8, margin_px: int = 2) -> float | None:
    """The halo of a picture [H, W, 3] without a true one: mean |rgb - background| (0 to 1) where nothing solid is near.

    Solid is alpha [H, W] of at least one half; near are `margin_px` pixels in both axes. None where all is near."""
    _check(picture.shape[:2], alpha.shape)
    height, width = alpha.shape
    padded = np.pad(alpha >= OBJECT_LEVEL, margin_px)
    shifts = range(2 * margin_px + 1)
    near = np.any([padded[r : r + height, c : c + width] for r in shifts for c in shifts], axis=0)
    if near.all():
        return None
    return float(np.abs(picture[~near].astype(np.float64) - background).mean() / 255)
