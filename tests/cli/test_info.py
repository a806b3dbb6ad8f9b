"""`g3d info` says what each kind of file and folder is."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d import catalogue
from g3d.export import ply
from g3d.images import write_image
from g3d.methods import method
from g3d.storage import artifacts


def test_each_artifact_of_the_pipeline_is_recognised(pipeline: Pipeline) -> None:
    paths = {
        pipeline.model / "model.safetensors": "model",
        pipeline.model / "latents.safetensors": "latents",
        pipeline.model / "state.safetensors": "state",
        pipeline.prior / "prior.safetensors": "prior",
        pipeline.data / "cameras.safetensors": "cameras",
        pipeline.data / "shapes.safetensors": "shapes",
        pipeline.scenes / "000000.safetensors": "scene/mlp_field",
        pipeline.model: "model",
        pipeline.prior: "prior",
        pipeline.data: "g3d/dataset@1",
        pipeline.scenes: "folder",
    }
    for path, kind in paths.items():
        result = g3d("info", path, "--json")
        assert result.code == 0 and result.json["format"] == kind, (path, result)


def test_a_model_is_described(pipeline: Pipeline) -> None:
    described = g3d("info", pipeline.model, "--json").json
    assert described["config"]["method"] == "mnif"
    assert described["config"]["latent_space"] == {"space": "phi", "shape": [8]}
    assert set(described["parents"]) == {"dataset"} and described["seed"] == 0


def test_lines_without_json(pipeline: Pipeline) -> None:
    lines = g3d("info", pipeline.model).out.splitlines()
    assert any(line.split() == ["format", "model"] for line in lines)


def test_a_file_is_totals_and_the_settings_that_are_not_as_by_default(pipeline: Pipeline) -> None:
    """A person sees ten settings at most and no tensors; --json everything."""
    shown, whole = g3d("info", pipeline.model).out, g3d("info", pipeline.model, "--json").json
    assert set(whole["config"]["settings"]) == {row["name"] for row in catalogue.described("mnif")["settings"]}
    count = sum(math.prod(json.loads(text.partition(" ")[2])) for text in whole["tensors"].values())
    assert f"{count:,} values in {len(whole['tensors'])} tensors" in shown
    below = shown.split("\nsettings\n")[1].split("\n\n")[0].splitlines()
    differ = [k for k, v in whole["config"]["settings"].items() if v != catalogue.defaults("mnif")[k]]
    assert len(differ) > 10 == len(below)
    assert {line.split()[0] for line in below} <= set(differ)
    further = f"{len(whole['config']['settings']) - 10}, of which {len(whole['config']['settings']) - len(differ)} are"
    assert further in shown
    tensor = next(iter(whole["tensors"]))
    assert tensor not in shown and tensor in g3d("info", pipeline.model, "--tensors").out


def test_ply_files_are_told_apart(pipeline: Pipeline, tmp_path: Path) -> None:
    splats = g3d("info", pipeline.root / "demo" / "splats.ply", "--json").json
    scene = artifacts.header(pipeline.root / "two.safetensors").tensors["sh"][1]
    assert (splats["gaussians"], splats["sh_degree"]) == (scene[0], int(scene[1] ** 0.5) - 1)
    square, red = np.eye(4, 3, dtype=np.float32), np.zeros((4, 3), np.uint8)
    ply.write_mesh(tmp_path / "mesh.ply", square, np.array([[0, 1, 2], [0, 2, 3]], np.int32), red)
    ply.write_points(tmp_path / "points.ply", square, red)
    mesh, points = (g3d("info", tmp_path / f"{name}.ply", "--json").json for name in ("mesh", "points"))
    assert (mesh["what"], mesh["vertices"], mesh["faces"]) == ("a mesh", 4, 2)
    assert (points["what"], points["points"], points["properties"][:3]) == ("points", 4, ["x", "y", "z"])
    foreign = "ply\nformat ascii 1.0\ncomment made by hand\nelement vertex 7\nproperty float x\nend_header\n"
    (tmp_path / "foreign.ply").write_text(foreign)
    shown = g3d("info", tmp_path / "foreign.ply").out
    assert "made by hand" in shown and "ascii" in shown and "7" in shown
    for text in ("hello", "ply\nelement vertex\nend_header\n", "ply\nproperty float x\nend_header\n"):
        (tmp_path / "bad.ply").write_text(text)
        refused(g3d("info", tmp_path / "bad.ply"), "bad.ply", "no PLY file")


@pytest.mark.parametrize(
    ("key", "value"), [("objects", 0.5), ("objects", {"a": 1}), ("views", "many"), ("format", None)]
)
def test_a_damaged_description_of_a_dataset(pipeline: Pipeline, tmp_path: Path, key: str, value: object) -> None:
    found = json.loads((pipeline.data / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**found, key: value}))
    refused(g3d("info", tmp_path), "dataset.json", "prepare it again")


def test_folders_of_runs_and_of_meshes(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in ("a/0", "a/1", "b"):
        shutil.copytree(pipeline.prior, tmp_path / "runs" / name)
    assert g3d("info", tmp_path / "runs", "--json").json == {"format": "runs", "runs": ["a/0", "a/1", "b"]}
    (tmp_path / "runs" / "c").mkdir()
    (tmp_path / "runs" / "c" / "config.json").write_text('{"of": "another program"}')
    assert g3d("info", tmp_path / "runs", "--json").json["runs"] == ["a/0", "a/1", "b"]
    (tmp_path / "runs" / "b" / "prior.safetensors").unlink()  # stopped before it wrote one
    begun = g3d("info", tmp_path / "runs" / "b", "--json").json
    assert begun["format"] == "run" and "config.json" in begun["run"]["files"]
    for name in ("one.ply", "below/two.ply", "three.GLB", "notes.txt"):
        (tmp_path / "meshes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "meshes" / name).write_text("x")
    found = g3d("info", tmp_path / "meshes", "--json").json
    assert found == {"format": "shapes", "files": {"glb": 1, "ply": 2}}


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    refused(g3d("info", tmp_path / "nothing"), "does not exist")
    refused(g3d("info", tmp_path), "finds no dataset")
    (tmp_path / "text.safetensors").write_text("hello, I am no tensor file")
    refused(g3d("info", tmp_path / "text.safetensors"), "text.safetensors", "not a safetensors file")


def test_without_an_argument_it_lists_what_can_be_chosen() -> None:
    found = g3d("info", "--json").json
    assert found == catalogue.names() and "vq3d" in found["methods"] and "meshes" in found["sources"]
    assert "mnif, hypernerfgan" in g3d("info").out


@pytest.mark.parametrize("name", [name for some in catalogue.names().values() for name in some])
def test_every_name_is_described(name: str) -> None:
    result = g3d("info", name)
    assert result.code == 0 and name in result.out.splitlines()[0]
    found = g3d("info", name, "--json").json
    rows = found.get("settings", found.get("options", []))
    assert all("default" in row and row["name"] in result.out for row in rows)
    if "settings" in found:
        assert all(row["meaning"] for row in rows)


def test_a_method_says_what_it_can_and_what_its_presets_change() -> None:
    found = g3d("info", "mnif", "--json").json
    assert found["paper"].startswith("Generative Neural Fields") and "encode" in found["can"]
    rows = {row["setting"]: row for row in found["presets"]}
    for name, preset in method("mnif").presets.items():
        assert rows["width"][name] == preset.width
    assert rows["width"]["default"] == 64 and "omega0" in rows
    settings = {row["name"]: row for row in found["settings"]}
    assert (
        settings["signal"]["allowed"] == "image | voxel | radiance" and settings["batch"]["allowed"] == "1 to 1048576"
    )
    assert settings["grid_share"]["only_with"] == "signal=voxel"


def test_drawn_pictures_are_counted_without_what_lies_beside_them(tmp_path: Path) -> None:
    """Three scenes of two views each, with masks and depth; cameras are those of the pictures, not files of them."""
    for scene in ("000000", "000001", "000002"):
        for folder in (".", "masks", "depth"):
            for view in ("000000.png", "000001.png"):
                write_image(tmp_path / scene / folder / view, np.zeros((4, 4), np.uint8))
        frames = [{"file_path": view} for view in ("000000.png", "000001.png")]
        (tmp_path / scene / "transforms.json").write_text(json.dumps({"frames": frames}))
    assert g3d("info", tmp_path, "--json").json == {"format": "images", "pictures": 6, "cameras": 6}
    (tmp_path / "000001" / "transforms.json").write_text("{")
    refused(g3d("info", tmp_path), "000001/transforms.json", "not valid JSON")


def test_a_file_goes_before_a_name_and_neither_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnif").write_text("no artifact")
    refused(g3d("info", "mnif"), "not a safetensors file")
    refused(g3d("info", "mnig"), "no method, prior or source", "mnif")
    refused(g3d("info", "vq3d", "--levels"), "--levels is of scenes")
