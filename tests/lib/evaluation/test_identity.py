"""Alignment of faces against a closed form, and embeddings by a stand-in of the network's interface."""

from pathlib import Path

import numpy as np
import pytest
import torch
from g3d.errors import G3dError
from g3d.evaluation.identity import (
    FIVE,
    TEMPLATE_PX,
    aligned,
    centre_crop,
    cosines,
    five_points,
    network_embedder,
    pixel_embedder,
    similarity,
)
from torch import Tensor, nn

TEMPLATE = np.array(TEMPLATE_PX) + 0.5  # pixel centres at +0.5


class Facelike(nn.Module):
    """AdaFace's interface: a vector, and its length before it was normalised. The vector tells channels apart."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.cat([x.mean(dim=(2, 3)), x[:, :, 50, 60]], dim=1)
        length = found.norm(2, dim=1, keepdim=True)
        return found / length, length


class Pictures(nn.Module):
    """No face network: gives pictures."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def saved(path: Path, module: nn.Module) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def _face(angle_deg: float, scale: float, shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A picture of 200 x 180 with a coloured blob at each of the five points of a turned and scaled face, and 68 landmarks."""
    a = np.radians(angle_deg)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = (TEMPLATE - 56) @ turn.T + np.array(shift)
    landmarks = np.zeros((68, 2))
    for group, point in zip(FIVE, points, strict=True):
        offsets = np.array(
            [[np.cos(2 * np.pi * i / len(group)), np.sin(2 * np.pi * i / len(group))] for i in range(len(group))]
        )
        landmarks[list(group)] = point + (4 * offsets if len(group) > 1 else 0)
    y, x = np.mgrid[0:180, 0:200] + 0.5
    picture = np.zeros((180, 200, 3))
    for k, (px, py) in enumerate(points):
        near = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 4.0**2))[..., None]
        picture = np.maximum(picture, near * np.roll([255, 120, 40], k))
    return picture.astype(np.uint8), landmarks


def test_similarity_is_found_exactly_and_never_mirrors() -> None:
    stream = np.random.default_rng(0)
    source = stream.random((5, 2)) * 100
    turn = 1.7 * np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]])
    np.testing.assert_allclose(similarity(source, source @ turn.T + [3, -8]), np.c_[turn, [3, -8]], atol=1e-10)
    mirrored = similarity(source, source * [-1, 1])[:, :2]
    assert np.linalg.det(mirrored) >= 0
    noisy = source @ turn.T + stream.standard_normal((5, 2))
    best = similarity(source, noisy)

    def error(m: np.ndarray) -> float:
        return float(((source @ m[:, :2].T + m[:, 2] - noisy) ** 2).sum())

    for _ in range(50):  # no similarity near the best one is better
        a, s, d = stream.standard_normal(3) * 0.01
        near = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * (1 + s)
        assert error(np.c_[near @ best[:, :2], best[:, 2] + d]) >= error(best)
    with pytest.raises(G3dError, match="lie on one point"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_aligned_points_lie_on_the_template() -> None:
    straight, marks = _face(0, 1, (56, 56))
    np.testing.assert_allclose(five_points(marks), TEMPLATE, atol=1e-9)
    want = aligned(straight, marks)
    np.testing.assert_array_equal(want, straight[:112, :112])  # the identity, to the pixel
    for angle, scale, shift in ((25, 1, (90, 85)), (-40, 1.3, (100, 90)), (10, 0.8, (120, 70))):
        crop = aligned(*_face(angle, scale, shift)).astype(float)
        for k, (x, y) in enumerate(TEMPLATE):
            channel = int(np.argmax(np.roll([255, 120, 40], k)))
            window = crop[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7, channel]
            row, column = np.unravel_index(window.argmax(), window.shape)
            assert abs(row - 6) <= 1 and abs(column - 6) <= 1 and window.max() > 220


def test_one_face_from_two_poses_is_nearer_than_another(tmp_path: Path) -> None:
    a, b = aligned(*_face(0, 1, (56, 56))), aligned(*_face(30, 1.2, (100, 90)))
    other = a[:, :, ::-1].copy()
    vectors = pixel_embedder().embed([a, b, other])
    same, different = cosines(vectors[:1].expand(2, -1), vectors[1:])
    assert same > 0.9 > different


def test_centre_crop() -> None:
    picture = np.zeros((112, 200, 3), np.uint8)
    picture[:, 44:156] = 200
    assert (centre_crop(picture) == 200).all()
    assert centre_crop(np.full((300, 250, 3), 9, np.uint8)).shape == (112, 112, 3)


def test_the_network_gets_what_adaface_gets(tmp_path: Path) -> None:
    place = saved(tmp_path / "face.pt", Facelike())
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    with pytest.raises(G3dError, match=r"face\.pt' are not of a known origin.*--trust"):
        network_embedder(place, False, "bgr", "cpu")
    x = (crop.astype(np.float64)[..., ::-1] / 255 - 0.5) / 0.5
    want = np.concatenate([x.mean(axis=(0, 1)), x[50, 60]])
    found = network_embedder(place, True, "bgr", "cpu")
    assert found.embed([crop])[0].numpy() == pytest.approx(want / np.linalg.norm(want), abs=1e-5)
    assert found.embed([crop, crop]).norm(dim=1).tolist() == pytest.approx([1, 1])
    rgb = network_embedder(place, True, "rgb", "cpu").embed([crop])[0].numpy()
    swapped = want[[2, 1, 0, 5, 4, 3]]
    assert rgb == pytest.approx(swapped / np.linalg.norm(swapped), abs=1e-5)
    assert found.sha256 is not None and len(found.sha256) == 64


def test_a_file_that_is_no_face_network(tmp_path: Path) -> None:
    with pytest.raises(
        G3dError, match=r"p\.pt' does not work as a face network \(it gave shape \[1, 3, 112, 112\] for 1 crop"
    ):
        network_embedder(saved(tmp_path / "p.pt", Pictures()), True, "bgr", "cpu")
    (tmp_path / "t.pt").write_text("no")
    with pytest.raises(G3dError, match=r"t\.pt' are not a TorchScript file"):
        network_embedder(tmp_path / "t.pt", True, "bgr", "cpu")
