"""`g3d fit-refiner` on pairs of folders and of datasets: names, resuming, several processes, refusals."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Pipeline, environment, g3d, refused
from g3d.images import read_image, write_image
from g3d.storage import artifacts

FEW = ("--preset", "smoke", "--set", "steps=3", "--device", "cpu")


def write_pairs(root: Path, count: int = 5, size: int = 16) -> tuple[Path, Path]:
    """Coarse pictures are the true ones in half as many levels; in subfolders, as `render` draws several scenes."""
    rng = np.random.default_rng(0)
    for i in range(count):
        true = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        write_image(root / "true" / "a" / f"{i}.png", true)
        write_image(root / "coarse" / "a" / f"{i}.png", true // 2)
    return root / "coarse", root / "true"


def weights(run: Path) -> Any:
    return artifacts.read(run / "refiner.safetensors", "refiner").values


def test_a_run_is_what_its_settings_and_pictures_say(tmp_path: Path) -> None:
    coarse, true = write_pairs(tmp_path)
    done = g3d("fit-refiner", coarse, true, *FEW, "--seed", 4, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json["pairs"] == 5 and done.json["naming"] == "file" and "pairs 5" in done.err
    head = artifacts.header(tmp_path / "run" / "refiner.safetensors")
    assert head.config["kind"] == "diffusion" and head.config["settings"]["steps"] == 3 and head.seed == 4
    assert head.config["pictures"]["width"] == 16 == head.config["pictures"]["height"] and set(head.parents) == {
        "coarse",
        "true",
    }
    change = [
        (read_image(true / "a" / f"{i}.png") / 127.5 - read_image(coarse / "a" / f"{i}.png") / 127.5) for i in range(5)
    ]
    assert head.config["pictures"]["change_std"] == pytest.approx(np.sqrt(np.mean(np.square(change))))
    again = g3d("fit-refiner", coarse, true, *FEW, "--seed", 4, "--out", tmp_path / "again")
    assert again.code == 0
    first, second = (tmp_path / name / "refiner.safetensors" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()
    shown = g3d("info", tmp_path / "run", "--json").json
    assert shown["format"] == "refiner" and shown["run"]["figures"]["pairs"] == 5
    dry = g3d("fit-refiner", coarse, true, "--preset", "paper", "--out", tmp_path / "no", "--dry-run", "--json").json
    assert (
        dry["settings"]["channels"] == 128
        and dry["settings"]["predict"] == "epsilon"
        and not (tmp_path / "no").exists()
    )


def test_a_dataset_is_paired_with_what_was_drawn_of_it(pipeline: Pipeline, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    for number in (6, 7, 14, 15, 22, 23, 30, 31):
        (drawn / f"{number // 8:06d}").mkdir(parents=True, exist_ok=True)
        place = drawn / f"{number // 8:06d}" / f"{number % 2:06d}.png"
        shutil.copy(pipeline.data / "images" / f"{number:06d}.png", place)
    done = g3d("fit-refiner", drawn, pipeline.data, *FEW, "--split", "test", "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert done.json["pairs"] == 8 and done.json["naming"] == "item/view = file"


def test_resume_ends_where_a_whole_run_ends_and_knows_its_pictures(tmp_path: Path) -> None:
    coarse, true = write_pairs(tmp_path)
    words = ("fit-refiner", coarse, true, *FEW[:2], "--device", "cpu")
    whole = g3d(*words, "--set", "steps=6", "--set", "lr_floor=1", "--out", tmp_path / "whole")
    half = g3d(*words, "--set", "steps=3", "--set", "lr_floor=1", "--out", tmp_path / "half")
    assert whole.code == half.code == 0
    refused(
        g3d(*words, "--set", "steps=6", "--set", "lr_floor=1", "--out", tmp_path / "half", "--resume"), "steps: 3 -> 6"
    )
    more = g3d(
        *words, "--set", "steps=6", "--set", "lr_floor=1", "--out", tmp_path / "half", "--resume", "--allow-change"
    )
    assert more.code == 0, more.err
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "half")
    assert a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)
    write_image(coarse / "a" / "0.png", np.zeros((16, 16, 3), np.uint8))
    refused(g3d(*words, "--set", "steps=6", "--set", "lr_floor=1", "--out", tmp_path / "whole", "--resume"), "coarse")


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(tmp_path: Path) -> None:
    coarse, true = write_pairs(tmp_path)
    words = ["-m", "g3d_cli.main", "fit-refiner", coarse, true, *FEW]
    subprocess.run([sys.executable, *map(str, words), "--out", str(tmp_path / "one")], check=True, env=environment())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29641"]
    subprocess.run([*torchrun, *map(str, words), "--out", str(tmp_path / "two")], check=True, env=environment())
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert len(one) > 10
    for name, value in one.items():
        assert float((value - two[name]).abs().max()) < 2e-3 * max(5e-2, float(value.abs().max())), name
    figures = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert figures["pairs"] == 5


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    coarse, true = write_pairs(tmp_path)
    out = ("--out", tmp_path / "run")
    refused(g3d("fit-refiner", coarse, true, "--preset", "large", *out), "no preset 'large'", "paper, laptop, smoke")
    refused(g3d("fit-refiner", coarse, true, "--set", "chanels=8", *out), "did you mean 'channels'")
    refused(
        g3d("fit-refiner", coarse, true, *FEW, "--set", "patch=64", *out), "patch is 64, but the pictures are 16 x 16"
    )
    refused(g3d("fit-refiner", coarse, true, *FEW, "--split", "train", *out), "--split needs a dataset")
    refused(g3d("fit-refiner", coarse, true, *FEW, "--allow-change", *out), "--allow-change belongs to --resume")
    refused(g3d("fit-refiner", coarse, tmp_path / "none", *FEW, *out), "'", "does not exist")
    write_image(true / "a" / "9.png", np.zeros((16, 16, 3), np.uint8))
    refused(g3d("fit-refiner", coarse, true, *FEW, *out), "has no picture 'a/9'")
    (true / "a" / "9.png").unlink()
    write_image(coarse / "a" / "4.png", np.zeros((8, 16, 3), np.uint8))
    refused(
        g3d("fit-refiner", coarse, true, *FEW, "--set", "steps=40", "--out", tmp_path / "odd"), "make them one size"
    )
