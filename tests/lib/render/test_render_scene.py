"""`render_scene`: fields in their box, backgrounds, chunks, settings."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from g3d import render
from g3d.cameras import CameraPrior
from g3d.config import as_json, override
from g3d.errors import G3dError
from g3d.render import FieldSettings, GaussianSettings, default_settings, render_image_field, render_scene
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import Gaussians, MlpField, Triplane, World

PRIOR = CameraPrior(4.0, 40.0, 11, 9, default_azimuth_deg=0, default_elevation_deg=0)
BACK = (0.1, 0.6, 0.3)
RGB = (0.9, 0.5, 0.2)


def linear(rgb: tuple[float, ...], sigma: float, signal: Any = "radiance", **world: Any) -> MlpField:
    """A field of one colour and one density everywhere in its box."""
    bias = torch.tensor([[*rgb, sigma]])
    network = Network(
        (Layer("a", ("x",), Activation("linear")),),
        {"rgb": Output("a", 0, 3, Activation("clamp")), "density": Output("a", 3, 4, Activation("relu"))},
        {"x": Encoding()},
    )
    box = World(((-1.0, -0.5, -0.25), (1.0, 0.5, 0.75)), 0.5, 9.0, BACK, 16, **world)
    return MlpField({"a": (torch.zeros(1, 4, 3), bias)}, network, box, signal)


def chord(row: int, column: int) -> tuple[float, float] | None:
    """Where the ray of a pixel enters and leaves the box, as camera z, with pencil and paper."""
    focal = 0.5 * 11 / math.tan(math.radians(20))
    d = ((column + 0.5 - 5.5) / focal, -(row + 0.5 - 4.5) / focal, -1.0)
    start, end = 0.5, 9.0
    for o, v, low, high in zip((0.0, 0.0, 4.0), d, (-1.0, -0.5, -0.25), (1.0, 0.5, 0.75), strict=True):
        if v == 0:
            continue
        a, b = sorted(((low - o) / v, (high - o) / v))
        start, end = max(start, a), min(end, b)
    return (start, end) if end > start else None


def test_a_box_of_fog_pixel_by_pixel() -> None:
    sigma = 0.7
    rgb, alpha, depth = render_scene(linear(RGB, sigma), PRIOR.default())
    focal, missed = 0.5 * 11 / math.tan(math.radians(20)), 0
    for row in range(9):
        for column in range(11):
            found = chord(row, column)
            if found is None:
                missed += 1
                assert alpha[0, row, column] == 0 and depth[0, row, column] == 0
                assert rgb[0, row, column].tolist() == pytest.approx(BACK)
                continue
            norm = math.sqrt(1 + ((column - 5) ** 2 + (row - 4) ** 2) / focal**2)
            a = 1 - math.exp(-sigma * norm * (found[1] - found[0]))
            assert float(alpha[0, row, column]) == pytest.approx(a, abs=1e-5)
            wanted = [a * c + (1 - a) * b for c, b in zip(RGB, BACK, strict=True)]
            assert rgb[0, row, column].tolist() == pytest.approx(wanted, abs=1e-5)
            assert found[0] < float(depth[0, row, column]) < found[1]
    assert 10 < missed < 90


def test_views_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = PRIOR.sample(0, range(3))
    whole = render_scene(linear(RGB, 1.0), cameras)
    assert whole.rgb.shape == (3, 9, 11, 3) and whole.alpha.shape == whole.depth.shape == (3, 9, 11)
    monkeypatch.setattr(render, "POINTS_PER_CHUNK", 40)
    for v in range(3):
        for a, b in zip(whole, render_scene(linear(RGB, 1.0), cameras[v]), strict=True):
            torch.testing.assert_close(a[v], b[0], atol=1e-6, rtol=0)


def test_settings_come_from_the_scene_and_may_be_changed() -> None:
    scene = linear(RGB, 0.5, opaque_end=True)
    assert default_settings(scene) == FieldSettings(16, True, BACK)
    opaque = render_scene(scene, PRIOR.default())
    assert float(opaque.alpha[0, 4, 5]) == pytest.approx(1, abs=1e-6)
    changed = override(default_settings(scene), ["opaque_end=false", "background=0,0,1"], "a scene")
    thin = render_scene(scene, PRIOR.default(), changed)
    assert float(thin.alpha[0, 4, 5]) == pytest.approx(1 - math.exp(-0.5), abs=1e-5)
    assert thin.rgb[0, 0, 0].tolist() == [0, 0, 1]
    with pytest.raises(G3dError, match=r"background has 2 numbers.*1,1,1"):
        render_scene(scene, PRIOR.default(), override(changed, ["background=1,1"], "a scene"))
    with pytest.raises(G3dError, match="'samples' is 0"):
        override(changed, ["samples=0"], "a scene")
    assert as_json(changed)["background"] == [0.0, 0.0, 1.0]


def test_near_and_far_cut_the_field() -> None:
    scene = linear(RGB, 0.5)
    middle = (4, 5)  # straight ahead: the box from 3.25 to 4.25
    near = replace(scene, world=replace(scene.world, near_world=3.75))
    far = replace(scene, world=replace(scene.world, far_world=3.5))
    for cut, length in ((near, 0.5), (far, 0.25)):
        alpha = render_scene(cut, PRIOR.default()).alpha[0]
        assert float(alpha[middle]) == pytest.approx(1 - math.exp(-0.5 * length), abs=1e-5)


def test_a_camera_inside_the_box_and_one_that_looks_away() -> None:
    inside = replace(PRIOR, radius_world=0.5).default()  # at (0, 0, 0.5), looks along -z
    scene = linear(RGB, 2.0)
    scene = replace(scene, world=replace(scene.world, near_world=0.0))
    alpha = render_scene(scene, inside).alpha[0, 4, 5]
    assert float(alpha) == pytest.approx(1 - math.exp(-2 * 0.75), abs=1e-5)
    away = replace(inside, c2w=inside.c2w * torch.tensor([-1.0, 1, -1, 1]))
    away.c2w[:, 2, 3] = 4.0
    assert float(render_scene(scene, away).alpha.max()) == 0


def test_the_depth_of_the_heaviest_interval() -> None:
    """In fog that is dense the first of 16 intervals is the heaviest; in thin fog, with an endless last one, the last."""
    start, end = chord(4, 5) or (0.0, 0.0)
    for sigma, opaque, place in ((8.0, False, 0.5), (0.01, True, 15.5)):
        scene = linear(RGB, sigma, opaque_end=opaque)
        kinds = [render_scene(scene, PRIOR.default(), depth_kind=kind) for kind in ("expected", "max_weight")]
        assert torch.equal(kinds[0].rgb, kinds[1].rgb) and torch.equal(kinds[0].alpha, kinds[1].alpha)
        depth = kinds[1].depth[0]
        assert float(depth[4, 5]) == pytest.approx(start + (end - start) * place / 16, abs=1e-5)
        assert float(kinds[0].depth[0, 4, 5]) != pytest.approx(float(depth[4, 5]), abs=1e-3)
        assert float(depth[0, 0]) == 0  # misses the box


def test_depth_kinds_that_mean_nothing_are_refused() -> None:
    gaussian = Gaussians(
        torch.zeros(1, 1, 3),
        torch.zeros(1, 1, 3),
        torch.ones(1, 1, 4),
        torch.zeros(1, 1),
        torch.zeros(1, 1, 1, 3),
        World(),
    )
    with pytest.raises(G3dError, match=r"max_weight is of a ray's intervals, and 3D Gaussians.*use expected"):
        render_scene(gaussian, PRIOR.default(), depth_kind="max_weight")
    with pytest.raises(G3dError, match=r"max_weight.*first hit; use expected"):
        render_scene(linear(RGB, 1.0, "occupancy"), PRIOR.default(), depth_kind="max_weight")
    with pytest.raises(G3dError, match=r"'maxweight' is unknown \(did you mean 'max_weight'"):
        render_scene(linear(RGB, 1.0), PRIOR.default(), depth_kind="maxweight")


def test_an_opaque_end_of_a_triplane_needs_no_density() -> None:
    """Raw densities of -24, and of -200, the softplus of which is 0: the end hides the background all the same."""
    for raw in (-24.0, -200.0):
        nerf = ((torch.zeros(1, 4, 2), torch.tensor([[9.0, -9.0, -9.0, raw]])),)
        proposal = ((torch.zeros(1, 1, 2), torch.tensor([[raw]])),)
        world = World(near_world=1.0, far_world=50.0, background=BACK, opaque_end=True, proposal_samples=8, samples=4)
        seen = render_scene(Triplane(torch.zeros(1, 3, 2, 4, 4), nerf, world, proposal, "sphere"), PRIOR.default())
        assert torch.allclose(seen.alpha, torch.ones(()), atol=1e-6)
        torch.testing.assert_close(seen.rgb[0, 4, 5], torch.tensor([1.0, 0, 0]), atol=1e-3, rtol=0)


def directional() -> MlpField:
    """Colour is the direction itself: (d + 1) / 2."""
    network = Network(
        (Layer("a", ("direction",), Activation("linear")), Layer("s", ("x",), Activation("linear"))),
        {"rgb": Output("a", 0, 3, Activation("clamp")), "density": Output("s", 0, 1, Activation("linear"))},
        {"x": Encoding(), "direction": Encoding()},
    )
    weights = {
        "a": (0.5 * torch.eye(3)[None], torch.full((1, 3), 0.5)),
        "s": (torch.zeros(1, 1, 3), torch.full((1, 1), 1000.0)),
    }
    return MlpField(weights, network, World(near_world=0.5), "radiance")


def test_directions_are_unit_and_run_away_from_the_camera() -> None:
    camera = replace(PRIOR, default_azimuth_deg=30, default_elevation_deg=20).default()
    rgb = render_scene(directional(), camera).rgb[0, 4, 5]
    a, e = math.radians(30), math.radians(20)
    wanted = [-math.sin(a) * math.cos(e), -math.sin(e), -math.cos(a) * math.cos(e)]
    assert rgb.tolist() == pytest.approx([(v + 1) / 2 for v in wanted], abs=1e-4)


def test_an_unbounded_triplane_is_drawn_beyond_its_bounds() -> None:
    def scene(contraction: Any) -> Triplane:
        nerf = ((torch.zeros(1, 4, 2), torch.tensor([[9.0, -9.0, -9.0, 1.0]])),)
        world = World(near_world=1.0, far_world=50.0, background=BACK)
        return Triplane(torch.zeros(1, 3, 2, 4, 4), nerf, world, (), contraction)

    corner = (0, 0)
    camera = replace(PRIOR, fov_deg=100.0).default()
    assert float(render_scene(scene("none"), camera).alpha[0][corner]) == 0
    assert float(render_scene(scene("sphere"), camera).alpha[0][corner]) == pytest.approx(1, abs=1e-6)


def test_an_image_field_at_pixel_centres() -> None:
    """rgb = (x, y, 0) / 2 + 1/2: x runs right, y down, centres at (i + 1/2) / n of [-1, 1]."""
    network = Network(
        (Layer("a", ("x",), Activation("linear")),), {"rgb": Output("a", 0, 3, Activation("clamp"))}, {"x": Encoding()}
    )
    weight = torch.tensor([[[0.5, 0], [0, 0.5], [0, 0]]])
    scene = MlpField({"a": (weight, torch.full((1, 3), 0.5))}, network, World(), "image")
    found = render_image_field(scene, 4, 2)
    assert found.shape == (2, 4, 3)
    assert found[0, :, 0].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert found[:, 0, 1].tolist() == pytest.approx([0.25, 0.75])
    with pytest.raises(G3dError, match="takes no cameras"):
        render_scene(scene, PRIOR.default())


def test_gaussians_take_their_background_and_scale() -> None:
    scene = Gaussians(
        torch.zeros(1, 1, 3), torch.full((1, 1, 3), -2.0), torch.tensor([[[1.0, 0, 0, 0]]]), torch.tensor([[3.0]]),
        torch.zeros(1, 1, 1, 3), World(background=BACK),
    )  # fmt: skip
    assert default_settings(scene) == GaussianSettings(1.0, BACK)
    plain = render_scene(scene, PRIOR.default())
    assert plain.rgb[0, 0, 0].tolist() == pytest.approx(BACK) and float(plain.depth[0, 4, 5]) == pytest.approx(4)
    large = render_scene(scene, PRIOR.default(), override(default_settings(scene), ["scale_modifier=3"], "a scene"))
    assert float(large.alpha.sum()) > 4 * float(plain.alpha.sum())
    gone = render_scene(scene, PRIOR.default(), override(default_settings(scene), ["scale_modifier=0"], "a scene"))
    assert bool(torch.isfinite(gone.rgb).all())


def test_no_gradients_are_kept() -> None:
    scene = linear(RGB, 1.0)
    for tensor in scene.weights["a"]:
        tensor.requires_grad_()
    assert not render_scene(scene, PRIOR.default()).rgb.requires_grad
