"""L_sur on a cube whose faces have known colours; normalisers of eqs. 6, 10, 12 and 13; predicted pixels put into pictures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from g3d.losses import paired
from g3d.methods.infamous_nerf import objective, rays, surface
from g3d.methods.infamous_nerf.config import PRESETS
from g3d.methods.infamous_nerf.field import Codes
from g3d.scenes import mlp
from g3d.scenes.scene import MlpField, World
from posed_scene import look_from
from torch import Tensor

SIZE, FOCAL = 64, 80.0
FACES = {  # a colour for each side of the cube [-1, 1]^3: the axis, its sign
    (0, 1): (1.0, 0.0, 0.0), (0, -1): (0.0, 1.0, 0.0), (1, 1): (0.0, 0.0, 1.0), (1, -1): (1.0, 1.0, 0.0),
    (2, 1): (1.0, 0.0, 1.0), (2, -1): (0.0, 1.0, 1.0),
}  # fmt: skip


def cube(c2w: np.ndarray) -> tuple[Tensor, Tensor]:
    """Colours [H, W, 3] and camera z [H, W] of the cube, hit by hand: the largest entry is behind the smallest exit."""
    v, u = np.mgrid[:SIZE, :SIZE] + 0.5
    way = np.stack([(u - SIZE / 2) / FOCAL, (v - SIZE / 2) / FOCAL, np.ones_like(u)], -1) @ c2w[:3, :3].T
    eye = c2w[:3, 3]
    with np.errstate(divide="ignore"):
        a, b = (-1 - eye) / way, (1 - eye) / way
    enter, leave = np.minimum(a, b), np.maximum(a, b).min(-1)
    axis, z = enter.argmax(-1), enter.max(-1)
    hit = z < leave
    point = eye + way * z[..., None]
    rgb = np.zeros((SIZE, SIZE, 3))
    for (which, sign), colour in FACES.items():
        rgb[hit & (axis == which) & (np.take_along_axis(point, axis[..., None], -1)[..., 0] * sign > 0)] = colour
    return torch.from_numpy(rgb).float(), torch.from_numpy(np.where(hit, z, 0)).float()


def view(azimuth: float, elevation: float, depth: bool = True) -> surface.View:
    c2w = look_from(azimuth, elevation, 5.0)
    rgb, z = cube(c2w)
    k = torch.tensor([[FOCAL, FOCAL, SIZE / 2, SIZE / 2]])
    return surface.View(rgb[None], torch.from_numpy(c2w).float()[None], k, z[None] if depth else None)


def middles(*faces: tuple[int, int]) -> Tensor:
    """A point near the middle of each side."""
    points = torch.full((1, len(faces), 3), 0.1)
    for i, (axis, sign) in enumerate(faces):
        points[0, i, axis] = sign
    return points


def test_a_point_finds_the_colour_of_its_side_in_another_picture() -> None:
    """A camera at 30 degrees sees the sides +z, +x and, from above, +y; the others are hidden."""
    faces = [(2, 1), (0, 1), (1, 1), (2, -1), (0, -1), (1, -1)]
    found = surface.correspondence(middles(*faces), view(30, 25))
    assert found.seen[0].tolist() == [True] * 3 + [False] * 3
    for i in range(3):
        assert torch.allclose(found.rgb[0, i], torch.tensor(FACES[faces[i]]), atol=1e-5)


def test_without_depth_hidden_points_count_and_take_the_wrong_colour() -> None:
    found = surface.correspondence(middles((2, -1)), view(0, 0, depth=False))
    assert found.seen.all() and torch.allclose(found.rgb[0, 0], torch.tensor(FACES[2, 1]))


def test_points_outside_the_frame_or_behind_the_camera_are_not_compared() -> None:
    points = torch.tensor([[[0.0, 0.0, 0.99], [30.0, 0.0, 0.0], [0.0, 0.0, 12.0], [0.0, -30.0, 0.0]]])
    assert surface.correspondence(points, view(0, 0, depth=False)).seen[0].tolist() == [True, False, False, False]


def test_projection_of_a_pixel_s_own_point_is_that_pixel() -> None:
    c2w = look_from(20, -15, 5.0)
    _, z = cube(c2w)
    v, u = (torch.tensor([20, 30, 41]), torch.tensor([33, 25, 38]))
    depth = z[v, u]
    assert (depth > 0).all()
    x = torch.stack([(u + 0.5 - SIZE / 2) / FOCAL, (v + 0.5 - SIZE / 2) / FOCAL, torch.ones(3)], -1) * depth[:, None]
    pose = torch.from_numpy(c2w).float()
    world = x @ pose[:3, :3].T + pose[:3, 3]
    k = torch.tensor([[FOCAL, FOCAL, SIZE / 2, SIZE / 2]])
    pixels, back = surface.project(world[None], pose[None], k)
    assert torch.allclose(pixels[0], torch.stack([u, v], 1) + 0.5, atol=1e-3) and torch.allclose(
        back[0], depth, atol=1e-4
    )


def test_the_surface_loss_is_the_sum_of_eq_6() -> None:
    colours, true = (
        torch.tensor([[[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]]),
        torch.tensor([[[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]]),
    )
    other = surface.Correspondence(torch.tensor([[[0.0, 0.5, 0.5], [9.0, 9.0, 9.0]]]), torch.tensor([[True, False]]))
    assert float(surface.loss(colours, true, other, torch.ones(1, 2))) == pytest.approx(0.5 + 1.0 + 0.5)
    assert float(surface.loss(colours, true, other, torch.tensor([[1.0, 0.0]]))) == pytest.approx(1.0)


def plain_batch(rays_of_each: int, weight: Tensor) -> tuple[MlpField, rays.Batch, objective.Frame]:
    """One pair of 8² views of a field whose density is even and whose colour depends on `weight`."""
    activation = mlp.Activation("linear")
    network = mlp.Network(
        (mlp.Layer("c", ("x",), activation), mlp.Layer("s", ("x",), activation)),
        {
            "rgb": mlp.Output("c", 0, 3, mlp.Activation("sigmoid")),
            "density": mlp.Output("s", 0, 1, mlp.Activation("relu")),
        },
        {"x": mlp.Encoding(), "direction": mlp.Encoding()},
    )
    density = torch.zeros(1, 1, 3).requires_grad_()
    field = MlpField({"c": (weight, torch.zeros(1, 3)), "s": (density, torch.full((1, 1), 2.0))}, network, World())
    g = torch.Generator().manual_seed(5)
    c2w = torch.stack([torch.from_numpy(look_from(a, 10, 4.0)).float() for a in (0, 30)])[None]
    k = torch.tensor([[[10.0, 10.0, 4.0, 4.0]] * 2])
    pixels = torch.randint(64, (1, 2, rays_of_each), generator=g)
    nothing, one = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.int64)
    batch = rays.Batch(
        nothing, nothing, one, pixels, one[..., None], torch.full((1, 2 * rays_of_each, 8), 0.5),
        torch.rand(1, 2, 64, 3, generator=g), c2w, k, None,
    )  # fmt: skip
    return field, batch, objective.Frame(World(), 8, 8)


NO_CODES = Codes(*[torch.zeros(1, 1)] * 5)


def test_normalisers_are_those_of_the_paper() -> None:
    """Each part from its formula with N = 10: 1/(3N) in eqs. 10 and 12, 1/(6N) in eq. 13, none in eq. 6."""
    field, batch, frame = plain_batch(10, torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1)))
    config = replace(PRESETS["smoke"], points=8)
    with torch.no_grad():
        found = objective.cost(config, field, NO_CODES, batch, frame)
    cast = rays.through(batch, frame.world, 8)
    drawn = objective.draw(field, cast, frame.world, batch.jitter)
    by_hand = (drawn.rays.rgb - cast.true).abs().detach()
    recon = sum(float(by_hand[0, 10 * p : 10 * p + 10].sum()) / (3 * 10) for p in (0, 1)) / 2
    assert float(found.parts["recon"]) == pytest.approx(recon, rel=1e-5)
    gradient, dssim = [], []
    for p in (0, 1):
        true = batch.pictures[0, p].view(8, 8, 3).clone()
        put = true.clone()
        for pixel in batch.pixels[0, p].unique().tolist():
            mine = [10 * p + i for i in range(10) if int(batch.pixels[0, p, i]) == pixel]
            put[pixel // 8, pixel % 8] = drawn.rays.rgb[0, mine].mean(0)
        d = (put - true).detach()
        total = (d[1:] - d[:-1]).abs().sum() + (d[:, 1:] - d[:, :-1]).abs().sum()
        gradient.append(float(total) / (3 * 10))
        one = (put.permute(2, 0, 1)[None], true.permute(2, 0, 1)[None])
        dssim.append(float((1 - paired.ssim(*one, "reflect").detach()) / 2))
    assert float(found.parts["gradient"]) == pytest.approx(np.mean(gradient), rel=1e-5)
    assert float(found.parts["dssim"]) == pytest.approx(np.mean(dssim), rel=1e-4)
    summed = objective.cost(replace(config, surface_sum=True), field, NO_CODES, batch, frame)
    assert float(summed.parts["surface"]) == pytest.approx(6 * 10 * float(found.parts["surface"]), rel=1e-5)
    weights = (
        config.recon_weight,
        config.mse_weight,
        config.dssim_weight,
        config.gradient_weight,
        config.surface_weight,
    )
    names = ("recon", "mse", "dssim", "gradient", "surface")
    total = sum(w * float(found.parts[n]) for w, n in zip(weights, names, strict=True))
    assert float(found.total) == pytest.approx(total, rel=1e-5)
    assert found.by_ray.shape == (1, 2, 10) and math.isclose(float(found.by_ray.mean()), recon, rel_tol=1e-5)


def test_the_surface_loss_teaches_colour_and_not_density() -> None:
    weight = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    field, batch, frame = plain_batch(10, weight)
    found = objective.cost(replace(PRESETS["smoke"], points=8), field, NO_CODES, batch, frame)
    colour, density = torch.autograd.grad(
        found.parts["surface"].sum(), [weight, field.weights["s"][0]], allow_unused=True, retain_graph=True
    )
    assert colour.abs().sum() > 0 and density is None
    assert torch.autograd.grad(found.parts["recon"].sum(), field.weights["s"][0])[0].abs().sum() > 0


def test_rays_that_are_nearly_empty_have_no_surface_where_it_is_checked() -> None:
    """surface=checked: those of a sum of weights above 0.5 alone, ray by ray; surface=paper: all that meet the box."""
    field, batch, frame = plain_batch(40, torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(1)))
    field = replace(field, weights={**field.weights, "s": (torch.zeros(1, 1, 3), torch.full((1, 1), 0.35))})
    config = replace(PRESETS["smoke"], points=8)
    cast = rays.through(batch, frame.world, 8)
    drawn = objective.draw(field, cast, frame.world, batch.jitter)
    points = cast.origins + cast.directions * drawn.surface_t.unsqueeze(-1)
    alpha, wanted, kept = drawn.rays.alpha[0].tolist(), {"checked": 0.0, "paper": 0.0}, 0
    for ray in range(80):
        if not float(cast.far[0, ray]) > float(cast.near[0, ray]):
            continue
        other = 1 - ray // 40
        seen_by = surface.View(
            batch.pictures[:, other].view(1, 8, 8, 3), batch.c2w[:, other], batch.intrinsics[:, other], None
        )
        there = surface.correspondence(points[:, ray : ray + 1], seen_by)
        colour = drawn.surface_rgb[0, ray]
        own = (colour - cast.true[0, ray]).abs().sum() + (colour - there.rgb[0, 0]).abs().sum() * there.seen[0, 0]
        wanted["paper"] += float(own) / (6 * 40)
        wanted["checked"] += float(own) / (6 * 40) if alpha[ray] > 0.5 else 0.0
        kept += alpha[ray] > 0.5
    assert 10 < kept < sum(a > 0 for a in alpha) - 10
    for word, value in wanted.items():
        with torch.no_grad():
            found = objective.cost(replace(config, surface=word), field, NO_CODES, batch, frame)
        assert float(found.parts["surface"]) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("name", ["recon_weight", "dssim_weight", "gradient_weight", "surface_weight", "mse_weight"])
def test_each_loss_is_off_by_its_setting(name: str) -> None:
    field, batch, frame = plain_batch(6, torch.randn(1, 3, 3))
    config = replace(PRESETS["smoke"], points=8)
    found = objective.cost(replace(config, **{name: 0.0}), field, NO_CODES, batch, frame)
    whole = objective.cost(config, field, NO_CODES, batch, frame)
    part = whole.parts[name.removesuffix("_weight")]
    assert float((whole.total - found.total).detach()) == pytest.approx(
        getattr(config, name) * float(part.detach()), rel=1e-4
    )
    assert getattr(config, name) * float(part.detach()) > 0
