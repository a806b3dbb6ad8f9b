"""A smoke model of HyperNeRFGAN, fitted once."""

from pathlib import Path

import pytest
from commands import Pipeline
from g3d.steps import fit_stage1

SETTINGS = ("kimg=0.02",)


@pytest.fixture(scope="session")
def gan(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of five steps."""
    out = tmp_path_factory.mktemp("gan") / "run"
    fit_stage1.run(
        fit_stage1.Options("hypernerfgan", pipeline.data, out, preset="smoke", settings=SETTINGS, device="cpu")
    )
    return out
