"""NaN and infinity never pass: what holds them, or overflows, ends with exit 2 and its name, and nothing is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Pipeline, g3d, refused, unchecked
from g3d.errors import G3dError
from g3d.scenes.scene import Scene
from g3d.scenes.scene_file import save_scene
from g3d.storage import artifacts
from toy_scenes import radiance, triplane

ODD = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def spoiled(source: Path, to: Path, tensor: str, value: float) -> Path:
    """A file of ours with one number in one tensor that our writer would refuse."""
    file = artifacts.read(source, "model", "prior", "latents", "scene", "refiner")
    values = {name: found.clone() for name, found in file.values.items()}
    values[tensor].view(-1)[-1] = value
    with unchecked():
        artifacts.write(to, file.kind, values, file.config)
    return to


def float_tensor(path: Path) -> str:
    names = [name for name, (dtype, _) in sorted(artifacts.header(path).tensors.items()) if dtype == "F32"]
    return names[-1]


COMMANDS: dict[str, tuple[str, Callable[[Pipeline, Path], list[object]]]] = {
    "sample model": ("model", lambda p, bad: ["sample", bad, "--prior", p.prior, "--num", 1]),
    "sample prior": ("prior", lambda p, bad: ["sample", p.model, "--prior", bad, "--num", 1]),
    "decode model": ("model", lambda p, bad: ["decode", bad, p.model]),
    "decode latents": ("latents", lambda p, bad: ["decode", p.model, bad]),
    "edit": ("latents", lambda p, bad: ["edit", "interpolate", bad]),
    "fit-prior": ("latents", lambda p, bad: ["fit-prior", bad, "--kind", "gaussian"]),
    "fit-stage1 --init": ("model", lambda p, bad: ["fit-stage1", "mnif", "--data", p.data, "--preset", "smoke", "--init", bad]),
    "encode": ("model", lambda p, bad: ["encode", bad, "--data", p.data]),
    "render": ("scene", lambda p, bad: ["render", bad]),
    "export-ply": ("scene", lambda p, bad: ["export-ply", bad]),
}  # fmt: skip


@pytest.mark.parametrize("odd", list(ODD))
@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_file_with_one_such_number_is_refused(command: str, odd: str, pipeline: Pipeline, tmp_path: Path) -> None:
    what, words = COMMANDS[command]
    source = {
        "model": pipeline.model / "model.safetensors", "latents": pipeline.model / "latents.safetensors",
        "prior": pipeline.prior / "prior.safetensors", "scene": pipeline.scenes / "000000.safetensors",
    }[what]  # fmt: skip
    tensor = float_tensor(source)
    bad = spoiled(source, tmp_path / "bad.safetensors", tensor, ODD[odd])
    refused(g3d(*words(pipeline, bad), "--device", "cpu", "--out", tmp_path / "out") if command != "edit" else
            g3d(*words(pipeline, bad), "--out", tmp_path / "out"), "bad.safetensors", tensor)  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


def overflowing() -> dict[str, Scene]:
    """Finite numbers that do not stay so: each tensor passes, what is made of them does not."""
    field, plane = radiance(), triplane()
    weights = {n: (w + 3e38, b) for n, (w, b) in field.weights.items()}
    nerf = ((torch.full((1, 4, 2), 3e38), plane.nerf[0][1]),)
    return {
        "a dense field": replace(field, weights=weights),
        "planes": replace(plane, planes=plane.planes + 3e38, nerf=nerf),
    }


@pytest.mark.parametrize("name", ["a dense field", "planes"])
def test_weights_that_overflow_while_they_are_drawn(name: str, tmp_path: Path) -> None:
    save_scene(tmp_path / "odd.safetensors", overflowing()[name])
    refused(
        g3d("render", tmp_path / "odd.safetensors", "--out", tmp_path / "out", "--device", "cpu"), "'odd'", "finite"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["odd.safetensors"]


@pytest.mark.parametrize(("name", "form"), [("a dense field", "mesh"), ("planes", "mesh"), ("planes", "points")])
def test_weights_that_overflow_while_they_are_exported(name: str, form: str, tmp_path: Path) -> None:
    save_scene(tmp_path / "odd.safetensors", overflowing()[name])
    words = ["export-ply", tmp_path / "odd.safetensors", "--as", form, "--device", "cpu", "--out", tmp_path / "out.ply"]
    refused(g3d(*words, "--resolution", 8), "odd.safetensors", "finite")
    assert [p.name for p in tmp_path.iterdir()] == ["odd.safetensors"]


def test_what_overflows_on_the_way_is_not_written(pipeline: Pipeline, tmp_path: Path) -> None:
    """Latents between two huge ones; scenes of a model whose weights are huge; samples of a prior that is wide."""
    known = artifacts.read(pipeline.model / "latents.safetensors", "latents")
    codes = known.values["codes"].clone()
    codes[0], codes[1] = 3e38, -3e38
    artifacts.write(tmp_path / "l.safetensors", "latents", {**known.values, "codes": codes}, known.config)
    refused(g3d("edit", "interpolate", tmp_path / "l.safetensors", "--out", tmp_path / "out"), "'codes'", "not written")
    model = artifacts.read(pipeline.model / "model.safetensors", "model")
    huge = {n: v * 1e38 if v.is_floating_point() else v for n, v in model.values.items()}
    artifacts.write(tmp_path / "m.safetensors", "model", huge, model.config)
    for out in ("--out", "--render"):
        done = g3d("decode", tmp_path / "m.safetensors", pipeline.model, out, tmp_path / "out", "--device", "cpu")
        refused(done, "000000", "holds NaN or infinity" if out == "--render" else "would hold NaN or infinity")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.safetensors", "m.safetensors"]


def test_the_writer_refuses_what_its_readers_would_and_leaves_the_old_file(tmp_path: Path) -> None:
    def write(value: float) -> Any:
        return artifacts.write(
            tmp_path / "a", "latents", {"codes": torch.full((1, 2), value)}, {"space": "z", "names": ["a"]}
        )

    write(1.0)
    before = (tmp_path / "a").read_bytes()
    for value in ODD.values():
        with pytest.raises(G3dError, match="'codes'"):
            write(value)
    assert (tmp_path / "a").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a"]
