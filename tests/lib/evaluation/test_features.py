"""Feature extractors: the random one by its properties, Inception by a stand-in of the same interface."""

import hashlib
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from threading import Event

import cleanfid.downloads_helper
import numpy as np
import pytest
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.utils import ResizeDataset
from g3d import distributed
from g3d.errors import G3dError, Missing
from g3d.evaluation import extractors, inception, pictures
from g3d.evaluation.extractors import Choice
from g3d.evaluation.features import Extractor, features, random_extractor
from g3d.evaluation.inception import inception_extractor
from PIL import Image, ImageCms

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


class _Layers(torch.nn.Module):
    """Averages over patches, repeated to 2048 numbers: [B, 3, 299, 299] -> [B, 2048, 1, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.adaptive_avg_pool2d(x, 26).flatten(1)  # [B, 2028]
        return torch.nn.functional.pad(pooled, (0, 20))[:, :, None, None]


class _Standin(torch.nn.Module):
    """The interface of the Inception file: pictures of 0..255 => classes, or features with `return_features`."""

    def __init__(self, layers: torch.nn.Module):
        super().__init__()
        self.layers = layers
        torch.manual_seed(0)
        self.output = torch.nn.Linear(2048, 12)
        torch.nn.init.normal_(self.output.bias)

    def forward(
        self, img: torch.Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> torch.Tensor:
        x = torch.nn.functional.interpolate(img.float(), (299, 299), mode="bilinear", align_corners=False)
        features = self.layers((x - 128) / 128).reshape(-1, 2048)
        if return_features:
            return features
        logits = features @ self.output.weight.T
        return torch.softmax(logits if no_output_bias else logits + self.output.bias, 1)


class _NoClasses(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = _Layers()

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


def _features(pictures: list[np.ndarray], extractor: Extractor, batch: int) -> np.ndarray:
    return features(lambda i: pictures[i], range(len(pictures)), extractor, batch)


def test_random_does_not_depend_on_batch_or_neighbours() -> None:
    pictures = _pictures([(32, 32), (32, 32), (40, 20), (100, 130), (64, 64), (32, 32)])
    extractor = random_extractor()
    together = _features(pictures, extractor, 6)
    assert together.shape == (6, extractor.dimensions)
    np.testing.assert_allclose(together, _features(pictures, extractor, 1), atol=1e-5)
    np.testing.assert_allclose(together, _features(pictures, extractor, 4), atol=1e-5)


def test_random_weights_are_fixed() -> None:
    """Another hash would be another metric: old figures could not be compared any more."""
    torch.manual_seed(1)
    first = random_extractor().sha256
    assert first == random_extractor().sha256
    assert first == "b45dcc9848ef7c9a55c055c7df6cd2ef9316591a7bdb88c6af7fb4192ce16b54"


def test_random_tells_pictures_apart_and_keeps_its_range() -> None:
    flat = [np.full((32, 32, 3), v, np.uint8) for v in (0, 128, 255)]
    found = _features([*flat, *_pictures([(32, 32)] * 5)], random_extractor(), 8)
    assert np.isfinite(found).all() and np.abs(found).max() < 10
    distance = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.eye(8) * 99
    assert distance.min() > 0.1


def _odd_folder(path: Path) -> Path:
    """Pictures of many kinds: with alpha, a palette, grey, 16-bit grey, CMYK, on their side, with a colour profile."""
    stream = np.random.default_rng(1)
    path.mkdir()

    def noise(*shape: int) -> np.ndarray:
        return stream.integers(0, 256, shape, dtype=np.uint8)

    Image.fromarray(noise(40, 30, 3)).save(path / "rgb.png")
    Image.fromarray(noise(40, 30, 4)).save(path / "alpha.png")
    Image.fromarray(noise(310, 20, 3)).quantize(16).save(path / "palette.png", transparency=3)
    Image.fromarray(noise(25, 25)).save(path / "grey.png")
    Image.fromarray(stream.integers(0, 65536, (20, 20), dtype=np.uint16)).save(path / "grey16.png")
    Image.fromarray(noise(24, 24, 4), "CMYK").save(path / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.fromarray(noise(32, 48, 3)).save(path / "turned.jpg", exif=exif)
    Image.fromarray(noise(32, 48, 3)).save(path / "profile.png", icc_profile=profile)
    return path


MODES = ["clean", "legacy_tensorflow", "legacy_pytorch"]


@pytest.mark.parametrize("mode", MODES)
def test_inception_is_what_clean_fid_computes(tmp_path: Path, mode: str) -> None:
    """From files to features: odd pictures, each alone since clean-fid makes no batch of different sizes."""
    folder, weights = _odd_folder(tmp_path / "odd"), standin(tmp_path / inception.FILE)
    found = pictures.pictures(folder, "the images")
    extractor = inception_extractor(weights, mode, trust=True)
    ours = features(found.read, range(len(found)), extractor, 3)
    reference = InceptionV3W(str(tmp_path), download=False, resize_inside=mode == "legacy_tensorflow")
    theirs = ResizeDataset([folder / name for name in found.found.names], mode=mode)
    with torch.inference_mode():
        rows = [reference(theirs[i][None]) for i in range(len(found))]
    np.testing.assert_allclose(ours, torch.cat(rows).numpy(), atol=2e-6)
    assert len(found) == 8 and np.abs(ours).max() > 0.5
    assert {found.found.names[i] for i in found.odd} == {"alpha.png", "palette.png", "grey16.png", "turned.jpg"}
    assert (extractor.metric, extractor.resize) == (inception.METRICS[mode], mode)
    assert extractor.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_the_modes_differ(tmp_path: Path) -> None:
    weights, shown = standin(tmp_path / "net.pt"), _pictures([(600, 600)])
    rows = [_features(shown, inception_extractor(weights, mode, trust=True), 1) for mode in MODES]
    for a, b in ((0, 1), (0, 2)):  # the stand-in's own resize is that of legacy_pytorch
        assert np.abs(rows[a] - rows[b]).max() > 0.01


def test_classes_are_those_of_the_file_without_the_bias(tmp_path: Path) -> None:
    weights, shown = standin(tmp_path / "net.pt"), _pictures([(299, 299)] * 3)
    extractor = inception_extractor(weights, "legacy_tensorflow", trust=True)
    assert extractor.logits is not None
    ours = extractor.logits(torch.from_numpy(_features(shown, extractor, 2))).softmax(1)
    file = torch.jit.load(str(weights))
    x = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours, file(x, no_output_bias=True).detach())
    assert (ours - file(x).detach()).abs().max() > 1e-3
    plain = tmp_path / "plain.pt"
    torch.jit.script(_NoClasses()).save(str(plain))
    assert inception_extractor(plain, "clean", trust=True).logits is None


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
    for path, words in ((text, "are not a TorchScript file"), (no_layers, "layers"), (narrow, r"found shape \[1, 3\]")):
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


class _Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def update(self, done: int, total: int, **figures: object) -> None: ...

    def start(self, label: str, total: int) -> None: ...


def _auto() -> tuple[Extractor, list[str]]:
    notes = _Notes()
    return Choice().load(torch.device("cpu"), notes), notes.lines


def test_auto_takes_inception_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_CACHE", str(tmp_path))
    weights = standin(inception.cached_path())
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    monkeypatch.setattr(urllib.request, "urlopen", None)
    found, notes = _auto()
    assert (found.name, found.metric, notes) == ("inception", "fid", [])
    monkeypatch.setattr(distributed, "agree", lambda *flags: [True])  # another process could not have it
    found, notes = _auto()
    assert found.name == "efficientnet" and "another process could not have it" in notes[0]
    monkeypatch.setattr(inception, "SHA256", "0" * 64)
    with pytest.raises(G3dError, match="not the known"):  # a wrong file is no missing one
        _auto()
    weights.write_bytes(b"changed")
    with pytest.raises(G3dError, match="not a TorchScript file"):
        _auto()


def test_auto_takes_what_is_installed_where_nothing_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cleanfid.downloads_helper, "inception_url", "http://127.0.0.1:9/nothing.pt")
    found, notes = _auto()
    assert (found.name, found.metric) == ("efficientnet", "frechet_efficientnet") and len(notes) == 1
    for words in (
        "cannot be downloaded",
        "EfficientNet-lite0",
        "no FID",
        f"put {inception.FILE} at '{tmp_path}",
        "--weights",
    ):
        assert words in notes[0], notes[0]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("G3D_CACHE", str(tmp_path / "file"))  # a cache that cannot be written
    assert _auto()[0].name == "efficientnet"
    monkeypatch.setitem(sys.modules, "cleanfid", None)
    found, notes = _auto()
    assert found.name == "efficientnet" and "needs the package 'cleanfid'" in notes[0]


def test_auto_does_not_wait_for_a_server_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where looking up its name hangs, which knows no time-out."""
    monkeypatch.setenv("G3D_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *words, **more: Event().wait(20))
    monkeypatch.setattr(extractors, "_PATIENCE_S", 0.2)
    before = time.monotonic()
    found, notes = _auto()
    assert found.name == "efficientnet" and "no answer in 0.2 seconds" in notes[0]
    assert time.monotonic() - before < 10


def test_an_option_of_inception_makes_auto_inception(tmp_path: Path) -> None:
    weights = standin(tmp_path / "net.pt")
    for choice in (Choice(weights=weights), Choice(resize="clean"), Choice(trust=True)):
        choice.check()
        assert choice.kind == choice.as_json()["extractor"] == "inception"
    assert Choice(weights=weights, trust=True).load(torch.device("cpu")).name == "inception"
    assert (Choice().kind, Choice().as_json()) == ("auto", {"extractor": "auto"})
    with pytest.raises(G3dError, match="--weights belongs to --extractor inception"):
        Choice("efficientnet", weights=weights).check()


def test_without_clean_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cleanfid", None)
    with pytest.raises(Missing, match="pip install clean-fid"):
        inception_extractor(None, "clean", trust=False)
    random_extractor()


def test_reading_ahead_keeps_order_and_ends_with_an_error() -> None:
    shown = _pictures([(16, 16)] * 50)
    extractor = random_extractor()
    np.testing.assert_array_equal(_features(shown, extractor, 7), _features(shown, extractor, 7))
    backwards = features(lambda i: shown[i], range(49, -1, -1), extractor, 50)
    np.testing.assert_allclose(backwards[::-1], _features(shown, extractor, 50), atol=1e-5)

    def read(i: int) -> np.ndarray:
        if i == 20:
            raise G3dError("picture 20 is bad")
        return shown[i]

    with pytest.raises(G3dError, match="picture 20 is bad"):
        features(read, range(50), extractor, 4)


def test_features_that_are_not_finite_are_refused() -> None:
    extractor = random_extractor()
    broken = replace(extractor, embed=lambda group: extractor.embed(group) * torch.nan)
    with pytest.raises(G3dError, match="'random' gave features that are not finite"):
        _features(_pictures([(16, 16)]), broken, 1)
