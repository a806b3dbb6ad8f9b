"""Novel views beside the picture that their object was made from: whether the person stays the one of the input picture; and the
views that are these pictures themselves.

The input picture may be of another split than the views, so it is looked for in the whole true place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from g3d import latents
from g3d.errors import G3dError
from g3d.evaluation.pairs import Item, Pair, Pairs, side

Faces = tuple[Item, Item, Item]
"""The picture to compare with, the true picture of the view (for its landmarks), and the picture to judge."""
Recorded = Mapping[str, Sequence[int]]
"""An object's name => the views of the dataset that it was made from."""
LATENTS = "latents:"


def recorded(path: Path) -> Recorded:
    """What `encode` wrote down of the views that its latents were found from."""
    found = latents.read(latents.check(path)).about.get(latents.INPUT_VIEWS)
    if not isinstance(found, dict) or not all(isinstance(v, list) and v for v in found.values()):
        raise G3dError(
            f"'{path}' does not say which views its latents were found from; encode them again, by a method that chooses views"
        )
    return found


def check_inputs(asked: bool, drawn_from: Path | None) -> None:
    """Refuse --inputs where nothing says which views they are."""
    if asked:
        if drawn_from is None:
            raise G3dError("--inputs needs the latents that pictures were drawn from; give --drawn-from FILE")
        recorded(drawn_from)


def parsed(word: int | str | None) -> int | Path | None:
    """A number of a view, or the latents that say it, of --input-view."""
    if word is None or isinstance(word, int):
        return word
    if word.startswith(LATENTS):
        path = Path(word.removeprefix(LATENTS))
        recorded(path)
        return path
    try:
        return int(word)
    except ValueError:
        raise G3dError(
            f"--input-view '{word}' is no view; give a number, or {LATENTS}FILE of what encode wrote"
        ) from None


def only_inputs(found: Pairs, known: Recorded) -> Pairs:
    """The pairs whose true picture is one that its object was made from."""
    chosen = [one for one in found.pairs if one.true.view in _views_of(found, one, known)]
    if not chosen:
        raise G3dError(
            f"none of the {len(found.pairs)} pictures is one that its object was made from; draw those views, too"
        )
    return replace(found, pairs=chosen)


def against_inputs(found: Pairs, view: int | Recorded) -> list[Faces]:
    """Every pair with the `view`th picture of its object, or with the first that is recorded for it; the views that are this
    picture themselves are left out."""
    if not isinstance(view, int):
        rows = _of_record(found, view)
    else:
        rows = _of_dataset(found, view) if found.true.data is not None else _of_files(found, view)
    novel = [row for row in rows if row[0].where != row[1].where]
    if not novel:
        which = f"view {view}" if isinstance(view, int) else "picture"
        raise G3dError(f"all {len(rows)} pictures are the input {which} of their object; give novel views, too")
    return novel


def _views_of(found: Pairs, one: Pair, known: Recorded) -> Sequence[int]:
    """The views that the object of a pair was made from."""
    data = found.true.data
    if data is None or one.true.view is None:
        raise G3dError(f"the latents name views of a dataset, and '{found.true.path}' is none; give the dataset")
    of = int(data.view_object[one.true.view])
    name = data.object_names[of]
    views = known.get(name)
    if views is None:
        raise G3dError(
            f"the latents do not say which views '{name}' was found from; judge the objects that were encoded"
        )
    if not set(views) <= set(data.views(of).tolist()):
        raise G3dError(
            f"the latents say '{name}' was found from views {list(views)}, which are others' in '{found.true.path}'"
        )
    return views


def _of_record(found: Pairs, known: Recorded) -> list[Faces]:
    firsts = [_views_of(found, one, known)[0] for one in found.pairs]
    whole = side(found.true.path, "the true images").schemes["view"]
    return [(whole[f"{view:06d}"], one.true, one.test) for view, one in zip(firsts, found.pairs, strict=True)]


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
