"""`--cameras disc:R[:N]` and `ring:R[:N]`: on the plane through the default camera, aimed at its target."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.cameras import CameraPrior, Cameras, read_transforms
from g3d.drawing.camera_plan import CameraPlan
from g3d.scenes.scene import World
from g3d.steps.sample import Options, run
from torch import Tensor

FRONT = CameraPrior(2.0, 40.0, 8, 6, default_azimuth_deg=0, default_elevation_deg=0, target=(1.0, 2.0, 3.0))
ASIDE = replace(FRONT, default_azimuth_deg=50.0, default_elevation_deg=-30.0)


def cameras(words: str, prior: CameraPrior = FRONT, seed: int = 0, index: int = 0, size: int | None = None) -> Cameras:
    return CameraPlan(words, seed, size).for_world(World(camera_prior=prior), index, None)


def eyes(found: Cameras) -> Tensor:
    return found.c2w[:, :3, 3]


def test_by_hand_for_azimuth_0() -> None:
    """The default camera stands at target + (0, 0, 2), its right is +x, its up +y: the ring lies in that plane."""
    found = cameras("ring:0.5:4")
    wanted = torch.tensor([[1.5, 2, 5], [1, 2.5, 5], [0.5, 2, 5], [1, 1.5, 5]])
    torch.testing.assert_close(eyes(found), wanted, atol=1e-6, rtol=0)
    long = math.hypot(0.5, 2)
    forward = torch.tensor([[-0.5, 0, -2], [0, -0.5, -2], [0.5, 0, -2], [0, 0.5, -2]]) / long
    torch.testing.assert_close(found.c2w[:, :3, 2], forward, atol=1e-6, rtol=0)
    assert (found.width, found.height) == (8, 6) and torch.equal(
        found.intrinsics, FRONT.default().intrinsics.expand(4, 4)
    )
    assert len(cameras("ring:0.5")) == 60 and len(cameras("disc:0.5")) == 1
    assert cameras("disc:0.5", size=4).width == 4


@pytest.mark.parametrize("prior", [FRONT, ASIDE])
@pytest.mark.parametrize("words", ["disc:0.7:50", "ring:0.7:50", "disc:0"])
def test_all_lie_in_the_tangent_plane_and_look_at_the_target(words: str, prior: CameraPrior) -> None:
    found, default = cameras(words, prior), prior.default()
    target = torch.tensor(prior.target)
    away = eyes(found) - eyes(default)
    assert (away @ default.c2w[0, :3, 2]).abs().max() < 1e-5  # perpendicular to the viewing direction
    distance = away.norm(dim=1)
    assert distance.max() < 0.7 + 1e-5 and (not words.startswith("ring") or distance.min() > 0.7 - 1e-5)
    at_target = (target - eyes(found)).unsqueeze(1) @ found.c2w[:, :3, :3]  # [V, 1, 3] in camera axes
    assert at_target[..., :2].abs().max() < 1e-5 and bool((at_target[..., 2] > 0).all())
    torch.testing.assert_close(found.c2w[:, 1, 0], torch.zeros(len(found)))  # right is level, as the default's
    if words == "disc:0":
        torch.testing.assert_close(found.c2w, default.c2w, atol=1e-6, rtol=0)


def test_uniform_in_the_area() -> None:
    """4,000 places: shares within radii and of quarters are those of areas; a binomial share is within 4 deviations."""
    offset = eyes(cameras("disc:2:4000", seed=3))[:, :2] - torch.tensor([1.0, 2.0])
    radius = offset.norm(dim=1) / 2
    for r in (0.25, 0.5, 0.75, 0.9):
        share = float((radius < r).float().mean())
        assert abs(share - r**2) < 4 * math.sqrt(r**2 * (1 - r**2) / 4000), r
    quarters = [((offset[:, 0] > 0) == a) & ((offset[:, 1] > 0) == b) for a in (True, False) for b in (True, False)]
    assert all(abs(float(q.float().mean()) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000) for q in quarters)


def test_a_camera_depends_on_seed_scene_and_place_alone() -> None:
    one = cameras("disc:0.3", seed=5, index=7).c2w
    assert torch.equal(cameras("disc:0.3:40", seed=5, index=7).c2w[:1], one)
    for seed, index in ((5, 8), (6, 7)):
        assert not torch.allclose(cameras("disc:0.3", seed=seed, index=index).c2w, one, atol=1e-4)
    assert torch.equal(cameras("ring:0.3", seed=5).c2w, cameras("ring:0.3", seed=6, index=1).c2w)


def test_the_same_camera_whatever_the_batch(pipeline: Pipeline, tmp_path: Path) -> None:
    from g3d.drawing.painter import Drawing

    found = []
    for batch in (1, 3):
        how = Drawing("disc:0.4", size=8, seed=2)
        out = tmp_path / str(batch)
        run(Options(pipeline.model, pipeline.prior, None, num=3, images=out, drawing=how, batch=batch, device="cpu"))
        found.append(read_transforms(out / "transforms.json").c2w)
    assert torch.equal(*found) and len(found[0]) == 3 and not torch.allclose(found[0][0], found[0][1], atol=1e-3)
    assert (
        g3d("render", pipeline.scenes, "--cameras", "disc:0.4", "--size", 8, "--seed", 2, "--out", tmp_path / "r").code
        == 0
    )
    assert torch.equal(read_transforms(tmp_path / "r" / "transforms.json").c2w, found[0])  # one view each, side by side


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("disc", "radius in world units, e.g. --cameras disc:0.25"), ("ring:x", "--cameras ring:0.25"),
        ("disc:-1", "radius in world units"), (f"disc:{'9' * 400}", "radius in world units"),
        ("disc:0.2:0", "write e.g. --cameras disc:0.25:1"), ("ring:0.2:a", "--cameras ring:0.25:60"),
        ("disc:0.2:10001", "more than 10000 views"), ("disk:0.2", "did you mean 'disc'"),
    ],
)  # fmt: skip
def test_words_that_mean_nothing(words: str, said: str, pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("render", pipeline.scenes, "--cameras", words, "--out", tmp_path / "i"), said)
