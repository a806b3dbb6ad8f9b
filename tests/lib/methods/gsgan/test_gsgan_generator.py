"""The generator of GSGAN: parity with the public code, exact counts, attention and hierarchy by slow references."""

import math
from dataclasses import replace

import pytest
import torch
from g3d.cameras import Cameras, camera_conditioning
from g3d.errors import G3dError
from g3d.methods import gsgan as g
from g3d.methods import settings_of
from g3d.methods.gsgan import codec, hierarchy, official
from g3d.methods.gsgan.attention import EdgeAttention, nearest
from g3d.methods.gsgan.discriminator import PoseDiscriminator
from g3d.methods.gsgan.hierarchy import Level, Raw
from g3d.methods.gsgan.networks import Generator, Levels, all_of
from g3d.render.splat.inputs import prepared
from g3d.scenes.scene import World
from torch import Tensor
from torch.nn import functional as F

NAMES = ("xyz", "scale", "rotation", "color", "opacity")
CLOSE = {"atol": 1e-4, "rtol": 0}


def small(*pairs: str) -> g.Config:
    found: g.Config = settings_of("gsgan", "smoke", list(pairs))
    return found


@pytest.fixture(scope="module")
def net(public: dict[str, Tensor]) -> Generator:
    """The public weights under our names, as an import makes them."""
    state = {name[3:]: value for name, value in public.items() if name.startswith("sd.")}
    tensors, about = official.import_official(state, None, [], 256, "parity")
    made = Generator(g.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in about["settings"].items()}))
    made.load_state_dict(tensors)
    return made.eval()


@pytest.fixture(scope="module")
def levels(net: Generator, public: dict[str, Tensor]) -> Levels:
    with torch.no_grad():
        made: Levels = net(net.styles(net.mapping(public["in.z"], public["in.c"])), public["in.c"])
    return made


def test_styles_and_truncation_are_those_of_the_public_code(net: Generator, public: dict[str, Tensor]) -> None:
    with torch.no_grad():
        w = net.mapping(public["in.z"], public["in.c"])
        less = net.mapping.truncate(w, 0.7)
        finest = net(net.styles(less), public["in.c"]).gaussians[4].means
    torch.testing.assert_close(w, public["out.ws"], **CLOSE)
    torch.testing.assert_close(less, public["out_psi0.7.ws"], **CLOSE)
    torch.testing.assert_close(finest, public["out_psi0.7.gauss.4.xyz"], **CLOSE)


def test_features_and_neighbours_are_those_of_the_public_code(net: Generator, public: dict[str, Tensor]) -> None:
    with torch.no_grad():
        w = public["out.ws"]
        x = net.positions(torch.tanh(net.points)).expand(2, -1, -1)
        for level, side in enumerate((4, 8, 16, 32, 64)):
            if f"out.knn.block_{side}" in public:
                found = nearest(net.blocks[level - 1].attention.normed(x, w), 16)  # type: ignore[union-attr,operator]
                assert torch.equal(found.sort(dim=2).values, public[f"out.knn.block_{side}"].long().sort(dim=2).values)
            x = net.features(level, x, list(net.styles(w).unbind(1)))
            torch.testing.assert_close(x, public[f"out.feat.block_{side}"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["gauss", "anchor", "bg"])
def test_gaussians_anchors_and_background_are_those_of_the_public_code(
    levels: Levels, public: dict[str, Tensor], kind: str
) -> None:
    found = {"gauss": levels.gaussians, "anchor": levels.anchors, "bg": [all_of(levels.background)]}[kind]
    assert len(found) == {"gauss": 5, "anchor": 4, "bg": 1}[kind]
    for i, level in enumerate(found):
        for name, value in zip(NAMES, level, strict=True):
            wanted = public[f"out.bg.{name}" if kind == "bg" else f"out.{kind}.{i}.{name}"]
            torch.testing.assert_close(value, wanted, msg=lambda m, n=name, i=i: f"{kind} {i} {n}: {m}", **CLOSE)


def test_the_rasteriser_is_given_what_the_public_code_gives_it(levels: Levels, public: dict[str, Tensor]) -> None:
    """Activated scales and opacities, and the view matrix with its field of view: the named options of the import."""
    world = official.imported_world(256, official.ImportSettings())
    scenes = codec.scene_of(levels, world)
    for b in range(2):
        c = public["in.c"][b : b + 1]
        k = torch.tensor([[c[0, 16], c[0, 20], c[0, 18], c[0, 21]]]) * 256
        cameras = Cameras(c[:, :16].view(1, 4, 4), k, 256, 256)
        torch.testing.assert_close(camera_conditioning(cameras), c)
        made = prepared(scenes, world.seen_by(cameras), world.background, None, 1.0, False, False)
        view = public[f"out.raster.{b}.viewmatrix"].t()
        torch.testing.assert_close(made.w2c[b, 0], view[:3], **CLOSE)
        focal = 128 / public[f"out.raster.{b}.tanfov"]
        torch.testing.assert_close(made.intrinsics[b, 0, :2], focal, atol=1e-2, rtol=0)
        torch.testing.assert_close(made.log_scales[b, :64].exp(), public[f"out.raster.{b}.scales_first64"], **CLOSE)
        torch.testing.assert_close(
            made.logits[b, :64, None].sigmoid(), public[f"out.raster.{b}.opacities_first64"], **CLOSE
        )
        turned = F.normalize(made.quats[b, :64], dim=1)
        torch.testing.assert_close(turned, public[f"out.raster.{b}.rotations_first64"], **CLOSE)
        plain = replace(world, imported=None).seen_by(cameras)
        assert torch.equal(plain.c2w, cameras.c2w) and torch.equal(plain.intrinsics, cameras.intrinsics)


def test_parameter_counts() -> None:
    assert sum(p.numel() for p in Generator(g.PRESETS["ffhq256"]).parameters()) == 40_756_536
    assert sum(p.numel() for p in PoseDiscriminator(256, g.PRESETS["ffhq256"]).parameters()) == 38_119_681
    assert g.counts(g.PRESETS["ffhq256"]) == {"gaussians": 87_296, "background_gaussians": 10_000}
    assert g.counts(g.PRESETS["ffhq512"])["gaussians"] == 349_440
    assert g.PRESETS["ffhq256"].copies == g.PRESETS["afhq512"].copies == 17


def test_presets_are_the_papers() -> None:
    table = {
        n: (p.resolution, p.levels, p.center_weight, p.augment, p.swap_p, p.pose_augment_p)
        for n, p in g.PRESETS.items()
    }
    assert table["ffhq256"] == (256, 5, 1, "none", 0.5, 0.5) and table["ffhq512"] == (512, 6, 1, "none", 0.5, 0.5)
    assert table["afhq256"] == (256, 5, 10, "ada", 0.8, 0) and table["afhq512"] == (512, 6, 10, "ada", 0.8, 0)


@pytest.mark.parametrize("siblings", [False, True])
def test_edge_attention_by_its_definition(siblings: bool) -> None:
    """Every edge on its own, in float64: softmax over j of f(x_j - x_i) times g([x_i, x_j - x_i])."""
    rng = torch.Generator().manual_seed(0)
    layer = EdgeAttention(6, rng).double()
    x = torch.randn(2, 12, 6, generator=rng, dtype=torch.float64)
    index = torch.stack([torch.stack([torch.arange(i // 4 * 4, i // 4 * 4 + 4) for i in range(12)])] * 2)
    index = index if siblings else nearest(x, 3)
    wanted = torch.zeros_like(x)
    for b in range(2):
        for i in range(12):
            logits, values = [], []
            for j in index[b, i].tolist():
                edge = x[b, j] - x[b, i]
                logits.append(layer.weight_out(layer.weight_in(edge)))
                values.append(layer.value_out(layer.value_in(torch.cat([x[b, i], edge]))))
            wanted[b, i] = (torch.stack(logits).softmax(dim=0) * torch.stack(values)).sum(dim=0)
    torch.testing.assert_close(layer(x, None if siblings else index), wanted)


def test_nearest_are_the_nearest_others() -> None:
    x = torch.tensor([[[0.0], [1.0], [3.0], [3.5]]])
    assert nearest(x, 2)[0].tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert nearest(x, 9).shape == (1, 4, 3)


def parent(scale: float, quat: tuple[float, ...] = (1, 0, 0, 0)) -> Level:
    return Level(
        torch.tensor([[[0.1, 0.2, 0.3]]]), torch.full((1, 1, 3), scale), torch.tensor([[quat]]).float(),
        torch.full((1, 1, 3), 0.5), torch.full((1, 1, 1), -1.0),
    )  # fmt: skip


def raw(**values: float) -> Raw:
    """The same for four children."""
    sizes = {"xyz": 3, "scale": 3, "rotation": 4, "color": 3, "opacity": 1}
    return Raw(**{name: torch.full((1, 4, n), values.get(name, 0.0)) for name, n in sizes.items()})


def test_densify_by_hand() -> None:
    """A parent of scale e^-1 turned by 90 degrees around z: x of its frame is y of the world."""
    config = replace(g.Config(), points=256)
    turned = (math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4))
    one = raw(xyz=0.0, scale=2.0, rotation=0.25, color=0.125, opacity=3.0)
    one.xyz[:, 1, 0] = 100.0  # tanh => 1
    found = hierarchy.densify(parent(-1.0, turned), one, config)
    e = math.exp(-1.0)
    torch.testing.assert_close(found.means[0, 0], torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(found.means[0, 1], torch.tensor([0.1, 0.2 + e, 0.3]), atol=1e-6, rtol=0)
    wanted = -1.0 - math.log(1 + math.exp(-2.0)) - math.log(2)  # at 256 points and 256 pixels the step is log 2
    torch.testing.assert_close(found.log_scales, torch.full((1, 4, 3), wanted))
    torch.testing.assert_close(found.quats[0, 0], torch.tensor(turned) + 0.25)
    assert torch.equal(found.colours, torch.full((1, 4, 3), 0.625)) and torch.equal(
        found.logits, torch.full((1, 4, 1), 2.0)
    )


def test_what_scales_fall_by() -> None:
    config = g.Config()
    assert hierarchy.step_of_code(config) == pytest.approx(-math.log(2))
    assert hierarchy.step_of_code(g.PRESETS["ffhq512"]) == pytest.approx(-math.log(2))
    assert hierarchy.step_of_paper(config) == pytest.approx(-math.log(3.2))  # eq. 13 at 256 pixels
    softplus = math.log(2)
    tiny = parent(-math.log(256) - 0.1)  # smaller than a pixel: no step
    assert hierarchy.densify(tiny, raw(), config).log_scales[0, 0, 0] == pytest.approx(-math.log(256) - 0.1 - softplus)
    assert hierarchy.densify(parent(-7.9), raw(), config).log_scales.min() == -8
    paper = replace(config, scale_step="paper")
    assert hierarchy.densify(tiny, raw(), paper).log_scales[0, 0, 0] == pytest.approx(
        -math.log(256) - 0.1 - softplus - math.log(3.2)
    )


def test_the_rows_of_the_ablation_change_what_they_say() -> None:
    """Table 3: positions anywhere; scales with a largest value, and with none; Gaussians as parents; no background."""
    far = raw(xyz=5.0, scale=9.0)
    assert hierarchy.densify(parent(-1.0), far, small("position=free")).means[0, 0, 0] == 5.0
    start = hierarchy.log_scale_start(16)
    assert hierarchy.densify(parent(-1.0), far, small("scale=clipped")).log_scales.max() <= start
    assert hierarchy.densify(parent(-1.0), far, small("scale=free")).log_scales[0, 0, 0] == pytest.approx(start + 9.0)
    made = Generator(small("anchors=false"))
    assert made.anchor_heads is None and made.background is None
    found = made(torch.randn(1, made.config.copies, 8), torch.randn(1, 25))
    assert not found.anchors and not found.background
    drawn = Generator(small())
    levels = drawn(torch.randn(1, drawn.config.copies, 8), torch.randn(1, 25))
    for children, parents in zip(levels.gaussians[1:], levels.anchors, strict=True):
        inside = children.means - parents.means.repeat_interleave(4, dim=1)
        reach = parents.log_scales.exp().amax(dim=2).repeat_interleave(4, dim=1) * math.sqrt(3)
        assert (inside.norm(dim=2) <= reach + 1e-6).all()  # near their anchor, eq. 3
        assert (children.log_scales < parents.log_scales.repeat_interleave(4, dim=1)).all()  # and smaller, eq. 4
    # eq. 7 at level 0: all of the anchor's parameters, or its position alone
    whole = Generator(small("coarsest=paper"))
    whole.load_state_dict(drawn.state_dict())
    w, c = torch.randn(1, drawn.config.copies, 8), torch.randn(1, 25)
    a, b = drawn(w, c).gaussians[0], whole(w, c).gaussians[0]
    assert torch.equal(a.means, b.means) and not torch.allclose(a.log_scales, b.log_scales)


def test_the_scale_never_grows_from_its_start_and_layers_begin_with_nothing() -> None:
    """The layer scales are zero at first: features are those of the points, whatever the style."""
    made = Generator(small())
    cameras = torch.randn(1, 25)
    one, two = (made(torch.randn(1, made.config.copies, 8), cameras).gaussians[-1] for _ in range(2))
    assert torch.equal(one.means, two.means)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if "scale_by_w" in name or name.endswith(".scale"):
                p.normal_()
    one, two = (made(torch.randn(1, made.config.copies, 8), cameras).gaussians[-1] for _ in range(2))
    assert not torch.allclose(one.means, two.means)


def test_two_conditions_of_one_style_differ_by_one_colour_offset_a_level() -> None:
    made = Generator(small("background=true"))
    w = torch.randn(1, made.config.copies, 8)
    model = codec.Model(made, made.config, World())
    pair = torch.randn(2, 25)
    a, b = (g.decode(g.conditioned(model, camera[None]), w) for camera in pair)
    assert a.world.condition_camera == pytest.approx(pair[0].tolist()) and b.world != a.world
    for name in ("means", "log_scales", "quats", "opacity_logits"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.level is not None and a.background is not None
    offsets = (a.sh - b.sh)[0, :, 0]
    for level in range(made.config.levels):
        own = offsets[(a.level[0] == level) & (a.background[0] == 0)]
        torch.testing.assert_close(own, own[:1].expand_as(own), atol=1e-6, rtol=0)
        assert own.abs().max() > 1e-3
    assert (offsets[a.background[0] == 1] == 0).all() and int((a.background == 1).sum()) == 500


def test_tables_of_positions_between_their_columns_and_as_the_public_code_reads_them() -> None:
    linear, middle = Generator(small()).positions, Generator(small("table=middle")).positions
    table = linear.table.detach()  # [3, 8, 512]
    at_column = torch.tensor([[7, 100, 511]])
    points = at_column / 511 * 2 - 1
    wanted = sum(table[axis, :, int(at_column[0, axis])] for axis in range(3)) / math.sqrt(3)
    torch.testing.assert_close(linear(points)[0, 8:], wanted, atol=1e-3, rtol=1e-3)
    wanted = sum(
        (table[a, :, 255] + table[a, :, 256]) / 2 * (1 - points[0, a].abs() / 2) for a in range(3)
    ) / math.sqrt(3)
    torch.testing.assert_close(middle(points)[0, 8:], wanted)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(G3dError, match="anchors=false has none"):
        small("anchors=false", "coarsest=paper")
    with pytest.raises(G3dError, match="multiple of heads"):
        small("heads=3")
