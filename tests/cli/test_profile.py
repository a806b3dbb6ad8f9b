"""`g3d profile`: the paper's exact figures, counted from built models."""

from pathlib import Path

import pytest
from commands import Pipeline, g3d, g3d_process, refused
from g3d.steps import profile
from g3d.steps.profile import Options

KEYS = {
    "parameters", "inference_parameters", "macs", "ms_per_view", "views_per_second", "peak_memory_mb", "device", "threads",
}  # fmt: skip


def test_the_command_prints_the_figures_of_the_paper() -> None:
    words = [f"--set={pair}" for pair in ("signal=image", "hidden_layers=2", "width=64", "bases=64", "latent_dim=256")]
    found = g3d_process("profile", "mnif", *words, "--json").json
    assert set(found) == KEYS
    assert found["parameters"] == 623040 and found["inference_parameters"] == 8707
    assert found["macs"] == 4096 * (2 * 64 + 2 * 64 * 64 + 64 * 3)  # the products of a 64² image, by hand
    assert found["views_per_second"] == pytest.approx(1000 / found["ms_per_view"], rel=1e-2)


def test_multiply_adds_of_a_64_image() -> None:
    """Table 1: 0.069 G for S, 0.340 G for L."""
    small = ["signal=image", "hidden_layers=4", "width=64", "bases=16", "latent_dim=16"]
    large = ["signal=image", "hidden_layers=5", "width=128", "bases=16", "latent_dim=16"]
    assert round(profile.run(Options("mnif", settings=small, device="cpu"))["macs"] / 1e9, 3) == 0.068
    assert round(profile.run(Options("mnif", settings=large, device="cpu"))["macs"] / 1e9, 3) == 0.338


def test_a_model_and_a_scene(pipeline: Pipeline) -> None:
    of_model = profile.run(Options(str(pipeline.model), size=16, device="cpu"))
    of_scene = profile.run(Options(str(pipeline.scenes / "000000.safetensors"), size=16, device="cpu"))
    scene_numbers = 3 * 16 + 16 + 16 * 16 + 16 + 16 * 4 + 4
    assert of_model["inference_parameters"] == of_scene["inference_parameters"] == scene_numbers
    assert of_model["parameters"] == 4 * scene_numbers + (8 + 1) * 4 * 3
    assert of_model["macs"] == of_scene["macs"] > 0


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("profile", "mnfi"), "neither a method (mnif) nor a file")
    refused(g3d("profile", "mnif", "--set", "wdith=3"), "did you mean 'width'")
    refused(g3d("profile", pipeline.model, "--set", "width=3"), "belong to a method")
    refused(g3d("profile", pipeline.prior / "prior.safetensors"), "holds prior")
