"""Solids: what lies inside meshes that are not closed, against closed forms and brute force; points near the surface; IM-Net."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import procedural
from g3d.sources.surfaces.inside import Solid, _patches
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.sources.surfaces.raycast import Caster
from g3d.sources.surfaces.surface import normalised
from g3d.sources.voxels import imnet, near_surface
from g3d.steps.prepare_data import Options, resolve, run
from numpy.typing import NDArray

F64 = NDArray[np.float64]
CELLS = 40
_AXIS = (np.arange(CELLS) + 0.5) * 2 / CELLS - 1
CENTRES = np.stack(np.meshgrid(_AXIS, _AXIS, _AXIS, indexing="ij"), axis=-1)  # [G, G, G, 3]


def _sphere(radius: float, rows: int = 64, centre: tuple[float, float, float] = (0, 0, 0)) -> F64:
    """Triangles [F, 3, 3] turned outwards, the poles on y."""
    polar, around = np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, 2 * rows + 1)
    ring = np.stack([np.sin(polar)[:, None] * np.cos(around), np.cos(polar)[:, None] + 0 * around,
                     np.sin(polar)[:, None] * np.sin(around)], axis=-1)  # fmt: skip
    ring[:, -1] = ring[:, 0]
    ring[[0, -1], :, ::2] = 0
    a, b, c, d = ring[:-1, :-1], ring[1:, :-1], ring[1:, 1:], ring[:-1, 1:]
    triangles = np.concatenate([np.stack([a, c, b], 2).reshape(-1, 3, 3), np.stack([a, d, c], 2).reshape(-1, 3, 3)])
    areas = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    found: F64 = triangles[areas > 1e-9] * radius + centre
    return found


def _box(low: Any, high: Any, without: tuple[int, ...] = ()) -> F64:
    """Triangles of a box turned outwards, less the faces `without` (0 is low x, 1 high x, 2 low y, ...)."""
    low, high = np.array(low, float), np.array(high, float)
    faces = []
    for face in range(6):
        axis, side = divmod(face, 2)
        u, v = (axis + 1) % 3, (axis + 2) % 3
        corner = np.tile(low, (4, 1))
        corner[:, axis] = (low, high)[side][axis]
        corner[:, u], corner[:, v] = (
            [(low[u], high[u])[k] for k in (0, 1, 1, 0)],
            [(low[v], high[v])[k] for k in (0, 0, 1, 1)],
        )
        quad = corner if side else corner[::-1]
        if face not in without:
            faces += [quad[[0, 1, 2]], quad[[0, 2, 3]]]
    return np.array(faces)


def _grid(triangles: F64) -> NDArray[np.bool_]:
    return Solid(triangles.astype(np.float32)).occupancy(CELLS).astype(bool)


def _within(low: Any, high: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ((np.array(low) < CENTRES) & (np.array(high) > CENTRES)).all(-1)
    return found


def _winding(points: F64, triangles: F64) -> F64:
    """The winding number [P] by the solid angle of each triangle (Van Oosterom and Strackee 1983), in float64."""
    a, b, c = (triangles[None, :, i] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    found: F64 = np.arctan2((a * np.cross(b, c)).sum(-1), below).sum(1) / (2 * np.pi)
    return found


def test_a_closed_ball_whichever_way_it_is_turned() -> None:
    ball = _sphere(0.8)
    radius = np.linalg.norm(CENTRES, axis=-1)
    assert _winding(np.zeros((1, 3)), ball)[0] == pytest.approx(1)  # the reference and the ball are turned alike
    turns = np.random.default_rng(0).random(len(ball)) < 0.5
    mixed = ball.copy()
    mixed[turns] = mixed[turns][:, ::-1]
    for triangles in (ball, ball[:, ::-1], mixed):
        grid = _grid(triangles)
        assert grid[radius < 0.798].all() and not grid[radius > 0.8].any()


def test_a_hole_of_a_tenth_of_the_surface_is_closed_by_a_membrane() -> None:
    """A cap of a tenth of a ball's area has a fifth of its radius as height (Archimedes)."""
    ball = _sphere(0.8)
    holed = ball[ball[..., 1].mean(1) < 0.8 * 0.8]
    assert len(holed) < 0.95 * len(ball)
    radius, y, grid = np.linalg.norm(CENTRES, axis=-1), CENTRES[..., 1], _grid(holed)
    assert grid[(radius < 0.79) & (y < 0.58)].all()
    assert not grid[(radius > 0.8) | (y > 0.7)].any()


def test_overlapping_parts_are_one_solid() -> None:
    parts = [
        _box((-0.6, -0.5, -0.5), (0.2, 0.5, 0.5)),
        _sphere(0.5, 24, (0.3, 0.1, 0))[:, ::-1],
        _box((-0.1, -0.3, -0.3), (0.1, 0.3, 0.3)),
    ]
    radius = np.linalg.norm(CENTRES - (0.3, 0.1, 0), axis=-1)
    box, grid = _within((-0.6, -0.5, -0.5), (0.2, 0.5, 0.5)), _grid(np.concatenate(parts))
    assert grid[box | (radius < 0.49)].all() and not grid[~box & (radius > 0.5)].any()


def test_parts_that_touch_are_no_holes() -> None:
    """Of two crossings at the very same distance open3d lists one: the faces between the boxes must both count."""
    tower = [_box((-0.5, -0.7 + 0.4 * i, -0.5), (0.5, -0.3 + 0.4 * i, 0.5)) for i in range(4)]
    beside = _box((0.5, -0.7, -0.2), (0.95, -0.3, 0.2), without=(1,))  # open where it does not touch the tower
    grid = _grid(np.concatenate([*tower, beside]))
    solid = _within((-0.5, -0.7, -0.5), (0.5, 0.9, 0.5)) | _within((0.5, -0.7, -0.2), (0.95, -0.3, 0.2))
    assert not (grid != solid)[CENTRES[..., 0] < 0.85].any() and not (grid & ~solid).any()


def test_walls_of_one_layer_hold_a_solid_and_walls_of_two_layers_a_hollow() -> None:
    outer, inner = ((-0.6, -0.6, -0.6), (0.6, 0.6, 0.6)), ((-0.5, -0.5, -0.5), (0.5, 0.6, 0.5))
    one = _grid(_box(*outer, without=(3,)))
    assert one[_within((-0.6, -0.6, -0.6), (0.6, 0.45, 0.6))].all() and not one[~_within(*outer)].any()
    strips = ((-0.6, 0.6, -0.6, -0.5), (-0.6, 0.6, 0.5, 0.6), (-0.6, -0.5, -0.5, 0.5), (0.5, 0.6, -0.5, 0.5))
    ring = np.concatenate([_box((x0, 0.6, z0), (x1, 0.6, z1), without=(0, 1, 3, 4, 5)) for x0, x1, z0, z1 in strips])
    two = _grid(np.concatenate([_box(*outer, without=(3,)), _box(*inner, without=(3,)), ring]))
    np.testing.assert_array_equal(two, _within(*outer) & ~_within(*inner))


def test_sheets_enclose_nothing() -> None:
    """A seat and a back of one layer: the corner between them is not a solid."""
    seat, back = (
        _box((-0.6, 0, -0.6), (0.6, 0, 0.6), without=(0, 1, 3, 4, 5)),
        _box((-0.6, 0, -0.6), (0.6, 0.7, -0.6), without=(0, 1, 2, 3, 5)),
    )
    assert len(seat) == len(back) == 2
    assert not _grid(np.concatenate([seat, back])).any()


def test_what_sheets_hide_is_solid() -> None:
    """Six large sheets that cross each other: each is seen from both sides, but nothing sees the room between them."""
    walls = []
    for axis in range(3):
        for side in (-0.4, 0.4):
            low, high = np.full(3, -0.9), np.full(3, 0.9)
            low[axis] = high[axis] = side
            walls.append(_box(low, high, without=tuple(f for f in range(6) if f != 2 * axis)))
    np.testing.assert_array_equal(_grid(np.concatenate(walls)), _within((-0.4,) * 3, (0.4,) * 3))


@pytest.mark.parametrize("index", [0, 1, 3])
def test_closed_parts_with_shared_planes_agree_with_what_is_hidden(index: int) -> None:
    """Chairs are boxes whose faces lie in the same planes; the other rule knows nothing of the crossings' signs."""
    surface = normalised(procedural.make("chairs", 0, index))[0]
    np.testing.assert_array_equal(Solid(surface.corners).occupancy(64), Caster(surface).occupancy(64))


def test_thin_walls_are_found_by_points() -> None:
    """A wall thinner than a cell may fall between the cells' centres; points tell both of its sides."""
    thin = Solid(_box((-0.7, -0.7, -0.004), (0.7, 0.7, 0.004)).astype(np.float32))
    z = np.repeat([0.0, 0.003, -0.003, 0.005, -0.005], 50)
    points = np.concatenate([np.random.default_rng(0).uniform(-0.6, 0.6, (250, 2)), z[:, None]], axis=1)
    np.testing.assert_array_equal(thin.contains(points), (np.abs(z) < 0.004).astype(np.uint8))


def test_occupancy_and_labels_against_winding_numbers_by_brute_force() -> None:
    """Bent, holed, overlapping: wherever the exact winding number is not near a half, both agree with it."""
    rng = np.random.default_rng(3)
    shapes = [
        _sphere(0.35, 10, (0.3, -0.2, 0.1)),
        _sphere(0.45, 10, (-0.2, 0.2, 0)),
        _box((-0.7, -0.6, -0.3), (-0.1, 0.2, 0.4)),
    ]
    whole = np.concatenate(shapes)
    holed = whole[rng.random(len(whole)) < 0.93]
    assert len(holed) < len(whole)
    solid, points = Solid(holed.astype(np.float32)), rng.uniform(-0.9, 0.9, (1500, 3))
    exact = _winding(points, holed)
    clear = np.abs(exact - 0.5) > 0.15
    assert clear.mean() > 0.9 and 0.1 < (exact > 0.5).mean() < 0.5
    np.testing.assert_array_equal(solid.contains(points)[clear], (exact > 0.5)[clear])
    cells = rng.integers(0, CELLS, (1500, 3))
    exact = _winding(CENTRES[tuple(cells.T)], holed)
    clear = np.abs(exact - 0.5) > 0.15
    np.testing.assert_array_equal(solid.occupancy(CELLS)[tuple(cells.T)][clear], (exact > 0.5)[clear])


def test_patches_are_turned_alike_and_parted_at_edges_of_three() -> None:
    box = _box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    box[[1, 4, 5, 8]] = box[[1, 4, 5, 8]][:, ::-1]
    patch, turn, _ = _patches(box.astype(np.float32))
    assert set(patch) == {0}
    alike = np.where(turn[:, None, None] > 0, box, box[:, ::-1])
    volume = np.einsum("fc,fc->f", alike[:, 0], np.cross(alike[:, 1], alike[:, 2])).sum() / 6
    assert abs(volume) == pytest.approx(1)
    fin = np.array([[[-0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0.9, 0.9]]])  # on an edge of the box
    patch, _, _ = _patches(np.concatenate([box, fin]).astype(np.float32))
    assert patch[-1] not in patch[:-1]


def test_points_lie_near_the_surface_evenly() -> None:
    box = _box((-0.8, -0.2, -0.4), (0.8, 0.2, 0.4))
    points = near_surface(box.astype(np.float32), 8000, np.random.default_rng(0)).astype(np.float64)
    assert np.abs(points).max() <= 1
    outside = np.maximum(np.abs(points) - (0.8, 0.2, 0.4), 0)
    distance = np.maximum(np.linalg.norm(outside, axis=1), (np.abs(points) - (0.8, 0.2, 0.4)).max(1) * -1)
    assert np.median(distance[::2]) < 0.016 < np.median(distance[1::2]) < 0.07
    on_top = (
        (np.abs(np.abs(points[::2, 1]) - 0.2) < 0.05) & (np.abs(points[::2, 0]) < 0.7) & (np.abs(points[::2, 2]) < 0.3)
    )
    share = 2 * 1.4 * 0.6 / (2 * (1.6 * 0.8 + 1.6 * 0.4 + 0.8 * 0.4))
    assert on_top.mean() == pytest.approx(share, abs=0.03)


def _off(path: Path, triangles: F64) -> None:
    flat = triangles.reshape(-1, 3)
    rows = [f"3 {3 * i} {3 * i + 1} {3 * i + 2}" for i in range(len(triangles))]
    path.write_text(
        "\n".join([f"OFF\n{len(flat)} {len(rows)} 0", *(" ".join(map(repr, map(float, p))) for p in flat), *rows])
        + "\n"
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    found = {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    assert found
    return found


def test_a_folder_of_meshes_becomes_grids_and_points(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _off(folder / "ball.off", _sphere(3.0, 16, (5, 6, 7)))
    _off(folder / "box.off", _box((0, 0, 0), (1, 2, 3), without=(5,)))
    _off(folder / "sheet.off", _box((0, 0, 0), (1, 1, 1), without=(0, 1, 2, 3, 4)))
    options: dict[str, Any] = {"cells": 32, "points": 500, "skip_bad": True, "holdout": 1}
    result = run(Options("voxels", str(folder), tmp_path / "one", workers=1, **options))
    assert result["objects"] == 2 and result["views"] == 0
    assert len(result["skipped"]) == 1 and "sheet.off' encloses nothing" in result["skipped"][0]
    data = open_dataset(tmp_path / "one")
    assert data.object_names == ["ball", "box"] and data.objects("test") == [1]
    assert sorted(p.name for p in (tmp_path / "one").glob("[!.]*")) == ["dataset.json", "shapes.safetensors"]
    for number in range(2):
        entry, grid = data.info["objects"][number], data.occupancy(number)
        points, labels = data.points(number)
        assert grid.shape == (32, 32, 32) and points.shape == (500, 3) and 0.25 < labels.mean() < 0.75
        surface, placed = normalised(read_surface(folder / entry["file"]))
        assert entry["scale"] == pytest.approx(placed.scale) and entry["triangles"] == len(surface.corners)
        np.testing.assert_array_equal(labels, Solid(surface.corners).contains(points))
    points, labels = data.points(0)
    inscribed = np.cos(np.pi / 32) ** 2  # of the facets
    radius = np.linalg.norm(points, axis=1)
    assert labels[radius < inscribed].all() and not labels[radius > 1].any()
    other = open_dataset(tmp_path / "one").points(1)[0]
    run(Options("voxels", str(folder), tmp_path / "seed", workers=1, seed=1, **options))
    assert not np.array_equal(open_dataset(tmp_path / "seed").points(1)[0], other)


def test_textures_are_not_needed_and_up_is_turned(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    corners = _box((0, 0, 0), (1, 2, 4)).reshape(-1, 3)
    lines = [
        "mtllib none.mtl",
        *(f"v {x} {y} {z}" for x, y, z in corners),
        *(f"f {i + 1} {i + 2} {i + 3}" for i in range(0, 36, 3)),
    ]
    (folder / "a.obj").write_text("\n".join(lines) + "\n")
    run(Options("voxels", str(folder), tmp_path / "out", up="z", points=64, workers=1))
    data = open_dataset(tmp_path / "out")
    filled = np.argwhere(data.occupancy(0))
    sides = (np.ptp(filled, axis=0) + 1) / 32
    np.testing.assert_allclose(sides * np.sqrt(21) / 2, [1, 4, 2], atol=0.1)  # of the diagonal; z is up
    assert data.info["normalisation"].startswith("normalised = (source_to_world @ source")


def _imnet(path: Path, shapes: int = 5, cells: int = 16, points: int = 40, names: bool = True, **changes: Any) -> Path:
    """A file in IM-Net's form: a box that grows with the number of the shape; a point has the value of its cell."""
    rng = np.random.default_rng(shapes)
    voxels = np.zeros((shapes, cells, cells, cells, 1), np.uint8)
    for i in range(shapes):
        voxels[i, 2 : 5 + i, 4:12, 3:9] = 1
    at = rng.integers(0, 256, (shapes, points, 3)).astype(np.uint8)
    coarse = at // (256 // cells)
    values = np.stack([voxels[i][tuple(coarse[i].T)] for i in range(shapes)])
    with h5py.File(path, "w") as file:
        for name, data in {"voxels": voxels, "points_64": at, "values_64": values, **changes}.items():
            if data is not None:
                file.create_dataset(name, data=data, compression=9, chunks=(min(3, len(data)), *data.shape[1:]))
    if names:
        path.with_suffix(".txt").write_text("".join(f"02691156/{path.stem}{i}\n" for i in range(shapes)))
    return path


def test_files_of_imnet(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, shapes in (("all_train", 5), ("all_test", 2)):
        _imnet(tmp_path / "in" / f"{name}.hdf5", shapes)
    run(Options("voxels", str(tmp_path / "in"), tmp_path / "out", workers=1))
    run(Options("voxels", str(tmp_path / "in"), tmp_path / "two", workers=2))
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "two")
    data = open_dataset(tmp_path / "out")
    assert data.object_names[:3] == ["02691156/all_test0", "02691156/all_test1", "02691156/all_train0"]
    assert data.objects("test") == [0, 1] and data.info["objects"][0]["class"] == "02691156"
    with h5py.File(tmp_path / "in" / "all_train.hdf5") as file:
        for i in range(5):
            grid, (points, labels) = data.occupancy(2 + i), data.points(2 + i)
            np.testing.assert_array_equal(grid, file["voxels"][i, ..., 0])
            np.testing.assert_array_equal(
                points, 2 * ((file["points_64"][i].astype(np.float64) + 0.5) / 256 - 0.5)
            )  # exactly
            np.testing.assert_array_equal(labels, file["values_64"][i, :, 0])
            cell = np.floor((points + 1) * 8).astype(int)
            np.testing.assert_array_equal(grid[tuple(cell.T)], labels)  # grid and points lie in the same cube
    low, high = np.array(data.bounds)
    assert (low < [-0.75, -0.5, -0.625]).all() and (high > [0.125, 0.5, 0.125]).all() and (high - low < 1.2).all()


def test_fewer_points_and_names_without_a_list(tmp_path: Path) -> None:
    path = _imnet(tmp_path / "cars.h5", names=False)
    run(Options("voxels", str(path), tmp_path / "out", points=10, workers=1))
    data = open_dataset(tmp_path / "out")
    assert data.object_names[0] == "cars-000000"
    with h5py.File(path) as file:
        rows = {
            tuple(p): v[0] for p, v in zip(file["points_64"][1].tolist(), file["values_64"][1].tolist(), strict=True)
        }
    points, labels = data.points(1)
    found = [tuple(np.rint((p + 1) * 128 - 0.5).astype(int).tolist()) for p in points]
    assert len(found) == 10 and [rows[p] for p in found] == labels.tolist()


def test_compressed_files_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk holds parts of three shapes: five shapes are two reads, not five."""
    path, reads = _imnet(tmp_path / "a.hdf5"), []
    table = imnet._table(path)
    assert (table.block, table.shapes, table.cells, table.points) == (3, 5, 16, 40)
    opened = imnet._opened
    monkeypatch.setattr(imnet, "_opened", lambda p: (reads.append(p), opened(p))[1])
    imnet._block.cache_clear()
    for i in range(5):
        imnet.make(table, i, 40, 0, "train", "x")
    assert len(reads) == 2


def _zeros(*shape: int, kind: str = "u1") -> NDArray[Any]:
    return np.zeros(shape, kind)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points_64": None}, ["a.hdf5' holds values_64, voxels, but no 'points_64'"]),
        ({"voxels": _zeros(5, 16, 16, 16)}, ["'voxels' of", "[5, 16, 16, 16]", "wanted is uint8"]),
        ({"voxels": _zeros(5, 16, 16, 16, 1, kind="f4")}, ["'voxels' of", "float32"]),
        ({"voxels": _zeros(4, 16, 16, 16, 1)}, ["do not belong together"]),
        ({"voxels": _zeros(5, 16, 8, 16, 1)}, ["do not belong together"]),
        ({"values_64": _zeros(5, 39, 1)}, ["do not belong together"]),
        ({"voxels": _zeros(5, 16, 16, 16, 1)}, ["shape 0 ('02691156/a0')", "is empty", "--skip-bad"]),
        ({"values_64": _zeros(5, 40, 1) + 7}, ["above 1"]),
    ],
)
def test_wrong_files_of_imnet_are_told(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    path = _imnet(tmp_path / "a.hdf5", **changes)
    with pytest.raises(G3dError) as caught:
        run(Options("voxels", str(path), tmp_path / "out", workers=1))
    assert (
        all(w in str(caught.value) for w in words) and "a.hdf5" in str(caught.value) and "\n" not in str(caught.value)
    )
    assert caught.value.exit_code == 2 and not (tmp_path / "out").exists()


def test_wrong_options_and_folders_are_told(tmp_path: Path) -> None:
    path = _imnet(tmp_path / "a.hdf5")
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "b.hdf5").write_bytes(path.read_bytes()[:2000])
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    _imnet(mixed / "a.hdf5", names=False)
    _off(mixed / "b.off", _box((0, 0, 0), (1, 1, 1)))
    short = _imnet(tmp_path / "short.hdf5")
    short.with_suffix(".txt").write_text("one\ntwo\n")
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (path, {"cells": 32}, "--cells is 32, but .*a.hdf5' holds grids of 16"),
        (path, {"points": 41}, "--points is 41, but .* holds 40"),
        (path, {"up": "z"}, "--up is 'z'; the grids"),
        (path, {"views": 3}, "'voxels' does not use --views"),
        (cut, {}, "b.hdf5' is damaged, or not an HDF5 file that can be read"),
        (mixed, {}, "holds both 'a.hdf5' and the mesh 'b.off'"),
        (short, {}, "short.txt' names 2 shapes, .* holds 5"),
        (tmp_path / "empty", {}, "holds no mesh files"),
        (tmp_path / "a.txt", {}, "is a file; give the folder"),
        (tmp_path / "none", {}, "does not exist"),
    ]
    for given, options, words in cases:
        for call in (resolve, run):
            with pytest.raises(G3dError, match=words):
                call(Options("voxels", str(given), tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()
