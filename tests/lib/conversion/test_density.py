"""Rounds of densification, by hand."""

import math

import torch
from g3d.cameras import Cameras
from g3d.conversion.density import GRADIENT, SHRINK, Pull, changed
from g3d.render.splat.turn import rotations

GENERATOR = torch.Generator


def parameters(scales: list[float], opacities: list[float]) -> dict[str, torch.Tensor]:
    n = len(scales)
    return {
        "means": torch.arange(3.0 * n).view(n, 3), "log_scales": torch.tensor(scales).log()[:, None].repeat(1, 3),
        "quats": torch.tensor([1.0, 0, 0, 0]).repeat(n, 1), "opacity_logits": torch.tensor(opacities).logit(),
        "sh": torch.arange(3.0 * n).view(n, 1, 3),
    }  # fmt: skip


def test_clones_splits_and_prunes() -> None:
    """Extent 1: 0.005 is small, 0.05 large. The third is transparent, the fourth is not pulled."""
    of = parameters([0.005, 0.05, 0.005, 0.05], [0.5, 0.5, 0.001, 0.5])
    pull = torch.tensor([2, 3, 9, 0.5]) * GRADIENT
    found, history = changed(of, pull, 1.0, 100, GENERATOR().manual_seed(0))
    assert history.tolist() == [0, 3, -1, -1, -1]  # kept, kept, a clone, two halves
    assert found["means"][:3].tolist() == [of["means"][i].tolist() for i in (0, 3, 0)]
    scales = found["log_scales"].exp()
    torch.testing.assert_close(scales[3:], torch.full((2, 3), 0.05 / SHRINK))
    away = (found["means"][3:] - of["means"][1]).norm(dim=1)
    assert float(away.min()) > 0 and float(away.max()) < 0.05 * 5
    assert torch.equal(found["sh"][3:], of["sh"][[1, 1]])


def test_the_number_is_not_exceeded_and_the_strongest_pulls_come_first() -> None:
    of = parameters([0.005] * 4, [0.5] * 4)
    pull = torch.tensor([2, 5, 4, 3]) * GRADIENT
    found, history = changed(of, pull, 1.0, 6, GENERATOR().manual_seed(0))
    assert history.tolist() == [0, 1, 2, 3, -1, -1]
    assert found["means"][4:].tolist() == [of["means"][1].tolist(), of["means"][2].tolist()]
    full, kept = changed(of, pull, 1.0, 3, GENERATOR().manual_seed(0))  # too many already: none is added
    assert kept.tolist() == [0, 1, 2, 3] and torch.equal(full["means"], of["means"])


def test_pull_by_hand() -> None:
    """Depth 2, focal lengths 10 and 20 px, a picture of 8 x 4: a pull (3, 4, 7) is (3·2/10·4, 4·2/20·2) across."""
    camera = Cameras(torch.eye(4)[None], torch.tensor([[10.0, 20, 4, 2]]), 8, 4)
    pull = Pull(2)
    means, grad = torch.tensor([[0.0, 0, 2], [0, 0, 2]]), torch.tensor([[3.0, 4, 7], [0, 0, 0]])
    pull.add(means, grad, camera)
    pull.add(means, torch.zeros(2, 3), camera)  # not seen: does not count
    torch.testing.assert_close(pull.mean(), torch.tensor([math.hypot(2.4, 0.8), 0.0]))


def test_rotations_by_hand() -> None:
    half = math.sqrt(0.5)
    about_z = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    found = rotations(torch.tensor([[2 * half, 0, 0, 2 * half], [1.0, 0, 0, 0]]))
    torch.testing.assert_close(found, torch.stack([about_z, torch.eye(3)]), atol=1e-6, rtol=0)
