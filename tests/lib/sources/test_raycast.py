"""The ray caster against geometry that can be worked out by hand: colours, coverage, depth, projection, occupancy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.sources.procedural.solids import Solids
from g3d.sources.surfaces.raycast import Caster, Picture, directions
from g3d.sources.surfaces.surface import Surface
from numpy.typing import NDArray

RED, GREEN, BLUE, YELLOW = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.9, 0.9, 0.1)
CYAN, MAGENTA = (0.1, 0.9, 0.9), (0.9, 0.1, 0.9)
FACES = {  # outward direction of a cube's face -> its colour
    (1, 0, 0): RED, (-1, 0, 0): CYAN, (0, 1, 0): GREEN, (0, -1, 0): MAGENTA, (0, 0, 1): BLUE, (0, 0, -1): YELLOW,
}  # fmt: skip


def _cube(half: float = 0.5) -> Surface:
    """Six faces of six colours."""
    solids = Solids()
    for normal, colour in FACES.items():
        n = np.array(normal, float)
        u = np.roll(n, 1)
        v = np.cross(n, u)
        solids.quad(*(half * (n + a * u + b * v) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))), colour)
    return solids.surface({})


def _camera(azimuth_deg: float, elevation_deg: float, size: int = 65) -> Cameras:
    angles = (torch.tensor([azimuth_deg]), torch.tensor([elevation_deg]))
    return CameraPrior(2.6, 45.0, size, size).at(*angles)


def _draw(surface: Surface, cameras: Cameras) -> Picture:
    k = cameras.intrinsics[0].numpy()
    return Caster(surface).draw(cameras.c2w[0].numpy(), k, cameras.width, cameras.height, (1.0, 1.0, 1.0))


def _project(points: NDArray[np.float64], cameras: Cameras) -> NDArray[np.float64]:
    """World [N, 3] => column and row in pixels [N, 2], in float64, written out."""
    c2w, (fx, fy, cx, cy) = cameras.c2w[0].double().numpy(), cameras.intrinsics[0].double().numpy()
    x, y, z = ((points - c2w[:3, 3]) @ c2w[:3, :3]).T
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=1)


def _depth_of_plane(normal: NDArray[np.float64], pixel: tuple[int, int], cameras: Cameras) -> float:
    """Camera z where the ray through the centre of `pixel` (row, column) meets the plane normal . p = 1/2."""
    c2w, (fx, fy, cx, cy) = cameras.c2w[0].double().numpy(), cameras.intrinsics[0].double().numpy()
    ray = c2w[:3, :3] @ np.array([(pixel[1] + 0.5 - cx) / fx, (pixel[0] + 0.5 - cy) / fy, 1.0])
    return float((0.5 - normal @ c2w[:3, 3]) / (normal @ ray))


def _nearest(pixel: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The colour of the cube whose direction a shaded pixel has."""
    unit = pixel / np.linalg.norm(pixel)
    return max(FACES.values(), key=lambda c: float(unit @ np.array(c)) / float(np.linalg.norm(c)))


def test_world_x_is_right_and_y_is_up_from_plus_z() -> None:
    solids = Solids()
    solids.box((0.6, 0, 0), (0.3, 0.3, 0.3), RED)
    solids.box((0, 0.6, 0), (0.3, 0.3, 0.3), GREEN)
    rgb = _draw(solids.surface({}), _camera(0, 0)).rgb.astype(int)
    red = np.argwhere((rgb[..., 0] > 100) & (rgb[..., 1] < 60))
    green = np.argwhere((rgb[..., 1] > 100) & (rgb[..., 0] < 60))
    assert len(red) > 10 and len(green) > 10
    assert red[:, 1].min() > 32 and abs(red[:, 0].mean() - 32) < 1  # right of the middle, in the middle row
    assert green[:, 0].max() < 32 and abs(green[:, 1].mean() - 32) < 1  # above it: rows run downwards


@pytest.mark.parametrize(("azimuth", "elevation"), [(30.0, 30.0), (-50.0, 20.0), (215.0, 40.0), (120.0, -30.0)])
def test_points_of_a_cube_land_on_pixels_of_their_colour_and_depth(azimuth: float, elevation: float) -> None:
    cameras = _camera(azimuth, elevation)
    picture, eye = _draw(_cube(), cameras), cameras.c2w[0, :3, 3].numpy()
    seen = [n for n in FACES if float(np.dot(n, eye)) > 0.5]
    assert len(seen) == 3
    for normal in seen:
        n = np.array(normal, float)
        u, v = np.roll(n, 1), np.cross(n, np.roll(n, 1))
        points = np.array([0.5 * (n + a * u + b * v) for a in (-0.6, 0, 0.6) for b in (-0.6, 0, 0.6)])
        for column, row in _project(points, cameras):
            at = int(row), int(column)
            assert _nearest(picture.rgb[at]) == FACES[normal]
            assert picture.mask[at] == 255
            assert picture.depth_world[at] == pytest.approx(_depth_of_plane(n, at, cameras), rel=1e-5)


def test_depth_of_a_tilted_plane_is_exact() -> None:
    corners = np.array([[-4, -4, 1.0], [4, -4, -1.0], [4, 4, -1.0], [-4, 4, 1.0]])  # the plane x / 4 + z = 0
    solids = Solids()
    solids.quad(*corners, RED)
    cameras = _camera(0, 0, size=16)
    depth = _draw(solids.surface({}), cameras).depth_world
    focal = float(cameras.intrinsics[0, 0])
    for row, column in ((0, 0), (7, 3), (15, 15)):
        slope = (
            column + 0.5 - 8
        ) / focal  # x / camera z on the ray through the pixel's centre; world z = 2.6 - camera z
        assert depth[row, column] == pytest.approx(2.6 / (1 - slope / 4), rel=1e-5)


def test_depth_and_outline_of_a_sphere() -> None:
    solids = Solids()
    solids.ellipsoid((0, 0, 0), (1.0, 1.0, 1.0), BLUE, rows=120, sides=240)
    cameras = _camera(70, 25, size=64)
    picture = _draw(solids.surface({}), cameras)
    focal = float(cameras.intrinsics[0, 0])
    x, y = np.meshgrid((np.arange(64) + 0.5 - 32) / focal, (np.arange(64) + 0.5 - 32) / focal)
    square = x * x + y * y + 1  # |d|^2 of a ray with camera z = 1
    root = 2.6**2 - square * (2.6**2 - 1)  # of square t^2 - 2 * 2.6 t + 2.6^2 - 1 = 0
    clear = np.abs(root) > 0.3  # away from the outline, where tessellation decides
    hit = clear & (root > 0)
    assert hit.sum() > 1000
    np.testing.assert_allclose(picture.depth_world[hit], (2.6 - np.sqrt(root[hit])) / square[hit], rtol=2e-3)
    assert (picture.mask[hit] == 255).all()
    assert (picture.mask[clear & (root < 0)] == 0).all() and (picture.depth_world[clear & (root < 0)] == 0).all()


def test_coverage_counts_samples_and_mixes_the_background() -> None:
    """An edge a quarter of a pixel right of a pixel's left border covers the left one of its two columns of samples."""
    cameras = _camera(0, 0, size=8)
    focal = float(cameras.intrinsics[0, 0])
    edge_x = (0.5) / focal * 2.6  # column 4.5 on the plane z = 0
    solids = Solids()
    solids.quad((-9, -9, 0), (edge_x, -9, 0), (edge_x, 9, 0), (-9, 9, 0), (0.0, 0.0, 0.0))
    picture = _draw(solids.surface({}), cameras)
    assert picture.mask[4].tolist() == [255, 255, 255, 255, 128, 0, 0, 0]
    assert picture.rgb[4, :, 0].tolist() == [0, 0, 0, 0, 128, 255, 255, 255]


def test_light_keeps_colours() -> None:
    """Shading scales a colour; it neither tints it nor drives it to white."""
    for azimuth in (0, 90, 180, 270):
        rgb = _draw(_cube(), _camera(azimuth, 35)).rgb
        top = rgb[20:24, 32]  # on the green upper face
        assert (top[:, 1] > 150).all() and (top[:, 0] < 40).all()
        np.testing.assert_allclose(top[:, 1] / np.maximum(top[:, 0], 1), 9, rtol=0.15)


def _blocked_brute(
    points: NDArray[np.float64], direction: NDArray[np.float64], corners: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Moeller-Trumbore in float64, every ray [N] against every triangle [F]."""
    a, e1, e2 = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(direction, e2)
    det = (e1 * p).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = points[:, None] - a
        u = (s * p).sum(-1) / det
        q = np.cross(s, e1)
        v, t = q @ direction / det, (e2 * q).sum(-1) / det
        hit = (np.abs(det) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return np.asarray(hit.any(1))


def _box(half: float, lid: float) -> Surface:
    """A box whose lid covers the share `lid` of its top: not watertight below 1."""
    solids = Solids()
    faces = [n for n in FACES if n != (0, 1, 0)]
    for normal in faces:
        n = np.array(normal, float)
        u = np.roll(n, 1)
        solids.quad(*(half * (n + a * u + b * np.cross(n, u)) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))), RED)
    x = half * (2 * lid - 1)
    solids.quad((-half, half, -half), (x, half, -half), (x, half, half), (-half, half, half), GREEN)
    return solids.surface({})


@pytest.mark.parametrize("lid", [1.0, 0.85, 0.5])
def test_occupancy_of_an_open_box_against_brute_force(lid: float) -> None:
    surface, cells = _box(0.61, lid), 12
    grid = Caster(surface).occupancy(cells)
    centres = (np.arange(cells) + 0.5) * 2 / cells - 1
    points = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = surface.corners.astype(np.float64)
    expected = np.ones(len(points), bool)
    for direction in directions().astype(np.float64):
        expected &= _blocked_brute(points, direction, corners)
    np.testing.assert_array_equal(grid.reshape(-1), expected)
    within = (np.abs(points) < 0.61).all(1)
    assert not expected[~within].any()
    assert expected[within].all() if lid == 1.0 else 0 < expected[within].mean() < 1, expected[within].mean()


def test_occupancy_axes_are_x_y_z() -> None:
    solids = Solids()
    solids.box((0.5, 0.0, -0.25), (0.5, 0.25, 1.0), RED)
    grid = Caster(solids.surface({})).occupancy(16)
    x, y, z = np.nonzero(grid)
    assert (x.min(), x.max(), y.min(), y.max(), z.min(), z.max()) == (10, 13, 7, 8, 2, 9)
    assert grid.sum() == 4 * 2 * 8


def test_normals_are_those_of_the_faces_towards_the_camera() -> None:
    cameras = _camera(30, 30)
    k, c2w = cameras.intrinsics[0].numpy(), cameras.c2w[0].numpy()
    caster = Caster(_cube())
    picture = caster.draw(c2w, k, 65, 65, (1.0, 1.0, 1.0), normals=True)
    assert not caster.draw(c2w, k, 65, 65, (1.0, 1.0, 1.0)).normals.any()
    for normal in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        n = np.array(normal, float)
        column, row = (int(v) for v in _project(0.5 * n[None], cameras)[0])
        np.testing.assert_allclose(picture.normals[row, column], n, atol=1e-6)
    hit = picture.depth_world > 0
    np.testing.assert_allclose(np.linalg.norm(picture.normals[hit], axis=-1), 1, atol=1e-5)
    assert not picture.normals[~hit].any()


def _ball(rows: int, turned_in: bool = False) -> Surface:
    """A coarse ball with the normals of a smooth one."""
    solids = Solids()
    solids.ellipsoid((0, 0, 0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), rows=rows, sides=2 * rows)
    surface = solids.surface({})
    unit = surface.corners / np.linalg.norm(surface.corners, axis=-1, keepdims=True)
    return replace(surface, normals=-unit if turned_in else unit)


@pytest.mark.parametrize("turned_in", [False, True])
def test_normals_of_the_file_make_a_coarse_ball_smooth(turned_in: bool) -> None:
    """Whichever way the file turns them, they point to the camera."""
    cameras = _camera(70, 25, size=48)
    k, c2w = cameras.intrinsics[0].numpy(), cameras.c2w[0].numpy()
    white = (1.0, 1.0, 1.0)
    picture = Caster(_ball(12, turned_in)).draw(c2w, k, 48, 48, white, normals=True)
    flat = Caster(replace(_ball(12), normals=None)).draw(c2w, k, 48, 48, white, normals=True)
    row, column = np.nonzero(picture.mask == 255)
    ray = np.stack([(column + 0.5 - k[2]) / k[0], (row + 0.5 - k[3]) / k[1], np.ones(len(row))], axis=1)
    points = picture.depth_world[row, column][:, None] * (ray @ c2w[:3, :3].T) + c2w[:3, 3]
    exact = points / np.linalg.norm(points, axis=1, keepdims=True)
    smooth, faceted = ((p.normals[row, column] * exact).sum(1) for p in (picture, flat))
    assert (
        np.degrees(np.arccos(np.clip(smooth, -1, 1))).max() < 2 < np.degrees(np.arccos(np.clip(faceted, -1, 1))).max()
    )
    assert len(np.unique(picture.normals[row, column].round(4), axis=0)) > 2 * len(
        np.unique(flat.normals[row, column].round(4), axis=0)
    )


def test_another_light_takes_the_place_of_the_studio() -> None:
    cameras = _camera(30, 30)
    k, c2w = cameras.intrinsics[0].numpy(), cameras.c2w[0].numpy()
    seen: list[NDArray[np.float32]] = []

    def from_above(normals: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(normals)
        return np.maximum(normals[:, 1], 0).astype(np.float32)

    caster = Caster(_cube(), light=from_above)
    picture = caster.draw(c2w, k, 65, 65, (0.0, 0.0, 0.0))
    tinted = caster.relit(lambda n: np.tile(np.float32([1, 0, 0.5]), (len(n), 1))).draw(c2w, k, 65, 65, (0.0, 0.0, 0.0))
    assert caster._sky is None  # it was not computed
    for normal, colour in (((1, 0, 0), RED), ((0, 1, 0), GREEN), ((0, 0, 1), BLUE)):
        column, row = (int(v) for v in _project(0.5 * np.array([normal], float), cameras)[0])
        wanted = np.array(colour) * 255 * (normal[1] > 0)
        np.testing.assert_allclose(picture.rgb[row, column], wanted, atol=1)
        np.testing.assert_allclose(tinted.rgb[row, column], np.array(colour) * (255, 0, 127.5), atol=1)
    every = np.concatenate(seen)
    assert (every @ c2w[:3, 2] < 0.35).all()  # towards the camera, but for what the corners of the picture see


def test_a_picture_lies_behind_what_is_drawn() -> None:
    cameras = _camera(0, 0, size=8)
    rng = np.random.default_rng(0)
    behind = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    solids = Solids()
    solids.quad((-9, -9, 0), (0.5 / float(cameras.intrinsics[0, 0]) * 2.6, -9, 0),
                (0.5 / float(cameras.intrinsics[0, 0]) * 2.6, 9, 0), (-9, 9, 0), (0.0, 0.0, 0.0))  # fmt: skip
    caster = Caster(solids.surface({}))
    picture = caster.draw(cameras.c2w[0].numpy(), cameras.intrinsics[0].numpy(), 8, 8, behind)
    np.testing.assert_array_equal(picture.rgb[:, 5:], behind[:, 5:])
    assert not picture.rgb[:, :4].any()
    np.testing.assert_allclose(picture.rgb[:, 4], behind[:, 4] / 2, atol=0.51)  # half covered


def test_a_fine_texture_fades_to_its_mean_instead_of_flickering() -> None:
    """A checkerboard of single texels, 64 of them a pixel: every pixel is grey. A coarse one keeps its squares."""
    corners = np.array([[[-2, -2, 0], [2, -2, 0], [2, 2, 0]], [[-2, -2, 0], [2, 2, 0], [-2, 2, 0]]], np.float32)
    uvs = np.array([[[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [0, 0]]], np.float32)
    cameras = _camera(0, 0, size=16)
    k, c2w = cameras.intrinsics[0].numpy(), cameras.c2w[0].numpy()
    found = []
    for squares in (4, 512):
        tile = np.indices((squares, squares)).sum(0) % 2 * 255
        picture = np.repeat(tile.repeat(512 // squares, 0).repeat(512 // squares, 1)[..., None], 3, -1).astype(np.uint8)
        surface = Surface(corners, np.ones_like(corners), uvs, np.zeros(2, np.int32), (picture,))
        found.append(
            Caster(surface, light=lambda n: np.ones(len(n), np.float32)).draw(c2w, k, 16, 16, (1.0, 0.0, 0.0)).rgb
        )
    coarse, fine = found
    assert np.abs(fine.astype(int) - 128).max() <= 2
    assert set(np.unique(coarse[..., 0])) >= {0, 255} and (np.abs(coarse.astype(int) - 128) > 100).mean() > 0.6
