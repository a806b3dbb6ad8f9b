"""Feature planes: frames by hand; kernels against `grid_sample` in double precision, the same bits on any number of threads."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import pytest
import torch
from commands import environment
from g3d.cameras import CameraPrior
from g3d.render import render_scene
from g3d.scenes import planes
from g3d.scenes.planes import Frame, channels_last, features, sampled
from g3d.scenes.scene import Triplane, World
from torch import Tensor

BOX = Frame((-1.0, -0.8, -0.6), (1.0, 0.9, 0.7))
FRAMES = {
    "box": BOX,
    "box, part": replace(BOX, extent=(0.5, 0.8, 1.0)),
    "sphere": replace(BOX, sphere=True),
    "sphere, part, scaled": replace(BOX, sphere=True, scale=2.0, extent=(0.5, 0.5, 1.0)),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed * 1000 + sum(shape)))


def test_places_by_hand() -> None:
    points = torch.tensor([[0.25, -0.8, 0.7], [3.0, 0.0, 4.0]])
    assert BOX.place(points)[0].tolist() == pytest.approx([0.25, -1, 1])
    assert FRAMES["box, part"].place(points)[0].tolist() == pytest.approx([0.5, -1.25, 1])
    # |(3, 0, 4)| = 5 => 2 - 1/5 = 1.8, half of it along (0.6, 0, 0.8); twice as far: 1.9
    assert FRAMES["sphere"].place(points)[1].tolist() == pytest.approx([0.54, 0, 0.72])
    assert FRAMES["sphere, part, scaled"].place(points)[1].tolist() == pytest.approx([2 * 0.57, 0, 0.76])
    near = torch.tensor([0.1, -0.2, 0.3])  # within the sphere also after scaling: straight
    assert FRAMES["sphere, part, scaled"].place(near).tolist() == pytest.approx([0.2, -0.4, 0.3])


@pytest.mark.parametrize(("plane", "axes"), [(0, (0, 1)), (1, (0, 2)), (2, (1, 2))])
def test_rows_and_columns_run_upward(plane: int, axes: tuple[int, int]) -> None:
    """The cell in row 0 and the last column of XY is that of the lowest y and the highest x."""
    tensor = torch.zeros(1, 3, 1, 4, 5)
    tensor[0, plane, 0, 0, 4] = 3.0
    point = torch.zeros(3)
    point[axes[0]], point[axes[1]] = 0.9, -0.9
    whole = Frame((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    assert float(sampled(tensor, point.view(1, 1, 3), whole)) == pytest.approx(1)
    point[axes[1]] = 0.9
    assert float(sampled(tensor, point.view(1, 1, 3), whole)) == 0


def test_channels_last_changes_nothing_but_the_memory() -> None:
    tensor = normal(2, 3, 4, 5, 6).requires_grad_()
    found = channels_last(tensor)
    assert torch.equal(found, tensor) and found.permute(0, 1, 3, 4, 2).is_contiguous()
    assert found.stride() == channels_last(found).stride()
    torch.testing.assert_close(torch.autograd.grad((found * normal(2, 3, 4, 5, 6, seed=1)).sum(), tensor)[0],
                               normal(2, 3, 4, 5, 6, seed=1))  # fmt: skip


@pytest.mark.slow
def test_few_points_and_other_precisions_need_no_kernels() -> None:
    code = (
        "import sys, torch; from g3d.scenes.planes import *; frame = Frame((-1, -1, -1), (1, 1, 1)); "
        "a = features(torch.zeros(1, 3, 2, 4, 4), torch.zeros(1, FEW - 1, 3), frame); "
        "b = features(torch.zeros(1, 3, 2, 4, 4).double(), torch.zeros(1, FEW, 3).double(), frame); "
        "assert a.shape == (1, FEW - 1, 2) and b.dtype == torch.float64 and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def clear(frame: Frame, count: int, height: int, width: int, seed: int) -> Tensor:
    """World points [1, count, 3], near and far, that lie in no plane on the border of two cells, where slopes are two."""
    points = (
        normal(count * 4, 3, seed=seed).double()
        * torch.tensor([0.3, 1.0, 6.0]).double().repeat(count * 4)[: count * 4, None]
    )
    x = frame.place(points)
    found = torch.ones(len(points), dtype=torch.bool)
    for size, axes in ((width, (0, 1)), (height, (1, 2))):
        pixel = ((x[:, axes] + 1) * size - 1) / 2
        found &= ((pixel - pixel.round()).abs() > 1e-3).all(dim=1)
    assert int(found.sum()) >= count
    return points[found][None, :count]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 1, 9, 7), (1, 3, 1, 5), (2, 8, 6, 1), (1, 16, 12, 16), (3, 37, 5, 8)])
@pytest.mark.parametrize("name", FRAMES)
def test_kernels_against_grid_sample_in_double(name: str, shape: tuple[int, int, int, int]) -> None:
    from g3d.scenes.planes.function import lookup

    batch, channels, height, width = shape
    frame = FRAMES[name]
    points = torch.cat([clear(frame, 300, height, width, seed) for seed in range(batch)])
    tensor, upstream = normal(batch, 3, channels, height, width).double(), normal(batch, 300, channels, seed=9)
    found = []
    for read in (sampled, lambda t, p, f: lookup(t.permute(0, 1, 3, 4, 2).contiguous(), p, f)):
        to = torch.float64 if read is sampled else torch.float32
        leaves = [t.to(to).requires_grad_() for t in (tensor, points)]
        out = read(leaves[0], leaves[1], frame)
        found.append([out.detach(), *torch.autograd.grad(out, leaves, upstream.to(to))])
    for wanted, given in zip(*found, strict=True):
        size = max(1.0, float(wanted.abs().max()))
        assert given.dtype == torch.float32 and wanted.dtype == torch.float64
        assert float((given - wanted).abs().max()) < 1e-5 * size
    assert height * width == 5 or float(found[0][2].abs().max()) > 0.1  # points have slopes


@pytest.mark.slow
def test_points_at_borders_far_away_and_that_are_none() -> None:
    from g3d.scenes.planes.function import lookup

    tensor = normal(1, 3, 2, 4, 4)
    points = torch.tensor([[[0.0, 0, 0], [1, 0.9, 0.7], [-1, -0.8, -0.6], [50, -50, 50], [1e30, 0, 0], [1, 1e-30, 0]]])
    for frame in FRAMES.values():
        found = lookup(tensor.permute(0, 1, 3, 4, 2).contiguous(), points, frame)
        torch.testing.assert_close(found, sampled(tensor, points, frame), atol=1e-5, rtol=0)
        for bad in (float("nan"), float("inf"), -float("inf")):
            wrong = torch.full((1, 3, 3), bad)
            leaf = tensor.permute(0, 1, 3, 4, 2).contiguous().requires_grad_()
            out = lookup(leaf, wrong, frame)
            torch.autograd.grad(out.sum(), leaf)  # touches no foreign memory
            assert bool(out.isnan().all()) or (not frame.sphere and bad == bad)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit() -> None:
    tensor, points = normal(2, 3, 5, 7, 6), normal(2, 5000, 3)
    upstream = normal(2, 5000, 5, seed=2)

    def run(count: int) -> list[Tensor]:
        with mock.patch("g3d.kernels.threads.count", lambda: count):
            leaves = [t.clone().requires_grad_() for t in (tensor, points)]
            out = features(leaves[0], leaves[1], FRAMES["sphere"])
            return [out, *torch.autograd.grad(out, leaves, upstream)]

    alone = run(1)
    for count in (2, 3, 8):
        assert all(torch.equal(a, b) for a, b in zip(alone, run(count), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["planes", "points", "both"])
def test_only_what_is_asked_has_a_gradient(wanted: str) -> None:
    leaves = {"planes": normal(1, 3, 4, 5, 6), "points": normal(1, planes.FEW, 3)}
    for name, leaf in leaves.items():
        leaf.requires_grad_(wanted in (name, "both"))
    both: list[Callable[..., Tensor]] = [features, sampled]
    slopes = []
    for read in both:
        read(leaves["planes"], leaves["points"], BOX).square().sum().backward()
        slopes.append({name: leaf.grad for name, leaf in leaves.items()})
        for leaf in leaves.values():
            leaf.grad = None
    for name in leaves:
        a, b = slopes[0][name], slopes[1][name]
        assert (a is None) == (b is None) == (wanted not in (name, "both"))
        if a is not None and b is not None:
            different = (
                ((a - b).abs() > 1e-4 * (1 + b.abs())).float().mean()
            )  # a point on the border of cells has two slopes
            assert float(different) < 1e-3


@pytest.mark.slow
def test_a_scene_is_drawn_the_same_by_both(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [((normal(1, 8, 4) / 2, normal(1, 8)), (normal(1, o, 8, seed=1), normal(1, o))) for o in (4, 1)]
    world = World(near_world=0.5, far_world=10.0, samples=16, proposal_samples=16, spacing="disparity", opaque_end=True)
    scene = Triplane(normal(1, 3, 4, 16, 16), layers[0], world, layers[1], "sphere", (0.5, 0.5, 1.0), 2.0)
    camera = CameraPrior(1.0, 50.0, 24, 24).default()
    calls = []
    with mock.patch("g3d.scenes.planes.sampled", lambda *a: calls.append(a) or sampled(*a)):
        fast = render_scene(scene, camera)
    assert len(calls) == 2  # of the last chunk, which is small
    monkeypatch.setattr(planes, "FEW", 10**9)
    slow = render_scene(scene, camera)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)  # a proposal a little beside another moves all samples
    assert float(fast.rgb.std()) > 0.05
