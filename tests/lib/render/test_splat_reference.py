"""Gaussians drawn densely: against closed forms, and spherical harmonics against their definition."""

import math
from dataclasses import replace

import pytest
import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.render import splat
from g3d.render.splat.harmonics import sh_colour
from g3d.render.splat.reference import covariance
from g3d.render.splat.rule import LOW_PASS_PX2, MAX_ALPHA, MIN_ALPHA
from g3d.scenes.scene import Gaussians, World
from torch import Tensor

F64 = torch.float64
C0 = 0.28209479177387814  # 1 / (2 sqrt(pi))
SIZE = 21
PRIOR = CameraPrior(3.0, 40.0, SIZE, SIZE, default_azimuth_deg=0, default_elevation_deg=0)
CAMERA = PRIOR.default()  # at (0, 0, 3), looks along -z; the picture's centre is the middle of pixel (10, 10)
FOCAL = float(CAMERA.intrinsics[0, 0])
BACK = (0.2, 0.4, 0.6)


def rasterize(
    scene: Gaussians, cameras: Cameras, scale_modifier: float = 1.0, background: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> tuple[Tensor, Tensor, Tensor]:
    """One scene by the reference => rgb [V, H, W, 3], alpha and depth [V, H, W]."""
    rgb, alpha, depth = splat.rasterize(
        scene, cameras, scale_modifier=scale_modifier, background=background, backend="reference"
    )
    assert depth is not None
    return rgb[0], alpha[0], depth[0]


def gaussians(
    means: list[tuple[float, float, float]],
    sigmas: list[tuple[float, float, float]],
    colours: list[tuple[float, float, float]],
    opacities: list[float],
    quats: list[tuple[float, float, float, float]] | None = None,
) -> Gaussians:
    n = len(means)
    o = torch.tensor(opacities, dtype=F64)
    return Gaussians(
        torch.tensor(means, dtype=F64).view(1, n, 3),
        torch.tensor(sigmas, dtype=F64).view(1, n, 3).log(),
        torch.tensor(quats or [(1, 0, 0, 0)] * n, dtype=F64).view(1, n, 4),
        torch.logit(o).view(1, n),
        ((torch.tensor(colours, dtype=F64) - 0.5) / C0).view(1, n, 1, 3),
        World(),
    )


def test_one_round_gaussian_against_the_closed_form() -> None:
    """On the axis at distance z the splat is round with variance (f sigma / z)^2 + low pass, in pixels."""
    scene = gaussians([(0, 0, 1)], [(0.2,) * 3], [(0.9, 0.5, 0.1)], [0.8])
    rgb, alpha, depth = rasterize(scene, CAMERA, background=BACK)
    variance = (FOCAL * 0.2 / 2) ** 2 + LOW_PASS_PX2
    for row in range(SIZE):
        for column in range(SIZE):
            r2 = (column - 10) ** 2 + (row - 10) ** 2
            a = 0.8 * math.exp(-r2 / (2 * variance))
            a = a if a >= MIN_ALPHA else 0.0
            assert float(alpha[0, row, column]) == pytest.approx(a, abs=1e-6)
            wanted = [a * c + (1 - a) * b for c, b in zip((0.9, 0.5, 0.1), BACK, strict=True)]
            assert rgb[0, row, column].tolist() == pytest.approx(wanted, abs=1e-6)
            assert float(depth[0, row, column]) == pytest.approx(2.0 if a else 0.0, abs=1e-6)
    assert (alpha > 0).any() and (alpha == 0).any()


def test_off_the_axis_it_lies_where_its_mean_projects() -> None:
    scene = gaussians([(0.25, -0.4, 0.5)], [(0.1,) * 3], [(1, 1, 1)], [0.9])
    _, alpha, _ = rasterize(scene, CAMERA)
    x, y = FOCAL * 0.25 / 2.5, FOCAL * 0.4 / 2.5  # right, and below the middle
    axis = torch.arange(SIZE, dtype=F64) - 10
    weight = alpha[0] / alpha[0].sum()
    assert float((weight * axis[None]).sum()) == pytest.approx(x, abs=0.05)
    assert float((weight * axis[:, None]).sum()) == pytest.approx(y, abs=0.05)


def test_its_shape_off_the_axis_is_the_affine_approximation() -> None:
    """Pixel by pixel, with the derivative of the projection by autograd and matrices by torch.linalg."""
    camera = replace(PRIOR, default_azimuth_deg=25, default_elevation_deg=15).default()
    scene = gaussians([(0.5, -0.45, 0.4)], [(0.3, 0.1, 0.2)], [(1, 1, 1)], [0.9], [(0.9, 0.2, -0.3, 0.5)])
    w2c = torch.linalg.inv(camera.c2w[0].double())

    def project(world: Tensor) -> Tensor:
        x, y, z = (w2c[:3, :3] @ world + w2c[:3, 3]).unbind()
        return torch.stack([FOCAL * x / z + SIZE / 2, FOCAL * y / z + SIZE / 2])

    mean = scene.means[0, 0]
    jacobian = torch.autograd.functional.jacobian(project, mean)
    flat = jacobian @ covariance(scene.log_scales[0], scene.quats[0])[0] @ jacobian.T + LOW_PASS_PX2 * torch.eye(2)
    pixels = torch.cartesian_prod(torch.arange(SIZE), torch.arange(SIZE)).flip(-1) + 0.5  # row by row: x, y
    d = pixels - project(mean)
    wanted = 0.9 * torch.exp(-0.5 * (d * torch.linalg.solve(flat, d.T).T).sum(dim=-1))
    wanted = torch.where(wanted >= MIN_ALPHA, wanted, 0.0).view(SIZE, SIZE)
    assert 20 < int((wanted > 0).sum()) < 400
    torch.testing.assert_close(rasterize(scene, camera)[1][0], wanted, atol=1e-5, rtol=0)


def test_two_are_composited_in_the_order_of_depth() -> None:
    near, far = ((0, 0, 1), (0.9, 0.0, 0.0), 0.6), ((0, 0, -1), (0.0, 0.8, 0.0), 0.7)
    for order in ((near, far), (far, near)):  # whatever their order in the file
        means, colours, opacities = (list(v) for v in zip(*order, strict=True))
        rgb, alpha, depth = rasterize(gaussians(means, [(0.5,) * 3] * 2, colours, opacities), CAMERA, background=BACK)
        through = 0.4 * 0.3
        wanted = [0.6 * 0.9 + through * 0.2, 0.4 * 0.7 * 0.8 + through * 0.4, through * 0.6]
        assert rgb[0, 10, 10].tolist() == pytest.approx(wanted, abs=1e-6)
        assert float(alpha[0, 10, 10]) == pytest.approx(1 - through, abs=1e-6)
        assert float(depth[0, 10, 10]) == pytest.approx((0.6 * 2 + 0.28 * 4) / 0.88, abs=1e-6)


def test_behind_the_camera_and_nothing_at_all() -> None:
    for scene in (gaussians([(0, 0, 5), (0, 0, 3), (0, 0, 2.995)], [(0.3,) * 3] * 3, [(1, 0, 0)] * 3, [0.9] * 3),
                  gaussians([], [], [], [])):  # fmt: skip
        rgb, alpha, depth = rasterize(scene, CAMERA, background=BACK)
        assert alpha.abs().max() == 0 and depth.abs().max() == 0
        torch.testing.assert_close(rgb, torch.tensor(BACK, dtype=F64).expand_as(rgb))


def spread(scene: Gaussians, camera: Cameras = CAMERA) -> tuple[float, float]:
    """Standard deviations of the splat across and down, in pixels."""
    alpha = rasterize(scene, camera)[1][0]
    axis = torch.arange(camera.width, dtype=F64)
    shares = (alpha.sum(dim=0) / alpha.sum(), alpha.sum(dim=1) / alpha.sum())
    found = [float((p * (axis - (p * axis).sum()) ** 2).sum() ** 0.5) for p in shares]
    return found[0], found[1]


@pytest.mark.parametrize(
    ("quat", "wide"),
    [
        ((1.0, 0.0, 0.0, 0.0), "x"),
        ((math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)), "y"),  # w, then x y z: 90 degrees about z
        ((5.0, 0.0, 0.0, 5.0), "y"),  # need not be unit
        ((-1.0, 0.0, 0.0, -1.0), "y"),
        ((math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0), "x"),  # about its own axis
        ((math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0), "z"),  # along the line of sight
    ],
)
def test_quaternions_are_wxyz(quat: tuple[float, ...], wide: str) -> None:
    scene = gaussians([(0, 0, 0)], [(0.3, 0.05, 0.05)], [(1, 1, 1)], [0.9], [quat])  # type: ignore[list-item]
    across, down = spread(scene)
    assert (across > 1.8 * down, down > 1.8 * across) == (wide == "x", wide == "y")


def test_covariance_turns_the_axes() -> None:
    """30 degrees about z: the long axis points to (cos 30, sin 30, 0)."""
    half = math.radians(15)
    quat = torch.tensor([[math.cos(half), 0, 0, math.sin(half)]], dtype=F64)
    c = covariance(torch.tensor([[3.0, 1.0, 0.5]], dtype=F64).log(), quat)[0]
    u, v, w = (torch.tensor(a, dtype=F64) for a in ([3**0.5 / 2, 0.5, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, 1]))
    wanted = 9 * torch.outer(u, u) + torch.outer(v, v) + 0.25 * torch.outer(w, w)
    torch.testing.assert_close(c, wanted)


def test_a_turned_camera_sees_the_turned_scene() -> None:
    """Camera and scene turned together by 90 degrees about y: the same picture."""
    flat = gaussians([(0.3, 0.2, 0.4)], [(0.3, 0.1, 0.05)], [(1, 0.5, 0)], [0.9], [(0.9, 0.3, -0.2, 0.1)])
    turn = torch.tensor([math.sqrt(0.5), 0, math.sqrt(0.5), 0], dtype=F64)
    w, x, y, z = flat.quats[0, 0].tolist()
    c = float(turn[0])
    turned = torch.tensor([c * (w - y), c * (x + z), c * (y + w), c * (z - x)], dtype=F64)  # turn * quat, by hand
    other = replace(flat, means=flat.means[..., [2, 1, 0]] * torch.tensor([1.0, 1, -1]), quats=turned.view(1, 1, 4))
    side = replace(PRIOR, default_azimuth_deg=90).default()
    for a, b in zip(rasterize(flat, CAMERA), rasterize(other, side), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_scale_modifier_and_limits() -> None:
    scene = gaussians([(0, 0, 0)], [(0.2,) * 3], [(1, 1, 1)], [0.9])
    small, large = spread(scene)[0], spread(gaussians([(0, 0, 0)], [(0.4,) * 3], [(1, 1, 1)], [0.9]))[0]
    across = float(rasterize(scene, CAMERA, 2.0)[1].sum())
    assert across == pytest.approx(
        float(rasterize(replace(scene, log_scales=scene.log_scales + math.log(2)), CAMERA)[1].sum())
    )
    assert large > 1.5 * small
    solid = replace(scene, opacity_logits=torch.tensor([[50.0]], dtype=F64))
    assert float(rasterize(solid, CAMERA)[1].max()) == pytest.approx(MAX_ALPHA)
    dark = gaussians([(0, 0, 0)], [(0.2,) * 3], [(-3.0, 0.5, 9.0)], [0.9])
    assert rasterize(dark, CAMERA)[0][0, 10, 10].tolist() == pytest.approx([0.1, 0.55, 8.2], abs=1e-6)


def test_every_view_is_drawn_by_its_own_camera() -> None:
    scene = gaussians([(0.4, 0.1, 0), (-0.3, 0, 0.5)], [(0.2, 0.1, 0.1)] * 2, [(1, 0, 0), (0, 1, 0)], [0.9, 0.8])
    cameras = PRIOR.orbit(3)
    together = rasterize(scene, cameras)
    for v in range(3):
        for a, b in zip(together, rasterize(scene, cameras[v]), strict=True):
            assert torch.equal(a[v], b[0])


def basis(directions: Tensor) -> Tensor:
    """The 16 functions [P, 16] at unit directions [P, 3]: the colour when one coefficient is one."""
    n = len(directions)
    columns = []
    for k in range(16):
        sh = torch.zeros(n, 16, 3, dtype=F64)
        sh[:, k] = 1
        columns.append(sh_colour(sh, directions)[:, 0])
    return torch.stack(columns, dim=-1)


def test_spherical_harmonics_are_orthonormal() -> None:
    """Gauss-Legendre in z times even steps around: exact for products of degree 6."""
    nodes, weights = torch.linalg.eigh(
        torch.diag_embed(torch.tensor([k / math.sqrt(4 * k * k - 1) for k in range(1, 8)], dtype=F64), 1)
        + torch.diag_embed(torch.tensor([k / math.sqrt(4 * k * k - 1) for k in range(1, 8)], dtype=F64), -1)
    )
    phi = torch.arange(16, dtype=F64) * (2 * math.pi / 16)
    z = nodes[:, None].expand(8, 16)
    r = (1 - z * z).sqrt()
    d = torch.stack([r * phi.cos(), r * phi.sin(), z], dim=-1).reshape(-1, 3)
    w = (2 * weights[0] ** 2)[:, None].expand(8, 16).reshape(-1) * (2 * math.pi / 16)
    assert float(w.sum()) == pytest.approx(4 * math.pi)
    values = basis(d)
    torch.testing.assert_close(values.T @ (w[:, None] * values), torch.eye(16, dtype=F64), atol=1e-12, rtol=0)


def test_spherical_harmonics_of_the_first_degree_with_their_signs() -> None:
    """The order and signs of 3D Gaussian splatting: 1, -y, z, -x."""
    c1 = math.sqrt(3 / (4 * math.pi))
    d = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=F64)
    wanted = torch.tensor([[C0, 0, c1, 0], [C0, -c1, 0, 0], [C0, 0, 0, -c1]], dtype=F64)
    torch.testing.assert_close(basis(d)[:, :4], wanted)
    torch.testing.assert_close(basis(d * 7), basis(d))  # only the direction counts


def test_fewer_coefficients_are_the_first_of_more() -> None:
    g = torch.Generator().manual_seed(0)
    sh, d = torch.randn(5, 16, 3, generator=g, dtype=F64), torch.randn(5, 3, generator=g, dtype=F64)
    for k in (1, 4, 9):
        padded = torch.cat([sh[:, :k], torch.zeros(5, 16 - k, 3, dtype=F64)], dim=1)
        torch.testing.assert_close(sh_colour(sh[:, :k], d), sh_colour(padded, d))


def test_colour_depends_on_where_it_is_seen_from() -> None:
    """Degree 1 along x: +x is seen brighter from -x (the direction runs from the camera), darker from +x."""
    scene = gaussians([(0, 0, 0)], [(0.3,) * 3], [(0.5, 0.5, 0.5)], [0.9])
    sh = torch.zeros(1, 1, 4, 3, dtype=F64)
    sh[..., 3, :] = 0.5
    from_plus, from_minus = (replace(PRIOR, default_azimuth_deg=a).default() for a in (90.0, 270.0))
    c1 = math.sqrt(3 / (4 * math.pi))
    for camera, sign in ((from_plus, 1), (from_minus, -1)):
        rgb, alpha, _ = rasterize(replace(scene, sh=sh), camera, background=(0, 0, 0))
        assert float(rgb[0, 10, 10, 0] / alpha[0, 10, 10]) == pytest.approx(0.5 + sign * c1 * 0.5, abs=1e-6)


def test_gradients() -> None:
    g = torch.Generator().manual_seed(1)
    camera = replace(PRIOR, width=4, height=3).default()
    shapes = {"means": (3,), "log_scales": (3,), "quats": (4,), "opacity_logits": (), "sh": (4, 3)}
    start = {n: torch.randn(1, 3, *s, generator=g, dtype=F64) * 0.3 for n, s in shapes.items()}
    start["log_scales"] = start["log_scales"] - 0.5
    start["quats"] = start["quats"] + 0.4

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        return rasterize(Gaussians(**dict(zip(shapes, values, strict=True)), world=World()), camera)

    leaves = tuple(v.requires_grad_() for v in start.values())
    assert torch.autograd.gradcheck(run, leaves)
    assert all(float(v.abs().max()) > 0 for v in torch.autograd.grad(run(*leaves)[0].sum(), leaves))


def test_a_gaussian_far_outside_the_picture_does_not_flood_it() -> None:
    """Ten half-widths to the side, in front: the affine approximation alone would spread it over every pixel."""
    from g3d.cameras import CameraPrior

    camera = CameraPrior(
        radius_world=3.0, fov_deg=50.0, width=16, height=16, default_azimuth_deg=0, default_elevation_deg=0
    )
    scene = Gaussians(
        torch.tensor([[[14.0, 0.0, 0.0]]]), torch.full((1, 1, 3), -2.0), torch.tensor([[[1.0, 0, 0, 0]]]),
        torch.full((1, 1), 5.0), torch.ones(1, 1, 1, 3), World(),
    )  # fmt: skip
    _, alpha, _ = rasterize(scene, camera.default())
    assert alpha.max() == 0
