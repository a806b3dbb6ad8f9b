"""A view in bands, what depth and normals look like, the browser's camera as ours, how coarse a moving picture is."""

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from g3d.cameras import CameraPrior
from g3d.drawing.camera_path import quaternions
from g3d.render import FieldSettings, OccupancySettings, Rendering, TriplaneSettings, default_settings, render_scene
from g3d.viewing import picture
from g3d.viewing.artist import Artist, Wish, hasty
from g3d.viewing.picture import KINDS, drawn, fitted
from g3d.viewing.poses import camera_of, move
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


def test_a_moving_picture_has_fewer_samples_a_ray() -> None:
    assert hasty(FieldSettings(128, True, (1, 0, 0))) == FieldSettings(32, True, (1, 0, 0))
    assert hasty(FieldSettings(24)) == FieldSettings(24)
    assert hasty(TriplaneSettings(16, 64)) == TriplaneSettings(16, 32)
    assert hasty(OccupancySettings()) == OccupancySettings()


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
