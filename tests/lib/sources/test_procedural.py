"""Procedural shapes, and the dataset that is written of them: the same bytes for the same seed, figures by brute force."""

from pathlib import Path

import numpy as np
import pytest
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import procedural
from g3d.sources.surfaces.surface import normalised
from g3d.steps.prepare_data import Options, resolve, run


def _bytes(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    assert found
    return found


def _options(out: Path, **changes: object) -> Options:
    words = {"num": 3, "views": 3, "test_views": 2, "size": 16, "workers": 1, **changes}
    return Options("procedural", "cars", out, **words)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("procedural") / "data"
    result = run(_options(out, holdout=1))
    assert result["written"] == [str(out)] and result["objects"] == 3 and result["views"] == 15
    return out


@pytest.mark.parametrize("kind", sorted(procedural.KINDS))
def test_shapes_are_varied_small_and_finite(kind: str) -> None:
    shapes = [procedural.make(kind, 0, i) for i in range(40)]
    for shape in shapes:
        assert 100 <= len(shape.corners) <= 3000
        assert np.isfinite(shape.corners).all()
        assert shape.colours.min() >= 0 and shape.colours.max() <= 1
        unit, placed = normalised(shape)
        points = unit.corners.reshape(-1, 3)
        assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(points.min(0) + points.max(0), 0, atol=1e-5)
        np.testing.assert_allclose(points / placed.scale + placed.centre, shape.corners.reshape(-1, 3), atol=1e-5)
    assert len({s.corners.tobytes() for s in shapes}) == 40
    assert len({str(s.traits["style"]) for s in shapes}) >= 4
    assert len({tuple(np.round(s.colours[0, 0], 2)) for s in shapes}) >= 20


def test_a_shape_depends_on_seed_and_index_alone() -> None:
    first = procedural.make("cars", 5, 7)
    np.testing.assert_array_equal(first.corners, procedural.make("cars", 5, 7).corners)
    assert first.corners.tobytes() != procedural.make("cars", 6, 7).corners.tobytes()


def test_cars_stand_on_their_wheels_and_look_along_z() -> None:
    for i in range(20):
        points = procedural.make("cars", 0, i).corners.reshape(-1, 3)
        x, y, z = points.max(0) - points.min(0)
        assert points[:, 1].min() == pytest.approx(0, abs=0.05)
        assert z > x > 0.8 and z > y
        red = (procedural.make("cars", 0, i).colours.reshape(-1, 3) == np.float32((0.78, 0.07, 0.07))).all(1)
        assert points[red, 2].max() < 0  # tail lights


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(small: Path, tmp_path: Path) -> None:
    run(_options(tmp_path / "two", holdout=1, workers=2))
    assert _bytes(tmp_path / "two") == _bytes(small)


def test_more_objects_leave_the_first_unchanged_and_another_seed_does_not(small: Path, tmp_path: Path) -> None:
    run(_options(tmp_path / "fewer", num=2))
    run(_options(tmp_path / "other", num=2, seed=1))
    old, fewer, other = _bytes(small), _bytes(tmp_path / "fewer"), _bytes(tmp_path / "other")
    pictures = [name for name in fewer if name.endswith(".png")]
    assert len(pictures) == 2 * 5 * 3
    assert all(fewer[name] == old[name] for name in pictures)
    train = [name for name in pictures if name.startswith("images/")]
    assert all(other[name] != old[name] for name in train)


def test_the_dataset_holds_what_it_says(small: Path) -> None:
    data = open_dataset(small)
    assert data.objects("train") == [0, 1] and data.objects("test") == [2]
    assert data.view_object.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert data.view_split.tolist() == [0, 0, 0, 1, 1] * 3
    assert data.cameras is not None
    spiral = data.camera_prior.spiral(2)
    for obj in range(3):
        np.testing.assert_array_equal(data.cameras[data.views(obj, "test")].c2w, spiral.c2w)
    train = data.cameras[[int(v) for o in range(3) for v in data.views(o, "train")]].c2w
    assert len({tuple(eye.tolist()) for eye in train[:, :3, 3]}) == 9  # no camera twice
    assert (train[:, 1, 3] > 0).all()  # from above the horizon
    for view in range(15):
        mask, depth = data.mask(view), data.depth_world(view)
        assert ((depth > 0) <= (mask > 0)).all() and (mask == 255).any()
        assert (np.abs(depth[depth > 0] - 2.6) <= 1).all()
        assert (mask[[0, -1]] < 255).all()  # the object fits
    occupancy = np.stack([data.occupancy(obj) for obj in range(3)])
    assert occupancy.shape == (3, 64, 64, 64) and (occupancy.mean((1, 2, 3)) > 0.01).all()
    low, high = np.array(data.bounds)
    cells = (np.argwhere(occupancy.any(0)) + 0.5) / 32 - 1
    assert (low < cells.min(0)).all() and (cells.max(0) < high).all() and (high - low < 2.2).all()


def test_options_of_the_source_reach_the_dataset(tmp_path: Path) -> None:
    run(_options(tmp_path / "data", num=1, views=8, cameras="sphere", normals=True))
    data = open_dataset(tmp_path / "data")
    assert data.cameras is not None and data.cameras.c2w[:8, 1, 3].min() < -0.5
    assert data.camera_prior.elevation_deg == (-90, 90)
    assert data.info["provenance"]["settings"]["cameras"] == "sphere"
    hit = data.depth_world(0) > 0
    np.testing.assert_allclose(np.linalg.norm(data.normals(0)[hit], axis=-1), 1, atol=0.02)
    assert not data.normals(0)[~hit].any()


def test_the_mean_image_is_measured_by_brute_force(small: Path) -> None:
    data = open_dataset(small)
    views = [int(v) for o in data.objects("train") for v in data.views(o, "train")]
    pictures = data.pictures(views).astype(np.float64) / 255
    psnr_db = -10 * np.log10(((pictures - pictures.mean(0)) ** 2).mean())
    assert data.info["mean_image_psnr_db"] == pytest.approx(psnr_db, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num": 0}, ["--num is 0", "between 1"]),
        ({"views": 0}, ["--views is 0"]),
        ({"size": 4}, ["--size is 4", "8 and 2048"]),
        ({"holdout": 3}, ["--holdout is 3", "between 0 and 2"]),
        ({"workers": 0}, ["--workers is 0"]),
        ({"num": 1000, "views": 9000}, ["9002000 pictures", "1000000"]),
        ({"backgrounds": Path("photos")}, ["'procedural' does not use --backgrounds"]),
        ({"cameras": "spere"}, ["--cameras is 'spere'", "did you mean 'sphere'", "hemisphere, sphere or file:"]),
        ({"input": "cras"}, ["'cras'", "did you mean 'cars'"]),
        ({"input": None}, ["needs a kind of shape", "cars, chairs, planes"]),
        ({"source": "procedurl"}, ["'procedurl'", "did you mean 'procedural'"]),
    ],
)
def test_wrong_options_are_told_in_one_sentence(tmp_path: Path, changes: dict[str, object], words: list[str]) -> None:
    from dataclasses import replace

    options = replace(_options(tmp_path / "data"), **changes)  # type: ignore[arg-type]
    for call in (run, resolve):
        with pytest.raises(G3dError) as caught:
            call(options)
        assert all(word in str(caught.value) for word in words), str(caught.value)
        assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
