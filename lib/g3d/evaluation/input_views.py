"""Novel views beside the picture that their object was made from: whether the person stays the one of the input picture.

The input picture may be of another split than the views, so it is looked for in the whole true place.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from g3d.errors import G3dError
from g3d.evaluation.pairs import Item, Pairs, side

Faces = tuple[Item, Item, Item]
"""The picture to compare with, the true picture of the view (for its landmarks), and the picture to judge."""


def against_inputs(found: Pairs, view: int) -> list[Faces]:
    """Every pair with the `view`th picture of its object; the views that are this picture themselves are left out."""
    rows = _of_dataset(found, view) if found.true.data is not None else _of_files(found, view)
    novel = [row for row in rows if row[0].where != row[1].where]
    if not novel:
        raise G3dError(f"all {len(rows)} pictures are the input view {view} of their object; give novel views, too")
    return novel


def _of_dataset(found: Pairs, view: int) -> list[Faces]:
    data = found.true.data
    assert data is not None
    whole = side(found.true.path, "the true images").schemes["view"]
    rows = []
    for one in found.pairs:
        assert one.true.view is not None
        of = int(data.view_object[one.true.view])
        views = data.views(of).tolist()
        if view >= len(views):
            raise G3dError(f"--input-view {view} does not exist: '{data.object_names[of]}' has {len(views)} views, 0 to "
                           f"{len(views) - 1}")  # fmt: skip
        rows.append((whole[f"{views[view]:06d}"], one.true, one.test))
    return rows


def _of_files(found: Pairs, view: int) -> list[Faces]:
    """In folders a picture's object is its folder."""
    objects: dict[str, list[Item]] = {}
    for one in found.pairs:
        objects.setdefault(str(PurePosixPath(one.name).parent), []).append(one.true)
    rows = []
    for one in found.pairs:
        views: Sequence[Item] = objects[str(PurePosixPath(one.name).parent)]
        if view >= len(views):
            raise G3dError(
                f"--input-view {view} does not exist: the folder of '{one.true.where}' holds {len(views)} pictures"
            )
        rows.append((views[view], one.true, one.test))
    return rows
