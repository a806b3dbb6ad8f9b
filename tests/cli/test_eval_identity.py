"""`g3d eval-identity` with a stand-in of a face network, on pictures with and without landmarks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.data.columns import Made, View
from g3d.data.writer import Writer
from g3d.errors import G3dError
from g3d.evaluation.identity import TEMPLATE_PX
from g3d.images import encode, write_image
from g3d.steps.eval_identity import Options, resolve, run
from torch import Tensor, nn


class Colour(nn.Module):
    """A stand-in: the vector is the mean colour of the crop; a person is a colour."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = x.mean(dim=(2, 3))
        return found, found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("network") / "colour.pt"
    torch.jit.trace(Colour(), torch.rand(1, 3, 112, 112)).save(str(place))
    return place


def _plain(path: Path, *colours: tuple[int, int, int]) -> Path:
    for i, colour in enumerate(colours):
        write_image(path / f"{i}.png", np.full((20, 30, 3), colour, np.uint8))
    return path


def _cosine(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    x, y = (np.array(c) / 127.5 - 1 for c in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_cosines_of_plain_colours(tmp_path: Path, network: Path) -> None:
    first, second = [(255, 0, 0), (200, 30, 90), (9, 9, 250)], [(255, 0, 0), (30, 200, 90), (250, 9, 9)]
    a, b = _plain(tmp_path / "a", *first), _plain(tmp_path / "b", *second)
    done = g3d(
        "eval-identity", a, b, "--network", network, "--trust", "--batch", 2, "--json", "--device", "cpu",
        "--per-item", tmp_path / "i.jsonl",
    )  # fmt: skip
    assert done.code == 0, done.err
    want = [_cosine(x, y) for x, y in zip(first, second, strict=True)]
    found = done.json
    assert found["identity_cosine"] == pytest.approx(np.mean(want), abs=1e-5)
    assert found["identity_cosine_std"] == pytest.approx(np.std(want), abs=1e-5)
    assert (found["n"], found["network"], len(found["network_sha256"])) == (3, "colour.pt", 64)
    assert found["alignment"] == "square in the middle, no landmarks" and "not aligned" in done.err
    lines = [json.loads(line) for line in (tmp_path / "i.jsonl").read_text().splitlines()]
    assert [line["identity_cosine"] for line in lines] == pytest.approx(want, abs=1e-5) and want[0] == pytest.approx(1)


def test_landmarks_of_the_dataset_align_both(tmp_path: Path, network: Path) -> None:
    """The face is a small red square at the edge; the middle of both pictures is one blue."""
    data, test = tmp_path / "data", tmp_path / "test"
    data.mkdir()
    writer = Writer(data)
    marks = np.zeros((2, 68, 2), np.float32)
    five = np.array(TEMPLATE_PX) / 8 + 0.5  # the crop covers 14 x 14 pixels in the corner
    for group, point in zip((slice(36, 42), slice(42, 48), 30, 48, 54), five, strict=True):
        marks[:, group] = point
    pictures = np.full((2, 40, 40, 3), (0, 0, 255), np.uint8)
    pictures[:, :16, :16] = (255, 0, 0)
    views = [View(encode(picture)) for picture in pictures]
    writer.add("one", Made(views, {"landmarks": marks}))
    writer.close({"name": "t", "width": 40, "height": 40, "background": [1, 1, 1], "licence": "", "provenance": ""})
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0)]):
        drawn = pictures[i].copy()
        drawn[:16, :16] = colour
        write_image(test / f"{i:06d}.png", drawn)
    found = run(Options(data, test, str(network), trust=True, device="cpu"))
    want = [1.0, _cosine((255, 0, 0), (0, 255, 0))]
    assert found["identity_cosine"] == pytest.approx(np.mean(want), abs=1e-5)
    assert found["alignment"] == "5 points of the true landmarks, for both pictures"


def test_pixels_are_a_floor_without_a_network(pipeline: Pipeline) -> None:
    found = run(Options(pipeline.data, pipeline.data, "pixels", split="test", device="cpu"))
    assert found["pixel_cosine"] == pytest.approx(1) and found["network_sha256"] is None
    assert found["metric"] == "pixel_cosine" and "identity_cosine" not in found


def test_refusals(tmp_path: Path, network: Path) -> None:
    a, b = _plain(tmp_path / "a", (1, 2, 3), (4, 5, 6)), _plain(tmp_path / "b", (1, 2, 3))
    refused(g3d("eval-identity", a, b, "--network", network, "--device", "cpu"), "has no picture '1'")
    refused(g3d("eval-identity", a, a, "--network", network, "--device", "cpu"), "colour.pt", "--trust")
    refused(g3d("eval-identity", a, a), "'--network'")
    refused(g3d("eval-identity", a, a, "--network", tmp_path / "no.pt"), "no.pt", "does not exist")
    for changes, words in (
        ({"network": "pixels", "trust": True}, "mean nothing to 'pixels'"),
        ({"network": "dlib", "channels": "rgb"}, "mean nothing to 'dlib'"),
        ({"network": str(network), "channels": "gbr"}, r"--channels 'gbr' is unknown"),
        ({"network": str(network), "batch": 0}, "--batch 0 is too small"),
    ):
        with pytest.raises(G3dError, match=words):
            resolve(Options(a, a, **changes))  # type: ignore[arg-type]
