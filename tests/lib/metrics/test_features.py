"""Feature extractors: the random one by its properties, Inception by a stand-in of the same interface."""

import hashlib
import urllib.request
from pathlib import Path

import cleanfid.downloads_helper
import numpy as np
import pytest
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from g3d.errors import G3dError, Missing
from g3d.metrics import inception
from g3d.metrics.features import features, random_extractor
from g3d.metrics.inception import inception_extractor

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


class _Layers(torch.nn.Module):
    """Averages over patches, repeated to 2048 numbers: [B, 3, 299, 299] -> [B, 2048, 1, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.adaptive_avg_pool2d(x, 26).flatten(1)  # [B, 2028]
        return torch.nn.functional.pad(pooled, (0, 20))[:, :, None, None]


class _Standin(torch.nn.Module):
    def __init__(self, layers: torch.nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class _Narrow(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


def standin(path: Path, layers: torch.nn.Module | None = None) -> Path:
    """A TorchScript file with the interface of the Inception file."""
    torch.jit.script(_Standin(layers or _Layers())).save(str(path))
    return path


def _pictures(sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    stream = np.random.default_rng(0)
    return [stream.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


def test_random_does_not_depend_on_batch_or_neighbours() -> None:
    pictures = _pictures([(32, 32), (32, 32), (40, 20), (100, 130), (64, 64), (32, 32)])
    extractor = random_extractor()
    together = features(pictures, 6, extractor, 6)
    assert together.shape == (6, extractor.dimensions)
    np.testing.assert_allclose(together, features(pictures, 6, extractor, 1), atol=1e-5)
    np.testing.assert_allclose(together, features(iter(pictures), 6, extractor, 4), atol=1e-5)


def test_random_weights_are_fixed() -> None:
    """Another hash would be another metric: old figures could not be compared any more."""
    torch.manual_seed(1)
    first = random_extractor().sha256
    assert first == random_extractor().sha256
    assert first == "b45dcc9848ef7c9a55c055c7df6cd2ef9316591a7bdb88c6af7fb4192ce16b54"


def test_random_tells_pictures_apart_and_keeps_its_range() -> None:
    flat = [np.full((32, 32, 3), v, np.uint8) for v in (0, 128, 255)]
    found = features([*flat, *_pictures([(32, 32)] * 5)], 8, random_extractor(), 8)
    assert np.isfinite(found).all() and np.abs(found).max() < 10
    distance = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.eye(8) * 99
    assert distance.min() > 0.1


def test_count_of_pictures_is_checked() -> None:
    with pytest.raises(AssertionError, match="2 pictures came, 3"):
        features(_pictures([(8, 8)] * 2), 3, random_extractor(), 2)


@pytest.mark.parametrize("mode", ["clean", "legacy_pytorch"])
def test_inception_is_what_clean_fid_computes(tmp_path: Path, mode: str) -> None:
    weights = standin(tmp_path / inception.FILE)
    pictures = _pictures([(32, 32), (310, 200), (64, 64)])
    extractor = inception_extractor(weights, mode, trust=True)
    reference = InceptionV3W(str(tmp_path), download=False)
    resizer = build_resizer(mode)
    x = torch.from_numpy(np.stack([resizer(p) for p in pictures])).permute(0, 3, 1, 2)
    np.testing.assert_allclose(features(pictures, 3, extractor, 2), reference(x).detach().numpy(), atol=1e-6)
    assert (extractor.metric, extractor.resize) == (inception.METRICS[mode], mode)
    assert extractor.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_unknown_weights_run_only_when_trusted(tmp_path: Path) -> None:
    weights = standin(tmp_path / "my_net.pt")
    with pytest.raises(G3dError, match=r"not the known .*sha256.*code that would run.*--trust") as caught:
        inception_extractor(weights, "clean", trust=False)
    assert caught.value.exit_code == 2
    assert inception_extractor(weights, "clean", trust=True).dimensions == 2048


def test_wrong_weights_are_sentences(tmp_path: Path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("not a network")
    no_layers = tmp_path / "no_layers.pt"
    torch.jit.script(_Layers()).save(str(no_layers))
    narrow = standin(tmp_path / "narrow.pt", _Narrow())
    for path, words in ((text, "is not an Inception"), (no_layers, "layers"), (narrow, r"found shape \[1, 3\]")):
        with pytest.raises(G3dError, match=words) as caught:
            inception_extractor(path, "clean", trust=True)
        assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    with pytest.raises(G3dError, match="does not exist"):
        inception_extractor(tmp_path / "nothing.pt", "clean", trust=True)
    with pytest.raises(G3dError, match="folder"):
        inception_extractor(tmp_path, "clean", trust=True)


def test_missing_weights_say_where_to_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cleanfid.downloads_helper, "inception_url", "http://127.0.0.1:9/nothing.pt")
    with pytest.raises(Missing, match=r"127\.0\.0\.1:9/nothing\.pt and put it at '.*cache/inception-2015-12-05\.pt'"):
        inception_extractor(None, "clean", trust=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_is_checked_then_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = standin(tmp_path / "source.pt")
    monkeypatch.setenv("G3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cleanfid.downloads_helper, "inception_url", source.as_uri())
    with pytest.raises(Missing, match="what came has sha256"):
        inception_extractor(None, "clean", trust=True)
    assert list((tmp_path / "cache").iterdir()) == []

    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(source.read_bytes()).hexdigest())
    first = inception_extractor(None, "clean", trust=False)
    monkeypatch.setattr(urllib.request, "urlopen", None)  # a second download would fail
    assert inception_extractor(None, "clean", trust=False).sha256 == first.sha256
    assert inception.cached_path().read_bytes() == source.read_bytes()


def test_without_clean_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cleanfid", None)
    with pytest.raises(Missing, match="pip install clean-fid"):
        inception_extractor(None, "clean", trust=False)
    random_extractor()
