"""The CPU rasteriser: against the float64 reference and finite differences; the same bits on any number of threads."""

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from commands import environment
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.render.splat import rasterize
from g3d.scenes.scene import Gaussians, World
from safetensors.torch import load_file
from splat_cases import CAMERAS, NAMES, compare, crowd, drawn, nasty, relative, weights
from torch import Tensor

CASES = nasty()


@pytest.mark.slow
@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("log_scale", [-1.0, -2.0, -4.0])
def test_picture_and_gradients_are_those_of_the_reference(log_scale: float, antialiased: bool) -> None:
    compare(crowd(400, 2, log_scale=log_scale), "cpu", antialiased=antialiased)


@pytest.mark.slow
@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_nasty_scenes(name: str, antialiased: bool) -> None:
    # At 1e13 world units, what anti-aliasing adds and takes away cancels to nothing: single precision leaves 1e-3.
    loose = antialiased and name == "beyond all bounds"
    compare(CASES[name], "cpu", antialiased=antialiased, tolerance=1e-2 if loose else 1e-4)


def test_a_principal_point_off_the_axis_and_pixels_that_are_not_square() -> None:
    off = CAMERAS.intrinsics * torch.tensor([1.0, 1.4, 0.2, 1.7])
    compare(crowd(300), "cpu", replace(CAMERAS, intrinsics=off))
    outside = CAMERAS.intrinsics + torch.tensor([0.0, 0.0, 80.0, 0.0])
    compare(crowd(300), "cpu", replace(CAMERAS, intrinsics=outside))


def test_gradients_are_finite_differences() -> None:
    """Along random directions, by central differences of the reference in double."""
    scene, step = crowd(60, k=4, seed=3), 1e-6
    upstream = weights(1, CAMERAS)
    found = drawn(scene, CAMERAS, upstream, "cpu").gradients
    g = torch.Generator().manual_seed(5)

    def loss(name: str, change: Tensor) -> float:
        moved = replace(scene, **{name: getattr(scene, name).detach() + change})
        parts = rasterize(moved, CAMERAS, background=(0.2, 0.4, 0.6), backend="reference")
        return sum(float((p * w).sum().detach()) for p, w in zip(parts, upstream, strict=True) if p is not None)

    for name, gradient in zip(NAMES, found[:5], strict=True):
        direction = torch.randn(getattr(scene, name).shape, generator=g, dtype=torch.float64)
        wanted = (loss(name, step * direction) - loss(name, -step * direction)) / (2 * step)
        assert float((gradient.double() * direction).sum()) == pytest.approx(wanted, rel=1e-4), name


def test_alpha_and_colour_alone_are_the_same_without_depth() -> None:
    scene, upstream = crowd(200), weights(1, CAMERAS)[:2]
    with_depth, without = (drawn(scene, CAMERAS, upstream, "cpu", depth=d) for d in (True, False))
    assert without.picture.depth is None
    assert torch.equal(with_depth.picture.rgb, without.picture.rgb)
    for a, b in zip(with_depth.gradients, without.gradients, strict=True):
        assert relative(a, b) < 1e-6


def test_scenes_each_with_their_own_cameras_and_direct_colours() -> None:
    scenes, cameras = crowd(100, 2), CAMERAS
    colours = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(2))
    single = Gaussians(**{n: getattr(scenes, n).float() for n in NAMES}, world=World())
    both = rasterize(single, [cameras[0], cameras[1]], colours=colours, background=(0, 0, 0))
    for b in range(2):
        one = Gaussians(**{n: getattr(single, n)[b : b + 1] for n in NAMES}, world=World())
        alone = rasterize(one, cameras[b], colours=colours[b : b + 1], background=(0, 0, 0))
        assert torch.equal(both.rgb[b], alone.rgb[0])
        dense = rasterize(one, cameras[b], colours=colours[b : b + 1], background=(0, 0, 0), backend="reference")
        assert relative(alone.rgb, dense.rgb) < 1e-5
    with pytest.raises(G3dError, match="2 sets of as many views"):
        rasterize(single, [cameras[0]])


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def test_the_same_bits_on_any_number_of_threads(threads: None) -> None:
    scene = crowd(6000, log_scale=-3.0)
    cameras = CAMERAS.resized(210, 150)
    found = []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        result = drawn(scene, cameras, weights(1, cameras), "cpu")
        found.append([result.picture.rgb, result.picture.alpha, *result.gradients])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_several_contexts_at_once(threads: None) -> None:
    """Two forward passes before the first backward, and passes in several threads, do not disturb each other."""
    scenes = [crowd(5000, seed=s, log_scale=-3.0) for s in (1, 2)]
    upstream = weights(1, CAMERAS)
    alone = [drawn(s, CAMERAS, upstream, "cpu").gradients for s in scenes]
    leaves = [s.means.float().requires_grad_() for s in scenes]
    losses = []
    for scene, means in zip(scenes, leaves, strict=True):
        single = Gaussians(**{n: getattr(scene, n).float() for n in NAMES}, world=World())
        parts = rasterize(replace(single, means=means), CAMERAS, background=(0.2, 0.4, 0.6))
        losses.append(sum((p.double() * w).sum() for p, w in zip(parts, upstream, strict=True) if p is not None))
    for i in (0, 1):
        assert torch.equal(torch.autograd.grad(losses[i], leaves[i])[0], alone[i][0])
    torch.set_num_threads(2)
    results: dict[int, tuple[Tensor, ...]] = {}

    def work(i: int) -> None:
        for _ in range(5):
            results[i] = drawn(scenes[i], CAMERAS, upstream, "cpu").gradients

    workers = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in (0, 1):
        assert all(torch.equal(a, b) for a, b in zip(results[i], alone[i], strict=True))


def alpha_sum(threads_used: int) -> float:
    """With a number of threads, whatever torch has."""
    with mock.patch("g3d.kernels.threads.count", lambda: threads_used):
        return float(rasterize(crowd(5000, log_scale=-3.0), CAMERAS).alpha.sum())


class Drawing(torch.utils.data.Dataset[float]):
    """A data set whose items are drawn."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> float:
        return alpha_sum(2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_data_loader_worker_draws_too() -> None:
    """After the parent has drawn with two threads: GNU OpenMP and numba's layers die here."""
    here = alpha_sum(2)
    loader = torch.utils.data.DataLoader(
        Drawing(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    assert list(loader) == [here] * 4


def test_what_was_drawn_may_not_be_changed_before_its_gradient() -> None:
    means = crowd(50).means.float().requires_grad_()
    scene = Gaussians(**{n: getattr(crowd(50), n).float() for n in NAMES}, world=World())
    rgb = rasterize(replace(scene, means=means), CAMERAS).rgb
    with torch.no_grad():
        rgb.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        rgb.sum().backward()


@pytest.mark.parametrize("name", [*NAMES, "cameras"])
def test_what_is_no_number_is_named(name: str) -> None:
    scene, cameras = crowd(50, k=1), CAMERAS
    if name == "cameras":
        cameras = replace(cameras, c2w=cameras.c2w.clone())
        cameras.c2w[1, 0, 3] = float("nan")
    else:
        tensor = getattr(scene, name).clone()
        tensor[0, 7] = float("nan")
        scene = replace(scene, **{name: tensor})
    with pytest.raises(G3dError, match=f"'{'colours' if name == 'sh' else name}' holds .* NaN or infinite"):
        rasterize(scene, cameras)


def test_a_picture_of_8_million_pixels() -> None:
    """A small cloud in its far corner, against a small picture of the corner by the reference."""
    camera = CameraPrior(3.0, 40.0, 3840, 2160).default()
    x, y, cloud = 3690, 2040, crowd(200, log_scale=-7.0)
    fx, fy, cx, cy = camera.intrinsics[0].double().tolist()
    local = torch.tensor([(x + 60 - cx) / fx, (y + 50 - cy) / fy, 1.0], dtype=torch.float64) * 3
    c2w = camera.c2w[0].double()
    cloud = replace(cloud, means=cloud.means * 0.01 + c2w[:3, :3] @ local + c2w[:3, 3])
    corner = replace(camera, intrinsics=camera.intrinsics - torch.tensor([0.0, 0, x, y]), width=120, height=100)
    wanted = rasterize(cloud, corner, depth=False, backend="reference").rgb[0, 0]
    assert float((wanted - 1).abs().max()) > 0.3
    whole = rasterize(cloud, camera, depth=False).rgb[0, 0]
    assert whole.shape == (2160, 3840, 3)
    assert relative(whole[y : y + 100, x : x + 120], wanted) < 1e-3  # a centre at 3,700 pixels is known to 2e-4 of one
    whole[y : y + 100, x : x + 120] = 1
    assert float((whole - 1).abs().max()) == 0


FUSED = "from g3d.render.splat.cpu.inspection import *; f = fused_on_wide_registers(); print(REGISTER, *f.values())"


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of registers are those of x86")
@pytest.mark.parametrize(("lanes", "processor", "register"), [(8, "haswell", "ymm"), (16, "skylake-avx512", "zmm")])
def test_kernels_are_vectorised(lanes: int, processor: str, register: str) -> None:
    """Wide registers and fused multiply-adds in the code: what fails silently otherwise (and is 11 times slower).

    It is compiled for processors of both kinds, whichever this one is, and not run."""
    env = environment(G3D_SPLAT_LANES=str(lanes), NUMBA_CPU_NAME=processor, NUMBA_CPU_FEATURES="")
    done = subprocess.run([sys.executable, "-c", FUSED], check=True, env=env, capture_output=True, text=True)
    name, *counts = done.stdout.split()
    assert name == register and len(counts) == 2 and min(map(int, counts)) > 40, done.stdout


@pytest.mark.slow
def test_sixteen_lanes_draw_the_same(tmp_path: Path) -> None:
    """The other width of lanes, which this processor may split into halves: other sums, the same picture."""
    from g3d.render.splat.cpu.lane_type import LANES

    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); from splat_cases import *; "
        "from g3d.render.splat.cpu.lane_type import LANES; "
        "d = drawn(crowd(500), CAMERAS, weights(1, CAMERAS), 'cpu'); "
        "from safetensors.torch import save_file; "
        "found = {'lanes': torch.tensor(LANES), 'rgb': d.picture.rgb, **{f'g{i}': g for i, g in enumerate(d.gradients)}}; "
        "save_file({k: v.detach().contiguous() for k, v in found.items()}, sys.argv[2])"
    )
    other = 24 - LANES  # 8 <=> 16
    words = [sys.executable, "-c", code, str(Path(__file__).parents[2]), str(tmp_path / "o.safetensors")]
    subprocess.run(words, check=True, env=environment(G3D_SPLAT_LANES=str(other)))
    found = load_file(tmp_path / "o.safetensors")
    assert int(found["lanes"]) == other
    here = drawn(crowd(500), CAMERAS, weights(1, CAMERAS), "cpu")
    assert relative(found["rgb"], here.picture.rgb) < 1e-6
    assert len(found) == 2 + len(here.gradients)
    assert all(relative(found[f"g{i}"], g) < 1e-4 for i, g in enumerate(here.gradients))


@pytest.mark.slow
def test_kernels_are_kept_and_made_anew_where_they_cannot_be(tmp_path: Path) -> None:
    """One process compiles, the next reads; a folder that cannot be written is no error."""
    code = (
        "import numpy as np; from g3d.render.splat.cpu.bins import lay_out; "
        "c, t = np.ones((1, 4), np.int64), np.ones(1, np.int64); "
        "assert lay_out(c, t, np.empty(5, np.int64)) == 1; print(sum(lay_out.stats.cache_hits.values()))"
    )

    def hits(**env: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, env=environment(**env), capture_output=True, text=True
        )
        return done.stdout.strip()

    assert [hits(NUMBA_CACHE_DIR=str(tmp_path / "c")) for _ in range(2)] == ["0", "1"]
    for file in (tmp_path / "c").rglob("*.nbc"):
        file.write_bytes(b"damaged")
    assert hits(NUMBA_CACHE_DIR=str(tmp_path / "c")) == "0"
    nowhere = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []; "
    done = subprocess.run(
        [sys.executable, "-c", nowhere + code], check=True, env=environment(), capture_output=True, text=True
    )
    assert done.stdout.strip() == "0"
