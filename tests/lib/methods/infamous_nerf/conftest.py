"""A dataset of toy heads, and a model of a few steps."""

from pathlib import Path

import pytest
from g3d.steps import fit_stage1
from toy_faces import write_dataset


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects of three expressions, and a held-out one, at 16²; three training views and a test view each."""
    return write_dataset(tmp_path_factory.mktemp("infamous") / "data")


@pytest.fixture(scope="session")
def fitted(heads: Path) -> Path:
    """A run of the smoke preset."""
    out = heads.parent / "model"
    fit_stage1.run(fit_stage1.Options("infamous-nerf", heads, out, preset="smoke", device="cpu"))
    return out
