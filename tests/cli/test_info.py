"""`g3d info` says what each kind of file and folder is."""

from pathlib import Path

from commands import Pipeline, g3d, refused


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


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    refused(g3d("info", tmp_path / "nothing"), "does not exist")
    refused(g3d("info", tmp_path), "finds no dataset")
    (tmp_path / "text.safetensors").write_text("hello, I am no tensor file")
    refused(g3d("info", tmp_path / "text.safetensors"), "text.safetensors", "not a safetensors file")
