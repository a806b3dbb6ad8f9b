"""`--drawn-from` with one view of each item: files instead of folders, as `decode --render` lays them down."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.evaluation.pairs import pair, side
from g3d.images import write_image
from g3d.steps import prepare_data

NAMES = ["d", "b", "a"]  # of the latents, an order of their own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs a, b, c, d, of which d is of the split test."""
    root = tmp_path_factory.mktemp("drawn")
    for i, name in enumerate("abcd"):
        write_image(root / "photos" / f"{name}.png", np.full((8, 8, 3), 40 * i, np.uint8))
    prepare_data.run(prepare_data.Options("images", root / "photos", root / "data", size=8, holdout=1, workers=1))
    return root / "data"


def _drawn(folder: Path, *numbers: int, show: str | None = "objects") -> Path:
    for number in numbers:
        write_image(folder / f"{number:06d}.png", np.full((8, 8, 3), number, np.uint8))
    (folder / "transforms.json").write_text(json.dumps({"frames": [], **({"frames_show": show} if show else {})}))
    return folder


def test_files_show_items_where_their_folder_says_so(data: Path, tmp_path: Path) -> None:
    true = side(data, "true", items=NAMES)
    for numbers in ((0, 1, 2), (2, 0)):
        test = side(_drawn(tmp_path / str(len(numbers)), *numbers), "test")
        found = pair(true, test)
        shown = {int(one.test.picture()[0, 0, 0]): int(one.true.picture()[0, 0, 0]) for one in found.pairs}
        assert shown == {number: {"a": 0, "b": 40, "d": 120}[NAMES[number]] for number in numbers}
    with pytest.raises(
        G3dError, match="nothing says which of the 3 of --drawn-from"
    ):  # two views of one item, or of two
        pair(true, side(_drawn(tmp_path / "views", 0, 1, show=None), "test"))


def test_items_of_other_objects_do_not_count(data: Path, tmp_path: Path) -> None:
    test = side(_drawn(tmp_path / "all", 0, 1, 2), "test")
    found = pair(side(data, "true", objects="train", items=NAMES), test)
    assert [one.name for one in found.pairs] == ["000001/000000", "000002/000000"]
    some = side(_drawn(tmp_path / "some", 1, 2), "test")
    with pytest.raises(G3dError, match="shows no item that is wanted"):
        pair(side(data, "true", objects="test", items=NAMES), some)


@pytest.mark.parametrize("packed", ["no", "inside", "around"])
def test_an_item_that_was_drawn_alone_keeps_its_number(data: Path, tmp_path: Path, packed: str) -> None:
    """Its only picture is 000000.png, whichever it is; in a zip of the folder's content, or of the folder."""
    for number, (name, grey) in enumerate((("d", 120), ("b", 40), ("a", 0))):
        folder = _drawn(tmp_path / name / "in", 0, show=None)
        (folder / "transforms.json").write_text(json.dumps({"frames": [], "item": name}))
        if packed != "no":
            root = folder if packed == "inside" else folder.parent
            folder = Path(shutil.make_archive(str(tmp_path / name), "zip", root))
        found = pair(side(data, "true", items=NAMES), side(folder, "test"))
        assert [one.name for one in found.pairs] == [f"{number:06d}/000000"]
        assert int(found.pairs[0].true.picture()[0, 0, 0]) == grey
    with pytest.raises(G3dError, match=r"shows the item 'a', none of the 1 of --drawn-from"):
        pair(side(data, "true", items=["b"]), side(folder, "test"))


def test_a_folder_that_is_called_as_another_item_is_not_paired_with_it(data: Path, tmp_path: Path) -> None:
    alone = _drawn(tmp_path / "all" / "000000", 0, show=None)
    (alone / "transforms.json").write_text(json.dumps({"frames": [], "item": "a"}))
    true = side(data, "true", items=NAMES)
    with pytest.raises(G3dError, match=r"all/000000' shows the item 'a', and item 0 of .* is 'd'; call it 000002"):
        pair(true, side(alone.parent, "test"))
    alone.rename(alone.parent / "000002")
    assert [one.name for one in pair(true, side(alone.parent, "test")).pairs] == ["000002/000000"]
