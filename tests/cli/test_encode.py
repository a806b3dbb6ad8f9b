"""`g3d encode`: pictures, solids and views to codes, with what they are worth; the same bytes shared out or not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, environment, g3d, refused
from g3d.storage import artifacts
from PIL import Image


def made(root: Path, kind: str) -> Path:
    """Six pictures of two classes, one of each held out; or three boxes as solids, one held out."""
    (root / "in").mkdir()
    if kind == "image":
        rng = np.random.default_rng(0)
        for name in ("a", "b"):
            (root / "in" / name).mkdir()
            for i in range(3):
                small = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
                Image.fromarray(small).resize((18, 12), Image.Resampling.BICUBIC).save(root / "in" / name / f"{i}.png")
        (root / "test.txt").write_text("a/1\nb/2\n")
        words = ["images", root / "in", "--size", 12, "--split", root / "test.txt"]
    else:
        for i, (x, y, z) in enumerate([(1, 0.5, 0.7), (0.4, 1, 0.6), (0.7, 0.7, 1)]):
            corners = [(a, b, c) for a in (-x, x) for b in (-y, y) for c in (-z, z)]
            faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
            lines = ["OFF", f"{len(corners)} {len(faces)} 0", *(" ".join(map(str, c)) for c in corners)]
            (root / "in" / f"{i}.off").write_text("\n".join([*lines, *("4 " + " ".join(map(str, f)) for f in faces)]))
        words = ["voxels", root / "in", "--cells", 12, "--points", 400, "--holdout", 1]
    assert g3d("prepare-data", "--workers", 1, *words, "--out", root / "data").code == 0
    return root / "data"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "voxel"])
def test_from_data_to_a_held_out_reconstruction(tmp_path: Path, kind: str) -> None:
    """Meta-learning, then codes of what was held out, a prior on the training codes, samples: all that files say fits."""
    data, run = made(tmp_path, kind), tmp_path / "run"
    words = ["--data", data, "--preset", f"smoke-{kind}", "--set", "epochs=100", "--out", run]
    fitted = g3d("fit-stage1", "mnif", *words, "--json")
    assert fitted.code == 0, fitted.err
    assert {"psnr_db", "psnr_held_out_db"} <= fitted.json.keys() and not (run / "latents.safetensors").exists()
    assert (run / "grid.png").is_file()
    for split in ("train", "test"):
        found = g3d("encode", run, "--data", data, "--split", split, "--out", run / f"{split}.safetensors", "--json")
        assert found.code == 0, found.err
        file = artifacts.read(run / f"{split}.safetensors", "latents")
        assert file.values["split"].tolist() == [split == "test"] * found.json["latents"]
        if kind == "image":
            assert file.values["class"].tolist() == ([0, 0, 1, 1] if split == "train" else [0, 1])
            assert found.json["psnr_db"] == pytest.approx(
                fitted.json["psnr_held_out_db" if split == "test" else "psnr_db"], abs=0.5
            )  # 8-bit and clamped there
    words = ["decode", run, run / "test.safetensors"]
    if kind == "image":
        assert file.config["names"] == ["a/1", "b/2"] and file.config["class_names"] == ["a", "b"]
        assert g3d(*words, "--render", tmp_path / "pictures").code == 0
        judged = g3d("eval-recon", data, tmp_path / "pictures", "--objects", "test", "--json")
        assert judged.code == 0, judged.err
        assert judged.json["psnr_db"] == pytest.approx(fitted.json["psnr_held_out_db"], abs=0.01)
    else:
        assert g3d(*words, "--out", tmp_path / "scenes").code == 0
        judged = g3d("eval-shapes", data, tmp_path / "scenes", "--grids", "--split", "test", "--json")
        assert judged.code == 0, judged.err
        assert judged.json["psnr_db"] == pytest.approx(fitted.json["psnr_held_out_db"], abs=0.01)
        assert judged.json["mse"] == pytest.approx(fitted.json["mse_held_out"], rel=1e-3)
    prior = tmp_path / "prior"
    assert g3d("fit-prior", run / "train.safetensors", "--kind", "gaussian", "--out", prior).code == 0
    sampled = g3d("sample", run, "--prior", prior, "--num", 2, "--render", tmp_path / "sampled")
    assert sampled.code == 0, sampled.err
    assert len(list((tmp_path / "sampled").rglob("*.png"))) == 2


def test_a_meta_run_that_was_stopped_ends_with_the_same_model(tmp_path: Path) -> None:
    data, words = made(tmp_path, "image"), ["--preset", "smoke-image", "--set", "epochs=12"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert g3d("fit-stage1", "mnif", "--data", data, *words, "--out", whole).code == 0
    cut = [*words[:-1], "epochs=6"]
    assert g3d("fit-stage1", "mnif", "--data", data, *cut, "--out", parts).code == 0
    state = artifacts.read(parts / "state.safetensors", "state")
    assert state.config["step"] == 6 and "codes" not in state.values
    refused(g3d("fit-stage1", "mnif", "--data", data, *words, "--out", parts, "--resume"), "epochs: 6.0 -> 12.0")
    again = g3d("fit-stage1", "mnif", "--data", data, *cut, "--out", parts, "--resume")
    assert again.code == 0, again.err


def test_auto_decoded_models_find_codes_of_views(pipeline: Pipeline, tmp_path: Path) -> None:
    """By optimisation; the code of an item does not depend on what else is encoded, and more steps fit better."""
    out = tmp_path / "l.safetensors"
    words = ["encode", pipeline.model, "--data", pipeline.data, "--out", out, "--overwrite", "--json"]
    few, many = g3d(*words, "--set", "steps=1"), g3d(*words, "--set", "steps=60", "--set", "lr=0.05")
    assert few.code == many.code == 0, few.err + many.err
    assert many.json["psnr_db"] > few.json["psnr_db"] and many.json["latents"] == 4
    assert artifacts.read(out, "latents").config["names"] == [f"cars-{i:05d}" for i in range(4)]
    zero = g3d(*words, "--set", "start=zero", "--set", "steps=1")
    assert zero.code == 0 and zero.json["mse"] != few.json["mse"]


def test_a_part_of_a_split_has_the_latents_that_it_has_in_the_whole(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["encode", pipeline.model, "--data", pipeline.data, "--set", "steps=2"]
    parts = {"whole": [], "some": ["--items", "2,cars-00000"], "first": ["--num", 3]}
    found = {}
    for name, more in parts.items():
        told = g3d(*words, *more, "--out", tmp_path / name)
        assert told.code == 0 and "psnr_db " in told.err  # how well they fit is said without --json, too
        found[name] = artifacts.read(tmp_path / name, "latents")
    assert found["some"].config["names"] == ["cars-00002", "cars-00000"]
    codes = {name: file.values["codes"] for name, file in found.items()}
    assert torch.allclose(codes["some"], codes["whole"][[2, 0]], atol=1e-4)
    assert torch.allclose(codes["first"], codes["whole"][:3], atol=1e-4) and len(codes["first"]) == 3
    out = ["--out", tmp_path / "no"]
    refused(g3d(*words, "--items", "cars-00007", *out), "no item 'cars-00007'", "choose from 0-3")
    refused(g3d(*words, "--num", 0, *out), "--num is 0; it must be at least 1")
    refused(g3d(*words, "--num", 2, "--items", 0, *out), "--num 2 and --items 0 both say")


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from g3d.steps import encode

    monkeypatch.setattr(encode, "BATCH", 2)
    words = ["encode", pipeline.model, "--data", pipeline.data, "--set", "steps=3", "--device", "cpu"]
    assert g3d(*words, "--out", tmp_path / "one.safetensors").code == 0
    (tmp_path / "two.py").write_text(
        "from g3d.steps import encode\nencode.BATCH = 2\nfrom g3d_cli.main import main\nmain()\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(tmp_path / "two.py"), *map(str, words), "--out", str(tmp_path / "two.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "l.safetensors"
    words = ["encode", pipeline.model, "--data", pipeline.data, "--out", out]
    refused(g3d(*words, "--split", "tests"), "there is no split 'tests'", "did you mean 'test'")
    refused(g3d(*words, "--split", "test"), "has no objects in the split 'test'")
    refused(g3d(*words, "--set", "step=3"), "no setting 'step'", "did you mean 'steps'")
    refused(g3d("encode", pipeline.prior, "--data", pipeline.data, "--out", out), "model")
    data = made(tmp_path, "image")
    refused(g3d("encode", pipeline.model, "--data", data, "--out", out), "has no cameras", "signal=radiance")
    assert not out.exists()
