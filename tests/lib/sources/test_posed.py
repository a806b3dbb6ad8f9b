"""Posed pictures: bad cameras refused by name, what is up, where cameras stand, sizes and backgrounds; against closed forms."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.sources import posed
from g3d.sources.posed import shots
from PIL import Image
from posed_scene import FROM_Y_UP, cameras, look_from

POSES = cameras(8)


def _name(i: int) -> str:
    return f"'view {i}'"


def _changed(row: int, column: int, value: float) -> Any:
    c2w = POSES.copy()
    c2w[3, row, column] = value
    return c2w


@pytest.mark.parametrize(
    ("c2w", "words"),
    [
        (_changed(0, 3, math.nan), "'view 3' has numbers that are not finite"),
        (_changed(2, 3, 1.6e60), "'view 3' stands 1e\\+12 or more from the origin"),
        (_changed(2, 2, math.inf), "'view 3' has numbers that are not finite"),
        (_changed(3, 3, 0.0), "'view 3' has a last row that is not 0 0 0 1"),
        (POSES * np.array([0.0, 1, 1, 1]), "'view 0' is singular"),
        (POSES * np.array([1.0, -1, 1, 1]), "'view 0' is left-handed"),
        (POSES * np.array([1.1, 1.1, 1.1, 1]), "'view 0' scales or shears"),
        (POSES + np.eye(4)[:, [1, 0, 2, 3]] * [[0.3, 0, 0, 0]] * [[1]], "'view 0' scales or shears"),
    ],
)
def test_poses_that_are_refused(c2w: Any, words: str) -> None:
    with pytest.raises(G3dError, match=words):
        posed.check_poses(c2w, _name)


def test_poses_written_with_few_digits_are_taken() -> None:
    posed.check_poses(POSES.round(3), _name)


@pytest.mark.parametrize("row", [[0, 5, 2, 2], [5, -1, 2, 2], [math.nan, 5, 2, 2], [5, 5, math.inf, 2]])
def test_intrinsics_that_are_refused(row: list[float]) -> None:
    with pytest.raises(G3dError, match="'view 1' has the intrinsics"):
        posed.check_intrinsics(np.array([[5, 5, 2, 2], row]), _name)


def test_the_sizes_of_matrices() -> None:
    assert posed.matrix_of(list(range(16)), (3, 4), "'a'")[1, 2] == 6
    assert posed.matrix_of(np.arange(9).reshape(3, 3).tolist(), (3, 4), "'a'")[1, 2] == 5
    with pytest.raises(G3dError, match=r"'p\.txt' has the size 12 numbers; wanted is 4x4"):
        posed.matrix_of(list(range(12)), (4,), "'p.txt'")
    with pytest.raises(G3dError, match=r"'p\.txt' has the size 3x4; wanted is 4x4"):
        posed.matrix_of([[1, 2, 3, 4]] * 3, (4,), "'p.txt'")
    with pytest.raises(G3dError, match=r"'p.txt' is not one of numbers"):
        posed.matrix_of([[1, 2], [3]], (4,), "'p.txt'")


TURNS = {
    "y": np.eye(4), "z": FROM_Y_UP, "-y": np.diag([1.0, -1, -1, 1]),
    "x": np.array([[0, 1.0, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
}  # fmt: skip
"""Our world => one in which another axis is up, as rotations."""


@pytest.mark.parametrize("axis", TURNS)
def test_what_is_up_is_found_and_turned_to_y(axis: str) -> None:
    """Whatever the axis, the cameras stand at their heights again, and upright."""
    theirs = TURNS[axis] @ POSES
    for word in ("auto", axis):
        world = posed.find_world(theirs, word, "x")
        assert world.found == ("from the cameras" if word == "auto" else "given")
        ours = world.turned(theirs)
        np.testing.assert_allclose(ours[:, 1, 3], POSES[:, 1, 3], atol=1e-12)
        assert (ours[:, 1, 1] < 0).all()  # y of the pictures runs down
        assert np.linalg.det(world.rotation) == pytest.approx(1)
        back = np.array(world.as_json()["world_to_source"])
        np.testing.assert_allclose(back @ ours, theirs, atol=1e-12)
    exact = posed.find_world(theirs, "auto", "x").rotation
    assert set(np.abs(exact).reshape(-1).tolist()) <= {0.0, 1.0}  # no crumbs


def test_z_up_becomes_x_z_minus_y() -> None:
    world = posed.find_world(FROM_Y_UP @ POSES, "auto", "y")
    np.testing.assert_array_equal(world.rotation @ [1, 2, 3], [1, 3, -2])


def test_a_tilted_world_is_set_upright() -> None:
    a = math.radians(25)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]
    ours = posed.find_world(tilt @ POSES, "auto", "y").turned(tilt @ POSES)
    np.testing.assert_allclose(ours[:, 1, 3], POSES[:, 1, 3], atol=1e-9)


def test_the_dialects_own_axis_where_the_cameras_show_none() -> None:
    one = FROM_Y_UP @ POSES[:1]
    assert posed.find_world(one, "auto", "z").found == "the dialect's own"
    np.testing.assert_allclose(posed.find_world(one, "auto", "z").turned(one), POSES[:1], atol=1e-12)
    rolled = cameras(60)
    for i, angle in enumerate(np.random.default_rng(0).uniform(0, 2 * math.pi, 60)):
        roll = np.eye(4)
        roll[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        rolled[i] = rolled[i] @ roll
    assert posed.find_world(rolled, "auto", "y").found == "the dialect's own"
    with pytest.raises(G3dError, match=r"--up is 'w'; it is one of auto, x"):
        posed.find_world(one, "w", "z")


K = np.tile([60.0, 60, 24, 24], (8, 1))


def test_the_target_of_the_cameras() -> None:
    away = np.array([0.4, -0.3, 0.2])
    moved = POSES.copy()
    moved[:, :3, 3] += away
    target, radius = posed.target_of(moved)
    np.testing.assert_allclose(target, away, atol=1e-9)
    assert radius == pytest.approx(3)
    moved[:, :3, 3] -= 0.95 * away  # 0.027 from the origin: within 2 % of the radius
    assert posed.target_of(moved)[0].tolist() == [0, 0, 0]
    single, distance = posed.target_of(look_from(30, 10, 4.0)[None])  # one axis: its point nearest to the origin
    np.testing.assert_allclose(single, 0, atol=1e-9)
    assert distance == pytest.approx(4)


def test_the_box_is_what_every_camera_sees() -> None:
    bounds = np.array(posed.bounds_of(POSES, K, 48, 48, None))
    half = 3 * math.sin(math.atan(24 / 60))
    np.testing.assert_allclose(bounds, [[-half] * 3, [half] * 3], atol=1e-6)
    near = POSES.copy()
    near[2, :3, 3] *= 0.5
    np.testing.assert_allclose(np.array(posed.bounds_of(near, K, 48, 48, None))[1], half / 2, atol=1e-6)
    wide = np.array(posed.bounds_of(POSES, K, 96, 48, None))[1, 0]  # cx = 24 of 96: the left border is the nearest
    assert wide == pytest.approx(half, abs=1e-6)
    assert posed.bounds_of(POSES, K, 48, 48, 0.7) == [[-0.7] * 3, [0.7] * 3]
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(G3dError, match="--box is"):
            posed.bounds_of(POSES, K, 48, 48, wrong)


def _prior(c2w: Any) -> CameraPrior:
    return CameraPrior.from_json(posed.prior_of(c2w, np.tile(K[:1], (len(c2w), 1)), 48, 48), "a test")


def test_cameras_that_go_around_are_an_area() -> None:
    prior = _prior(POSES)
    assert (prior.distribution, prior.azimuth_deg, prior.target) == ("area", (0, 360), (0, 0, 0))
    assert prior.elevation_deg == pytest.approx((-10, 50), abs=1e-5) and prior.radius_world == pytest.approx(3)
    assert prior.fov_deg == pytest.approx(2 * math.degrees(math.atan(24 / 60)), abs=1e-5)


def test_a_frontal_set_is_normal() -> None:
    """EG3D's faces: some degrees around the front, across the border at 0 degrees; mean and deviation come back."""
    draws = np.random.default_rng(0).normal(size=(400, 2)) * [14, 6] + [-3, 4]
    prior = _prior(np.stack([look_from(a, e, 2.7, (0, 0, 0.2)) for a, e in draws]))
    assert prior.distribution == "normal" and prior.target == pytest.approx((0, 0, 0.2), abs=1e-5)
    mean, std = draws.mean(0), draws.std(0)
    assert prior.azimuth_deg == pytest.approx((mean[0] - std[0], mean[0] + std[0]), abs=1e-3)
    assert prior.elevation_deg == pytest.approx((mean[1] - std[1], mean[1] + std[1]), abs=1e-3)
    assert prior.default_azimuth_deg == pytest.approx(mean[0], abs=1e-3)
    views = prior.sample(0, range(2000)).c2w.double().numpy()
    assert views[:, 0, 3].std() == pytest.approx(2.7 * math.sin(math.radians(14)), rel=0.15)


def test_a_half_circle_is_uniform() -> None:
    prior = _prior(np.stack([look_from(a, 10 + a / 20, 2.0) for a in np.linspace(100, 310, 20)]))
    assert prior.distribution == "uniform"
    low, high = prior.azimuth_deg
    assert (low % 360, high - low) == pytest.approx((100, 210), abs=1e-4)
    assert prior.default_azimuth_deg % 360 == pytest.approx(205, abs=1e-4)


def _png(path: Path, pixels: Any) -> shots.Place:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return shots.Place(path.parent, path.name)


def _made(shot: shots.Shot, size: int | None = None, background: str = "white", **more: Any) -> tuple[Any, Any, Any]:
    """Picture, mask and intrinsics of one shot."""
    target = shots.target_of([shot.picture], size, background, **more)
    made = shots.made([shot], target, {})
    mask = None if made.views[0].mask is None else images.decode_grey(made.views[0].mask, "mask")
    return images.decode(made.views[0].picture, "view"), mask, made.columns["intrinsics"][0]


def test_the_centre_square_is_cut_out_and_the_intrinsics_follow(tmp_path: Path) -> None:
    """A picture of 16x8: columns 4..11 stay; halved, a focal length of 10 is 5, and cx = 9 is (9 - 4) / 2."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:8], pixels[:, 8:12] = [200, 0, 0], [0, 0, 200]
    shot = shots.Shot(_png(tmp_path / "a.png", pixels), np.eye(4), np.array([10.0, 12, 9, 3]), 16, 8)
    picture, mask, k = _made(shot, 4)
    assert picture.shape == (4, 4, 3) and mask is None and k.tolist() == [5, 6, 2.5, 1.5]
    assert np.abs(picture[:, 0] - [200.0, 0, 0]).max() < 12 and np.abs(picture[:, 3] - [0, 0, 200.0]).max() < 12
    same, _, k = _made(shot)
    assert (same == pixels).all() and k.tolist() == [10, 12, 9, 3]
    stated = shots.Shot(shot.picture, np.eye(4), np.array([20.0, 24, 18, 6]), 32, 16)  # for twice the resolution
    assert _made(stated)[2].tolist() == [10, 12, 9, 3]
    share = shots.Shot(shot.picture, np.eye(4), np.array([10 / 16, 12 / 8, 9 / 16, 3 / 8]))
    assert _made(share)[2].tolist() == [10, 12, 9, 3]
    other = shots.Shot(shot.picture, np.eye(4), np.array([10.0, 12, 9, 3]), 16, 16)
    with pytest.raises(G3dError, match=r"a.png' has the size 16x8, what its camera is for 16x16"):
        _made(other)


@pytest.mark.parametrize("background", ["white", "black"])
def test_transparent_pictures_are_laid_over_the_background(tmp_path: Path, background: str) -> None:
    alpha = np.array([[0, 51, 128, 255]], np.uint8).repeat(4, 0)
    colour = np.full((4, 4, 3), 100, np.uint8)
    place = _png(tmp_path / "a.png", np.concatenate([colour, alpha[..., None]], -1))
    picture, mask, _ = _made(shots.Shot(place, np.eye(4), np.array([4.0, 4, 2, 2])), background=background)
    wanted = 100.0 * alpha / 255 + (255 - alpha.astype(float) if background == "white" else 0)
    assert np.abs(picture[..., 0] - wanted).max() <= 1 and (mask == alpha).all()


def test_an_unknown_background_and_mixed_sizes(tmp_path: Path) -> None:
    a, b = _png(tmp_path / "a.png", np.zeros((8, 8, 3))), _png(tmp_path / "b.png", np.zeros((6, 6, 3)))
    with pytest.raises(G3dError, match="--background is 'pink'; it is white or black"):
        shots.target_of([a], None, "pink")
    both = [shots.Shot(p, np.eye(4), np.array([1.0, 1, 0.5, 0.5])) for p in (a, b)]
    target = shots.target_of([a, b], None, "white")
    with pytest.raises(G3dError, match=r"b.png' has the size 6x6, '.*a.png' 8x8; give --size"):
        shots.made(both, target, {})
    assert len(shots.made(both, shots.target_of([a, b], 8, "white"), {}).views) == 2


def test_masks_and_depth_follow_the_picture(tmp_path: Path) -> None:
    """Depth is taken from the nearest pixel, in steps of the dataset; a mask of another resolution is fitted."""
    place = _png(tmp_path / "a.png", np.zeros((8, 8, 3)))
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 255
    images.write_image(tmp_path / "m.png", mask)
    depth = np.full((8, 8), 1000, np.uint16)
    depth[:, 4:] = 3000
    images.write_image(tmp_path / "d.png", depth)
    shot = shots.Shot(
        place,
        np.eye(4),
        K[0],
        8,
        8,
        mask=shots.Place(tmp_path, "m.png"),
        depth=shots.Place(tmp_path, "d.png"),
        depth_scale=0.001,
    )
    target = shots.target_of([place], 4, "white", masks=True, depth_scale=0.002)
    view = shots.made([shot], target, {}).views[0]
    assert view.depth is not None and view.mask is not None
    assert images.decode_grey(view.depth, "d").tolist() == [[500, 500, 1500, 1500]] * 4
    assert np.abs(images.decode_grey(view.mask, "m") - np.array([0.0, 0, 255, 255])).max() < 15
    images.write_image(tmp_path / "d.png", depth.astype(np.uint8))
    with pytest.raises(G3dError, match=r"d.png' is not a 16-bit grey PNG"):
        shots.made([shot], target, {})
    images.write_image(tmp_path / "m.png", mask[:3])
    with pytest.raises(G3dError, match=r"m.png' has the size 4x3, its picture 8x8"):
        shots.made([shot], shots.target_of([place], 4, "white", masks=True), {})


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    fake = tmp_path / "a.png"
    fake.write_text("not a picture")
    folder = tmp_path / "b.png"
    folder.mkdir()
    good = _png(tmp_path / "c.png", np.zeros((8, 8, 3)))
    with pytest.raises(G3dError, match=r"a.png' is not an image"):
        shots.target_of([shots.Place(tmp_path, "a.png")], None, "white")
    with pytest.raises(G3dError, match=r"b.png' is a folder"):
        shots.Place(tmp_path, "b.png").read()
    with pytest.raises(G3dError, match=r"d.png' does not exist"):
        shots.Place(tmp_path, "d.png").read()
    assert shots.target_of([shots.Place(tmp_path, "a.png"), good], None, "white").first == str(good)
