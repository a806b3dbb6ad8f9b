"""The three kinds of scene: files that render the same bits, lookups against loops, damaged files refused."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import unchecked
from g3d.cameras import CameraPrior
from g3d.errors import G3dError
from g3d.render import render_image_field, render_scene
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.mlp import to_json as network_to_json
from g3d.scenes.scene import (
    Gaussians,
    ImportedFrame,
    MlpField,
    Scene,
    Triplane,
    World,
    pick,
    plane_features,
    query,
    query_output,
    query_proposal,
    tensors_of,
    to,
    with_tensors,
)
from g3d.scenes.scene_file import load_scene, save_scene, scene_files
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

PRIOR = CameraPrior(radius_world=3.0, fov_deg=45.0, width=9, height=7, elevation_deg=(5.0, 60.0))
WORLD = World(((-1.0, -0.8, -0.6), (1.0, 0.9, 0.7)), 0.5, 6.0, (0.2, 0.5, 1.0), 12, camera_prior=PRIOR)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed * 1000 + sum(shape)))


def gaussians(coefficients: int, flags: bool, batch: int = 1) -> Gaussians:
    n = 20
    more: dict[str, Any] = {}
    if flags:
        more = {
            "level": (torch.arange(n) % 3).to(torch.uint8).expand(batch, n),
            "background": (torch.arange(n) % 2).to(torch.uint8).expand(batch, n),
        }
    return Gaussians(
        normal(batch, n, 3) * 0.5,
        normal(batch, n, 3, seed=1) * 0.3 - 2,
        normal(batch, n, 4, seed=2),
        normal(batch, n),
        normal(batch, n, coefficients, 3) * 0.3,
        replace(WORLD, condition_camera=tuple(float(v) for v in range(25))),
        **more,
    )


def mlp_weights(sizes: dict[str, tuple[int, int]], batch: int) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        n: (normal(batch, o, i, seed=k) / i**0.5, normal(batch, o, seed=k + 50) * 0.3)
        for k, (n, (o, i)) in enumerate(sizes.items())
    }


def radiance(batch: int = 1) -> MlpField:
    network = Network(
        (
            Layer("a", ("x",), Activation("relu")),
            Layer("b", ("a", "x"), Activation("sin")),
            Layer("c", ("b", "direction"), Activation("elu", alpha=0.1)),
        ),
        {
            "density": Output("b", 0, 1, Activation("softplus", shift=0.5)),
            "rgb": Output("c", 1, 4, Activation("sigmoid")),
        },
        {"x": Encoding(2, True, math.pi), "direction": Encoding(1)},
    )
    sizes = {"a": (8, 15), "b": (6, 23), "c": (4, 15)}
    return MlpField(mlp_weights(sizes, batch), network, replace(WORLD, opaque_end=True), "radiance")


def occupancy(batch: int = 1) -> MlpField:
    network = Network(
        (Layer("a", ("x",), Activation("sin")), Layer("b", ("a",), Activation("linear"))),
        {"occupancy": Output("b", 0, 1, Activation("sigmoid"))},
        {"x": Encoding(1)},
    )
    return MlpField(mlp_weights({"a": (8, 9), "b": (1, 8)}, batch), network, WORLD, "occupancy")


def picture(batch: int = 1) -> MlpField:
    network = Network(
        (Layer("a", ("x",), Activation("sin", gain=2.0)), Layer("b", ("a",), Activation("linear"))),
        {"rgb": Output("b", 0, 3, Activation("clamp"))},
        {"x": Encoding(2, False)},
    )
    return MlpField(mlp_weights({"a": (8, 8), "b": (3, 8)}, batch), network, World(), "image")


def triplane(proposal: bool, sphere: bool, batch: int = 1) -> Triplane:
    def pairs(*sizes: tuple[int, int]) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(mlp_weights({str(s): s for s in sizes}, batch).values())

    return Triplane(
        normal(batch, 3, 4, 5, 6),
        pairs((8, 4), (7, 8), (4, 7)),
        replace(WORLD, proposal_samples=8 if proposal else 0, spacing="disparity" if sphere else "world"),
        pairs((5, 4), (1, 5)) if proposal else (),
        "sphere" if sphere else "none",
    )


MAKERS: dict[str, Callable[[int], Scene]] = {
    "gaussians 0": lambda b: gaussians(1, False, b),
    "gaussians 3": lambda b: gaussians(16, True, b),
    "radiance": radiance,
    "occupancy": occupancy,
    "image": picture,
    "triplane": lambda b: triplane(False, False, b),
    "triplane proposal": lambda b: triplane(True, False, b),
    "triplane sphere": lambda b: triplane(True, True, b),
}


def draw(scene: Scene) -> tuple[Tensor, ...]:
    if isinstance(scene, MlpField) and scene.signal == "image":
        return (render_image_field(scene, 9, 7),)
    return tuple(render_scene(scene, PRIOR.orbit(2)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_renders_the_very_same_picture(name: str, tmp_path: Path) -> None:
    scene = MAKERS[name](1)
    digest = save_scene(tmp_path / "a.safetensors", scene, item="cup", seed=3, parents={"model": "sha256:0"})
    loaded = load_scene(tmp_path / "a.safetensors")
    assert type(loaded) is type(scene) and loaded.world == scene.world and len(loaded) == 1
    before, after = draw(scene), draw(loaded)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(bool(torch.isfinite(a).all()) for a in before)
    assert float(before[0].std()) > 0.01  # the picture shows something
    assert save_scene(tmp_path / "b.safetensors", loaded, item="cup", seed=3, parents={"model": "sha256:0"}) == digest
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("name", MAKERS)
def test_a_scene_of_a_batch_is_that_scene_alone(name: str, tmp_path: Path) -> None:
    batch = MAKERS[name](3)
    assert len(batch) == 3
    one = pick(batch, 1)
    assert len(one) == 1 and tensors_of(one).keys() == tensors_of(batch).keys()
    for key, value in tensors_of(batch).items():
        assert torch.equal(tensors_of(one)[key], value[1:2])
    save_scene(tmp_path / "a", one)  # a slice of a batch is written whole and alone
    assert all(torch.equal(v[0], load_file(tmp_path / "a")[k]) for k, v in tensors_of(one).items())
    same = to(with_tensors(one, tensors_of(one)), "cpu")
    assert all(torch.equal(tensors_of(same)[k], v) for k, v in tensors_of(one).items())
    with pytest.raises(AssertionError, match="one scene"):
        save_scene(tmp_path / "b", batch)


def test_a_batch_of_fields_is_queried_scene_by_scene() -> None:
    points, toward = normal(3, 10, 3) * 0.5, torch.nn.functional.normalize(normal(3, 10, 3, seed=4), dim=-1)
    for batch in (radiance(3), triplane(True, False, 3)):
        rgb, density = query(batch, points, toward)
        assert rgb.shape == (3, 10, 3) and density.shape == (3, 10)
        assert rgb.min() >= 0 and rgb.max() <= 1 and density.min() >= 0
        for b in range(3):
            one = query(pick(batch, b), points[b : b + 1], toward[b : b + 1])  # type: ignore[arg-type]
            torch.testing.assert_close(one.rgb[0], rgb[b], atol=1e-6, rtol=0)
            torch.testing.assert_close(one.density[0], density[b], atol=1e-6, rtol=0)
    assert query_output(occupancy(3), points, "occupancy").shape == (3, 10, 1)


def bilinear(plane: Tensor, u: float, v: float) -> Tensor:
    """plane [C, H, W] at u along W and v along H, both in [-1, 1] from border to border; clamped at the borders."""
    _, height, width = plane.shape
    x = min(max((u + 1) / 2 * width - 0.5, 0.0), width - 1.0)
    y = min(max((v + 1) / 2 * height - 0.5, 0.0), height - 1.0)
    x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
    a, b = x - x0, y - y0
    top = (1 - a) * plane[:, y0, x0] + a * plane[:, y0, x0 + 1]
    return (1 - b) * top + b * ((1 - a) * plane[:, y0 + 1, x0] + a * plane[:, y0 + 1, x0 + 1])


def test_plane_lookup_against_loops() -> None:
    scene = triplane(False, False, 2)
    points = normal(2, 40, 3) * 0.8  # some lie outside the bounds
    found = plane_features(scene, points)
    low, high = WORLD.bounds
    for b in range(2):
        for p in range(40):
            x, y, z = ((float(points[b, p, i]) - low[i]) / (high[i] - low[i]) * 2 - 1 for i in range(3))
            planes = scene.planes[b]
            wanted = (bilinear(planes[0], x, y) + bilinear(planes[1], x, z) + bilinear(planes[2], y, z)) / 3
            torch.testing.assert_close(found[b, p], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("plane", "axes"), [(0, (0, 1)), (1, (0, 2)), (2, (1, 2))])
def test_planes_are_xy_xz_yz(plane: int, axes: tuple[int, int]) -> None:
    planes = torch.zeros(1, 3, 1, 4, 4)
    planes[0, plane] = normal(1, 4, 4)
    scene = replace(triplane(False, False), planes=planes)
    start = torch.tensor([[[0.1, -0.2, 0.3]]])
    for axis in range(3):
        moved = start.clone()
        moved[..., axis] += 0.25
        changed = not torch.equal(plane_features(scene, moved), plane_features(scene, start))
        assert changed == (axis in axes)


def test_sphere_contraction() -> None:
    """mip-NeRF 360, eq. 10, halved: radius 1 goes to 1/2, 2 to 3/4, 4 to 7/8, infinity to 1; directions stay."""
    ramp = torch.linspace(-1, 1, 64)[:-1] + 1 / 63  # centres of 63 cells: a plane that says its own u
    planes = torch.zeros(1, 3, 1, 63, 63)
    planes[0, 0, 0] = ramp * 3  # the mean over the planes is u of the XY plane
    scene = replace(triplane(False, True), planes=planes)
    direction = torch.tensor([0.6, 0.0, 0.8])
    for radius, wanted in ((0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (2.0, 0.75), (4.0, 0.875), (1e6, 1.0)):
        found = plane_features(scene, (direction * radius).view(1, 1, 3))
        assert float(found) == pytest.approx(min(0.6 * wanted, 62 / 63), abs=1e-5)


def test_extent_and_scale_are_kept(tmp_path: Path) -> None:
    """And change the picture; a file of version 1, which had neither, means 1; what is not sane is refused."""
    path = tmp_path / "a.safetensors"
    plain = triplane(True, True)
    scene = replace(plain, extent=(0.5, 0.5, 1.0), scale=2.0)
    save_scene(path, scene)
    loaded = load_scene(path)
    assert isinstance(loaded, Triplane) and (loaded.extent, loaded.scale) == ((0.5, 0.5, 1.0), 2.0)
    drawn = draw(scene)
    assert all(torch.equal(a, b) for a, b in zip(drawn, draw(loaded), strict=True))
    assert float((drawn[0] - draw(plain)[0]).abs().max()) > 0.01
    for changes in (
        {"extent": [0.5, 0.5]}, {"extent": [0.5, 0, 1]}, {"extent": 1}, {"extent": ["1", 1, 1]}, {"scale": -2.0}, {"scale": None},
        {"scale": True},
    ):  # fmt: skip
        assert "wanted are three numbers above 0, and one" in rewrite(path, load_file(path), **changes)
    assert "scale 2.0, but no contraction" in rewrite(path, load_file(path), contraction="none")
    with pytest.raises(AssertionError, match="contraction"):
        replace(scene, contraction="none")


def test_a_triplane_of_version_1_has_whole_planes(tmp_path: Path) -> None:
    scene, path = triplane(True, True), tmp_path / "a.safetensors"
    save_scene(path, scene)
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["g3d"])
    assert meta["format"] == "g3d/scene@2"
    meta["format"] = "g3d/scene@1"
    del meta["config"]["extent"], meta["config"]["scale"]
    save_file(load_file(path), tmp_path / "b.safetensors", {"g3d": json.dumps(meta)})
    loaded = load_scene(tmp_path / "b.safetensors")
    assert isinstance(loaded, Triplane) and (loaded.extent, loaded.scale) == ((1, 1, 1), 1)
    assert all(torch.equal(a, b) for a, b in zip(draw(scene), draw(loaded), strict=True))
    meta["format"] = "g3d/scene@3"
    save_file(load_file(path), tmp_path / "b.safetensors", {"g3d": json.dumps(meta)})
    with pytest.raises(G3dError, match=r"scene@3.*reads scene@2: update g3d"):
        load_scene(tmp_path / "b.safetensors")


def test_triplane_mlps_against_a_loop() -> None:
    scene = triplane(True, False)
    points = normal(1, 5, 3) * 0.3
    rgb, density = query(scene, points)
    proposal = query_proposal(scene, points)

    def mlp(layers: tuple[tuple[Tensor, Tensor], ...], h: list[float]) -> list[float]:
        for i, (weight, bias) in enumerate(layers):
            rows = zip(weight[0].tolist(), bias[0].tolist(), strict=True)
            h = [sum(w * x for w, x in zip(row, h, strict=True)) + b for row, b in rows]
            h = [math.log1p(math.exp(x)) for x in h] if i + 1 < len(layers) else h
        return h

    for p in range(5):
        features = plane_features(scene, points)[0, p].tolist()
        raw = mlp(scene.nerf, features)
        wanted = [min(max(1.002 / (1 + math.exp(-x)) - 0.001, 0), 1) for x in raw[:3]]
        assert rgb[0, p].tolist() == pytest.approx(wanted, abs=1e-5)
        assert float(density[0, p]) == pytest.approx(math.log1p(math.exp(raw[3] - 1)), abs=1e-5)
        single = mlp(scene.proposal, features)
        assert float(proposal[0, p]) == pytest.approx(math.log1p(math.exp(single[0] - 1)), abs=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_numbers_that_are_not_finite_are_refused(name: str, tmp_path: Path) -> None:
    scene = MAKERS[name](1)
    floats = [k for k, v in tensors_of(scene).items() if v.is_floating_point()]
    for key in floats:
        for bad in (math.nan, math.inf):
            tensors = {k: v.clone() for k, v in tensors_of(scene).items()}
            tensors[key].view(-1)[-1] = bad
            with unchecked():
                save_scene(tmp_path / "a", with_tensors(scene, tensors))
            with pytest.raises(G3dError, match=rf"a': the tensor '{key}' holds NaN or infinity"):
                load_scene(tmp_path / "a")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_drawn_too(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    scene = MAKERS[name](1)
    low = {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors_of(scene).items()}
    save_scene(tmp_path / "a", with_tensors(scene, low))
    found = draw(load_scene(tmp_path / "a"))
    wanted = draw(with_tensors(scene, {k: v.float() if v.is_floating_point() else v for k, v in low.items()}))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_world_as_json() -> None:
    for world in (World(), WORLD, replace(WORLD, spacing="disparity", condition_camera=(0.0,) * 25)):
        assert World.from_json(json.loads(json.dumps(world.as_json())), "a file") == world


@pytest.mark.parametrize(
    "changes",
    [{"samples": 0}, {"samples": "x"}, {"near_world": 7.0}, {"near_world": -1.0}, {"far_world": None},
     {"bounds": [[0, 0, 0], [1, 0, 1]]}, {"bounds": [[0, 0], [1, 1]]}, {"bounds": 3}, {"spacing": "log"},
     {"spacing": "disparity", "near_world": 0.0}, {"background": [1, 1]}, {"camera_prior": {"radius_world": 1}},
     {"camera_prior": 5}],
)  # fmt: skip
def test_a_damaged_world_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(G3dError, match="scenes/a"):
        World.from_json({**WORLD.as_json(), **changes}, "scenes/a")
    with pytest.raises(G3dError, match="scenes/a"):
        World.from_json([], "scenes/a")  # type: ignore[arg-type]


def rewrite(path: Path, tensors: dict[str, Tensor], **config: Any) -> str:
    """A scene file with other tensors and config, and the sentence that refuses it."""
    from g3d.storage.artifacts import header

    head = header(path)
    meta = {
        "format": "g3d/scene@1", "config": {**head.config, **config}, "seed": None, "version": "0", "parents": {},
        "digest": "",
    }  # fmt: skip
    other = path.with_name("other.safetensors")
    save_file({k: v.contiguous() for k, v in tensors.items()}, other, {"g3d": json.dumps(meta)})
    with pytest.raises(G3dError) as caught:
        load_scene(other)
    assert "other.safetensors" in str(caught.value)
    return str(caught.value)


def test_triplane_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_scene(path, triplane(True, False))
    t = load_file(path)
    for gone in ("nerf.1.weight", "nerf.1.bias", "proposal.0.bias", "proposal.1.weight", "nerf.2.weight"):
        text = rewrite(path, {k: v for k, v in t.items() if k != gone})
        assert gone in text or "odd number" in text or "has shape" in text
    assert "[8, 4]" in rewrite(path, {**t, "nerf.0.weight": t["nerf.0.weight"][:, :3]})  # 4 channels of the planes
    assert "nerf.2.weight" in rewrite(path, {**t, "nerf.2.weight": t["nerf.2.weight"][:3]})  # three outputs
    assert "nerf.1.weight" in rewrite(path, {**t, "nerf.1.bias": t["nerf.1.bias"][:3]})
    assert "'cube'" in rewrite(path, t, contraction="cube")


def test_mlp_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_scene(path, radiance())
    t = load_file(path)
    assert "layer 'b'" in rewrite(path, {k: v for k, v in t.items() if k != "layer.b.weight"})
    assert "[6, 23]" in rewrite(path, {**t, "layer.b.weight": t["layer.b.weight"][:, 1:]})
    assert "layer.c.bias" in rewrite(path, {**t, "layer.c.bias": t["layer.c.bias"][1:]})
    assert "'occupancy'" in rewrite(path, t, signal="occupancy")
    assert "'sound'" in rewrite(path, t, signal="sound")
    assert "signal" in rewrite(path, t, signal=["image"])
    assert "network" in rewrite(path, t, network={})
    assert "'direction'" in rewrite(path, t, signal="image", network=network_to_json(radiance().network))


def test_gaussian_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_scene(path, gaussians(4, False))
    t = load_file(path)
    assert "3 coefficients; allowed: 1, 4, 9, 16" in rewrite(path, {**t, "sh": t["sh"][:, :3]})
    assert "'quats'" in rewrite(path, {**t, "quats": t["quats"][:, :3]})


def test_scene_files(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="holds no scenes"):
        scene_files(tmp_path)
    for name in ("000001", "000000"):
        save_scene(tmp_path / f"{name}.safetensors", gaussians(1, False))
    assert [p.stem for p in scene_files(tmp_path)] == ["000000", "000001"]
    assert scene_files(tmp_path / "000001.safetensors") == [tmp_path / "000001.safetensors"]
    (tmp_path / "bad.safetensors").write_text("x" * 100)
    with pytest.raises(G3dError, match=r"bad\.safetensors"):
        scene_files(tmp_path)


def test_cameras_of_imported_worlds_by_hand() -> None:
    """One field of view for all; a camera whose frame has the origin at x has it at -x, y and z staying."""
    cameras = CameraPrior(2.7, 30.0, 64, 64, target=(0.3, 0.1, 0.2)).orbit(3)
    world = World(imported=ImportedFrame(fixed_fov_deg=22.5533, negate_tx=True))
    seen = world.seen_by(cameras)
    focal = 32 / math.tan(math.radians(22.5533) / 2)
    torch.testing.assert_close(seen.intrinsics, torch.tensor([focal, focal, 32, 32]).repeat(3, 1))
    before, after = (torch.linalg.inv(c.c2w) for c in (cameras, seen))
    torch.testing.assert_close(after[:, :3, :3], before[:, :3, :3])
    torch.testing.assert_close(after[:, :3, 3], before[:, :3, 3] * torch.tensor([-1.0, 1, 1]), atol=1e-5, rtol=0)
    assert before[:, 0, 3].abs().min() > 1e-3
    plain = World().seen_by(cameras)
    assert plain is cameras
