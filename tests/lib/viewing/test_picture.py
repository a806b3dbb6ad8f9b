"""A view in bands, what depth and normals look like, the browser's camera as ours, how coarse a moving picture is."""

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from g3d.cameras import CameraPrior
from g3d.drawing.camera_path import quaternions
from g3d.render import FieldSettings, OccupancySettings, Rendering, TriplaneSettings, default_settings, render_scene
from g3d.viewing import artist as artists
from g3d.viewing import picture
from g3d.viewing.artist import Artist, Wish, hasty
from g3d.viewing.picture import KINDS, drawn, fitted
from g3d.viewing.poses import ahead_world, camera_of, move
from toy_scenes import every_kind, gaussians, two_branches

PRIOR = CameraPrior(3.0, 45.0, 40, 24, default_azimuth_deg=30)


@pytest.mark.parametrize("name", ["000000", "000001", "000002", "000003"])
def test_bands_make_the_picture_that_render_makes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, camera = every_kind()[name], PRIOR.default()
    whole = (render_scene(scene, camera).rgb[0].numpy() * 255 + 0.5).astype(np.uint8)
    monkeypatch.setattr(picture, "BAND_PIXELS", 200)  # five rows
    found = drawn(scene, camera, default_settings(scene), None, "colour")
    assert found is not None and np.abs(found.astype(int) - whole).max() <= 1
    assert all(drawn(scene, camera, default_settings(scene), None, show) is not None for show in KINDS)


def test_what_is_not_wanted_is_given_up() -> None:
    scene = two_branches()
    assert drawn(scene, PRIOR.default(), default_settings(scene), None, "colour", lambda: False) is None


def test_depth_and_normals_by_hand() -> None:
    """A plane that faces the camera at depth 2, its lower half at depth 4, nothing in the last column."""
    camera = PRIOR.default().resized(8, 8)
    depth = torch.full((1, 8, 8), 2.0)
    depth[:, 4:], depth[:, :, 7] = 4.0, 0.0
    found = Rendering(torch.zeros(1, 8, 8, 3), (depth > 0).float(), depth)
    grey = picture._shown(found, camera, "depth")
    torch.testing.assert_close(grey[[1, 6, 1], [2, 2, 7]], torch.tensor([[1.0], [0.1], [0.0]]).expand(3, 3))
    normal = picture._shown(found, camera, "normals")[1, 2] * 2 - 1
    torch.testing.assert_close(normal, -camera.c2w[0, :3, 2], atol=1e-5, rtol=0)
    flat = Rendering(found.rgb, torch.ones(1, 8, 8), 2 + 1e-6 * torch.rand(1, 8, 8))
    assert float(picture._shown(flat, camera, "depth").min()) > 0.99  # flat, not its rounding


def test_pictures_lie_in_the_middle() -> None:
    found = fitted(np.full((2, 3, 3), 200, np.uint8), 10, 5)  # twice as large: 6 x 4
    assert found.shape == (5, 10, 3) and (found[:4, 2:8] == 200).all() and (found == 200).sum() == 6 * 4 * 3


def test_what_photographs_look_at() -> None:
    """By hand: cameras around (1, 0, 0), 3 away; and those that do not meet."""
    around = replace(PRIOR, target=(1.0, 0.0, 0.0)).orbit(5)
    assert ahead_world(around, 2) == pytest.approx(3, abs=1e-5)
    away = around.c2w.clone()
    away[:, :3, 0] *= -1
    away[:, :3, 2] *= -1
    assert ahead_world(replace(around, c2w=away), 2) == 1 and ahead_world(around[[0, 0]], 0) > 0


def test_large_pictures_are_seen_whole() -> None:
    """Two coloured halves, 40 x 30 => 20 x 15 in the middle of 20 x 21; and what is one pixel thin."""
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, :20, 0], picture[:, 20:, 1] = 200, 100
    found = fitted(picture, 20, 21)
    assert found.shape == (21, 20, 3) and (found[:3] == 64).all() and (found[18:] == 64).all()
    assert (found[3:18, :7] == [200, 0, 0]).all() and (found[3:18, 13:] == [0, 100, 0]).all()
    assert fitted(np.full((1, 500, 3), 9, np.uint8), 20, 3)[1, 0].tolist() == [9, 9, 9]


def test_the_browsers_camera_there_and_back() -> None:
    ours = PRIOR.default()
    quat = quaternions(ours.c2w[:, :3, :3].double())[0]
    handle = SimpleNamespace(aspect=40 / 24, wxyz=(2 * quat).numpy(), position=ours.c2w[0, :3, 3].numpy(), fov=0.0)
    handle.fov = 2 * math.atan(0.5 * 24 / float(ours.intrinsics[0, 1]))
    back = camera_of(handle, 24)
    torch.testing.assert_close(back.c2w, ours.c2w, atol=1e-6, rtol=0)
    torch.testing.assert_close(back.intrinsics, ours.intrinsics, atol=1e-4, rtol=0)
    moved = SimpleNamespace()
    move(moved, ours, 3.0)
    assert np.allclose(moved.look_at, PRIOR.target, atol=1e-5) and moved.up_direction == (0.0, 1.0, 0.0)
    assert moved.fov == pytest.approx(handle.fov)


def test_a_camera_that_is_rolled_stays_so() -> None:
    """What the browser makes of place, aim and "up" is the camera itself: rolled, on its head, and not rolled at all."""
    ours = PRIOR.default()
    for degrees in (0.0, 30.0, 90.0, 180.0):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        c2w = ours.c2w.clone()
        c2w[0, :3, :3] = ours.c2w[0, :3, :3] @ torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        moved = SimpleNamespace()
        move(moved, replace(ours, c2w=c2w), 3.0)
        forward = np.subtract(moved.look_at, moved.position) / 3
        right = np.cross(forward, moved.up_direction)
        assert np.allclose(right / np.linalg.norm(right), c2w[0, :3, 0], atol=1e-5), degrees


def test_a_moving_picture_has_fewer_samples_a_ray() -> None:
    assert hasty(FieldSettings(128, True, (1, 0, 0))) == FieldSettings(32, True, (1, 0, 0))
    assert hasty(FieldSettings(24)) == FieldSettings(24)
    assert hasty(TriplaneSettings(16, 64)) == TriplaneSettings(16, 32)
    assert hasty(OccupancySettings()) == OccupancySettings()


def test_nothing_comes_after_nothing_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse picture that is being drawn when the browser begins to draw by itself must not lie behind its splats."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(artists, "drawn", slow)
    seen: list[Any] = []
    artist = Artist(lambda *found: seen.append(found), lambda _: None)
    artist.ask(Wish(gaussians(), default_settings(gaussians()), PRIOR.default(), "colour"))
    assert begun.wait(60)
    artist.ask(None)
    go_on.set()
    end = time.monotonic() + 60
    while not artist.idle() and time.monotonic() < end:
        time.sleep(0.01)
    assert artist.idle() and not seen
    artist.close()


def test_the_grid_of_empty_space_is_made_once_for_all_backgrounds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(artists, "empty_space", lambda *words: made.append(words))
    artist = Artist(lambda *_: None, lambda _: None)
    scene = two_branches()
    plain = FieldSettings(4)
    for settings in (plain, replace(plain, background=(1.0, 0, 0)), replace(plain, skip_empty="on")):
        artist.ask(Wish(scene, settings, PRIOR.default(), "colour"))
        end = time.monotonic() + 60
        while not artist.idle() and time.monotonic() < end:
            time.sleep(0.01)
    artist.close()
    assert len(made) == 2


def test_an_artist_draws_coarse_then_fine_and_the_last_wish_counts() -> None:
    seen: list[tuple[tuple[int, ...], bool]] = []
    trouble: list[Exception] = []
    artist = Artist(lambda found, fine: seen.append((found.shape, fine)), trouble.append)
    scene = gaussians()
    big = PRIOR.default().resized(400, 240)
    for _ in range(5):
        artist.ask(Wish(scene, default_settings(scene), big, "colour"))
    end = time.monotonic() + 60
    while not artist.idle() and time.monotonic() < end:
        time.sleep(0.01)
    assert [fine for _, fine in seen].count(True) == 1 and seen[-1] == ((240, 400, 3), True) and not seen[0][1]
    assert seen[0][0] == (64, 107, 3)
    artist.ask(Wish(scene, "nonsense", big, "colour"))  # type: ignore[arg-type]
    while not trouble and time.monotonic() < end:
        time.sleep(0.01)
    assert len(trouble) == 1
    artist.close()
    artist._thread.join(10)
    assert not artist._thread.is_alive()
