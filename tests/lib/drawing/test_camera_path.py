"""`--cameras path:JSON[:N]`: through every key frame, without a jump of place, turn or speed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.cameras import CameraPrior, Cameras, read_transforms, write_transforms
from g3d.drawing.camera_path import CLOSED, Path3D, along, path_json, read_path
from g3d.drawing.camera_plan import CameraPlan
from g3d.errors import G3dError
from g3d.scenes.scene import World
from torch import Tensor

PRIOR = CameraPrior(2.0, 40.0, 12, 8, default_elevation_deg=10)


def keys(*azimuth_deg: float, elevation_deg: float = 10.0) -> Cameras:
    return PRIOR.at(torch.tensor(azimuth_deg), torch.full((len(azimuth_deg),), elevation_deg))


def wild(count: int) -> Cameras:
    """Key frames with random turns, places and focal lengths."""
    g = torch.Generator().manual_seed(3)
    turns, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=g, dtype=torch.float64))
    turns = turns * torch.linalg.det(turns)[:, None, None].sign()
    c2w = torch.eye(4).repeat(count, 1, 1)
    c2w[:, :3, :3], c2w[:, :3, 3] = turns.float(), torch.randn(count, 3, generator=g)
    k = torch.tensor([10.0, 11, 6, 4]) * (0.5 + torch.rand(count, 4, generator=g))
    return Cameras(c2w, k, 12, 8)


def degrees(found: Cameras) -> Tensor:
    """How far each view turns from the one before."""
    r = found.c2w[:, :3, :3].double()
    cosine = ((r[1:] * r[:-1]).sum(dim=(1, 2)) - 1) / 2
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


@pytest.mark.parametrize("closed", [False, True])
def test_every_key_frame_is_a_view_where_the_number_allows_it(closed: bool) -> None:
    path = Path3D(wild(5), closed)
    found = along(path, 6 * path.spans + (0 if closed else 1))
    torch.testing.assert_close(found.c2w[::6], path.keys.c2w, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.intrinsics[::6], path.keys.intrinsics, atol=1e-4, rtol=0)
    assert (found.width, found.height) == (12, 8)
    turn = found.c2w[:, :3, :3].double()
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3).double().expand_as(turn), atol=1e-5, rtol=0)


@pytest.mark.parametrize("closed", [False, True])
def test_speed_has_no_jump(closed: bool) -> None:
    """Steps of a fine path change by little from one to the next; a straight path between key frames jumps at each."""
    fine = along(Path3D(wild(5), closed), 4001)
    steps = (fine.c2w[1:, :3] - fine.c2w[:-1, :3]).double().flatten(1)  # [N - 1, 12]
    speed = steps.norm(dim=1).median()
    assert float((steps[1:] - steps[:-1]).norm(dim=1).max()) < 0.05 * float(speed)


def test_even_turns_about_one_axis_stay_even() -> None:
    """By hand: eight key frames around, 45 degrees apart; 24 views turn by 15 degrees each, also over the seam."""
    found = along(Path3D(keys(*(45.0 * i for i in range(8))), True), 24)
    torch.testing.assert_close(degrees(found), torch.full((23,), 15.0, dtype=torch.float64), atol=2e-3, rtol=0)
    eyes = found.c2w[:, :3, 3]
    assert float((eyes.norm(dim=1) - 2).abs().max()) < 0.02  # a spline is no circle, but near one


def test_catmull_rom_by_hand() -> None:
    """Half-way: (-p0 + 9 p1 + 9 p2 - p3) / 16; at the ends of an open path a key frame stands for its neighbour."""
    four = replace(wild(4), c2w=torch.eye(4).repeat(4, 1, 1))
    four.c2w[:, 0, 3] = torch.tensor([1.0, 2, 5, 3])
    found = along(Path3D(four, False), 7).c2w[:, 0, 3]
    half = [(-1 + 9 + 18 - 5) / 16, (-1 + 18 + 45 - 3) / 16, (-2 + 45 + 27 - 3) / 16]
    torch.testing.assert_close(found, torch.tensor([1, half[0], 2, half[1], 5, half[2], 3]), atol=1e-6, rtol=0)


def test_focal_lengths_are_interpolated_by_their_ratio() -> None:
    two = keys(0.0, 0.0)
    two = replace(two, intrinsics=two.intrinsics * torch.tensor([[1.0, 1, 1, 1], [4, 4, 1, 1]]))
    middle = along(Path3D(two, False), 3).intrinsics[1]
    torch.testing.assert_close(middle, two.intrinsics[0] * torch.tensor([2.0, 2, 1, 1]), atol=1e-4, rtol=0)


def test_the_words(tmp_path: Path) -> None:
    """A file with a number of views, without one, of one key frame, with a name that ends like a number of views."""
    file, world = tmp_path / "path.json", World()
    file.write_text(json.dumps(path_json(Path3D(keys(0.0, 60.0, 90.0), True))))
    assert read_path(file).closed
    assert len(CameraPlan(f"path:{file}", 0, None).for_world(world, 0, None)) == 72
    plan = CameraPlan(f"path:{file}:10", 0, 24)
    assert len(plan.for_world(world, 0, None)) == plan.views == 10 and plan.for_world(world, 0, None).width == 24
    torch.testing.assert_close(read_transforms(file).c2w, keys(0.0, 60.0, 90.0).c2w)  # a transforms.json, too
    write_transforms(tmp_path / "one", keys(30.0), ["a.png"])
    still = CameraPlan(f"path:{tmp_path / 'one'}:3", 0, None).for_world(world, 0, None)
    assert torch.equal(still.c2w, keys(30.0).c2w.expand(3, 4, 4))
    write_transforms(tmp_path / "b:7", keys(0.0, 90.0), ["a.png", "b.png"])
    assert CameraPlan(f"path:{tmp_path / 'b:7'}", 0, None).views == 25
    assert not read_path(tmp_path / "b:7").closed


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="does not exist"):
        CameraPlan(f"path:{tmp_path / 'none.json'}", 0, None)
    file = tmp_path / "path.json"
    file.write_text(json.dumps(path_json(Path3D(keys(0.0, 90.0), False)) | {CLOSED: "yes"}))
    with pytest.raises(G3dError, match=r"path_closed 'yes'; it is true or false"):
        CameraPlan(f"path:{file}", 0, None)
    file.write_text(json.dumps(path_json(Path3D(keys(0.0), False)) | {CLOSED: True}))
    with pytest.raises(G3dError, match="closed path of one key frame"):
        CameraPlan(f"path:{file}", 0, None)
    file.write_text(json.dumps(path_json(Path3D(keys(0.0, 90.0), False))))
    for number, words in (
        ("0", "not understood; write e.g. --cameras path:JSON:25"),
        ("10001", "more than 10000 views"),
    ):
        with pytest.raises(G3dError, match=words):
            CameraPlan(f"path:{file}:{number}", 0, None)


def test_render_draws_it(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "path.json"
    file.write_text(json.dumps(path_json(Path3D(keys(0.0, 90.0, 180.0), False))))
    words = ("render", pipeline.scenes / "000000.safetensors", "--cameras", f"path:{file}:5", "--size", "8")
    assert g3d(*words, "--out", tmp_path / "i").code == 0
    eyes = read_transforms(tmp_path / "i" / "transforms.json").c2w[:, :3, 3]
    wanted = keys(0.0, 90.0, 180.0).c2w[:, :3, 3]
    torch.testing.assert_close(eyes[::2], wanted, atol=1e-5, rtol=0)
    refused(g3d("render", pipeline.scenes, "--cameras", "path:", "--out", tmp_path / "j"), "camera path")
