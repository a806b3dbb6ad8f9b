"""`g3d sheet`: the right pictures in the right places."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.data.opening import open_dataset
from g3d.steps import sheet
from g3d.storage import artifacts


def test_rows_of_two_splits(pipeline: Pipeline, tmp_path: Path) -> None:
    folders = [f"{pipeline.data}:train", f"{pipeline.data}:test"]
    sheet.run(sheet.Options(folders, tmp_path / "s.png", columns=3, size=24))
    page = images.read_image(tmp_path / "s.png")
    assert page.shape == (2 * 26 + 2, 3 * 26 + 2, 3)
    data = open_dataset(pipeline.data)
    for row, split in enumerate((0, 1)):
        views = (data.view_split == split).nonzero().squeeze(1)
        for column in range(3):
            want = data.pictures([int(views[column * len(views) // 3])])[0]
            top, left = 2 + 26 * row, 2 + 26 * column
            assert (page[top : top + 24, left : left + 24] == want).all()


def test_small_pictures_keep_their_pixels(pipeline: Pipeline, tmp_path: Path) -> None:
    sheet.run(sheet.Options([str(pipeline.data)], tmp_path / "s.png", columns=1, size=48))
    page = images.read_image(tmp_path / "s.png")[2:50, 2:50]
    assert (page[::2, ::2] == page[1::2, 1::2]).all()


@pytest.mark.parametrize("size", [48, 30])
def test_pictures_that_are_not_square_keep_their_form(size: int, tmp_path: Path) -> None:
    for name, shape in (("wide", (8, 16, 3)), ("high", (24, 6, 3))):
        images.write_image(tmp_path / "in" / f"{name}.png", np.zeros(shape, np.uint8))
    sheet.run(sheet.Options([str(tmp_path / "in")], tmp_path / "s.png", columns=2, size=size))
    page = images.read_image(tmp_path / "s.png")[2:-2]
    high, wide = page[:, 2 : 2 + size], page[:, 4 + size : 4 + 2 * size]
    for square, (rows, columns) in ((high, (size, round(size / 4))), (wide, (size // 2, size))):
        dark = (square == 0).all(axis=2)
        assert dark.any(axis=1).sum() == rows and dark.any(axis=0).sum() == columns
        assert (square[~dark] == 255).all() and (dark == dark[::-1, ::-1]).mean() > 0.9  # white around, in the middle


@pytest.mark.parametrize("places", [("{}/0", "{}/1"), ("a/{}/1", "b/{}/0")])  # files of one folder; a folder a scene
def test_disparity(tmp_path: Path, places: tuple[str, str]) -> None:
    """The maps that render --disparity writes, white at near, beside the pictures of the same names."""
    mean = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    for place, first in zip(places, (mean, 1 - mean), strict=True):
        maps = {"first": first, "second": first.square(), "weight": torch.ones(2, 2)}
        artifacts.write(
            tmp_path / "drawn" / f"{place.format('disparity')}.safetensors",
            "disparity",
            maps,
            {"near_world": 0.5, "far_world": 10},
        )
    sheet.run(sheet.Options([f"{tmp_path / 'drawn'}:disparity"], tmp_path / "s.png", columns=2, size=8))
    page = images.read_image(tmp_path / "s.png")
    assert (page[2:10:4, 2:10:4] == np.array([[0, 64], [128, 255]])[:, :, None]).all()
    assert (page[2:10:4, 12:20:4] == np.array([[255, 191], [128, 0]])[:, :, None]).all()
    refused(
        g3d(
            "sheet",
            f"{tmp_path / 'drawn' / Path(places[0].format('disparity')).parent}:disparity",
            "--out",
            tmp_path / "t.png",
        ),
        "holds no disparity",
    )


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "s.png"]
    refused(g3d("sheet", *out), "folders")
    refused(g3d("sheet", pipeline.data, "--columns", 0, *out), "--columns is 0")
    refused(g3d("sheet", pipeline.scenes, *out), "holds no images")
    refused(g3d("sheet", f"{pipeline.scenes}:test", *out), "not a dataset")
    refused(g3d("sheet", pipeline.data, "--out", tmp_path / "s.jpg"), "must end in .png")
    (tmp_path / "folder.png").mkdir()
    refused(g3d("sheet", pipeline.data, "--out", tmp_path / "folder.png", "--overwrite"), "is a folder")
    for inside in (pipeline.data, f"{pipeline.data}:test"):
        for words in ((), ("--dry-run",)):
            refused(g3d("sheet", inside, *words, "--out", pipeline.data / "images" / "s.png"), "lies inside the input")
    (tmp_path / "folder.png").rmdir()
    assert not list(tmp_path.iterdir())
