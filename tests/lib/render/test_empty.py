"""Empty space: the grid against loops, pictures with and without it, when it is made, and what it saves."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline
from g3d import render
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.methods.mnif.networks import DENSITY
from g3d.render import FieldSettings, Rendering, default_settings, empty, empty_space, render_scene
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import MlpField, Sample, World, query
from g3d.scenes.scene_file import load_scene
from g3d.steps import render as render_step
from g3d.steps import sample
from torch import Tensor

PRIOR = CameraPrior(3.0, 40.0, 24, 20)
ON = "on"


def block(**world: Any) -> MlpField:
    """Red and dense, 30 - 100 sum(relu(|x_i| - 0.3)): exactly nothing from 0.3 beyond the faces of a block of half side 0.3."""
    relu = Activation("relu")
    network = Network(
        (Layer("a", ("x",), relu), Layer("b", ("a",), Activation("linear"))),
        {"rgb": Output("b", 0, 3, Activation("clamp")), "density": Output("b", 3, 4, relu)},
        {"x": Encoding()},
    )
    first = torch.cat([torch.eye(3), -torch.eye(3)])[None]
    second = torch.cat([torch.zeros(3, 6), torch.full((1, 6), -100.0)])[None]
    weights = {"a": (first, torch.full((1, 6), -0.3)), "b": (second, torch.tensor([[0.9, 0.2, 0.1, 30]]))}
    return MlpField(weights, network, World(near_world=0.1, samples=24, camera_prior=PRIOR, **world))


def siren() -> MlpField:
    """A SIREN with mNIF's density: elu(8 (cos 2x + cos 2y + cos 2z) - 17) + 0.1, a blob with tails that never quite end."""
    network = Network(
        (Layer("0", ("x",), Activation("sin")), Layer("1", ("0",), Activation("linear"))),
        {"rgb": Output("1", 0, 3, Activation("clamp")), "density": Output("1", 3, 4, DENSITY)},
        {"x": Encoding()},
    )
    out = torch.cat([0.5 * torch.eye(3), torch.full((1, 3), 8.0)])[None]
    weights = {
        "0": (2 * torch.eye(3)[None], torch.full((1, 3), math.pi / 2)),
        "1": (out, torch.tensor([[0.5, 0.5, 0.5, -17]])),
    }
    return MlpField(weights, network, World(near_world=0.1, samples=32, camera_prior=PRIOR))


def settings(scene: MlpField, skip: Any) -> FieldSettings:
    found = default_settings(scene)
    assert isinstance(found, FieldSettings)
    return replace(found, skip_empty=skip)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many points the field was asked for, call by call."""
    counts: list[int] = []

    def counting(scene: Any, points: Tensor, *more: Any) -> Sample:
        counts.append(points.shape[1])
        return query(scene, points, *more)

    monkeypatch.setattr(render, "query", counting)
    return counts


def test_the_cell_of_a_point() -> None:
    g = torch.Generator().manual_seed(0)
    low, high = torch.tensor([-1.0, 0, 2]), torch.tensor([1.0, 3, 2.5])
    grid = empty.Grid(torch.rand(125, generator=g) < 0.5, low, 5 / (high - low))
    points = low + (high - low) * (torch.rand(1, 400, 3, generator=g) * 1.2 - 0.1)
    for point, found in zip(points[0].tolist(), grid.holds(points)[0].tolist(), strict=True):
        cell = [
            min(max(math.floor((p - a) / (b - a) * 5), 0), 4)
            for p, a, b in zip(point, low.tolist(), high.tolist(), strict=True)
        ]
        assert found == bool(grid.occupied[cell[0] * 25 + cell[1] * 5 + cell[2]])


def test_the_grid_is_what_a_loop_finds() -> None:
    """Cells whose middle is denser than what may be left out, and their 26 neighbours."""
    low, high, g = torch.tensor([-1.0, -2, 0]), torch.tensor([1.0, 1, 0.5]), 6
    centre = torch.tensor([-0.4, 0.1, 0.3])

    def density(points: Tensor) -> Tensor:
        return 5.0 * ((points - centre).norm(dim=-1) < 0.375)

    grid = empty.find(density, low, high, chunk=50, cells=g)
    middles = [[float(low[a] + (i + 0.5) / g * (high[a] - low[a])) for i in range(g)] for a in range(3)]
    dense = {
        (i, j, k)
        for i in range(g) for j in range(g) for k in range(g)
        if math.dist((middles[0][i], middles[1][j], middles[2][k]), centre.tolist()) < 0.375
    }  # fmt: skip
    assert 2 < len(dense) < 30
    for i in range(g):
        for j in range(g):
            for k in range(g):
                near = any(max(abs(i - a), abs(j - b), abs(k - c)) <= 1 for a, b, c in dense)
                assert bool(grid.occupied[(i * g + j) * g + k]) == near
    assert grid.share() == pytest.approx(float(grid.occupied.sum()) / g**3)


@pytest.mark.parametrize(("thin", "kept"), [(0.0, False), (0.002, False), (0.02, True), (0.2, True)])
def test_a_fog_that_can_be_seen_is_not_empty(thin: float, kept: bool) -> None:
    """Density everywhere, such that a ray from corner to corner is `thin` opaque; half the box is solid."""
    low, high = torch.zeros(3), torch.ones(3)
    depth = math.sqrt(3)

    def density(points: Tensor) -> Tensor:
        return torch.where(points[..., 0] > 0.5, 10.0, thin / depth)

    grid = empty.find(density, low, high, 4096, cells=8)
    assert grid.holds(torch.tensor([[[0.9, 0.5, 0.5], [0.45, 0.5, 0.5], [0.1, 0.5, 0.5]]])).tolist() == [
        [True, True, kept]
    ]


def test_a_field_with_known_empty_space_is_drawn_exactly(asked: list[int]) -> None:
    scene = block()
    cameras = PRIOR.sample(0, range(3))
    full = render_scene(scene, cameras, settings(scene, "off"))
    everywhere = sum(asked)
    grid = empty_space(scene, cameras, settings(scene, ON))
    assert grid is not None and 0.03 < grid.share() < 0.2
    asked.clear()
    found = render_scene(scene, cameras, settings(scene, ON), grid)
    assert 0 < sum(asked) < 0.25 * everywhere
    assert float(full.alpha.max()) > 0.99 and float((full.alpha == 0).float().mean()) > 0.3
    for a, b in zip(found, full, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_the_grid_matters(asked: list[int]) -> None:
    """With the wrong cells the object is gone: nothing else draws it."""
    scene = block()
    grid = empty.Grid(torch.zeros(8, dtype=torch.bool), torch.full((3,), -1.0), torch.ones(3))
    found = render_scene(scene, PRIOR.default(), settings(scene, ON), grid)
    assert not asked and float(found.alpha.max()) == 0 and float(found.rgb.min()) == 1


def psnr(a: Rendering, b: Rendering) -> float:
    return -10 * math.log10(float((a.rgb - b.rgb).square().mean()))


def test_a_siren_with_tails_is_drawn_above_45_db(asked: list[int]) -> None:
    scene, cameras = siren(), PRIOR.sample(0, range(3))
    full = render_scene(scene, cameras, settings(scene, "off"))
    everywhere = sum(asked)
    grid = empty_space(scene, cameras, settings(scene, ON))
    asked.clear()
    found = render_scene(scene, cameras, settings(scene, ON), grid)
    assert sum(asked) < 0.5 * everywhere
    assert 45 < psnr(found, full) < 140


def test_auto_makes_a_grid_for_several_views_that_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = block()
    many = PRIOR.sample(0, range(4))  # 24 x 20 pixels, 24 samples: 46,080 samples
    auto = settings(scene, "auto")
    assert auto == default_settings(scene)
    assert empty_space(scene, many, auto) is None  # fewer than 4 * 64^3
    monkeypatch.setattr(empty, "CELLS", 22)  # 4 * 22^3 = 42,592
    monkeypatch.setattr(empty.find, "__defaults__", (22,))
    assert empty_space(scene, many, auto) is not None
    assert empty_space(scene, many[0], auto) is None and empty_space(scene, many[:3], auto) is None
    assert empty_space(scene, many, settings(scene, "off")) is None
    assert empty_space(scene, many[0], settings(scene, ON)) is not None
    full = replace(scene, weights={**scene.weights, "b": (scene.weights["b"][0] * 0, scene.weights["b"][1])})
    assert empty_space(full, many, auto) is None  # dense everywhere: looking cells up would only cost
    assert empty_space(full, many, settings(full, ON)) is not None


def test_where_emptiness_cannot_be_known(asked: list[int]) -> None:
    """An opaque end, which covers what is left by the last sample; a density that depends on the direction."""
    opaque = block(opaque_end=True)
    toward = block()
    network = replace(
        toward.network,
        layers=(Layer("a", ("direction",), Activation("relu")), toward.network.layers[1]),
        encodings={"x": Encoding(), "direction": Encoding()},
    )
    toward = replace(toward, network=network)
    for scene, words in ((opaque, "opaque_end"), (toward, "depends on the direction")):
        with pytest.raises(G3dError, match=f"skip_empty is on, but .*{words}"):
            empty_space(scene, PRIOR.default(), settings(scene, ON))
        many = PRIOR.sample(0, [0] * 100)
        assert empty_space(scene, many, settings(scene, "auto")) is None
    assert not asked


def test_colours_may_depend_on_the_direction() -> None:
    """Only the density must not: the two branches of a radiance field."""
    base = block()
    network = Network(
        (*base.network.layers, Layer("c", ("direction",), Activation("linear"))),
        {"rgb": Output("c", 0, 3, Activation("clamp")), "density": Output("b", 3, 4, Activation("relu"))},
        {"x": Encoding(), "direction": Encoding()},
    )
    scene = replace(
        base, network=network, weights={**base.weights, "c": (0.5 * torch.eye(3)[None], torch.full((1, 3), 0.5))}
    )
    full, found = (render_scene(scene, PRIOR.sample(0, range(2)), settings(scene, skip)) for skip in ("off", ON))
    assert float(full.rgb.std()) > 0.05
    torch.testing.assert_close(found.rgb, full.rgb, atol=1e-6, rtol=0)


@pytest.mark.parametrize("skip", ["auto", "on"])
def test_pictures_are_the_same_drawn_at_once_or_later(
    skip: str, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sample --render` against `sample` and `render`, and view by view against all views together."""
    monkeypatch.setattr(render, "WORTH_A_GRID", 0)
    monkeypatch.setattr(render, "FULL", 2.0)  # the smoke model is fog
    how = render_step.Drawing("orbit:2", size=12, settings=[f"skip_empty={skip}"])
    one, two = tmp_path / "one", tmp_path / "two"
    sample.run(sample.Options(pipeline.model, pipeline.prior, None, num=3, images=one, drawing=how, device="cpu"))
    render_step.run(render_step.Options(pipeline.scenes, two, how, device="cpu"))
    pictures = sorted(one.rglob("*.png"))
    assert len(pictures) == 6
    assert [p.read_bytes() for p in pictures] == [(two / p.relative_to(one)).read_bytes() for p in pictures]
    scene = load_scene(pipeline.scenes / "000001.safetensors")
    assert isinstance(scene, MlpField)
    cameras = PRIOR.sample(0, range(3))
    grid = empty_space(scene, cameras, settings(scene, skip))
    assert grid is not None
    together = render_scene(scene, cameras, settings(scene, skip))
    for view in range(3):
        assert torch.equal(render_scene(scene, cameras[view], settings(scene, skip), grid).rgb[0], together.rgb[view])
