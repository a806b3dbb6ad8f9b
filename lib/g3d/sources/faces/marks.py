"""What the labels say of a view's 68 landmarks (Multi-PIE's order): where they are, which of them the camera sees, and the
boxes of face, mouth and eyes.

Letters: V views.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.sources.faces.frames import projected
from g3d.sources.surfaces.raycast import Caster
from g3d.sources.surfaces.surface import F32

HIDDEN_BEHIND_WORLD = 0.05  # 3 mm: the inner rims of closed lips and of lids lie that deep, and are seen
_FACE, _MOUTH, _RIGHT_EYE, _LEFT_EYE = slice(0, 68), slice(48, 68), slice(36, 42), slice(42, 48)
_MARGIN_FACE, _MARGIN_PART = 0.05, 0.25  # on each side, of the longer side


def columns(
    caster: Caster | None, points: F32, c2w: NDArray[Any], intrinsics: NDArray[Any], size: tuple[int, int]
) -> Mapping[str, NDArray[Any]]:
    """The labels' columns of `points` [68, 3], world units, in pictures of `size` pixels, width and height. Without a surface
    nobody knows what hides them."""
    marks = np.stack([projected(points, *pair) for pair in zip(c2w, intrinsics, strict=True)])  # [V, 68, 2]
    seen = {}
    if caster is not None:
        gaps = np.stack([caster.gap_world(points, pose[:3, 3].astype(np.float32)) for pose in c2w])  # [V, 68]
        seen["landmarks_visible"] = (gaps < HIDDEN_BEHIND_WORLD).astype(np.uint8)
    eyes = [box(marks[:, part], _MARGIN_PART, size) for part in (_RIGHT_EYE, _LEFT_EYE)]
    return {
        "landmarks": marks, **seen, "face_box": box(marks[:, _FACE], _MARGIN_FACE, size),
        "mouth_box": box(marks[:, _MOUTH], _MARGIN_PART, size), "eye_boxes": np.stack(eyes, axis=1),
    }  # fmt: skip


def box(marks: F32, margin: float, size: tuple[int, int]) -> F32:
    """[V, K, 2] pixels => [V, 4] x0 y0 x1 y1 around them, `margin` of the longer side wider on each, within the picture.

    Landmarks that are hidden count, too: the box of a mouth in profile is as long as that of the same mouth from the front
    looks from there."""
    low, high = marks.min(1), marks.max(1)
    wider = margin * (high - low).max(1, keepdims=True)
    boxes: F32 = np.clip(np.concatenate([low - wider, high + wider], axis=1), 0, [*size, *size]).astype(np.float32)
    return boxes
