"""Extractors that a user brings: TorchScript by small networks, ONNX by a file written out here (and by a stand-in session)."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.resize import make_resizer
from g3d.errors import G3dError, Missing
from g3d.evaluation import extractor_file, extractors
from g3d.evaluation.extractor_file import file_extractor
from g3d.evaluation.features import features

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


class _Mean(torch.nn.Module):
    """Mean of each channel: [B, 3, H, W] => [B, 3, 1, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=[2, 3], keepdim=True)


class _Corner(torch.nn.Module):
    """The first pixel and the size: [B, 3, H, W] => [B, 5]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.tensor([x.shape[2], x.shape[3]], dtype=x.dtype).expand(x.shape[0], 2)
        return torch.cat([x[:, :, 0, 0], size], 1)


class _WithFlag(torch.nn.Module):
    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return x[:, :, 0, 0] if return_features else x


class _Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class _Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


def _file(path: Path, module: torch.nn.Module) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def _pictures(count: int = 3, size: tuple[int, int] = (20, 30)) -> list[np.ndarray]:
    stream = np.random.default_rng(0)
    return [stream.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


def _features(extractor: object, shown: list[np.ndarray]) -> np.ndarray:
    return features(lambda i: shown[i], range(len(shown)), extractor, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("values", "wanted"), [
    ("unit", lambda x: x / 255), ("signed", lambda x: x / 127.5 - 1), ("bytes", lambda x: x),
    ("imagenet", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
])  # fmt: skip
def test_ranges_and_the_resizer(tmp_path: Path, values: str, wanted: object) -> None:
    extractor = file_extractor(_file(tmp_path / "my-net.pt", _Mean()), True, values, 16)
    shown = _pictures()
    resized = np.stack([make_resizer("PIL", False, "bicubic", (16, 16))(p) for p in shown]).astype(np.float64)
    np.testing.assert_allclose(_features(extractor, shown), wanted(resized).mean((1, 2)), rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    assert (extractor.name, extractor.metric, extractor.dimensions) == ("my-net.pt", "frechet_my_net", 3)
    assert extractor.resize == f"clean_16, {values}" and extractor.logits is None


def test_sizes(tmp_path: Path) -> None:
    path = _file(tmp_path / "net.pt", _Corner())
    for size, seen in ((None, [224, 224]), (50, [50, 50])):
        assert _features(file_extractor(path, True, "unit", size), _pictures(1))[0, 3:].tolist() == seen
    as_they_are = file_extractor(path, True, "bytes", 0)
    shown = [*_pictures(2), *_pictures(1, (8, 9))]
    found = _features(as_they_are, shown)
    assert found[:, 3:].tolist() == [[20, 30], [20, 30], [8, 9]] and as_they_are.resize == "none, bytes"
    np.testing.assert_array_equal(found[:, :3], [p[0, 0] for p in shown])


def test_return_features_is_asked_for_where_the_file_knows_it(tmp_path: Path) -> None:
    assert file_extractor(_file(tmp_path / "vgg16.pt", _WithFlag()), True, "bytes", None).dimensions == 3


def test_wrong_files_are_sentences(tmp_path: Path) -> None:
    text = tmp_path / "text.pt"
    text.write_text("no network")
    bad = {
        "are not a TorchScript file|is not a TorchScript file": text,
        r"found shape \[1, 3, 16, 16\]": _file(tmp_path / "maps.pt", _Maps()),
        "gives a tuple": _file(tmp_path / "pair.pt", _Pair()),
        "does not exist": tmp_path / "nothing.pt",
    }
    for words, path in bad.items():
        with pytest.raises(G3dError, match=words) as caught:
            file_extractor(path, True, "unit", 16)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
    with pytest.raises(G3dError, match=r"code that would run.*--trust"):
        file_extractor(_file(tmp_path / "net.pt", _Mean()), False, "unit", 16)


def test_words_are_checked_before_anything_is_loaded() -> None:
    assert tuple(extractor_file.RANGES) == extractors.RANGES
    for choice, words in (
        (extractors.Choice("net.pt"), r"needs --extractor-range.*unit, signed, imagenet, bytes"),
        (extractors.Choice("net.pt", values="uint"), r"'uint' is unknown \(did you mean 'unit'\?\)"),
        (extractors.Choice("net.pt", values="unit", resize="clean"), "--resize belongs to --extractor inception"),
        (extractors.Choice("net.onnx", values="unit", trust=True), "--trust belongs to .* means nothing to 'net.onnx'"),
        (extractors.Choice("inception", size_px=3), "--extractor-size belongs to"),
        (extractors.Choice("net.pt", values="unit", size_px=-1), "-1 is negative"),
        (extractors.Choice("incepton"), r"did you mean 'inception'\?"),
    ):
        with pytest.raises(G3dError, match=words):
            choice.check()


def _field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protocol buffer: a small number, or bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def _onnx_file(path: Path, batch: int | None = None, size: int | None = None, channels: int = 3) -> Path:
    """GlobalAveragePool of x [batch, channels, size, size] to y [batch, channels, 1, 1], in the format of onnx.proto."""

    def value(name: str, *dims: int | None) -> bytes:
        shape = b"".join(_field(1, _field(2, "n") if d is None else _field(1, d)) for d in dims)
        return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))

    node = _field(1, "x") + _field(2, "y") + _field(4, "GlobalAveragePool")
    graph = _field(1, node) + _field(2, "g") + _field(11, value("x", batch, channels, size, size))
    graph += _field(12, value("y", batch, channels, 1, 1))
    path.write_bytes(_field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph))
    return path


def test_onnx_files(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    shown = _pictures(3)
    for batch, size in ((None, None), (None, 16), (1, 16), (2, 16)):
        extractor = file_extractor(_onnx_file(tmp_path / "net.onnx", batch, size), False, "unit", None if size else 16)
        resized = np.stack([make_resizer("PIL", False, "bicubic", (16, 16))(p) for p in shown])
        np.testing.assert_allclose(_features(extractor, shown), resized.mean((1, 2)) / 255, rtol=1e-4)
        assert (extractor.resize, extractor.metric) == ("clean_16, unit", "frechet_net")
    with pytest.raises(G3dError, match=r"--extractor-size 32 does not fit .* takes 16 pixels"):
        file_extractor(tmp_path / "net.onnx", False, "unit", 32)
    with pytest.raises(G3dError, match=r"wanted is \[B, 3, H, H\]"):
        file_extractor(_onnx_file(tmp_path / "four.onnx", None, 16, 4), False, "unit", None)
    (tmp_path / "bad.onnx").write_text("no network")
    with pytest.raises(G3dError, match="is not an ONNX file") as caught:
        file_extractor(tmp_path / "bad.onnx", False, "unit", None)
    assert "\n" not in str(caught.value)


class _Session:
    """What is used of onnxruntime's session: one picture at a time, means of channels."""

    seen: tuple[list[str], list[int]] = ([], [])

    def __init__(self, path: str, providers: list[str]):
        _Session.seen = (providers, [])

    def get_inputs(self) -> list[types.SimpleNamespace]:
        return [types.SimpleNamespace(name="x", shape=[2, 3, 16, 16])]

    def run(self, outputs: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        _Session.seen[1].append(len(given["x"]))
        return [given["x"].mean((2, 3))]


def test_onnx_by_a_session_of_the_same_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where onnxruntime is not installed: fixed batches are filled up, and the filling is not returned."""
    module = types.ModuleType("onnxruntime")
    module.InferenceSession = _Session  # type: ignore[attr-defined]
    module.get_available_providers = lambda: ["AProvider", "CPUExecutionProvider"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    shown = _pictures(5)
    extractor = file_extractor(_onnx_file(tmp_path / "net.onnx"), False, "bytes", None)
    found = features(lambda i: shown[i], range(5), extractor, 3)
    resized = np.stack([make_resizer("PIL", False, "bicubic", (16, 16))(p) for p in shown])
    np.testing.assert_allclose(found, resized.mean((1, 2)), rtol=1e-5)
    assert _Session.seen[0] == ["CPUExecutionProvider"] and set(_Session.seen[1]) == {2}


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Missing, match=r"needs the package 'onnxruntime'.*pip install onnxruntime"):
        file_extractor(_onnx_file(tmp_path / "net.onnx"), False, "unit", None)
