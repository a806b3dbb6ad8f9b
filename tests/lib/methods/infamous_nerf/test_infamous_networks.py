"""The networks of tables 8 and 9, what the hypernetwork writes, and codes folded into biases."""

from dataclasses import replace

import pytest
import torch
from g3d.cameras import CameraPrior
from g3d.methods.infamous_nerf import field, layers
from g3d.methods.infamous_nerf.config import PRESETS, Config
from g3d.methods.infamous_nerf.networks import FaceModel, Hypernetwork
from g3d.render import FieldSettings, default_settings, empty_space, render_scene
from g3d.scenes.scene import World, query

SMALL = replace(
    PRESETS["smoke"],
    expression_in_colour=False,
    modulation_offset=0.0,
    density="relu",
    density_scale=3.0,
    direction_frequencies=2,
)


def parameters(config: Config) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Hypernetwork(config, torch.Generator()).parameters())


def test_the_fields_have_as_many_parameters_as_the_paper_says() -> None:
    paper = Config()
    assert layers.count(paper, layers.APPEARANCE) == 128_259
    assert layers.count(paper, (*layers.MODULATION, *layers.SHAPE)) == 276_481
    assert len(layers.targets(paper)) == 20
    widths = {t.name: (t.fan_in, t.outputs) for t in layers.targets(paper)}
    wanted = {
        "A_1": (322, 128), "A_3": (450, 128), "A_4": (194, 64), "A_5": (64, 3), "MB_3": (128, 64), "E_1": (130, 128),
        "S_1": (256, 128), "S_3": (384, 128), "S_5": (450, 64), "S_6": (64, 1),
    }  # fmt: skip
    assert {name: widths[name] for name in wanted} == wanted


def test_hypernetworks_have_the_sizes_of_the_sheet() -> None:
    """Full: each of 20 layers has 256 x 256 + 256 numbers, then 257 for each of the 404,740 that it writes."""
    full = parameters(Config())
    assert full == 20 * (256 * 256 + 256) + 257 * (128_259 + 276_481) == 105_334_020
    sizes = {r: parameters(Config(hypernetwork="low-rank", rank=r)) for r in (4, 8, 16)}
    assert [round(sizes[r] / 1e6, 1) for r in (4, 8, 16)] == [8.2, 14.1, 26.0]
    assert parameters(Config(hypernetwork="none")) == 128_259 + 276_481


def by_hand(config: Config, written: dict, codes: field.Codes, x: torch.Tensor, d: torch.Tensor) -> tuple:
    """Colour and density at one point of one scene, layer by layer from the tables, in double precision."""

    def encoded(v: torch.Tensor, count: int) -> torch.Tensor:
        return torch.cat([f(v * 2.0**k) for k in range(count) for f in (torch.sin, torch.cos)])

    def layer(name: str, *inputs: torch.Tensor, slope: float = 0.2) -> torch.Tensor:
        weight, bias = (part[0].double() for part in written[name])
        y = weight @ torch.cat(inputs) + bias
        return torch.where(y > 0, y, slope * y)

    alpha, beta, epsilon = codes.appearance[0].double(), codes.shape[0].double(), codes.expression[0].double()
    px, pd = encoded(x.double(), config.x_frequencies), encoded(d.double(), config.direction_frequencies)
    ms = layer("MS_3", layer("MS_2", layer("MS_1", beta)), slope=1)
    mb = layer("MB_3", layer("MB_2", layer("MB_1", beta)), slope=1)
    moved = ms * epsilon + mb
    a2 = layer("A_2", layer("A_1", alpha, px))
    a4 = layer("A_4", layer("A_3", a2, alpha, px), pd)
    rgb = torch.sigmoid(layer("A_5", a4, slope=1))
    e3 = layer("E_3", layer("E_2", layer("E_1", moved, px)))
    s2 = layer("S_2", layer("S_1", beta, e3))
    s4 = layer("S_4", layer("S_3", beta, e3, s2))
    density = torch.relu(layer("S_6", layer("S_5", alpha, px, s4), slope=1))
    return rgb, config.density_scale * density


@pytest.mark.parametrize("kind", ["full", "low-rank", "none"])
def test_the_scene_says_what_the_tables_say(kind: str) -> None:
    config = replace(SMALL, hypernetwork=kind)
    model, g = FaceModel(config, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    theta, theta2 = (torch.randn(1, config.identity_dim, generator=g) for _ in range(2))
    codes = field.Codes(
        theta, theta2, torch.randn(1, config.appearance_dim, generator=g), torch.randn(1, config.shape_dim, generator=g),
        torch.randn(1, config.expression_dim, generator=g),
    )  # fmt: skip
    a, s = model.hypernetwork(theta), model.hypernetwork(theta2)
    written = {name: (a if name in layers.APPEARANCE else s)[name] for name in a}
    points = torch.randn(1, 5, 3, generator=g)
    along = torch.nn.functional.normalize(torch.randn(1, 5, 3, generator=g), dim=-1)
    found = query(field.scene(model, codes, World()), points, along)
    for i in range(5):
        rgb, density = by_hand(config, written, codes, points[0, i], along[0, i])
        assert torch.allclose(found.rgb[0, i].double(), rgb, atol=1e-5)
        assert torch.allclose(found.density[0, i].double(), density, atol=1e-4)


def test_low_rank_weights_are_w0_plus_u_v() -> None:
    config = replace(SMALL, hypernetwork="low-rank", rank=2)
    net = Hypernetwork(config, torch.Generator().manual_seed(1))
    target = next(t for t in net.targets if t.name == "S_3")
    place = net.targets.index(target)
    theta = torch.randn(3, config.identity_dim)
    weight, bias = net(theta, ("S_3",))["S_3"]
    assert net.first_weight is not None
    for b in range(3):
        h = torch.nn.functional.leaky_relu(theta[b] @ net.first_weight[place] + net.first_bias[place], 0.2)
        made = net.heads["S_3"](h)
        v = made[: 2 * target.fan_in].view(2, -1)
        u = made[2 * target.fan_in : -target.outputs].view(-1, 2)
        assert torch.linalg.matrix_rank(weight[b] - net.base_weight["S_3"], tol=1e-5) <= 2
        assert torch.allclose(weight[b], net.base_weight["S_3"] + u @ v, atol=1e-6)
        assert torch.allclose(bias[b], net.base_bias["S_3"] + made[-target.outputs :], atol=1e-6)


def test_an_expression_reaches_colour_only_where_the_setting_says_so() -> None:
    for reaches in (False, True):
        config = replace(SMALL, expression_in_colour=reaches)
        model = FaceModel(config)
        with torch.no_grad():
            model.hypernetwork.base_bias["S_6"].fill_(1.0)  # something to see at every point
        theta, g = torch.randn(2, config.identity_dim)[:1].expand(2, -1), torch.Generator().manual_seed(4)
        same = (torch.randn(1, n, generator=g).expand(2, -1) for n in (config.appearance_dim, config.shape_dim))
        codes = field.Codes(theta, theta, *same, 3 * torch.randn(2, config.expression_dim, generator=g))
        points = torch.randn(1, 9, 3, generator=g).expand(2, -1, -1)
        found = query(field.scene(model, codes, World()), points, torch.ones_like(points))
        assert torch.allclose(found.rgb[0], found.rgb[1], atol=1e-6) != reaches
        assert not torch.allclose(found.density[0], found.density[1], atol=1e-6)


def test_empty_space_is_skipped_without_a_trace() -> None:
    """A density that is nothing in most of the box: with and without the grid the views are alike, and the grid is used."""
    config = replace(SMALL, width=16, x_frequencies=2)
    model = FaceModel(config, torch.Generator().manual_seed(3))
    zeros = [torch.zeros(1, n) for n in (8, 8, config.appearance_dim, config.shape_dim, config.expression_dim)]
    prior = CameraPrior(3.0, 40.0, 12, 12)
    world, bias = World(samples=24, near_world=0.5, camera_prior=prior), model.hypernetwork.base_bias["S_6"]
    points = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        bias.fill_(10.0)
        high = query(field.scene(model, field.Codes(*zeros), world), points, torch.ones_like(points)).density
        bias.sub_(high.quantile(0.8) / config.density_scale)  # a fifth of the box holds something
        model.hypernetwork.base_weight["S_6"].mul_(30)
        bias.mul_(30)
    scene = field.scene(model, field.Codes(*zeros), world)
    settings = default_settings(scene)
    assert isinstance(settings, FieldSettings)
    cameras = prior.orbit(2)
    plain = render_scene(scene, cameras, replace(settings, skip_empty="off"))
    assert plain.alpha.mean() > 0.05
    grid = empty_space(scene, cameras, replace(settings, skip_empty="on"))
    assert grid is not None and 0.05 < grid.share() < 0.8
    skipped = render_scene(scene, cameras, replace(settings, skip_empty="on"), grid)
    assert torch.allclose(plain.rgb, skipped.rgb, atol=2e-2)
