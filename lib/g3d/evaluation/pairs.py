"""Pictures of two places, paired by name (`sides.py`): of the ways to name them the first in which all of them have a partner.

A picture without a partner is an error. So is a pair whose cameras are recorded and differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from g3d.errors import G3dError
from g3d.evaluation.sides import Item as Item
from g3d.evaluation.sides import Side as Side
from g3d.evaluation.sides import side as side
from g3d.images import U8

_SAME_POSE = 1e-4  # largest difference of two c2w that count as one camera


@dataclass(frozen=True)
class Pair:
    """The true picture and the one to judge."""

    name: str
    true: Item
    test: Item


@dataclass(frozen=True)
class Pairs:
    """All pairs in the order of their names, and how the names were made."""

    pairs: Sequence[Pair]
    true: Side
    test: Side
    naming: str


def pair(true: Side, test: Side, any_camera: bool = False) -> Pairs:
    """Every picture with its partner of the same name; `any_camera`: scenes may be drawn by cameras of their own."""
    if true.items:
        true, test = _of_items(true, test)
    choices = [(a, b) for a in true.schemes for b in test.schemes]
    overlap = {ab: len(true.schemes[ab[0]].keys() & test.schemes[ab[1]].keys()) for ab in choices}
    whole = [ab for ab in choices if true.schemes[ab[0]].keys() == test.schemes[ab[1]].keys()]
    naming = whole[0] if whole else max(choices, key=lambda ab: overlap[ab])
    firsts, seconds = true.schemes[naming[0]], test.schemes[naming[1]]
    _refuse_missing(true, firsts, test, seconds)
    pairs = [Pair(name, firsts[name], seconds[name]) for name in sorted(firsts)]
    for one in pairs if not any_camera else ():
        _same_camera(one)
    return Pairs(pairs, true, test, naming[0] if naming[0] == naming[1] else " = ".join(naming))


def _of_items(true: Side, test: Side) -> tuple[Side, Side]:
    """Both sides where pictures are named by items: those of other items do not count, nor items that were not drawn."""
    named = _by_items(test, true.items)
    schemes = {by: {n: item for n, item in items.items() if n not in true.left_out} for by, items in named.items()}
    drawn = {name.partition("/")[0] for items in schemes.values() for name in items}
    if not drawn:
        raise G3dError(
            f"'{test.path}' shows no item that is wanted: of the items of --drawn-from, all drawn ones lie outside of --split "
            f"and --objects of '{true.path}'; choose others, or leave them out"
        )
    shown = {name: item for name, item in true.schemes["item/view"].items() if name.partition("/")[0] in drawn}
    return replace(true, schemes={**true.schemes, "item/view": shown}), replace(test, schemes=schemes)


def _by_items(test: Side, items: Sequence[str]) -> Mapping[str, Mapping[str, Item]]:
    """The pictures named by the number of their item among `items` and of their view: 000003/000000. What a folder says that it
    shows counts more than its name."""
    for folder, name in test.shows.items():
        own = items[int(folder)] if folder.isdecimal() and int(folder) < len(items) else name
        if name in items and own == name:
            continue
        shown = f"'{test.path}{f'/{folder}' if folder else ''}' shows the item '{name}'"
        if name not in items:
            raise G3dError(
                f"{shown}, none of the {len(items)} of --drawn-from; give the latents that it was drawn from"
            )
        raise G3dError(f"{shown}, and item {int(folder)} of --drawn-from is '{own}'; call it {items.index(name):06d}")
    files = test.schemes.get("file in its folder", test.schemes.get("file", {}))
    if test.of_objects:  # one view of each, in no folder: 000003 => 000003/000000
        return {"item": {f"{name}/000000": item for name, item in files.items()}}
    if "" in test.shows:  # views of one, in no folder
        return {"item": {f"{items.index(test.shows['']):06d}/{name}": item for name, item in files.items()}}
    if len(items) > 1 and files and not any("/" in name for name in files):
        raise G3dError(
            f"the pictures of '{test.path}' lie in no folder of an item, and nothing says which of the {len(items)} of "
            "--drawn-from they show; draw them again, or put them in a folder of the item's number (000000/000000.png)"
        )
    return test.schemes


def same_size(one: Pair) -> tuple[U8, U8]:
    """Both pictures of a pair, which must have one size."""
    true, test = one.true.picture(), one.test.picture()
    if true.shape != test.shape:
        raise G3dError(
            f"'{one.true.where}' is {true.shape[1]} x {true.shape[0]} and '{one.test.where}' {test.shape[1]} x {test.shape[0]}; "
            "make them one size"
        )
    return true, test


def absent_depth(found: Pairs) -> str:
    """Why depth is not measured, in words."""
    lacking = [
        str(s.path)
        for s, items in ((found.true, [p.true for p in found.pairs]), (found.test, [p.test for p in found.pairs]))
        if not all(item.depth_world for item in items)
    ]
    return f"no depth beside all pictures of {' and of '.join(lacking)}" if lacking else "no pixel has depth in both"


def _refuse_missing(true: Side, firsts: Mapping[str, Item], test: Side, seconds: Mapping[str, Item]) -> None:
    for here, those, there, others in ((true, firsts, test, seconds), (test, seconds, true, firsts)):
        missing = sorted(those.keys() - others.keys())
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise G3dError(
                f"'{there.path}' has no picture '{missing[0]}'{more} that '{here.path}' has ({len(missing)} of {len(those)} "
                f"without a partner; '{there.path}' holds {len(others)}, the first is '{min(others)}'); give two sets with the "
                "same names, or choose views with --split and --objects"
            )


def _same_camera(one: Pair) -> None:
    a, b = one.true.c2w, one.test.c2w
    if a is not None and b is not None and np.abs(a - b).max() > _SAME_POSE * max(1.0, float(np.abs(a).max())):
        raise G3dError(
            f"'{one.true.where}' and '{one.test.where}' have the name '{one.name}' but other cameras (poses differ by "
            f"{np.abs(a - b).max():.3g}); draw with --cameras dataset:DIR:SPLIT and give the same --split here, or add "
            "--any-camera if each scene has a camera of its own"
        )
