"""NaN, infinity and overflow never pass, whatever the method or the prior: exit 2 with a name, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Pipeline, g3d, refused
from g3d.storage import artifacts
from test_not_finite import ODD, float_tensor, spoiled
from torch import Tensor
from toy_faces import write_dataset

pytestmark = pytest.mark.slow

FIT = {
    "gsgan": ["--set", "kimg=0.016"], "hypernerfgan": ["--set", "kimg=0.016"], "infamous-nerf": ["--set", "steps=1"],
    "vq3d": ["--set", "steps=1", "--set", "depth_weight=0", "--set", "scale_weight=0"],
}  # fmt: skip


@pytest.fixture(scope="module")
def room(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a step of each method, tokens, and a refiner."""
    room = tmp_path_factory.mktemp("odd")
    write_dataset(room / "heads")
    small = ["--num", 2, "--views", 2, "--test-views", 1, "--size", 16, "--out", room / "pictures"]
    assert g3d("prepare-data", "--workers", 1, "procedural", "cars", *small).code == 0
    places = {"infamous-nerf": room / "heads", "vq3d": room / "pictures"}
    for method, settings in FIT.items():
        words = ["--data", places.get(method, pipeline.data), "--preset", "smoke", *settings, "--device", "cpu"]
        done = g3d("fit-stage1", method, *words, "--out", room / method)
        assert done.code == 0, done.err
    tokens = ["encode", room / "vq3d", "--data", room / "pictures", "--out", room / "tokens", "--device", "cpu"]
    assert g3d(*tokens).code == 0
    small = ["--set", "steps=1", "--out", room / "prior", "--device", "cpu"]
    assert g3d("fit-prior", room / "tokens", "--kind", "autoregressive", "--preset", "smoke", *small).code == 0
    small = ["--preset", "smoke", "--set", "steps=1", "--device", "cpu", "--out", room / "refiner"]
    assert g3d("fit-refiner", room / "pictures", room / "pictures", *small).code == 0
    return room


def large(value: Tensor) -> Tensor:
    """The tensor with a largest number of 1e37."""
    return value * (1e37 / max(1, float(value.abs().max()))) if value.is_floating_point() and value.numel() else value


COMMANDS: dict[str, tuple[str, Callable[[Pipeline, Path, Path], list[object]]]] = {
    "sample gsgan": ("gsgan/model", lambda p, r, bad: ["sample", bad, "--num", 1]),
    "sample hypernerfgan": ("hypernerfgan/model", lambda p, r, bad: ["sample", bad, "--num", 1]),
    "sample vq3d": ("vq3d/model", lambda p, r, bad: ["sample", bad, "--prior", r / "prior", "--num", 1]),
    "sample autoregressive": ("prior/prior", lambda p, r, bad: ["sample", r / "vq3d", "--prior", bad, "--num", 1]),
    "encode gsgan": ("gsgan/model", lambda p, r, bad: ["encode", bad, "--data", p.data, "--set", "steps=1"]),
    "encode vq3d": ("vq3d/model", lambda p, r, bad: ["encode", bad, "--data", r / "pictures"]),
    "encode infamous-nerf": ("infamous-nerf/model", lambda p, r, bad: ["encode", bad, "--data", r / "heads", "--set", "steps=1"]),
    "decode vq3d": ("vq3d/model", lambda p, r, bad: ["decode", bad, r / "tokens"]),
    "decode infamous-nerf": ("infamous-nerf/model", lambda p, r, bad: ["decode", bad, r / "infamous-nerf"]),
    "latents infamous-nerf": ("infamous-nerf/latents", lambda p, r, bad: ["decode", r / "infamous-nerf", bad]),
    "fit-stage1 --init": (
        "gsgan/model", lambda p, r, bad: ["fit-stage1", "gsgan", "--data", p.data, "--preset", "smoke", "--init", bad],
    ),
    "refine": ("refiner/refiner", lambda p, r, bad: ["refine", r / "pictures", "--refiner", bad]),
}  # fmt: skip


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_file_with_one_such_number_is_refused(command: str, room: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    what, words = COMMANDS[command]
    source = room / f"{what}.safetensors"
    tensor = float_tensor(source)
    for odd in ODD.values():
        bad = spoiled(source, tmp_path / "bad.safetensors", tensor, odd)
        done = g3d(*words(pipeline, room, bad), "--device", "cpu", "--out", tmp_path / "out")
        refused(done, "bad.safetensors", tensor)
        assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name.partition(" ")[0] in ("sample", "decode", "refine")]
)
def test_what_overflows_on_the_way_is_not_written(command: str, room: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    """Weights that are finite, and whose products are not."""
    what, words = COMMANDS[command]
    known = artifacts.read(room / f"{what}.safetensors", "model", "prior", "refiner")
    huge = {name: large(value) for name, value in known.values.items()}
    artifacts.write(tmp_path / "huge.safetensors", known.kind, huge, known.config)
    if known.kind == "refiner":
        outs = [["--out", tmp_path / "out"]]
    else:
        outs = [["--out", tmp_path / "out"], ["--render", tmp_path / "out", "--size", 8]]
    for out in outs:
        done = g3d(*words(pipeline, room, tmp_path / "huge.safetensors"), *out, "--device", "cpu")
        refused(done, "")
        assert any(word in done.err for word in ("finite", "NaN")), done.err
        assert [p.name for p in tmp_path.iterdir()] == ["huge.safetensors"]
