"""The extractor whose weights come with g3d: what it is called, when the kernel distance leads, what it can tell apart."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from g3d.data.columns import Made, View
from g3d.data.opening import open_dataset
from g3d.data.writer import Writer
from g3d.evaluation import generation
from g3d.evaluation.efficientnet import efficientnet_extractor
from g3d.evaluation.features import F32, Extractor, features, random_extractor
from g3d.evaluation.pictures import pictures
from g3d.evaluation.set_figures import figures, headline, name_of, why_not
from g3d.images import U8, encode
from g3d.metrics.inception_score import inception_score
from g3d.metrics.kid import squared_mmd
from g3d.nets import efficientnet


def _features(shown: Sequence[U8], batch: int = 16) -> F32:
    return features(lambda i: shown[i], range(len(shown)), efficientnet_extractor(), batch)


def _noise(count: int, seed: int, size: tuple[int, int] = (20, 24)) -> list[U8]:
    stream = np.random.default_rng(seed)
    return [stream.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def test_features_do_not_depend_on_the_batch_and_are_after_relu6() -> None:
    shown = [*_noise(3, 0), *_noise(2, 1, (224, 224)), *_noise(2, 2, (300, 90))]
    together = _features(shown, 7)
    assert together.shape == (7, 1280) and together.min() >= 0 and 0.1 < together.max() <= 6
    np.testing.assert_allclose(together, _features(shown, 2), atol=1e-4)


def test_it_is_named_after_itself_and_never_fid() -> None:
    extractor = efficientnet_extractor()
    names = {word: name_of(word, extractor) for word in ("fid", "kid", "is", "precision")}
    assert names == {
        "fid": "frechet_efficientnet", "kid": "kernel_efficientnet", "is": "class_score_efficientnet", "precision": "precision",
    }  # fmt: skip
    assert extractor.resize == "bicubic_u8_224, (x - 127) / 128" and extractor.sha256 == efficientnet.SHA256
    assert why_not("is", extractor, 9, 9) is None


def test_the_kernel_distance_leads_below_twice_the_dimensions() -> None:
    extractor = efficientnet_extractor()
    for fewest, wanted, word in (
        (2559, ("fid", "kid", "is"), "kid"), (2560, ("fid", "kid", "is"), "fid"), (9, ("fid", "precision"), "fid"),
        (9, ("is", "recall"), "is"),
    ):  # fmt: skip
        assert headline(wanted, extractor, fewest) == word
    assert headline(("fid", "kid"), random_extractor(), 9) == "fid"


def test_the_class_score_is_that_of_its_classes_by_hand() -> None:
    """exp of the mean divergence of each picture's classes from those of all: of one split, by hand."""
    extractor = efficientnet_extractor()
    found = _features(_noise(8, 3))
    assert extractor.logits is not None
    p = extractor.logits(torch.from_numpy(found)).double().softmax(dim=1).numpy()
    mean = p.mean(axis=0)
    by_hand = float(np.exp((p * (np.log(p) - np.log(mean))).sum(axis=1).mean()))
    assert inception_score(found, extractor.logits, 0, splits=1)[0] == pytest.approx(by_hand, rel=1e-4)
    values, _ = figures(found, found, extractor, ("is",), 0)
    assert 1 <= values["class_score_efficientnet"] <= 1000 and by_hand > 1.01


@pytest.mark.slow
def test_it_tells_flowers_apart_where_random_features_do_not(shared_data: Path) -> None:
    """Halves of one kind are nearer to each other than two kinds: in units of what halves differ by, by far."""
    sides = {}
    for kind in ("daisy", "tulips"):
        found = pictures(shared_data / "photos" / kind, "the images")
        sides[kind] = [found.read(i) for i in range(48)]
    ratio = {}
    for name, extractor in (("efficientnet", efficientnet_extractor()), ("random", random_extractor())):
        a, b = (
            torch.from_numpy(features(lambda i, s=shown: s[i], range(48), extractor, 16)).double()  # type: ignore[misc]
            for shown in sides.values()
        )
        ratio[name] = squared_mmd(a, b) / abs(squared_mmd(a[::2], a[1::2]))
    assert ratio["efficientnet"] > 10, ratio
    assert ratio["efficientnet"] > 2 * ratio["random"], ratio


def test_a_run_is_measured_by_it_and_by_random_features_alone_without_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []

    class Notes:
        def log(self, line: str) -> None:
            notes.append(line)

        def update(self, done: int, total: int, **figures: object) -> None: ...

        def start(self, label: str, total: int) -> None: ...

    cpu = torch.device("cpu")
    assert [one.name for one in generation._extractors(cpu, Notes())] == ["efficientnet", "random"]
    efficientnet._loaded.cache_clear()
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    assert not notes and [one.name for one in generation._extractors(cpu, Notes())] == ["random"]
    assert len(notes) == 1 and "random features, which know no pictures" in notes[0] and "pip install" in notes[0]


@pytest.mark.slow
def test_the_training_views_of_a_run_are_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkpoints: the real side is kept, the generated one is not; the figures are those of eval-fid's functions."""
    data = tmp_path / "data"
    data.mkdir()
    writer, shown, fakes = Writer(data), _noise(6, 4, (16, 16)), np.stack(_noise(6, 5, (16, 16))) // 2
    columns = {"c2w": np.tile(np.eye(4), (6, 1, 1)), "intrinsics": np.ones((6, 4)), "split": np.zeros(6, int)}
    writer.add("one", Made([View(encode(one)) for one in shown], columns))
    writer.close({"name": "t", "width": 16, "height": 16, "background": [1, 1, 1], "licence": "", "provenance": ""})
    embedded: list[int] = []
    plain = generation._features

    def counted(pictures: U8, extractor: Extractor) -> torch.Tensor:
        embedded.append(len(pictures))
        return plain(pictures, extractor)

    alpha = np.full((6, 16, 16), 255, np.uint8)
    monkeypatch.setattr(generation, "_features", counted)
    monkeypatch.setattr(generation, "_drawn", lambda *words: (fakes, alpha, torch.device("cpu")))
    dataset = open_dataset(data)
    first, again = (generation.generation(None, dataset, 0, 256).figures for _ in range(2))  # type: ignore[arg-type]
    assert first == again and len(embedded) == 2 * 2 + 2  # two extractors: two fake sides, one real side
    real, fake = (torch.from_numpy(_features(side)).double() for side in (shown, list(fakes)))
    assert next(iter(first)) == "kernel_efficientnet" and first["frechet_random"] > 0
    assert first["kernel_efficientnet"] == pytest.approx(squared_mmd(real, fake), abs=2e-6)
    assert first["precision"] == generation.covered(fake, real)
