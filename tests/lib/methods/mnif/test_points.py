"""Points of pictures and of solids: they say what the data say, each place from its own stream."""

import numpy as np
import pytest
import torch
from commands import g3d
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.methods.mnif.point_source import PixelSource, SolidSource
from PIL import Image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three pictures of noise, 8 wide and 8 high."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    (root / "in").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / "in" / f"{i}.png")
    assert g3d("prepare-data", "--workers", 1, "images", root / "in", "--size", 8, "--out", root / "data").code == 0
    return open_dataset(root / "data")


def test_pixels_lie_at_their_centres(pictures: Dataset) -> None:
    source = PixelSource(pictures, [0, 2], 0, 0)
    seen = source.draw(torch.tensor([1]), 0, [0])
    assert seen.x.shape == (1, 64, 2) and seen.weight.sum() == 64
    true = pictures.pictures([2])[0]
    for x, rgb in zip(seen.x[0].tolist(), seen.target[0], strict=True):
        column, row = round((x[0] + 1) / 2 * 8 - 0.5), round((x[1] + 1) / 2 * 8 - 0.5)
        assert x == pytest.approx([(column + 0.5) / 4 - 1, (row + 0.5) / 4 - 1])
        assert (rgb * 255).round().int().tolist() == true[row, column].tolist()


def test_some_pixels_are_drawn_without_repetition(pictures: Dataset) -> None:
    source = PixelSource(pictures, [0, 1, 2], 0, 20)
    whole = source.draw(torch.tensor([0, 1, 2]), 3, range(3))
    assert all(len({tuple(x) for x in item.tolist()}) == 20 for item in whole.x)
    part = source.draw(torch.tensor([1, 2]), 3, range(1, 3))
    assert all(torch.equal(a[1:], b) for a, b in zip(whole, part, strict=True))
    assert not torch.equal(whole.x[0], whole.x[1])
    assert PixelSource(pictures, [0], 0, 64).count == 0  # all of them, in order


@pytest.fixture(scope="module")
def solids(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A box as a mesh: 16 cells a side, 500 points."""
    root = tmp_path_factory.mktemp("solids")
    (root / "in").mkdir()
    corners = [(x, y, z) for x in (-1, 1) for y in (-0.5, 0.5) for z in (-0.7, 0.7)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    lines = ["OFF", f"{len(corners)} {len(faces)} 0", *(" ".join(map(str, c)) for c in corners)]
    lines += ["4 " + " ".join(map(str, f)) for f in faces]
    (root / "in" / "box.off").write_text("\n".join(lines) + "\n")
    how = ["--workers", 1, "--cells", 16, "--points", 500]
    words = ["prepare-data", "voxels", root / "in", *how, "--out", root / "data"]
    assert g3d(*words).code == 0
    return open_dataset(root / "data")


def test_points_of_solids_say_what_the_data_say(solids: Dataset) -> None:
    x, labels = solids.points(0)
    known = {tuple(p): int(v) for p, v in zip(x.tolist(), labels, strict=True)}
    whole = SolidSource(solids, [0], 0, 0, 0.0).draw(torch.tensor([0]), 0, [0])
    assert whole.x.shape == (1, 500, 3) and whole.target.shape == (1, 500, 1)
    some = SolidSource(solids, [0], 0, 100, 0.0).draw(torch.tensor([0]), 0, [0])
    assert some.x.shape == (1, 100, 3)
    for seen in (whole, some):
        for p, v in zip(seen.x[0].tolist(), seen.target[0, :, 0].tolist(), strict=True):
            assert known[tuple(p)] == v


def test_a_share_of_the_points_are_cells_of_the_grid(solids: Dataset) -> None:
    seen = SolidSource(solids, [0], 0, 200, 0.4).draw(torch.tensor([0]), 0, [0])
    cells, inside = seen.x[0, 120:], seen.target[0, 120:, 0]
    low, high = (torch.tensor(corner) for corner in solids.grid_bounds)
    index = ((cells - low) / (high - low) * 16 - 0.5).round().long()
    torch.testing.assert_close(low + (index + 0.5) / 16 * (high - low), cells)
    grid = solids.occupancy(0)
    assert [int(grid[tuple(i)]) for i in index.tolist()] == inside.int().tolist()
    assert 0 < inside.mean() < 1
    whole = SolidSource(solids, [0], 0, 0, 0.4).draw(torch.tensor([0]), 0, [0])
    assert whole.x.shape[1] == 833  # all 500, which are 60 %, and 333 cells
