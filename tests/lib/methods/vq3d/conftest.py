"""A dataset of eight small pictures with inverse depth, and a model of a few steps."""

from pathlib import Path

import pytest
from commands import g3d
from g3d.steps import fit_stage1


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cars at 16², three training views and a test view each; the third is of the split test."""
    root = tmp_path_factory.mktemp("vq3d")
    words = ["--num", 3, "--holdout", 1, "--views", 3, "--test-views", 1, "--size", 16]
    assert g3d("prepare-data", "--workers", 1, "procedural", "cars", *words, "--out", root / "rgb").code == 0
    assert g3d("prepare-data", "--workers", 1, "depth", root / "rgb", "--out", root / "data").code == 0
    return root / "data"


@pytest.fixture(scope="session")
def fitted(pictures: Path) -> Path:
    """A run of the smoke preset."""
    out = pictures.parent / "model"
    fit_stage1.run(fit_stage1.Options("vq3d", pictures, out, preset="smoke", device="cpu"))
    return out
