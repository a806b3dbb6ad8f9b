"""Where rays are looked for: maps of losses against eqs. 8 and 9 written out, landmarks, pairs of views."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from g3d.data.opening import open_dataset
from g3d.methods.infamous_nerf import rays
from g3d.methods.infamous_nerf.adaptive import Maps
from g3d.methods.infamous_nerf.config import PRESETS
from g3d.methods.infamous_nerf.subjects import cast

SMOKE = PRESETS["smoke"]


def test_a_map_is_the_sum_of_eq_8_over_its_pixels() -> None:
    """Each pixel's weight by the formula, term by term, with a full 2 x 2 Sigma."""
    maps = Maps(2, height=5, width=7, gaussians=3, sigma_px=1.3, reset=10)
    maps.replace(torch.tensor([1]), torch.tensor([[9, 9, 34]]), torch.tensor([[0.2, 0.5, 0.1]]))
    sigma = np.eye(2) * 1.3**2
    wanted = np.zeros((5, 7))
    for y in range(5):
        for x in range(7):
            for (mx, my), s in (((2, 1), 0.2), ((2, 1), 0.5), ((6, 4), 0.1)):
                d = np.array([x - mx, y - my], float)
                exponent = -0.5 * d @ np.linalg.inv(sigma) @ d
                wanted[y, x] += s / (2 * np.pi * np.sqrt(np.linalg.det(sigma))) * np.exp(exponent)
    wanted /= wanted.sum()
    assert np.allclose(maps.probabilities(1).view(5, 7).numpy(), wanted, atol=1e-7)
    assert np.allclose(maps.probabilities(0).numpy(), 1 / 35)  # never visited


def test_pixels_are_drawn_as_often_as_the_map_says() -> None:
    maps = Maps(1, height=4, width=4, gaussians=1, sigma_px=0.8, reset=10)
    maps.replace(torch.tensor([0]), torch.tensor([[5]]), torch.tensor([[1.0]]))
    drawn = maps.draw(0, 40_000, torch.Generator().manual_seed(1))
    found = torch.bincount(drawn, minlength=16) / 40_000
    assert torch.allclose(found.double(), maps.probabilities(0), atol=0.01)


def test_a_map_is_replaced_at_each_visit_and_even_after_the_tenth() -> None:
    maps = Maps(1, height=4, width=4, gaussians=1, sigma_px=0.8, reset=10)
    for visit in range(1, 13):
        maps.replace(torch.tensor([0]), torch.tensor([[visit % 16]]), torch.tensor([[1.0]]))
        even = bool((maps.probabilities(0) == 1 / 16).all())
        assert even == (visit == 10)
        assert even or int(maps.probabilities(0).argmax()) == visit % 16


@pytest.fixture(scope="module")
def source_of(heads: Path):  # type: ignore[no-untyped-def]
    def made(**changes: object) -> rays.PairSource:
        config, dataset = replace(SMOKE, **changes), open_dataset(heads)
        return rays.PairSource(config, dataset, cast(config, dataset), seed=0)

    return made


def test_a_pair_is_two_training_views_of_one_subject_with_one_expression(source_of) -> None:  # type: ignore[no-untyped-def]
    source, seen = source_of(), set()
    labels = source.dataset.labels
    for step in range(20):
        batch = source.draw(step, range(2), None)
        for b in range(2):
            a, c = source.views[batch.rows[b]].tolist()
            assert a != c and labels["subject"][a] == labels["subject"][c]
            assert labels["expression"][a] == labels["expression"][c] == batch.expressions[b]
            seen |= {a, c}
            assert torch.equal(
                batch.pictures[b, 0], torch.from_numpy(source.dataset.pictures([a])[0]).float().flatten(0, 1) / 255
            )
    names = [o["split"] for o in source.dataset.info["objects"]]
    training = {v for v in range(len(source.dataset.view_object)) if names[source.dataset.view_object[v]] == "train"}
    assert seen <= training - set((source.dataset.view_split == 1).nonzero().flatten().tolist())
    assert len(seen) == 24  # all 8 items of 3 views came up


def test_half_of_the_rays_lie_around_inner_landmarks_that_are_seen(source_of) -> None:  # type: ignore[no-untyped-def]
    source = source_of(landmark_sigma=0.0, rays=400)
    for row in range(3):
        pixels = source._pixels(row, 400, torch.Generator().manual_seed(row), None)[:200]
        marks, seen = (source.dataset.labels[name][source.views[row]] for name in ("landmarks", "landmarks_visible"))
        allowed = {
            int(y) * 16 + int(x) for (x, y), s, i in zip(marks.tolist(), seen.tolist(), range(68), strict=True) if s and i >= 17
        }  # fmt: skip
        assert set(pixels.tolist()) == allowed
        hidden = {int(y) * 16 + int(x) for (x, y), s in zip(marks.tolist(), seen.tolist(), strict=True) if not s}
        assert hidden - allowed, "the case is one where something is hidden"


def test_sampling_by_the_mask_puts_half_of_the_other_rays_inside(source_of) -> None:  # type: ignore[no-untyped-def]
    source = source_of(sampling="mask", landmark_share=0.0, rays=2000)
    mask = torch.from_numpy(source.dataset.mask(int(source.views[0]))).flatten() > 127
    inside = mask[source._pixels(0, 2000, torch.Generator().manual_seed(0), None)].float().mean()
    assert abs(float(inside) - (0.5 + 0.5 * float(mask.float().mean()))) < 0.04


def test_together_means_one_subject_the_same_cameras_and_pixels(source_of) -> None:  # type: ignore[no-untyped-def]
    source = source_of(pairs=4, together=2)
    views = source.dataset.cameras.c2w[source.views]
    for step in range(8):
        batch = source.draw(step, range(4), None)
        for b in (0, 2):
            assert batch.subjects[b] == batch.subjects[b + 1] and batch.expressions[b] != batch.expressions[b + 1]
            assert torch.equal(batch.pixels[b], batch.pixels[b + 1]) and torch.equal(
                batch.jitter[b], batch.jitter[b + 1]
            )
            assert torch.equal(views[batch.rows[b]], views[batch.rows[b + 1]])
        part = source.draw(step, range(1, 3), None)  # what another process would see
        assert torch.equal(part.pixels, batch.pixels[1:3]) and torch.equal(part.rows, batch.rows[1:3])


def test_the_loss_can_be_left_out_without_other_pairs(source_of) -> None:  # type: ignore[no-untyped-def]
    """Table 4's row without L_sur sees the rays of the row with it, all of them; pairing=any is what surface=paper draws."""
    checked, without = source_of(surface="checked"), source_of(surface_weight=0.0, pairing="near")
    for one, other in ((checked, without), (source_of(surface="checked", pairing="any"), source_of())):
        for step in range(8):
            a, b = one.draw(step, range(2), None), other.draw(step, range(2), None)
            for name in ("subjects", "expressions", "rows", "pixels", "gaussians", "jitter", "pictures", "c2w"):
                assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert without.draw(0, range(2), None).depth_world is None


def test_checked_pairs_lie_within_45_degrees_where_there_are_such(source_of) -> None:  # type: ignore[no-untyped-def]
    source, wide = source_of(surface="checked"), 0
    for step in range(20):
        batch = source.draw(step, range(2), None)
        ahead = batch.c2w[:, :, :3, 2]
        assert ((ahead[:, 0] * ahead[:, 1]).sum(1) > np.cos(np.radians(45))).all()
        assert batch.depth_world is not None and batch.depth_world.shape == (2, 2, 256)
        other = source_of().draw(step, range(2), None).c2w[:, :, :3, 2]
        wide += int(((other[:, 0] * other[:, 1]).sum(1) < np.cos(np.radians(45))).sum())
    assert wide, "without the check some pairs are wider"
