"""mNIF's stage 1: the gradient of a step does not depend on chunks or on shares; rays show the pixels they claim."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from commands import Pipeline
from g3d.data.opening import open_dataset
from g3d.errors import Missing
from g3d.methods.mnif import PRESETS, MixtureOfSirens, check, signals
from g3d.methods.mnif.adaptation import joint_backward
from g3d.methods.mnif.networks import field, weights_of
from g3d.methods.mnif.ray_source import Count, RayBatch, RaySource
from g3d.render import volume
from g3d.scenes.scene import query

SETTINGS = replace(PRESETS["smoke"], rays_per_chunk=7)
ITEMS = (2, 0, 3)


@pytest.fixture(scope="module")
def source(pipeline: Pipeline) -> RaySource:
    data = open_dataset(pipeline.data)
    items, world = check(SETTINGS, data)
    return RaySource(data, [item.object for item in items], world, 0, Count(views=4, pixels=10, points=6))


def draw(source: RaySource, rows: slice = slice(0, 3)) -> RayBatch:
    return source.draw(torch.tensor(ITEMS)[rows], step=5, places=range(rows.start, rows.stop))


def test_rays_show_their_pixels(source: RaySource) -> None:
    """Each ray, projected back into the views of its scene, falls on a pixel centre of the very colour."""
    rays = draw(source)
    data = source.dataset
    assert rays.rgb.shape == (3, 40, 3) and rays.jitter.shape == (3, 40, 6)
    checked = 0
    for scene, item in enumerate((2, 0, 3)):
        views = data.views(item, "train")
        pictures = torch.from_numpy(data.pictures(views)).float() / 255
        cameras = source.cameras[views]
        for r in range(40):
            own = (cameras.c2w[:, :3, 3] - rays.origins[scene, r]).abs().sum(dim=1).argmin()
            local = cameras.c2w[own, :3, :3].T @ rays.directions[scene, r]
            assert float(local[2]) == pytest.approx(1, abs=1e-5)
            fx, fy, cx, cy = cameras.intrinsics[own]
            u, v = float(local[0] * fx + cx), float(local[1] * fy + cy)
            assert u % 1 == pytest.approx(0.5, abs=1e-3) and v % 1 == pytest.approx(0.5, abs=1e-3)
            assert torch.equal(pictures[own, int(v), int(u)], rays.rgb[scene, r])
            checked += 1
    assert checked == 120


def test_every_view_comes_before_any_comes_twice(source: RaySource) -> None:
    few = RaySource(source.dataset, [0, 1, 2, 3], source.world, 0, Count(views=6, pixels=1, points=1))
    rays = few.draw(torch.tensor([1]), step=0, places=[0])
    assert len({tuple(o.tolist()) for o in rays.origins[0]}) == 6


def test_rays_that_meet_the_box_come_first_and_weigh_one(source: RaySource) -> None:
    rays = draw(source)
    assert rays.weight.mean() > 0.9  # twice as many candidates as wanted leave few misses
    assert ((rays.far > rays.near) == (rays.weight == 1)).all()


def test_shares_see_what_one_process_sees(source: RaySource) -> None:
    whole, part = draw(source), draw(source, slice(1, 3))
    for a, b in zip(whole, part, strict=True):
        assert torch.equal(a[1:], b)


def gradients(rays: RayBatch, source: RaySource, **changes: Any) -> tuple[float, list[torch.Tensor]]:
    settings = replace(SETTINGS, points_per_ray=6, batch=3, **changes)
    net = MixtureOfSirens(settings)
    codes = torch.nn.Parameter(torch.randn(4, 8, generator=torch.Generator().manual_seed(3)))
    loss_of = signals.loss(settings, source.world, torch.device("cpu"))
    loss = joint_backward(net, codes[torch.tensor(ITEMS)], rays, settings, loss_of)
    found = [p.grad for p in (*net.parameters(), codes)]
    assert all(g is not None for g in found)
    return float(loss), found  # type: ignore[return-value]


def test_chunks_do_not_change_the_gradient(source: RaySource) -> None:
    rays = draw(source)
    loss_a, a = gradients(rays, source, rays_per_chunk=1000)
    loss_b, b = gradients(rays, source, rays_per_chunk=7)
    assert loss_a == pytest.approx(loss_b, rel=1e-5)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_that_of_the_plain_loss(source: RaySource) -> None:
    """Mean over rays that meet the box and channels of the squared difference, plus the decay, by autograd in one piece."""
    rays = draw(source)
    _, found = gradients(rays, source)
    settings = replace(SETTINGS, points_per_ray=6)
    net = MixtureOfSirens(settings)
    codes = torch.nn.Parameter(torch.randn(4, 8, generator=torch.Generator().manual_seed(3)))
    picked = codes[torch.tensor([2, 0, 3])]
    scenes = field(settings, weights_of(net.mix(picked)), source.world, drawn=False)
    drawn = volume.render_rays(
        lambda points, _: query(scenes, points), rays.origins, rays.directions, rays.near, rays.far,
        volume.Sampling(6), torch.ones(3), jitter=rays.jitter,
    )  # fmt: skip
    loss = torch.zeros(())
    for scene in range(3):
        kept = rays.weight[scene] == 1
        loss = loss + (drawn.rgb[scene] - rays.rgb[scene])[kept].square().mean() / 3
    (loss + settings.latent_decay * picked.square().mean()).backward()
    for x, p in zip(found, (*net.parameters(), codes), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(x, p.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_a_compiled_loss_has_the_same_gradients(source: RaySource) -> None:
    rays = draw(source)
    (loss, plain), (same, compiled) = gradients(rays, source), gradients(rays, source, compile=True)
    assert same == pytest.approx(loss, rel=1e-5)
    for a, b in zip(plain, compiled, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-6)


def test_without_a_compiler_compiling_is_a_sentence(source: RaySource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(Missing, match=r"needs a C\+\+ compiler"):
        gradients(draw(source), source, compile=True)
