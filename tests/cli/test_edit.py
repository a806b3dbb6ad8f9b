"""`g3d edit interpolate`: straight lines through chosen items."""

from pathlib import Path

import torch
from commands import Pipeline, Result, g3d, refused
from g3d import artifacts
from g3d.dataset import open_dataset
from g3d.steps import edit


def test_a_path_through_three_items(pipeline: Pipeline, tmp_path: Path) -> None:
    names = open_dataset(pipeline.data).object_names
    out = tmp_path / "path.safetensors"
    edit.run(edit.Options("interpolate", pipeline.model, out, items=f"0,{names[3]},1", steps=5))
    codes = artifacts.read(pipeline.model / "latents.safetensors", "latents").values["codes"]
    file = artifacts.read(out, "latents")
    found = file.values["codes"]
    assert len(found) == 9 == len(file.config["names"])
    for row, item in ((0, 0), (4, 3), (8, 1)):
        assert torch.equal(found[row], codes[item])
    torch.testing.assert_close(found[1], 0.75 * codes[0] + 0.25 * codes[3])
    assert file.config["space"] == "phi" and file.config["names"][8] == names[1]


def test_the_path_can_be_decoded(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "path.safetensors"
    result = g3d("edit", "interpolate", pipeline.model, "--items", "0,1", "--steps", 3, "--out", path)
    assert result.code == 0 and result.out.strip() == str(path)
    assert g3d("decode", pipeline.model, path, "--out", tmp_path / "s", "--device", "cpu").code == 0
    assert len(list((tmp_path / "s").iterdir())) == 3


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    def run(*words: object) -> Result:
        return g3d("edit", *words, "--out", tmp_path / "p.safetensors")

    refused(run("interpolat", pipeline.model), "did you mean 'interpolate'")
    refused(run("interpolate", pipeline.model, "--items", "0"), "two or more")
    refused(run("interpolate", pipeline.model, "--items", "0,²"), "no item '²'")
    refused(run("interpolate", pipeline.model, "--items", "0,9"), "no item '9'", "0-3")
    refused(run("interpolate", pipeline.model, "--items", "0,carr"), "no item 'carr'")
    refused(run("interpolate", pipeline.model, "--steps", "1"), "at least 2")
    refused(run("interpolate", pipeline.prior), "no latents.safetensors")
    assert not list(tmp_path.iterdir())
