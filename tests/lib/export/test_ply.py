"""PLY files read back by the libraries that users open them with."""

from pathlib import Path

import numpy as np
import pytest
from g3d.errors import Missing
from g3d.export.ply import write_mesh, write_points
from plyfile import PlyData

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.25]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
COLOURS = np.array([[0, 1, 2], [255, 0, 0], [0, 255, 0], [10, 20, 255]], np.uint8)


def test_mesh_reads_back_exactly(tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.ply", VERTICES, FACES, COLOURS)
    data = PlyData.read(str(tmp_path / "a.ply"))
    assert data.byte_order == "<" and not data.text
    vertex = data["vertex"]
    np.testing.assert_array_equal(np.stack([vertex[k] for k in "xyz"], 1), VERTICES)
    np.testing.assert_array_equal(np.stack([vertex[k] for k in ("red", "green", "blue")], 1), COLOURS)
    np.testing.assert_array_equal(np.stack(list(data["face"]["vertex_indices"])), FACES)


def test_points_read_back_exactly(tmp_path: Path) -> None:
    normals = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0.6, 0.8, 0]], np.float32)
    write_points(tmp_path / "p.ply", VERTICES, COLOURS, normals)
    vertex = PlyData.read(str(tmp_path / "p.ply"))["vertex"]
    assert [p.name for p in vertex.properties] == ["x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"]
    np.testing.assert_array_equal(np.stack([vertex[k] for k in ("nx", "ny", "nz")], 1), normals)
    write_points(tmp_path / "q.ply", VERTICES, COLOURS)
    assert [p.name for p in PlyData.read(str(tmp_path / "q.ply"))["vertex"].properties][3] == "red"


def test_open3d_reads_both(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    write_mesh(tmp_path / "a.ply", VERTICES, FACES, COLOURS)
    mesh = o3d.io.read_triangle_mesh(str(tmp_path / "a.ply"))
    np.testing.assert_array_equal(np.asarray(mesh.vertices), VERTICES)
    np.testing.assert_array_equal(np.asarray(mesh.triangles), FACES)
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors) * 255, COLOURS, atol=1e-6)
    assert mesh.is_watertight() and mesh.get_volume() == pytest.approx(1 * 2 * 3.25 / 6)
    write_points(tmp_path / "p.ply", VERTICES, COLOURS)
    np.testing.assert_array_equal(np.asarray(o3d.io.read_point_cloud(str(tmp_path / "p.ply")).points), VERTICES)


def test_same_arrays_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    for name in ("a.ply", "b.ply"):
        write_mesh(tmp_path / "new" / name, VERTICES, FACES, COLOURS)
    assert (tmp_path / "new/a.ply").read_bytes() == (tmp_path / "new/b.ply").read_bytes()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.ply", "b.ply"]


def test_arrays_that_do_not_fit_are_our_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="do not exist"):
        write_mesh(tmp_path / "a.ply", VERTICES, FACES + 1, COLOURS)
    with pytest.raises(AssertionError, match="uint8"):
        write_points(tmp_path / "a.ply", VERTICES, COLOURS / 255)
    with pytest.raises(AssertionError, match="shape"):
        write_points(tmp_path / "a.ply", VERTICES, COLOURS[:2])
    assert list(tmp_path.iterdir()) == []


def test_without_plyfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plyfile", None)
    with pytest.raises(Missing, match="pip install plyfile"):
        write_points(tmp_path / "a.ply", VERTICES, COLOURS)
