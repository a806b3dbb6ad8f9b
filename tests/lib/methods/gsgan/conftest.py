"""The parity file of GSGAN, and a smoke model, fitted once."""

from pathlib import Path

import pytest
from commands import Pipeline
from g3d.steps import fit_stage1
from safetensors.torch import load_file
from torch import Tensor


@pytest.fixture(scope="session")
def public(shared_data: Path) -> dict[str, Tensor]:
    """Weights, inputs and outputs of a small public generator."""
    path = shared_data.parent / "parity" / "gsgan_parity.safetensors"
    if not path.is_file():
        pytest.skip(f"the parity file '{path}' is not there")
    return load_file(path)


@pytest.fixture(scope="session")
def splat_gan(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of five steps."""
    out = tmp_path_factory.mktemp("splat_gan") / "run"
    words = ("kimg=0.02", "background=true", "background_from_kimg=0.004")
    fit_stage1.run(fit_stage1.Options("gsgan", pipeline.data, out, preset="smoke", settings=words, device="cpu"))
    return out
