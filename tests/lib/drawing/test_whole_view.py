"""Where a scene that records no cameras is looked at from."""

import math

import pytest
from g3d.cameras import CameraPrior
from g3d.drawing.whole_view import cameras_of
from g3d.scenes.scene import World


def test_its_bounds_are_seen_whole() -> None:
    """By hand: a box of 20 x 40 x 40, whose half diagonal is 30, from 78 away, a little more than 30 / sin(22.5 degrees)."""
    found = cameras_of(World(((-10.0, 0.0, 0.0), (10.0, 40.0, 40.0))))
    assert found.target == (0.0, 20.0, 20.0) and found.radius_world == pytest.approx(78)
    assert found.radius_world * math.sin(math.radians(found.fov_deg / 2)) == pytest.approx(29.85, abs=0.01)


def test_what_it_records_goes_before() -> None:
    known = CameraPrior(3.0, 40.0, 8, 8)
    assert cameras_of(World(camera_prior=known)) is known
