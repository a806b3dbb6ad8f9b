"""HyperNeRFGAN through the commands: samples without a prior, truncation, latents, paths, pictures, meshes."""

from pathlib import Path

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.latents import Latents, LatentSpace, write
from g3d.methods import decoding
from g3d.methods.hypernerfgan import METHOD
from g3d.scenes.scene import MlpField, tensors_of
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts


def scene(path: Path) -> MlpField:
    found = load_scene(path)
    assert isinstance(found, MlpField)
    return found


def difference(a: Path, b: Path) -> float:
    one, two = tensors_of(scene(a)), tensors_of(scene(b))
    return max(float((one[n] - two[n]).abs().max()) for n in one)


@pytest.fixture(scope="module")
def sampled(gan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples, and their latents."""
    out = tmp_path_factory.mktemp("sampled")
    words = ["sample", gan, "--num", 3, "--out", out / "scenes", "--latents", out / "codes.safetensors"]
    found = g3d(*words, "--device", "cpu")
    assert found.code == 0, found.err
    assert found.out.split() == [str(out / "scenes"), str(out / "codes.safetensors")]
    return out


def test_a_sample_needs_no_prior_and_does_not_depend_on_its_company(gan: Path, sampled: Path, tmp_path: Path) -> None:
    assert g3d("sample", gan, "--seeds", "2", "--out", tmp_path / "one", "--device", "cpu").code == 0
    assert difference(tmp_path / "one" / "000002.safetensors", sampled / "scenes" / "000002.safetensors") < 1e-5
    assert difference(sampled / "scenes" / "000000.safetensors", sampled / "scenes" / "000001.safetensors") > 0.01
    head = artifacts.header(sampled / "scenes" / "000000.safetensors")
    assert set(head.parents) == {"model"} and head.config["world"]["camera_prior"]["radius_world"] == 2.6


def test_truncation(gan: Path, sampled: Path, tmp_path: Path) -> None:
    for name, words in (
        ("zero", ["--truncation", 0]),
        ("one", ["--truncation", 1]),
        ("set", ["--set", "truncation=0"]),
    ):
        found = g3d("sample", gan, "--num", 2, "--out", tmp_path / name, "--device", "cpu", *words)
        assert found.code == 0, found.err
    assert difference(tmp_path / "zero" / "000000.safetensors", tmp_path / "zero" / "000001.safetensors") < 1e-6
    assert difference(tmp_path / "zero" / "000000.safetensors", tmp_path / "set" / "000000.safetensors") == 0
    assert difference(tmp_path / "one" / "000001.safetensors", sampled / "scenes" / "000001.safetensors") < 1e-6
    shown = g3d("sample", gan, "--num", 2, "--truncation", 0.7, "--out", tmp_path / "x", "--dry-run").json
    assert shown["settings"] == {"truncation": 0.7, "space": "w"} and shown["prior"] is None


def test_a_path_through_samples_passes_through_them(gan: Path, sampled: Path, tmp_path: Path) -> None:
    path = tmp_path / "path.safetensors"
    words = ["edit", "interpolate", sampled / "codes.safetensors", "--items", "0,000002", "--steps", 3, "--out", path]
    assert g3d(*words).code == 0
    decoded = g3d("decode", gan, path, "--out", tmp_path / "scenes", "--device", "cpu")
    assert decoded.code == 0, decoded.err
    assert difference(tmp_path / "scenes" / "000000.safetensors", sampled / "scenes" / "000000.safetensors") < 1e-5
    assert difference(tmp_path / "scenes" / "000002.safetensors", sampled / "scenes" / "000002.safetensors") < 1e-5
    middle = artifacts.read(path, "latents").values["codes"]
    torch.testing.assert_close(middle[1], (middle[0] + middle[2]) / 2)


def test_a_path_through_noise(gan: Path, sampled: Path, tmp_path: Path) -> None:
    """eq. 11: straight lines between z, not w; the ends are the same samples, what lies between is not."""
    z, path = tmp_path / "z.safetensors", tmp_path / "path.safetensors"
    words = ["sample", gan, "--num", 3, "--set", "space=z", "--latents", z, "--out", tmp_path / "drawn"]
    found = g3d(*words, "--device", "cpu")
    assert found.code == 0, found.err
    assert difference(tmp_path / "drawn" / "000001.safetensors", sampled / "scenes" / "000001.safetensors") < 1e-6
    assert artifacts.header(z).config["space"] == "z"
    for latents, name in ((z, "of_z"), (sampled / "codes.safetensors", "of_w")):
        words = ["edit", "interpolate", latents, "--items", "0,2", "--steps", 3, "--out", path, "--overwrite"]
        assert g3d(*words).code == 0
        decoded = g3d("decode", gan, path, "--out", tmp_path / name, "--device", "cpu")
        assert decoded.code == 0, decoded.err
    for end in ("000000", "000002"):
        assert difference(tmp_path / "of_z" / f"{end}.safetensors", sampled / "scenes" / f"{end}.safetensors") < 1e-5
    assert difference(tmp_path / "of_z" / "000001.safetensors", tmp_path / "of_w" / "000001.safetensors") > 1e-4
    mean = artifacts.read(z, "latents").values["codes"][[0, 2]].mean(dim=0, keepdim=True)
    model = decoding.load(METHOD, artifacts.header(gan / "model.safetensors"), torch.device("cpu"))
    wanted = METHOD.decode(model, Latents(LatentSpace.codes("z", 8), {"codes": mean}, ["0"]), METHOD.decode_settings())
    middle = tensors_of(scene(tmp_path / "of_z" / "000001.safetensors"))
    for name, value in tensors_of(wanted).items():
        torch.testing.assert_close(middle[name], value, atol=1e-5, rtol=1e-4)
    dry = ["sample", gan, "--num", 2, "--set", "space=z", "--out", tmp_path / "x", "--dry-run"]
    refused(g3d(*dry, "--truncation", 0.7), "truncation is 0.7", "space=z")
    other = LatentSpace.codes("z", 9)
    write(tmp_path / "nine.safetensors", Latents(other, {"codes": torch.zeros(1, 9)}, ["0"]))
    refused(g3d("decode", gan, tmp_path / "nine.safetensors", "--out", tmp_path / "x"), "live in z [9]")


def test_latents_alone(gan: Path, sampled: Path, tmp_path: Path) -> None:
    found = g3d("sample", gan, "--num", 3, "--latents", tmp_path / "c.safetensors", "--device", "cpu")
    assert found.code == 0 and found.out.split() == [str(tmp_path / "c.safetensors")]
    ours = artifacts.read(tmp_path / "c.safetensors", "latents")
    theirs = artifacts.read(sampled / "codes.safetensors", "latents")
    assert torch.equal(ours.values["codes"], theirs.values["codes"])
    assert ours.config["space"] == "w" and ours.config["names"] == ["000000", "000001", "000002"]
    assert set(ours.parents) == {"model"}


def test_pictures_turntables_and_meshes(gan: Path, sampled: Path, tmp_path: Path) -> None:
    scenes = sampled / "scenes"
    drawn = g3d("render", scenes, "--cameras", "orbit:4", "--size", 16, "--alpha", "--out", tmp_path / "views")
    assert drawn.code == 0 and len(list((tmp_path / "views").rglob("images/*.png"))) + len(
        list((tmp_path / "views").rglob("[0-9]*.png"))
    ), drawn.err
    for kind in ("mesh", "points"):
        words = ["export-ply", scenes / "000000.safetensors", "--as", kind, "--resolution", 24, "--level", 0.05]
        found = g3d(*words, "--out", tmp_path / kind)
        assert found.code == 0, found.err
    at_once = g3d("sample", gan, "--num", 2, "--render", tmp_path / "fakes", "--cameras", "prior", "--device", "cpu")
    assert at_once.code == 0 and len(list((tmp_path / "fakes").rglob("*.png"))) == 2


def test_refusals(gan: Path, sampled: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "s"]
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 1, *out]
    refused(g3d(*base, "--truncation", 0.5), "has no setting 'truncation'")
    refused(g3d("sample", pipeline.model, "--num", 1, *out), "draws its latents from a prior")
    refused(g3d("sample", gan, "--num", 1, *out, "--set", "trunction=1"), "did you mean 'truncation'")
    refused(g3d("sample", gan, "--num", 1, *out, "--prior", pipeline.prior), "live in phi", "w [8]")
    refused(g3d("sample", gan, "--num", 1), "nothing to write")
    refused(g3d("sample", gan, "--num", 1, "--latents", gan / "model.safetensors"), "model.safetensors")
    refused(g3d("decode", gan, pipeline.model, *out), "live in phi")
    assert not (tmp_path / "s").exists()


def test_profile_shows_the_saving(gan: Path) -> None:
    words = [
        "profile",
        "hypernerfgan",
        "--preset",
        "carla",
        "--set",
        "n_samples=2",
        "--size",
        8,
        "--repeats",
        1,
        "--json",
    ]
    found = g3d(*words, "--device", "cpu").json
    assert found["parameters"] == 1_498_658 and found["hidden_layer_saving"] == 6.4
    assert found["generated_numbers"] == 10_910 and found["inference_parameters"] == 57_728 + 4 * 128 + 4
    assert g3d("profile", gan, "--size", 8, "--repeats", 1, "--json").json["generated_numbers"] > 0
