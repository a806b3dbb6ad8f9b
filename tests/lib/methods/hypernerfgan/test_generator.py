"""The generator of HyperNeRFGAN: parity with the public code, exact counts, fields by a slow reference, presets."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.cameras import OPENGL_FLIP, Cameras, focal_from_fov
from g3d.errors import G3dError
from g3d.methods import hypernerfgan as h
from g3d.methods import settings_of
from g3d.methods.hypernerfgan import official
from g3d.methods.hypernerfgan.networks import Generator, layer_names, layer_sizes, network
from g3d.render import render_scene, volume
from g3d.scenes.mlp import evaluate
from g3d.scenes.scene import MlpField, pick, query, tensors_of
from safetensors.torch import load_file
from torch import Tensor

SMALL = ["n_samples=16"]


@pytest.fixture(scope="module")
def parity(shared_data: Path) -> dict[str, Tensor]:
    """Weights, inputs and outputs of a small public generator."""
    path = shared_data.parent / "parity" / "hypernerfgan_parity.safetensors"
    if not path.is_file():
        pytest.skip(f"the parity file '{path}' is not there")
    return load_file(path)


def loaded(parity: dict[str, Tensor]) -> Generator:
    """The public weights under our names, in the public axes."""
    state = {name[3:]: value for name, value in parity.items() if name.startswith("sd.")}
    config = official.sizes_of(state, "parity")
    net = Generator(config)
    net.load_state_dict(official.renamed(state, config, "parity") | {"mapping.w_mean": net.mapping.w_mean})
    return net


def test_styles_and_generated_weights_are_those_of_the_public_code(parity: dict[str, Tensor]) -> None:
    net = loaded(parity)
    with torch.no_grad():
        w = net.mapping(parity["in.z"])
        weights = net(w)
    torch.testing.assert_close(w, parity["out.w"], atol=1e-5, rtol=1e-4)
    assert len(weights) == 9
    for i, weight in enumerate(weights):
        for b in range(2):
            torch.testing.assert_close(weight[b], parity[f"out.W.{b}.{i}"], atol=1e-5, rtol=1e-4)


def test_the_raw_field_is_that_of_the_public_code(parity: dict[str, Tensor]) -> None:
    net = loaded(parity)
    points = parity["in.pts"].expand(2, -1, -1)
    with torch.no_grad():
        weights = net.weights(parity["out.w"])
        raw = evaluate(network(net.config, raw=True), weights, {"x": points})
        found = query(MlpField(weights, network(net.config), official.imported_world(net.config, 32)), points)
    torch.testing.assert_close(raw["density"][..., 0], parity["out.raw"][..., 3], atol=1e-4, rtol=0)
    torch.testing.assert_close(raw["rgb"], parity["out.raw"][..., :3].sigmoid(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.rgb, parity["out.rgb"], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.density, parity["out.sigma"], atol=1e-4, rtol=0)


def public_cameras(parity: dict[str, Tensor]) -> Cameras:
    """OpenGL poses => ours; the public rays pass the corner of a pixel, so the middle moves by half a pixel."""
    focal = focal_from_fov(math.degrees(0.6911112070083618), 32)
    poses = parity["in.poses_c2w"] * OPENGL_FLIP
    return Cameras(poses, torch.tensor([focal, focal, 16.5, 16.5]).repeat(2, 1), 32, 32)


def test_the_rendered_image_is_that_of_the_public_code_after_a_whole_import(parity: dict[str, Tensor]) -> None:
    """Through names, the turned axes, the moved near and far, the infinite last interval and the shared renderer."""
    state = {name[3:]: value for name, value in parity.items() if name.startswith("sd.")}
    tensors, about = official.import_official(state, None, SMALL, 32, "parity")
    config = settings_of("hypernerfgan", None, [])
    config = type(config)(**about["settings"])
    net = Generator(config)
    net.load_state_dict(tensors)
    world = official.imported_world(config, 32)
    assert world.opaque_end and about["world"]["opaque_end"]
    with torch.no_grad():
        scenes = MlpField(net.weights(net.mapping(parity["in.z"])), network(config), world)
    cameras = public_cameras(parity)
    to_ours = torch.eye(4)
    to_ours[:3, :3] = torch.tensor(official.TO_PUBLIC).T
    for b in range(2):
        c2w = to_ours @ cameras.c2w[b : b + 1]
        assert float(c2w[0, 1, 3]) > 0  # the cameras stand above the ground
        seen = render_scene(pick(scenes, b), Cameras(c2w, cameras.intrinsics[:1], 32, 32))
        image = (parity["out.image"][b].permute(1, 2, 0) + 1) / 2
        torch.testing.assert_close(seen.rgb[0], image, atol=1e-4, rtol=0)
        if b == 0:
            torch.testing.assert_close(seen.alpha[0], parity["out.view0.acc"], atol=1e-4, rtol=0)
    # without the named option it is another picture
    finite = render_scene(
        pick(MlpField(scenes.weights, scenes.network, official.replace(world, opaque_end=False)), 1),
        Cameras(to_ours @ cameras.c2w[1:], cameras.intrinsics[:1], 32, 32),
    )
    assert (finite.rgb[0] - image).abs().max() > 0.01


@pytest.mark.parametrize(
    ("preset", "parameters"), [("carla", 1_498_658), ("shapenet-cars", 2_975_000), ("shapenet-planes", 1_498_658)]
)
def test_parameter_counts(preset: str, parameters: int) -> None:
    assert sum(p.numel() for p in Generator(h.PRESETS[preset]).parameters()) == parameters


def test_a_layer_of_128_generates_a_sixth_of_its_weights() -> None:
    """The report's eq. 5: 16384 / 2560."""
    assert h.counts(h.PRESETS["carla"])["hidden_layer_saving"] == 6.4


def test_presets_are_the_public_settings() -> None:
    table = {
        name: (p.layers, p.r1_gamma, p.near_world, p.far_world, p.patch_size, p.n_samples)
        for name, p in h.PRESETS.items()
    }
    assert table["carla"] == (4, 1, 3, 5, 64, 64) and table["shapenet-cars"] == (8, 1, 3, 5, 64, 64)
    assert table["shapenet-planes"] == (4, 1, 3, 5, 64, 64) and table["shapenet-chairs"] == (8, 0.1, 3, 5, 64, 64)
    assert table["celeba"] == (8, 0.1, 3.5, 4.5, 64, 64) and table["t4"] == (4, 1, 3, 5, 32, 32)
    t4 = h.PRESETS["t4"]
    assert (t4.micro_batch, t4.kimg, t4.g_lr, t4.augment) == (1, 200, 2e-3, "ada")


def slow_field(net: Generator, w: Tensor, points: Tensor) -> Tensor:
    """[W], [P, 3] => raw [P, 4], vector by vector in double precision: scale by B, by A, one sample at a time."""
    config = net.config
    encoded = [points]
    for k in range(config.frequencies):
        encoded += [torch.sin(2.0**k * points), torch.cos(2.0**k * points)]
    x = torch.cat(encoded, dim=1)
    hidden = x
    for i, (inputs, outputs) in enumerate(layer_sizes(config)):
        layer: Any = net.layers[i]
        factors = layer.affine.weight.double() @ w / math.sqrt(len(w)) + layer.affine.bias
        a = factors[: outputs * config.rank].view(outputs, config.rank)
        b = factors[outputs * config.rank :].view(config.rank, inputs)
        if i == config.skip_after + 1 and i < config.layers:
            hidden = torch.cat([x, hidden], dim=1)
        rows = []
        for o in range(outputs):
            row = layer.weight[o].double() * (
                sum(a[o, k] * b[k] for k in range(config.rank)) / math.sqrt(config.rank) + 1
            )
            rows.append(hidden @ (row / (row.norm() + 1e-8)) + layer.bias[o])
        hidden = torch.stack(rows, dim=1)
        if i < config.layers:
            hidden = hidden.clamp(min=0) * math.sqrt(2)
    return hidden


@pytest.mark.parametrize("layers", [2, 7])
def test_a_field_is_that_of_the_slow_reference(layers: int) -> None:
    config = settings_of("hypernerfgan", "smoke", [f"layers={layers}", "width=7"])
    net = Generator(config)
    stream = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for layer in net.layers:
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=stream))  # type: ignore[union-attr, operator, arg-type]
    points = torch.rand(9, 3, generator=stream) * 2 - 1
    w = torch.randn(2, config.w_dim, generator=stream)
    found = evaluate(network(config, raw=True), net.weights(w), {"x": points.expand(2, -1, -1)})
    for b in range(2):
        wanted = slow_field(net, w[b].double(), points.double())
        torch.testing.assert_close(found["density"][b, :, 0].double(), wanted[:, 3], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found["rgb"][b].double(), wanted[:, :3].sigmoid(), atol=1e-4, rtol=1e-4)


def test_the_plain_modulation_is_equation_4() -> None:
    net = Generator(settings_of("hypernerfgan", "smoke", ["modulation=plain"]))
    w = torch.randn(1, 8)
    layer: Any = net.layers[1]
    outputs, inputs = layer.weight.shape
    factors = layer.affine(w)[0]
    a, b = factors[: 2 * outputs].view(outputs, 2), factors[2 * outputs :].view(2, inputs)
    wanted = layer.weight * (a @ b) / math.sqrt(2 * inputs)
    torch.testing.assert_close(net(w)[1][0], wanted)


def test_draws_do_not_depend_on_company_and_truncation_goes_to_the_mean() -> None:
    config = settings_of("hypernerfgan", "smoke", [])
    net = Generator(config)
    net.mapping.track(torch.full((8,), 100.0))
    model = h.unfitted(net, config)
    several = h.draw(model, [0, 3, 7], 5, h.SampleSettings())
    torch.testing.assert_close(h.draw(model, [3], 5, h.SampleSettings())[0], several[1], atol=1e-6, rtol=1e-5)
    assert (h.draw(model, [3], 6, h.SampleSettings())[0] - several[1]).abs().max() > 0.01
    half = h.draw(model, [0, 3, 7], 5, h.SampleSettings(truncation=0.5))
    torch.testing.assert_close(half, (several + net.mapping.w_mean) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(h.draw(model, [1], 5, h.SampleSettings(truncation=0.0))[0], net.mapping.w_mean)
    scenes = h.decode(model, several)
    assert len(scenes) == 3 and set(scenes.weights) == set(layer_names(config))


def test_weights_are_formed_once_a_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering many chunks of a scene asks its generator nothing."""
    config = settings_of("hypernerfgan", "smoke", [])
    net = Generator(config)
    calls = []
    forward = type(net.layers[0]).forward
    monkeypatch.setattr(type(net.layers[0]), "forward", lambda self, w: calls.append(1) or forward(self, w))
    scene = h.decode(h.unfitted(net, config), torch.randn(1, 8))
    assert len(calls) == 3  # two layers and the output
    far = Cameras(torch.eye(4)[None], torch.tensor([[8.0, 8, 8, 8]]), 16, 16)
    render_scene(scene, far)
    assert len(calls) == 3 and all(t.shape[0] == 1 for t in tensors_of(scene).values())


@pytest.mark.parametrize(
    ("pair", "right"),
    [
        ("D_kwarg.r1_gamma=0.5", "r1_gamma"),
        ("D_kwarg.augment_p=0.0", "augment_p"),
        ("D_kwarg.patch_size=8", "patch_size"),
        ("G_kwarg.synthesis_kwarg.n_samples=8", "n_samples"),
    ],
)
def test_the_override_names_of_the_report_are_errors_that_name_the_setting(pair: str, right: str) -> None:
    with pytest.raises(G3dError, match=f"did you mean '{right}'"):
        settings_of("hypernerfgan", "t4", [pair])
    settings_of("hypernerfgan", "t4", [f"{right}={pair.partition('=')[2]}"])


def test_settings_that_contradict_each_other_are_refused() -> None:
    for pair, word in (
        ("near_world=6", "near must be less"),
        ("elevation_deg=90,0", "two angles"),
        ("azimuth_deg=5", "two"),
    ):
        with pytest.raises(G3dError, match=word):
            settings_of("hypernerfgan", None, [pair])


def test_an_opaque_end_leaves_no_light(tmp_path: Path) -> None:
    """Any density at the far sample is a wall with the named option; without it an eighth of the ray's length."""
    density, width, norm = torch.full((1, 1, 8), 0.3), torch.full((1, 1, 8), 0.25), torch.ones(1, 1)
    assert volume.weights_of(density, width, norm, "infinite")[1].item() == pytest.approx(1)
    assert volume.weights_of(density, width, norm, "finite")[1].item() == pytest.approx(1 - math.exp(-0.6))
