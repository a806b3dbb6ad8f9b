"""Pictures without cameras: what a run is measured by, and what is left out with one note."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.cameras import CameraPrior
from g3d.data.dataset import Dataset, Item
from g3d.data.opening import open_dataset
from g3d.evaluation.generation import generation
from g3d.evaluation.reconstruction import Fitted, reconstruct
from g3d.latents import Latents, LatentSpace
from g3d.scenes.scene import MlpField, Scene, pick
from toy_scenes import radiance

pytestmark = pytest.mark.slow

SPACE = LatentSpace.codes("z", 1)
PRIOR = CameraPrior(radius_world=2.6, fov_deg=45.0, width=8, height=8)


class Notes:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def start(self, label: str, total: int) -> None: ...

    def update(self, done: int, total: int, **figures: float) -> None: ...


@pytest.fixture(scope="module")
def photographs(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """32 pictures of 16², and nothing of where they were taken."""
    out = tmp_path_factory.mktemp("photographs") / "data"
    made = g3d("prepare-data", "--workers", 1, "images", pipeline.data / "images", "--size", 16, "--out", out)
    assert made.code == 0, made.err
    found = open_dataset(out)
    assert found.cameras is None and "camera_prior" not in found.info and found.info["views"] == 32
    return found


def decode(latents: Latents) -> MlpField:
    """One scene a latent: the toy's, its colours moved by the code."""
    scene, codes = radiance(), latents.tensors["codes"]
    assert isinstance(scene, MlpField)
    weights = {
        name: (w[:1].expand(len(codes), -1, -1), b[:1].expand(len(codes), -1) + codes)
        for name, (w, b) in scene.weights.items()
    }
    return replace(scene, weights=weights, world=replace(scene.world, camera_prior=PRIOR))


def fitted(dataset: Dataset, count: int, held_out: bool = False) -> Fitted:
    codes = torch.linspace(-1, 1, count).unsqueeze(1)
    items = [Item(dataset.object_names[i], i) for i in range(count)]
    return Fitted(items, Latents(SPACE, {"codes": codes}, [i.name for i in items]), held_out)


def test_scenes_of_items_are_compared_as_a_set(photographs: Dataset) -> None:
    """The very figures of samples, of one view an item from the model's own cameras; no PSNR, and one note."""
    notes = Notes()
    found = reconstruct(decode, fitted(photographs, 6), photographs, 0, 100, notes)
    assert len(notes.lines) == 1 and "has no cameras" in notes.lines[0] and "psnr_db is left out" in notes.lines[0]
    assert found.figures["generated_views"] == 6 and "psnr_db" not in found.figures

    def scenes(numbers: Sequence[int]) -> list[Scene]:
        batch = decode(fitted(photographs, 6).latents)
        return [pick(batch, number) for number in numbers]

    assert found.figures == generation(scenes, photographs, 0, 6).figures and found.figures["frechet_random"] > 0
    assert len(found.rows) == 2 and found.sheet().ndim == 3
    assert reconstruct(decode, fitted(photographs, 6), photographs, 0, 4).figures["generated_views"] == 4


def test_what_cannot_be_compared_is_left_out(photographs: Dataset) -> None:
    notes = Notes()
    held_out = reconstruct(decode, fitted(photographs, 3, held_out=True), photographs, 0, 100, notes)
    assert held_out.figures == {} and held_out.rows == []
    assert len(notes.lines) == 1 and "psnr_held_out_db is left out" in notes.lines[0]

    def blind(latents: Latents) -> MlpField:
        scene = decode(latents)
        return replace(scene, world=replace(scene.world, camera_prior=None))

    assert reconstruct(blind, fitted(photographs, 3), photographs, 0, 100).figures == {}


def test_one_picture_is_no_set(photographs: Dataset) -> None:
    notes = Notes()
    found = reconstruct(decode, fitted(photographs, 1), photographs, 0, 100, notes)
    assert [line for line in notes.lines if "one picture is no set" in line]
    assert found.figures["generated_views"] == 1 and 0 <= found.figures["object_share"] <= 1
    assert not [
        name for name in found.figures if "frechet" in name or "kernel" in name or name in ("precision", "recall")
    ]
    json.dumps(found.figures, allow_nan=False)


@pytest.mark.parametrize("count", [1, 24])
def test_a_gan_on_photographs(count: int, pipeline: Pipeline, tmp_path: Path) -> None:
    """Its cameras come from its settings; measured at a checkpoint and at the end."""
    (tmp_path / "in").mkdir()
    for path in sorted((pipeline.data / "images").iterdir())[:count]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    made = g3d("prepare-data", "--workers", 1, "images", tmp_path / "in", "--size", 16, "--out", tmp_path / "data")
    assert made.code == 0, made.err
    words = ["fit-stage1", "hypernerfgan", "--data", tmp_path / "data", "--preset", "smoke", "--device", "cpu"]
    for pair in ("cameras=settings", "rays=shell", "kimg=0.016"):
        words += ["--set", pair]
    found = g3d(*words, "--checkpoint-every", 2, "--out", tmp_path / "run")
    assert found.code == 0, found.err
    figures = json.loads((tmp_path / "run/metrics.json").read_text())
    assert figures["generated_views"] == count and {"object_share", "cloudy_share", "halo"} <= figures.keys()
    assert {name in figures for name in ("frechet_random", "precision", "recall")} == {count > 1}
    assert found.err.count("one picture is no set") == (count == 1)  # one note, not one a checkpoint
    best = json.loads((tmp_path / "run/best/metrics.json").read_text())
    assert np.isfinite(best["value"]) and (best["metric"] == "loss") == (count == 1)
    assert (tmp_path / "run/grid.png").is_file()


def test_a_radiance_model_finds_no_latents_of_photographs(
    photographs: Dataset, pipeline: Pipeline, tmp_path: Path
) -> None:
    words = [
        "encode",
        pipeline.model,
        "--data",
        photographs.path,
        "--split",
        "all",
        "--out",
        tmp_path / "x.safetensors",
    ]
    refused(g3d(*words, "--device", "cpu"), "has no cameras", "posed views")
