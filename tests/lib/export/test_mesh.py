"""Meshes and points of fields whose surface is known."""

import numpy as np
import pytest
import torch
from g3d.errors import G3dError
from g3d.export.mesh import Mesh, field_mesh
from g3d.export.points import surface_points

CENTRE = torch.tensor([0.3, -0.2, 0.1])
RADIUS = 0.6
BOUNDS = ((-0.7, -1.1, -0.9), (1.3, 0.9, 1.1))


def _ball(points: torch.Tensor) -> torch.Tensor:
    """1 on the surface of the ball, growing inwards, as a density does."""
    return (RADIUS - (points - CENTRE).norm(dim=-1)) * 10 + 1


def _rainbow(points: torch.Tensor) -> torch.Tensor:
    return (points * 0.5 + 0.5).clamp(0, 1)


def _volume(mesh: Mesh) -> float:
    """Divergence theorem: positive when the faces turn counter-clockwise seen from outside."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("fa,fa->", a, np.cross(b, c)) / 6)


def _is_closed(faces: np.ndarray) -> bool:
    """Every edge is used once in each direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth = {tuple(e) for e in edges.tolist()}
    return len(forth) == len(edges) and all((b, a) in forth for a, b in forth)


def test_ball() -> None:
    mesh = field_mesh(_ball, _rainbow, BOUNDS, 40, 1.0)
    vertices, faces, colours = mesh
    assert (vertices.dtype, faces.dtype, colours.dtype) == (np.float32, np.int32, np.uint8)
    radii = np.linalg.norm(vertices - CENTRE.numpy(), axis=1)
    cell = 2.0 / 40
    assert np.abs(radii - RADIUS).max() < cell / 20  # a distance is nearly linear along an edge
    np.testing.assert_allclose(vertices.max(0) - vertices.min(0), 2 * RADIUS, atol=cell / 2)
    assert _is_closed(faces)
    assert _volume(mesh) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)
    np.testing.assert_allclose(colours / 255, _rainbow(torch.from_numpy(vertices)).numpy(), atol=0.51 / 255)


def test_chunks_change_nothing() -> None:
    whole = field_mesh(_ball, _rainbow, BOUNDS, 16, 1.0)
    pieces = field_mesh(_ball, _rainbow, BOUNDS, 16, 1.0, chunk=101)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)


def test_world_units_of_a_plane() -> None:
    """Density falls linearly along x alone: every vertex of the front lies exactly on x = 2.3."""
    bounds = ((2.0, 5.0, -1.0), (3.0, 5.5, -0.5))  # sides 1, 0.5, 0.5: cells stay cubes
    mesh = field_mesh(lambda p: 10 - p[:, 0], _rainbow, bounds, 10, 10 - 2.3)
    front = mesh.vertices[mesh.vertices[:, 0] > 2.25]
    assert len(front) >= 36  # 6 x 6 nodes
    np.testing.assert_allclose(front[:, 0], 2.3, atol=1e-5)
    np.testing.assert_allclose(mesh.vertices.min(0), bounds[0], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(0), [2.3, 5.5, -0.5], atol=1e-5)
    assert _volume(mesh) == pytest.approx(0.3 * 0.5 * 0.5, rel=1e-4)
    assert _is_closed(mesh.faces)


def test_closed_where_the_bounds_cut_it() -> None:
    low, high = (0.3, -1.1, -0.9), BOUNDS[1]  # half of the ball
    mesh = field_mesh(_ball, _rainbow, (low, high), 40, 1.0)
    assert mesh.vertices[:, 0].min() == np.float32(0.3)
    assert _is_closed(mesh.faces)
    assert _volume(mesh) == pytest.approx(2 / 3 * np.pi * RADIUS**3, rel=0.02)


def test_empty_and_broken_fields_are_sentences() -> None:
    with pytest.raises(
        G3dError, match=r"denser than the level 50 \(found -.* to 6.* change --level to a value between"
    ):
        field_mesh(_ball, _rainbow, BOUNDS, 8, 50.0)
    with pytest.raises(G3dError, match=r"found 0 to 0.*no --level"):
        field_mesh(lambda p: torch.zeros(len(p)), _rainbow, BOUNDS, 8, 1.0)
    with pytest.raises(G3dError, match="not finite at 729 of 729"):
        field_mesh(lambda p: torch.full((len(p),), torch.nan), _rainbow, BOUNDS, 8, 1.0)
    with pytest.raises(G3dError, match="resolution 1"):
        field_mesh(_ball, _rainbow, BOUNDS, 1, 1.0)
    with pytest.raises(G3dError, match="enclose nothing"):
        field_mesh(_ball, _rainbow, (BOUNDS[1], BOUNDS[0]), 8, 1.0)


def test_points_of_the_ball() -> None:
    mesh = field_mesh(_ball, _rainbow, BOUNDS, 24, 1.0)
    points, normals = surface_points(mesh.vertices, mesh.faces, 4000, 3)
    outward = points - CENTRE.numpy()
    radii = np.linalg.norm(outward, axis=1)
    assert np.abs(radii - RADIUS).max() < 2.0 / 24 / 2
    assert ((outward / radii[:, None]) * normals).sum(1).min() > 0.95
    # Archimedes: heights on a sphere are uniform, so each quarter of the height holds a quarter of the points.
    quarters = np.histogram(outward[:, 1], bins=4, range=(-RADIUS, RADIUS))[0]
    np.testing.assert_allclose(quarters, 1000, atol=120)


def test_points_follow_area_and_seed() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [10, 0, 0], [11, 0, 0], [10, 2, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 0, 1], [3, 4, 5]], np.int32)  # areas 3, 0, 1
    points, normals = surface_points(vertices, faces, 4000, 0)
    assert np.mean(points[:, 0] < 5) == pytest.approx(0.75, abs=0.03)
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 4000)
    left = points[points[:, 0] < 5]
    np.testing.assert_allclose(left.mean(0), [1, 2 / 3, 0], atol=0.05)  # centroid
    np.testing.assert_array_equal(points, surface_points(vertices, faces, 4000, 0)[0])
    assert not np.array_equal(points, surface_points(vertices, faces, 4000, 1)[0])
    with pytest.raises(G3dError, match="no area"):
        surface_points(vertices, faces[1:2], 5, 0)
