"""What a command reads is not what it replaces, by whatever option it is named, and whoever wrote it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Pipeline, g3d, refused

INPUTS: dict[str, Callable[[Pipeline, Path], list[object]]] = {
    "render dataset": lambda p, out: ["render", p.scenes, "--cameras", f"dataset:{out}", "--out", out],
    "render dataset, a split": lambda p, out: ["render", p.scenes, "--cameras", f"dataset:{out}:test", "--out", out],
    "render file": lambda p, out: ["render", p.scenes, "--cameras", f"file:{out}/transforms.json", "--out", out],
    "render path": lambda p, out: ["render", p.scenes, "--cameras", f"path:{out}/transforms.json:3", "--out", out],
    "render inside": lambda p, out: ["render", p.scenes, "--cameras", f"dataset:{out}", "--out", out / "images"],
    "render --sheet": lambda p, out: ["render", p.scenes, "--cameras", f"dataset:{out}", "--out", out.parent / "new",
                                      "--sheet", out / "images" / "000000.png"],
    "sample --out": lambda p, out: ["sample", p.model, "--prior", p.prior, "--num", 1, "--out", out,
                                    "--render", out.parent / "new", "--cameras", f"dataset:{out}"],
    "sample --latents": lambda p, out: ["sample", p.model, "--prior", p.prior, "--num", 1, "--render", out.parent / "new",
                                        "--cameras", f"dataset:{out}", "--latents", out / "cameras.safetensors"],
    "decode --render": lambda p, out: ["decode", p.model, p.model, "--render", out, "--cameras", f"dataset:{out}"],
    "eval-consistency": lambda p, out: ["eval-consistency", p.scenes, "--cameras", f"dataset:{out}",
                                        "--out", out / "dataset.json"],
    "eval-consistency --mask": lambda p, out: ["eval-consistency", p.scenes, "--mask", out, "--out", out / "dataset.json"],
    "eval-fid --extractor": lambda p, out: ["eval-fid", p.data, p.data, "--extractor", out / "network.pt", "--trust",
                                            "--extractor-range", "unit",
                                            "--out", out / "network.pt"],
    "eval-recon --drawn-from": lambda p, out: ["eval-recon", p.data, p.data, "--drawn-from", out / "latents.safetensors",
                                               "--out", out / "latents.safetensors"],
    "eval-identity --drawn-from": lambda p, out: ["eval-identity", p.data, p.data, "--network", "pixels", "--drawn-from",
                                                  out, "--out", out / "latents.safetensors"],
    "eval-geometry --drawn-from": lambda p, out: ["eval-geometry", p.data, p.data, "--drawn-from", out / "latents.safetensors",
                                                  "--out", out / "latents.safetensors"],
    "eval-transfer --drawn-from": lambda p, out: ["eval-transfer", p.data, p.data, "--drawn-from", out,
                                                  "--out", out / "latents.safetensors"],
    "fit-refiner --drawn-from": lambda p, out: ["fit-refiner", p.data, p.data, "--preset", "smoke", "--drawn-from",
                                                out / "latents.safetensors", "--out", out],
}  # fmt: skip


@pytest.mark.parametrize("name", list(INPUTS))
def test_what_a_command_reads_is_not_what_it_replaces(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """Also where it is no argument of its own, and g3d has written it: a dataset that gives cameras was replaced by pictures."""
    both = tmp_path / "both"
    shutil.copytree(pipeline.data, both)
    for file in ("latents.safetensors", "config.json"):
        shutil.copy(pipeline.model / file, both / file)
    shutil.copy(pipeline.root / "demo" / "sampled" / "transforms.json", both / "transforms.json")
    (both / "network.pt").write_bytes(b"PK\3\4")
    before = {p: p.read_bytes() for p in both.rglob("*") if p.is_file()}
    words = INPUTS[name](pipeline, both)
    more = [] if words[0] in ("eval-consistency", "eval-transfer", "eval-geometry") else ["--device", "cpu"]
    refused(g3d(*words, *more, "--overwrite"), "is, contains or lies inside the input")
    assert {p: p.read_bytes() for p in both.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["both"]
