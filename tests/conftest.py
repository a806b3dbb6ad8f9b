"""What all tests share: one thread for each worker, and the sample data that lies beside the repository."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported anywhere; subprocesses inherit it

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SHARED_DATA, Pipeline

os.environ.setdefault("G3D_CACHE", tempfile.mkdtemp(prefix="g3d-cache-"))  # nothing is written to the user's own

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # of `make test &` in a script; commands in tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of sample data; the test is skipped, with the reason shown, where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the sample data '{SHARED_DATA}' is not there")
    return SHARED_DATA


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """4 cars of 8 pictures at 24², a smoke model of a few steps, a Gaussian prior, 3 scenes, two splats."""
    from g3d.scenes.scene_file import save_scene
    from g3d.steps import export_ply, fit_prior, fit_stage1, prepare_data, sample
    from toy_scenes import gaussians

    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    prepare_data.run(
        prepare_data.Options("procedural", "cars", made.data, num=4, views=6, test_views=2, size=24, workers=1)
    )
    fit_stage1.run(
        fit_stage1.Options("mnif", made.data, made.model, preset="smoke", settings=["epochs=6"], device="cpu")
    )
    fit_prior.run(fit_prior.Options(made.model, made.prior, kind="gaussian", device="cpu"))
    sample.run(sample.Options(made.model, made.prior, made.scenes, num=3, device="cpu"))
    sample.run(sample.Options(made.model, made.prior, None, num=3, images=made.root / "demo" / "sampled", device="cpu"))
    save_scene(made.root / "two.safetensors", gaussians())
    splats = made.root / "demo" / "splats.ply"
    export_ply.run(export_ply.Options(made.root / "two.safetensors", splats, form="splats", device="cpu"))
    return made
