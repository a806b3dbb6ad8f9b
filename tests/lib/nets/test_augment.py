"""Augmentation: every transform against a hand-made case, how often it happens, exact and filtered warps."""

import math

import pytest
import torch
from g3d.nets import augment as a
from g3d.nets.warp import lanczos, sample, warp, warp_whole
from torch import Tensor

SIDE = 8


def drawn(u: float = 0.0, n: float = 0.0, u2: float = 0.0, n2: float = 0.0) -> tuple[Tensor, Tensor]:
    return torch.tensor([[u, u2]]), torch.tensor([[n, n2]])


def close(found: Tensor, wanted: list[list[float]]) -> None:
    torch.testing.assert_close(found[0], torch.tensor(wanted), atol=1e-6, rtol=0)


def test_geometric_matrices_by_hand() -> None:
    one = [0.0, 0.0, 1.0]
    close(a.mirror(*drawn(u=0.4), SIDE), [[-1, 0, 0], [0, 1, 0], one])
    close(a.mirror(*drawn(u=0.6), SIDE), [[1, 0, 0], [0, 1, 0], one])
    close(a.quarter_turn(*drawn(u=0.3), SIDE), [[0, -1, 0], [1, 0, 0], one])
    close(a.quarter_turn(*drawn(u=0.6), SIDE), [[-1, 0, 0], [0, -1, 0], one])
    close(a.whole_shift(*drawn(u=1.0, u2=0.0), SIDE), [[1, 0, 1], [0, 1, -1], one])  # an eighth of 8 pixels
    close(a.scale(*drawn(n=5.0), SIDE), [[0.5, 0, 0], [0, 0.5, 0], one])  # 2^(5 * 0.2) as large
    close(a.turn(*drawn(u=0.75), SIDE), [[0, -1, 0], [1, 0, 0], one])  # pi / 2
    close(a.stretch(*drawn(n=5.0), SIDE), [[0.5, 0, 0], [0, 2, 0], one])  # twice as wide, half as high
    close(a.shift(*drawn(n=1.0, n2=-2.0), SIDE), [[1, 0, 1], [0, 1, -2], one])


def colour_of(matrix: Tensor, rgb: tuple[float, float, float]) -> list[float]:
    image = torch.tensor(rgb).view(1, 3, 1, 1)
    found: list[float] = a.recoloured(image, matrix).flatten().tolist()
    return found


def test_colour_matrices_by_hand() -> None:
    some = (0.5, 0.25, -0.5)
    assert colour_of(a.brightness(*drawn(n=1.0), SIDE), some) == pytest.approx([0.7, 0.45, -0.3])
    assert colour_of(a.contrast(*drawn(n=2.0), SIDE), some) == pytest.approx([1.0, 0.5, -1.0])
    assert colour_of(a.luma_flip(*drawn(u=0.4), SIDE), (0.3, 0.3, 0.3)) == pytest.approx([-0.3] * 3)
    assert colour_of(a.luma_flip(*drawn(u=0.4), SIDE), (0.5, -0.5, 0.0)) == pytest.approx([0.5, -0.5, 0.0])
    assert colour_of(a.luma_flip(*drawn(u=0.6), SIDE), some) == pytest.approx(some)
    # a third of a turn around grey: red => green => blue
    assert colour_of(a.hue(*drawn(u=0.5 + 1 / 3), SIDE), some) == pytest.approx([-0.5, 0.5, 0.25], abs=1e-6)
    grey = sum(some) / 3
    doubled = [grey + 2 * (c - grey) for c in some]
    assert colour_of(a.saturation(*drawn(n=1.0), SIDE), some) == pytest.approx(doubled, abs=1e-6)


def test_what_acts_last_on_a_picture_acts_first_on_coordinates() -> None:
    """Stretched and then shifted by 1: the pixel at 1 shows what was at 0, the pixel at 3 what was at 1."""
    noise = torch.zeros(1, 2, a.NOISE)
    noise[0, 1, 0], noise[0, 1, 2] = 5.0, -1.0  # scale 2, shift by -1 of an eighth of 8
    both, colour = a.matrices(1.0, (a.GEOMETRY[0], a.GEOMETRY[4]), noise, SIDE)
    assert both is not None and colour is None
    assert (both[0] @ torch.tensor([1.0, 0, 1])).tolist() == pytest.approx([0, 0, 1])
    assert (both[0] @ torch.tensor([3.0, 0, 1])).tolist() == pytest.approx([1, 0, 1])


def test_each_kind_happens_as_often_as_p_says() -> None:
    count = 4000
    noise = a.noise([torch.Generator().manual_seed(i) for i in range(count)])
    assert noise[:, 0].mean() == pytest.approx(0.5, abs=0.01) and noise[:, 1].std() == pytest.approx(1, abs=0.02)
    checked = 0
    for k, kind in enumerate(a.SETS["bgc"]):
        assert 2 * k + 1 < a.NOISE - 1 - k, "numbers of one picture would be used twice"
        geometric, colour = a.matrices(0.3, a.SETS["bgc"][: k + 1], noise, SIDE)
        before = a.matrices(0.3, a.SETS["bgc"][:k], noise, SIDE)[1 if kind.colour else 0]
        now = colour if kind.colour else geometric
        assert now is not None
        start = torch.eye(now.shape[1]).expand_as(now) if before is None else before
        share = float(((now - start).abs().amax(dim=(1, 2)) > 1e-6).float().mean())
        possible = {"mirror": 0.5, "luma_flip": 0.5, "quarter_turn": 0.75, "whole_shift": 1 - 1 / 9}.get(kind.name, 1.0)
        if kind.name == "whole_shift":
            possible = 1 - 0.25 * 1.0  # of -1, 0, 1 pixels with weights 1/4, 1/2, 1/4 in each axis
        p = 1 - math.sqrt(0.7) if kind.draws_twice else 0.3
        assert share == pytest.approx(p * possible, abs=0.03), kind.name
        checked += 1
    assert checked == 13


def test_p_0_changes_nothing_and_a_picture_does_not_depend_on_its_company() -> None:
    images = torch.rand(3, 3, SIDE, SIDE) * 2 - 1
    noise = a.noise([torch.Generator().manual_seed(i) for i in range(3)])
    assert torch.equal(a.augment(images, 0.0, a.SETS["flip_crop"], noise), images)
    torch.testing.assert_close(a.augment(images, 0.0, a.SETS["colour"], noise), images)
    for name in ("flip_crop", "bgc"):
        whole = a.augment(images, 0.8, a.SETS[name], noise)
        alone = a.augment(images[1:2], 0.8, a.SETS[name], noise[1:2])
        torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-5)
        assert (whole - images).abs().max() > 0.1


def test_a_crop_is_a_shift_of_the_mirrored_border() -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4)
    found = warp_whole(images, a.shifted(torch.tensor([[1.0, 0.0]])))  # each pixel shows its right neighbour
    assert found[0, 0, 0].tolist() == [1, 2, 3, 3]
    assert warp_whole(images, a.scaled(torch.tensor([-1.0]), torch.tensor([1.0])))[0, 0, 1].tolist() == [7, 6, 5, 4]
    turned = warp_whole(images, a.turned(torch.tensor([math.pi / 2])))
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)))


def smooth(x: Tensor, y: Tensor) -> Tensor:
    return torch.sin(0.3 * x + 0.2) * torch.cos(0.25 * y)


@pytest.mark.parametrize("case", ["nothing", "mirror", "turn", "shift", "scale"])
def test_a_warp_reads_a_smooth_picture_where_the_matrix_says(case: str) -> None:
    side = 32
    at = torch.arange(side) + 0.5 - side / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    matrix = {
        "nothing": torch.eye(3)[None],
        "mirror": a.scaled(torch.tensor([-1.0]), torch.tensor([1.0])),
        "turn": a.turned(torch.tensor([0.3])),
        "shift": a.shifted(torch.tensor([[0.5, -0.25]])),
        "scale": a.scaled(torch.tensor([0.8]), torch.tensor([1.2])),
    }[case]
    found = warp(smooth(x, y).expand(1, 3, -1, -1), matrix)
    moved_x, moved_y = (matrix[0, r, 0] * x + matrix[0, r, 1] * y + matrix[0, r, 2] for r in range(2))
    inside = (moved_x.abs() < side / 2 - 4) & (moved_y.abs() < side / 2 - 4)
    inside[:4] = inside[-4:] = inside[:, :4] = inside[:, -4:] = False
    assert inside.sum() > 200
    error = (found - smooth(moved_x, moved_y)).abs()[0, :, inside].max()
    assert float(error) < 0.01


def test_the_filter_is_symmetric_and_sums_to_one() -> None:
    taps = lanczos((torch.arange(12.0) - 5.5) / 2)
    torch.testing.assert_close(taps, taps.flip(0))
    assert float(taps.sum()) == pytest.approx(1)


def test_sampling_is_linear_and_its_transpose_is_exact() -> None:
    """<S x, y> = <x, S' y>, and the gradient of the gradient is S again."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 6, generator=g, dtype=torch.float64, requires_grad=True)
    at_x = torch.rand(2, 4, 4, generator=g, dtype=torch.float64) * 8 - 1
    at_y = torch.rand(2, 4, 4, generator=g, dtype=torch.float64) * 7 - 1
    y = torch.randn(2, 3, 4, 4, generator=g, dtype=torch.float64, requires_grad=True)
    (back,) = torch.autograd.grad(sample(x, at_x, at_y), x, y, create_graph=True)
    assert float((sample(x, at_x, at_y) * y).sum().detach()) == pytest.approx(float((x * back).sum().detach()))
    (again,) = torch.autograd.grad(back, y, x.detach())
    torch.testing.assert_close(again, sample(x, at_x, at_y).detach())
    assert torch.autograd.gradgradcheck(lambda v: sample(v, at_x, at_y), x)
