"""Every command, given a wrong, truncated, empty or foreign file in each of its places, ends with exit 2 and one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.storage import artifacts
from PIL import Image
from safetensors.torch import save_file

Make = Callable[[Path, Pipeline], None]


def _foreign(path: Path, _: Pipeline) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def _other_kind(path: Path, _: Pipeline) -> None:
    artifacts.write(path, "features", {"features": torch.zeros(2, 3)}, {"extractor": "random"})


def _truncated(path: Path, made: Pipeline) -> None:
    path.write_bytes((made.scenes / "000000.safetensors").read_bytes()[:-100])


def _damaged_header(path: Path, made: Pipeline) -> None:
    data = bytearray((made.model / "model.safetensors").read_bytes())
    data[20] ^= 0x80
    path.write_bytes(bytes(data))


def _picture(path: Path, _: Pipeline) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path, format="PNG")


BAD: dict[str, Make] = {
    "empty": lambda path, _: path.write_bytes(b"") and None,
    "text": lambda path, _: path.write_text("not what you are looking for\n") and None,
    "noise": lambda path, _: path.write_bytes(np.random.default_rng(0).bytes(5000)) and None,
    "json": lambda path, _: path.write_text('{"format": "something else"}') and None,
    "foreign": _foreign,
    "other_kind": _other_kind,
    "truncated": _truncated,
    "damaged_header": _damaged_header,
    "picture": _picture,
    "folder": lambda path, _: path.mkdir(),
    "nothing": lambda path, _: None,
}
PLACES: dict[str, Callable[[Path, Pipeline, Path], list[object]]] = {
    "info": lambda bad, p, out: ["info", bad],
    "render": lambda bad, p, out: ["render", bad, "--out", out],
    "render cameras file": lambda bad, p, out: ["render", p.scenes, "--cameras", f"file:{bad}", "--out", out],
    "render cameras dataset": lambda bad, p, out: ["render", p.scenes, "--cameras", f"dataset:{bad}", "--out", out],
    "eval-shapes true": lambda bad, p, out: ["eval-shapes", bad, p.data, "--points", 64],
    "eval-shapes test": lambda bad, p, out: ["eval-shapes", p.data, bad, "--points", 64],
    "profile against": lambda bad, p, out: ["profile", "mnif", "--preset", "smoke", "--against", bad],
    "report": lambda bad, p, out: ["report", bad, "--out", out / "report.html"],
    "prepare-data images": lambda bad, p, out: [
        "prepare-data",
        "images",
        bad,
        "--size",
        16,
        "--workers",
        1,
        "--out",
        out,
    ],
    "prepare-data eg3d": lambda bad, p, out: ["prepare-data", "eg3d", bad, "--workers", 1, "--out", out],
    "prepare-data srn": lambda bad, p, out: ["prepare-data", "srn", bad, "--workers", 1, "--out", out],
    "prepare-data transforms": lambda bad, p, out: ["prepare-data", "transforms", bad, "--workers", 1, "--out", out],
    "prepare-data voxels": lambda bad, p, out: ["prepare-data", "voxels", bad, "--workers", 1, "--out", out],
    "prepare-data faces": lambda bad, p, out: ["prepare-data", "faces", bad, "--workers", 1, "--out", out],
    "prepare-data depth": lambda bad, p, out: ["prepare-data", "depth", bad, "--workers", 1, "--out", out],
    "prepare-data split": lambda bad, p, out: [
        "prepare-data",
        "procedural",
        "cars",
        "--split",
        bad,
        "--num",
        1,
        "--out",
        out,
    ],
    "eval-recon true": lambda bad, p, out: ["eval-recon", bad, p.data],
    "eval-recon test": lambda bad, p, out: ["eval-recon", p.data, bad],
    "eval-geometry": lambda bad, p, out: ["eval-geometry", bad],
    "eval-geometry true": lambda bad, p, out: ["eval-geometry", p.data, bad],
    "eval-identity": lambda bad, p, out: ["eval-identity", p.data, bad, "--network", "pixels"],
    "eval-fid extractor": lambda bad, p, out: ["eval-fid", p.data, p.data, "--extractor", bad, "--trust"],
    "eval-fid weights": lambda bad, p, out: ["eval-fid", p.data, p.data, "--weights", bad, "--trust"],
    "import-ply": lambda bad, p, out: ["import-ply", bad, "--out", out / "s.safetensors"],
    "export-ply": lambda bad, p, out: ["export-ply", bad, "--out", out],
    "decode model": lambda bad, p, out: ["decode", bad, p.model, "--out", out],
    "decode latents": lambda bad, p, out: ["decode", p.model, bad, "--out", out],
    "sample model": lambda bad, p, out: ["sample", bad, "--prior", p.prior, "--num", 1, "--out", out],
    "sample prior": lambda bad, p, out: ["sample", p.model, "--prior", bad, "--num", 1, "--out", out],
    "fit-prior": lambda bad, p, out: ["fit-prior", bad, "--out", out],
    "fit-stage1": lambda bad, p, out: ["fit-stage1", "mnif", "--preset", "smoke", "--data", bad, "--out", out],
    "edit": lambda bad, p, out: ["edit", "interpolate", bad, "--out", out],
    "sheet": lambda bad, p, out: ["sheet", bad, "--out", out.with_suffix(".png")],
    "eval-fid real": lambda bad, p, out: ["eval-fid", bad, p.data, "--extractor", "random"],
    "eval-fid fake": lambda bad, p, out: ["eval-fid", p.data, bad, "--extractor", "random"],
    "profile": lambda bad, p, out: ["profile", bad],
    "prepare-data meshes": lambda bad, p, out: ["prepare-data", "meshes", bad, "--out", out, "--workers", 1],
}
FITS = {("info", "other_kind")}  # a `features` file can be described


@pytest.mark.parametrize("kind", list(BAD))
@pytest.mark.parametrize("place", list(PLACES))
def test_a_bad_file_is_refused_in_one_sentence(place: str, kind: str, pipeline: Pipeline, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad_input", tmp_path / "out"
    BAD[kind](bad, pipeline)
    if (place, kind) in FITS:
        assert g3d(*PLACES[place](bad, pipeline, out)).code == 0
        return
    refused(g3d(*PLACES[place](bad, pipeline, out)), "bad_input")
    left = {path.name for path in tmp_path.iterdir()} - {"bad_input"}
    assert not left, f"half an output was left: {left}"


@pytest.mark.parametrize("name", ["dataset.json", "cameras.safetensors", "images/000003.png"])
@pytest.mark.parametrize("kind", ["empty", "text", "noise", "truncated", "foreign"])
def test_a_damaged_dataset_is_refused_by_the_file(name: str, kind: str, pipeline: Pipeline, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)
    (data / name).unlink()
    BAD[kind](data / name, pipeline)
    words = ["fit-stage1", "mnif", "--preset", "smoke", "--data", data, "--out", tmp_path / "run", "--device", "cpu"]
    done = g3d(*words)  # a note may say before that the file has changed
    refused(
        replace(done, err="".join(line for line in done.err.splitlines(True) if not line.startswith("note:"))), name
    )


@pytest.mark.parametrize("change", ["settings", "world", "network"])
def test_metadata_of_the_right_format_with_wrong_content(change: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """Written by other hands, with the right format line: still one sentence that names the file."""
    source = pipeline.scenes / "000000.safetensors" if change == "network" else pipeline.model / "model.safetensors"
    file = artifacts.read(source, "scene", "model")
    wrong = {"settings": {"widht": 3}, "world": {"bounds": "no"}, "network": {"layers": [{"name": 1}]}}[change]
    artifacts.write(tmp_path / "bad.safetensors", file.kind, file.values, {**file.config, change: wrong})
    words = (
        ["render", tmp_path / "bad.safetensors"]
        if change == "network"
        else ["decode", tmp_path / "bad.safetensors", pipeline.model]
    )
    refused(g3d(*words, "--out", tmp_path / "out"), "bad.safetensors")


def test_an_output_that_cannot_be_written_says_so(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(g3d("render", pipeline.scenes, "--out", tmp_path / "file" / "out"), "is a file")
    refused(g3d("render", pipeline.scenes, "--out", tmp_path / "file"), "exists", "--overwrite")
    refused(g3d("render", pipeline.scenes, "--out", pipeline.scenes), "input")
    assert (tmp_path / "file").read_text() == "in the way"
