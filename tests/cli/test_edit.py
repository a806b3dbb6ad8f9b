"""`g3d edit`: straight lines through chosen items, grids between four."""

from pathlib import Path

import torch
from commands import Pipeline, Result, g3d, refused
from g3d import images, latents
from g3d.data.opening import open_dataset
from g3d.latents import Latents, LatentSpace, Part
from g3d.steps import edit
from g3d.storage import artifacts


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
    assert len(list((tmp_path / "s").glob("[!.]*"))) == 3


def test_a_grid_between_four_items(pipeline: Pipeline, tmp_path: Path) -> None:
    """Corners are the items, edges the straight lines between them, every cell the bilinear mean of the four."""
    out = tmp_path / "grid.safetensors"
    edit.run(edit.Options("grid", pipeline.model, out, items="2,0,3,1", steps=5))
    codes = artifacts.read(pipeline.model / "latents.safetensors", "latents").values["codes"]
    file = artifacts.read(out, "latents")
    found, names = file.values["codes"].view(5, 5, -1), [file.config["names"][5 * i : 5 * i + 5] for i in range(5)]
    known = open_dataset(pipeline.data).object_names
    for row, column, item in ((0, 0, 2), (0, 4, 0), (4, 0, 3), (4, 4, 1)):
        assert torch.equal(found[row, column], codes[item]) and names[row][column] == known[item]
    for row in range(5):
        for column in range(5):
            v, u = row / 4, column / 4
            wanted = (1 - v) * ((1 - u) * codes[2] + u * codes[0]) + v * ((1 - u) * codes[3] + u * codes[1])
            torch.testing.assert_close(found[row, column], wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[2, 2], codes.mean(dim=0), atol=1e-6, rtol=1e-5)
    assert len(set(file.config["names"])) == 25 and file.config["edit"] == "grid 2,0,3,1, 5 steps"


def test_a_grid_is_drawn_as_a_square(pipeline: Pipeline, tmp_path: Path) -> None:
    """More scenes than a sheet shows of several views each: 6 x 6, each cell the picture of its own code."""
    grid, sheet = tmp_path / "grid.safetensors", tmp_path / "s.png"
    assert g3d("edit", "grid", pipeline.model, "--steps", 6, "--out", grid).code == 0
    words = ["--render", tmp_path / "i", "--size", 8, "--device", "cpu"]
    assert g3d("decode", pipeline.model, grid, *words, "--sheet", sheet).code == 0
    assert g3d("sheet", tmp_path / "i", "--columns", 6, "--rows", 6, "--size", 8, "--out", tmp_path / "t.png").code == 0
    pages = [images.read_image(path) for path in (sheet, tmp_path / "t.png")]
    assert (pages[0] == pages[1]).all() and pages[0].shape == (62, 62, 3)
    for row, column in ((0, 0), (2, 3), (5, 5)):
        cell = pages[0][2 + 10 * row : 10 + 10 * row, 2 + 10 * column : 10 + 10 * column]
        assert (cell == images.read_image(tmp_path / "i" / f"{6 * row + column:06d}.png")).all()


def faces(path: Path, *, cameras: bool = True) -> Latents:
    """Three subjects with named fields, classes 1, 1, 2 and a camera each."""
    space = LatentSpace("face", {f"fields.{name}": Part((2,)) for name in ("expression", "identity_shape", "shape")})
    tensors = {name: torch.arange(6.0).view(3, 2) + 10 * i for i, name in enumerate(sorted(space.parts))}
    views = torch.arange(75.0).view(3, 25) if cameras else None
    found = Latents(space, tensors, ["ann", "bob", "cem"], torch.tensor([1, 1, 2]), torch.tensor([0, 0, 0]), views)
    latents.write(path, found, seed=4)
    return found


def test_a_swap_takes_the_named_fields_of_another_item(tmp_path: Path) -> None:
    known = faces(tmp_path / "l.safetensors")
    out = tmp_path / "s.safetensors"
    words = [
        "swap",
        tmp_path / "l.safetensors",
        "--fields",
        "expression,shape",
        "--from",
        "cem",
        "--to",
        "1,0",
        "--out",
        out,
    ]
    assert g3d("edit", *words).code == 0
    found = latents.read(latents.check(out))
    for name, value in known.tensors.items():
        assert torch.equal(found.tensors[name], value[[1, 0]] if name == "fields.identity_shape" else value[[2, 2]])
    assert found.names == ["bob, expression shape of cem", "ann, expression shape of cem"]
    assert found.classes is not None and found.classes.tolist() == [1, 1]
    assert known.condition_camera is not None and torch.equal(found.condition_camera, known.condition_camera[[1, 0]])  # type: ignore[arg-type]
    assert found.about["edit"] == "swap expression,shape from 2 to 1,0"
    each = edit.Options(
        "swap", tmp_path / "l.safetensors", tmp_path / "e.safetensors", fields="shape", source="1,2", to="0,1"
    )
    edit.run(each)
    assert torch.equal(
        latents.read(latents.check(each.out)).tensors["fields.shape"], known.tensors["fields.shape"][[1, 2]]
    )


def test_a_swap_can_name_what_it_makes(tmp_path: Path) -> None:
    """So that what it draws is compared with the pictures of an object of that name."""
    faces(tmp_path / "l.safetensors")
    swap = ["edit", "swap", tmp_path / "l.safetensors", "--fields", "shape", "--from", 2, "--to", "0,1"]
    assert g3d(*swap, "--names", "a/smile, b", "--out", tmp_path / "n.safetensors").code == 0
    assert latents.check(tmp_path / "n.safetensors").names == ["a/smile", "b"]
    for bad in ("a", "a,a", "a,,b"):
        refused(g3d(*swap, "--names", bad, "--out", tmp_path / "m.safetensors"), f"--names '{bad}'", "2 items of --to")
    path = ["edit", "interpolate", tmp_path / "l.safetensors", "--names", "a,b", "--out", tmp_path / "m.safetensors"]
    refused(g3d(*path), "--names has no effect on interpolate")


def test_fields_confine_an_interpolation(tmp_path: Path) -> None:
    known = faces(tmp_path / "l.safetensors", cameras=False)
    out = tmp_path / "p.safetensors"
    words = [
        "interpolate",
        tmp_path / "l.safetensors",
        "--items",
        "0,2",
        "--steps",
        3,
        "--fields",
        "expression",
        "--out",
        out,
    ]
    result = g3d("edit", *words)
    assert result.code == 0 and "differ in their class" in result.err and "split" not in result.err
    found = latents.read(latents.check(out))
    expression = known.tensors["fields.expression"]
    torch.testing.assert_close(found.tensors["fields.expression"][1], (expression[0] + expression[2]) / 2)
    assert torch.equal(found.tensors["fields.shape"], known.tensors["fields.shape"][[0, 0, 0]])
    assert found.classes is None and found.split is not None and found.split.tolist() == [0, 0, 0]


def test_class_split_and_camera_are_kept_where_the_items_agree(tmp_path: Path) -> None:
    faces(tmp_path / "l.safetensors")
    result = g3d(
        "edit", "interpolate", tmp_path / "l.safetensors", "--items", "0,1", "--out", tmp_path / "p.safetensors"
    )
    found = latents.read(latents.check(tmp_path / "p.safetensors"))
    assert found.classes is not None and found.classes.tolist() == [1] * 8
    assert found.condition_camera is None and "differ in their camera that scenes are baked at" in result.err


def test_refusals_of_fields(pipeline: Pipeline, tmp_path: Path) -> None:
    faces(tmp_path / "l.safetensors")
    latents.write(tmp_path / "t.safetensors", LatentSpace("tokens", {"tokens": Part((4,), 5)}).zeros(3))

    def run(*words: object) -> Result:
        return g3d("edit", *words, "--out", tmp_path / "p.safetensors")

    swap = ["swap", tmp_path / "l.safetensors"]
    refused(run(*swap, "--from", 0, "--to", 1), "needs --fields", "expression, identity_shape, shape")
    refused(
        run(*swap, "--fields", "expresion", "--from", 0, "--to", 1), "no field 'expresion'", "did you mean 'expression'"
    )
    assert run(*swap, "--fields", "shape, shape", "--from", 2, "--to", 1, "--dry-run").out.count("fields.shape") == 1
    refused(run(*swap, "--fields", "shape", "--from", 0), "--from ITEM and --to ITEMS")
    refused(run(*swap, "--fields", "shape", "--from", "0,1", "--to", "0-2"), "--from names 2 items and --to 3")
    refused(run(*swap, "--fields", "shape", "--from", 0, "--to", 7), "no item '7'")
    refused(run(*swap, "--fields", "shape", "--items", 0), "--items has no effect on swap")
    refused(run("interpolate", tmp_path / "l.safetensors", "--to", 0), "--to has no effect on interpolate")
    refused(run("swap", pipeline.model, "--fields", "shape", "--from", 0, "--to", 1), "no field 'shape'", "it has none")
    refused(run("interpolate", tmp_path / "t.safetensors"), "holds tokens")


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    def run(*words: object) -> Result:
        return g3d("edit", *words, "--out", tmp_path / "p.safetensors")

    refused(run("interpolat", pipeline.model), "did you mean 'interpolate'")
    refused(run("interpolate", pipeline.model, "--items", "0"), "two or more")
    refused(run("interpolate", pipeline.model, "--items", "0,²"), "no item '²'")
    refused(run("interpolate", pipeline.model, "--items", "0,9"), "no item '9'", "0-3")
    refused(run("interpolate", pipeline.model, "--items", "0,carr"), "no item 'carr'")
    refused(run("interpolate", pipeline.model, "--steps", "1"), "at least 2")
    refused(run("interpolate", pipeline.model, "--items", ""), "no item ''")
    refused(run("grid", pipeline.model, "--items", "0,1,2"), "names 3", "four corners")
    refused(run("grid", pipeline.model, "--items", "0,1,2,3,0"), "names 5", "four corners")
    refused(run("interpolate", pipeline.prior), "no latents.safetensors")
    assert not list(tmp_path.iterdir())
