"""Colours of a surface with a thin pale shell: what a picture shows, not what the shell is made of."""

import pytest
import torch
from g3d.export.colour import surface_colour


def ball(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Dense red within radius 1, white and hardly dense from there to 1.05."""
    radius = points.norm(dim=-1)
    density = torch.where(radius < 1, 200.0, (1.05 - radius).clamp(min=0) * 20)
    red, white = torch.tensor([1.0, 0.0, 0.0]), torch.ones(3)
    return torch.where((radius < 1).unsqueeze(-1), red, white), density


def test_the_colour_behind_the_shell_shows() -> None:
    points = (
        torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1) * 1.04
    )
    assert torch.equal(ball(points, points)[0], torch.ones(50, 3))  # the shell itself is white
    found = surface_colour(ball, 0.3)(points)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.0]).expand(50, 3), atol=0.05, rtol=0)


def test_the_ray_goes_inwards_and_tells_the_field_its_direction() -> None:
    seen = []

    def records(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(directions)
        return ball(points, directions)

    points = torch.tensor([[1.02, 0.0, 0.0], [0.0, 0.0, -1.02]])
    surface_colour(records, 0.2)(points)
    torch.testing.assert_close(seen[-1], torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), atol=1e-2, rtol=0)


def test_a_surface_of_one_colour_keeps_it() -> None:
    def plain(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full_like(points, 0.25), ball(points, directions)[1]

    found = surface_colour(plain, 0.2)(torch.tensor([[0.0, 1.03, 0.0]]))
    assert found.tolist()[0] == pytest.approx([0.25] * 3, abs=1e-5)
