"""What counts of a pair of pictures: the object in a mask, and of that a rectangle, the same for all or a box of each face.

Letters: H rows, W columns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.evaluation.pairs import Item, Pair, Pairs, Side, side
from g3d.evaluation.region import Region, parse_region
from g3d.images import U8
from g3d.metrics.geometry import OBJECT_LEVEL
from g3d.metrics.sharpness import eroded

Mask = NDArray[np.bool_]
BOXES: Mapping[str, str] = {"face": "face_box", "mouth": "mouth_box"}
"""The words of --region that stand for a box of the true dataset's labels."""


@dataclass(frozen=True)
class Counted:
    """What counts of each pair, and which mask that is in words."""

    mask_of: Callable[[Pair], Mask | None]  # [H, W]
    mask_word: str
    region_of: Callable[[Pair], Region | None]
    erode_px: int = 0  # taken from the mask's rim

    def cut(self, one: Pair, true: U8, test: U8) -> tuple[U8, U8, Mask | None]:
        """Both pictures, cut to the region, with the mask; a mask that leaves nothing is refused."""
        mask, region = self.mask_of(one), self.region_of(one)
        if mask is not None and mask.shape != true.shape[:2]:
            raise G3dError(
                f"the mask of '{one.name}' is {mask.shape[1]} x {mask.shape[0]}, its picture {true.shape[1]} x {true.shape[0]}; "
                "make them one size"
            )
        if mask is not None and self.erode_px:
            mask = eroded(mask, self.erode_px)
        if region is not None:
            true, test = region.crop(true, one.true.where), region.crop(test, one.test.where)
            mask = None if mask is None else region.crop(mask, one.true.where)
        if mask is not None and not mask.any():
            cut = " in --region" if region is not None else ""
            raise G3dError(
                f"the mask of '{one.name}' covers nothing{cut}, so there is nothing to compare; take the pair out"
            )
        return true, test, mask


def check_region(text: str | None) -> None:
    """Refuse words of --region that are none."""
    if text is not None and text not in BOXES:
        parse_region(text, BOXES)


def counted(found: Pairs, masks: bool, mask: Path | None, region: str | None, erode_px: int = 0) -> Counted:
    """From the words of --masks, --mask, --region and --erode."""
    mask_of, word = _masks(found, masks, mask)
    word += f", {erode_px} px of its rim left out" if erode_px else ""
    if region is None:
        return Counted(mask_of, word, lambda one: None, erode_px)
    if region in BOXES:
        boxes = box_regions(found.true, region)
        return Counted(mask_of, word, lambda one: boxes(one.true), erode_px)
    fixed = parse_region(region, BOXES)
    return Counted(mask_of, word, lambda one: fixed, erode_px)


def box_regions(true: Side, word: str) -> Callable[[Item], Region]:
    """What gives the box `word` of a view, as whole pixels that hold it."""
    boxes = None if true.data is None else true.data.labels.get(BOXES[word])
    if boxes is None or true.data is None:
        raise G3dError(
            f"'{true.path}' has no {BOXES[word]} in its labels; give a dataset of prepare-data faces, or numbers to --region"
        )
    size = int(true.data.info["width"]), int(true.data.info["height"])

    def region(item: Item) -> Region:
        assert item.view is not None
        x0, y0, x1, y1 = (float(v) for v in boxes[item.view])
        left, top = min(np.floor(x0), size[0] - 1), min(np.floor(y0), size[1] - 1)
        return Region(left, top, max(np.ceil(x1), left + 1), max(np.ceil(y1), top + 1), False)

    return region


def _masks(found: Pairs, masks: bool, mask: Path | None) -> tuple[Callable[[Pair], Mask | None], str]:
    rule = f"{OBJECT_LEVEL} of 255 or more is the object"
    if masks:
        lacking = next((p.true.where for p in found.pairs if p.true.mask is None), None)
        if lacking is not None:
            raise G3dError(
                f"--masks needs a mask of every true picture, and '{lacking}' has none in masks/; give --mask FOLDER"
            )
        return lambda one: one.true.mask() >= OBJECT_LEVEL if one.true.mask else None, f"true masks, {rule}"
    if mask is None:
        return lambda one: None, "none"
    items = _mask_items(side(mask, "the masks"), found, mask)
    return lambda one: items[one.name].picture()[..., 0] >= OBJECT_LEVEL, f"{mask}, {rule}"


def _mask_items(masks: Side, found: Pairs, path: Path) -> Mapping[str, Item]:
    items = next(iter(masks.schemes.values()))
    lacking = [one.name for one in found.pairs if one.name not in items]
    if lacking:
        raise G3dError(
            f"the masks '{path}' have none of the name '{lacking[0]}' ({len(lacking)} of {len(found.pairs)} missing); give "
            "masks with the names of the pictures"
        )
    return items
