"""The writer of datasets: a kill at any moment leaves whole items, and what is written then is what an undisturbed one writes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images
from g3d.data.columns import Made, View
from g3d.data.opening import open_dataset
from g3d.data.writer import JOURNAL, Writer, mean_image_psnr_db
from g3d.errors import G3dError

INFO: dict[str, Any] = {
    "name": "toy", "width": 4, "height": 4, "background": [1, 1, 1], "licence": "CC0", "provenance": "made here",
}  # fmt: skip


def item(number: int, **more: Any) -> Made:
    stream = np.random.default_rng(number)
    count = 1 + number % 3
    views = [
        View(images.encode(stream.integers(0, 256, (4, 4, 3), dtype=np.uint8)), images.encode(np.full((4, 4), number, np.uint8)))
        for _ in range(count)
    ]  # fmt: skip
    columns = {
        "c2w": stream.normal(size=(count, 4, 4)), "intrinsics": np.full((count, 4), number), "split": np.arange(count) % 2,
    }  # fmt: skip
    shape = {
        "points": stream.random((5, 3)),
        "labels": stream.integers(0, 2, 5),
        "occupancy_bits": np.arange(8) + number,
    }
    made: dict[str, Any] = {
        "views": views,
        "columns": columns,
        "shape": shape,
        "entry": {"number": number},
        "box": ([-number] * 3, [1] * 3),
    }
    return Made(**{**made, **more})


def fill(folder: Path, start: int = 0, stop: int = 6) -> Writer:
    writer = Writer(folder)
    for number in range(start, stop):
        if number == 2:
            writer.skip("o2", "o2 is bad", "s")
        else:
            writer.add(f"o{number}", item(number), "s")
    return writer


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "whole"
    folder.mkdir()
    fill(folder).close(INFO)
    return tree(folder)


def test_it_goes_on_behind_the_last_whole_item_wherever_it_was_cut(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    fill(cut, 0, 4)
    journal = (cut / JOURNAL).read_text().splitlines(keepends=True)
    keys = [f"o{i}|s" for i in range(6)]
    for lines in range(5):
        for tail in ("", journal[lines][:17] if lines < len(journal) else '{"ke'):
            again = tmp_path / f"again-{lines}-{len(tail)}"
            shutil.copytree(cut, again)  # pictures and columns of later items are there, their lines are not
            (again / JOURNAL).write_text("".join(journal[:lines]) + tail)
            (again / "c2w.raw").open("ab").write(b"half a row")
            (again / "images/000030.png").write_bytes(b"half a picture")
            assert Writer(again).keep(keys) == lines
            fill(again, lines, 6).close(INFO)
            assert tree(again) == undisturbed


def test_it_keeps_what_still_agrees_and_makes_the_rest_again(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    fill(folder, 0, 5)
    writer = Writer(folder)
    assert writer.keep(["o0|s", "o1|s", "o2|other", "o3|s", "o4|s", "o5|s"]) == 2
    assert writer.views == 3 and writer.skipped == [] and len(writer.objects) == 2
    assert sorted(p.name for p in (folder / "images").iterdir()) == [f"{i:06d}.png" for i in range(3)]
    fill(folder, 2, 6).close(INFO)
    assert tree(folder) == undisturbed


def test_all_is_known_at_the_end(tmp_path: Path) -> None:
    writer = fill(tmp_path)
    assert writer.skipped == ["o2 is bad"] and writer.views == 1 + 2 + 1 + 2 + 3
    np.testing.assert_array_equal(writer.low, [-5] * 3)
    np.testing.assert_array_equal(writer.rows("points")[1], item(1).shape["points"].astype(np.float16))
    writer.close(INFO)
    data = open_dataset(tmp_path)
    assert [o["number"] for o in data.info["objects"]] == [0, 1, 3, 4, 5]
    assert data.view_object.tolist() == [0, 1, 1, 2, 3, 3, 4, 4, 4]
    assert data.view_split.tolist() == [0, 0, 1, 0, 0, 1, 0, 1, 0]
    assert not list(tmp_path.glob("*.raw")) and not (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"views": [View(v.picture) for v in item(1).views]}, ["lacks masks", "the objects before it have them"]),
        ({"columns": {**item(1).columns, "class": [1, 1]}}, ["has class", "have none"]),
        ({"shape": {**item(1).shape, "points": np.zeros((6, 3))}}, ["points of another size"]),
    ],
)
def test_objects_are_alike(more: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.add("o0", item(0))
    with pytest.raises(G3dError) as caught:
        writer.add("o1", item(1, **more))
    assert "'o1'" in str(caught.value) and all(word in str(caught.value) for word in words)
    assert Writer(tmp_path).views == 1  # what went before is whole


def test_the_description_has_a_line_an_object(tmp_path: Path) -> None:
    fill(tmp_path).close(INFO)
    lines = (tmp_path / "dataset.json").read_text().splitlines()
    assert sum('"number"' in line for line in lines) == 5 and json.loads("\n".join(lines))["name"] == "toy"


def test_the_mean_image_by_brute_force(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3)).astype(np.uint8)
    for i, picture in enumerate(pictures):
        images.write_image(tmp_path / f"{i:06d}.png", picture)
    chosen = pictures[[0, 2, 5]].astype(np.float64) / 255
    wanted = -10 * np.log10(((chosen - chosen.mean(0)) ** 2).mean())
    assert mean_image_psnr_db(tmp_path, np.array([0, 2, 5])) == pytest.approx(wanted, abs=1e-9)
    assert (
        mean_image_psnr_db(tmp_path, np.array([3])) is None and mean_image_psnr_db(tmp_path, np.array([], int)) is None
    )
