"""The surface that consistency is measured by: a ball is found from its pictures; views that disagree are not explained."""

import pytest
import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.evaluation.surface import Fitting, fit_surface
from g3d.render import rays
from torch import Tensor

BOX = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
WHITE = torch.ones(3)
FEW = Fitting(steps=100, rays=256, samples=32)


def ball(cameras: Cameras) -> Tensor:
    """Pictures [V, H, W, 3] of a ball of radius 0.6 whose colour is its place, in front of white."""
    views = []
    for v in range(len(cameras)):
        origin, directions = rays.camera_rays(cameras[v])
        d = directions / directions.norm(dim=1, keepdim=True)
        b = (d * origin).sum(dim=1)
        root = b * b - origin.square().sum() + 0.36
        at = origin + d * (-b - root.clamp(min=0).sqrt()).unsqueeze(1)
        rgb = torch.where((root > 0).unsqueeze(1), at * 0.7 + 0.5, 1.0)
        views.append(rgb.view(cameras.height, cameras.width, 3))
    return torch.stack(views)


@pytest.fixture(scope="module")
def cameras() -> Cameras:
    return CameraPrior(3.0, 45.0, 20, 20, elevation_deg=(-40, 60)).spiral(12)


def psnr_db(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.slow
def test_a_ball_is_found_from_its_pictures(cameras: Cameras) -> None:
    pictures = ball(cameras)
    fitted = fit_surface(pictures[:10], cameras[:10], BOX, WHITE, FEW, 0)
    for v in (10, 11):
        assert psnr_db(fitted.view(cameras[v]), pictures[v]) > 20
    distance, _ = fitted.surface(torch.tensor([[0.0, 0, 0], [0.9, 0, 0], [0, 0.9, 0], [0.55, 0.1, 0]]))
    assert distance[0] < 0 and (distance[1:3] > 0).all() and distance[3].abs() < 0.2
    points = torch.rand(500, 3) * 2 - 1
    assert float(fitted.eikonal(points).detach()) < 0.2
    again = fit_surface(pictures[:10], cameras[:10], BOX, WHITE, Fitting(steps=5, rays=256, samples=32), 0)
    same = fit_surface(pictures[:10], cameras[:10], BOX, WHITE, Fitting(steps=5, rays=256, samples=32), 0)
    assert torch.equal(again.view(cameras[0]), same.view(cameras[0]))


@pytest.mark.slow
def test_views_that_disagree_are_not_explained(cameras: Cameras) -> None:
    """Every second picture with its colours the other way round."""
    pictures = ball(cameras)
    pictures[::2] = torch.where(pictures[::2] == 1, pictures[::2], 1 - pictures[::2])
    fitted = fit_surface(pictures[:10], cameras[:10], BOX, WHITE, FEW, 0)
    assert psnr_db(fitted.view(cameras[10]), pictures[10]) < 19


def test_the_density_is_a_laplace_distribution_function(cameras: Cameras) -> None:
    fitted = fit_surface(ball(cameras)[:2], cameras[:2], BOX, WHITE, Fitting(steps=1, rays=8, samples=4), 0)
    beta = float(fitted.surface.log_beta.exp().detach())
    distance = torch.tensor([-10.0, -beta, 0.0, beta, 10.0])
    e = float(torch.tensor(-1.0).exp())
    wanted = torch.tensor([1.0, 1 - e / 2, 0.5, e / 2, 0.0]) / beta
    torch.testing.assert_close(fitted.surface.density(distance).detach(), wanted, atol=1e-4, rtol=1e-4)
