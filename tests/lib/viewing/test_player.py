"""What plays: a turn by hand, the path that render flies, until it is stopped or at its end."""

import math
import time

import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.drawing.camera_path import Path3D, along
from g3d.viewing.player import TICKS_PER_S, Player, around, through

PRIOR = CameraPrior(3.0, 45.0, 40, 24, default_azimuth_deg=0, default_elevation_deg=0)


def test_a_quarter_around_what_is_looked_at() -> None:
    """From z = 3 about a line through x = 1: the eye goes to (1, 0, 0) + (0, 0, 3) - (1, 0, 0), turned from z toward x."""
    camera, pivot = PRIOR.default(), torch.tensor([1.0, 0, 0])
    assert torch.allclose(camera.c2w[0, :3, 3], torch.tensor([0.0, 0, 3]), atol=1e-6)
    quarter = around(camera, pivot)(0.25)
    torch.testing.assert_close(quarter.c2w[0, :3, 3], torch.tensor([4.0, 0, 1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(quarter.c2w[0, :3, 2], torch.tensor([-1.0, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(quarter.c2w[0, :3, 1], camera.c2w[0, :3, 1], atol=1e-5, rtol=0)  # down stays down
    torch.testing.assert_close(around(camera, pivot)(1.0).c2w, camera.c2w, atol=1e-5, rtol=0)


def test_a_path_is_that_of_render() -> None:
    path = Path3D(PRIOR.orbit(4), False)
    place, true = through(path, 2.0), along(path, 2 * TICKS_PER_S)
    for share, number in ((0.0, 0), (0.5, TICKS_PER_S), (1.0, 2 * TICKS_PER_S - 1)):
        assert torch.equal(place(share).c2w, true[number].c2w)
    torch.testing.assert_close(place(1.0).c2w, path.keys[3].c2w, atol=1e-5, rtol=0)


def _wait(player: Player) -> None:
    end = time.monotonic() + 60
    while player.plays and time.monotonic() < end:
        time.sleep(0.01)


def test_once_to_the_end_and_again_until_it_is_stopped() -> None:
    seen: list[Cameras] = []
    ended: list[int] = []
    trouble: list[Exception] = []
    player = Player(seen.append, lambda: ended.append(1), trouble.append)
    place = around(PRIOR.default(), torch.zeros(3))
    player.start(place, 0.2, again=False)
    _wait(player)
    assert len(seen) == round(0.2 * TICKS_PER_S) and ended == [1] and not trouble
    torch.testing.assert_close(seen[-1].c2w, place(1.0).c2w)
    player.start(place, 0.1, again=True)
    end = time.monotonic() + 60
    while len(seen) < 12 and time.monotonic() < end:
        time.sleep(0.01)
    assert player.plays and len(seen) >= 12 and ended == [1]
    player.stop()
    assert not player.plays
    assert player._thread is not None
    player._thread.join(10)
    count = len(seen)
    time.sleep(3 / TICKS_PER_S)
    assert len(seen) == count and ended == [1] and not trouble


def test_a_camera_that_cannot_be_moved_is_told_and_ends_it() -> None:
    trouble: list[Exception] = []

    def gone(_: Cameras) -> None:
        raise ConnectionError(str(math.pi))

    player = Player(gone, lambda: None, trouble.append)
    player.start(around(PRIOR.default(), torch.zeros(3)), 5, again=True)
    _wait(player)
    assert player._thread is not None
    player._thread.join(10)
    assert len(trouble) == 1
