"""`g3d eval-fid` as a user runs it; the finer cases call the step, which is the same without a new process."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d
from g3d.cameras import read_transforms
from g3d.data.columns import Made, View
from g3d.data.opening import open_dataset
from g3d.data.writer import Writer
from g3d.errors import G3dError
from g3d.evaluation.features import random_extractor
from g3d.images import encode, write_image
from g3d.steps.eval_fid import Options, resolve, run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another left, and none writes into the home folder."""
    monkeypatch.setenv("G3D_CACHE", str(tmp_path / "the_cache"))


def _g3d(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g3d_cli.main", "eval-fid", *map(str, words)]
    env = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def _folder(path: Path, count: int, seed: int, bright: int = 200) -> Path:
    stream = np.random.default_rng(seed)
    for i in range(count):
        write_image(path / f"{i % 2}" / f"{i:03d}.png", stream.integers(0, bright, (12, 16 + i % 3, 3), dtype=np.uint8))
    return path


def _dataset(path: Path, count: int, tests: int) -> Path:
    path.mkdir()
    writer = Writer(path)
    stream = np.random.default_rng(0)
    views = [View(encode(stream.integers(0, 256, (8, 8, 3), dtype=np.uint8))) for _ in range(count)]
    split = np.array([0] * (count - tests) + [1] * tests)
    writer.add(
        "one",
        Made(views, {"c2w": np.tile(np.eye(4), (count, 1, 1)), "intrinsics": np.ones((count, 4)), "split": split}),
    )
    info = {
        "name": "t",
        "width": 8,
        "height": 8,
        "background": [1, 1, 1],
        "licence": "",
        "provenance": "",
    }
    writer.close(info)
    return path


@pytest.mark.slow
def test_json_names_all_that_makes_figures_comparable(tmp_path: Path) -> None:
    real, fake = _folder(tmp_path / "real", 12, 0), _folder(tmp_path / "fake", 9, 1, bright=120)
    done = _g3d(real, fake, "--extractor", "random", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["value"] == found["frechet_random"] > 0 and 0 <= found["precision"] <= 1
    assert found["diversity_fake"] < found["diversity_real"]
    extractor = random_extractor()
    known = {
        "metric": "frechet_random", "n_real": 12, "n_fake": 9, "seed": 0, "split": None, "objects": None, "num": None,
        "protocol": None, "extractor": "random", "extractor_sha256": extractor.sha256, "resize": extractor.resize,
        "reading": "pil_rgb",
        "dimensions": extractor.dimensions, "real": str(real), "fake": str(fake), "fake_poses_in_real": None,
        "absent": {"is": "the extractor 'random' gives no classes"}, "kernel_random_subsets": 100,
        "kernel_random_subset_size": 9, "precision_k": 3, "recall_k": 3, "density_k": 5, "coverage_k": 5,
        "diversity_real_pairs": 66, "diversity_fake_pairs": 36,
    }  # fmt: skip
    figures = {"value", "frechet_random", "kernel_random", "kernel_random_std", "precision", "recall", "f1", "density",
               "coverage", "diversity_real", "diversity_fake"}  # fmt: skip
    assert {key: value for key, value in found.items() if key not in figures} == known
    assert found.keys() == known.keys() | figures
    assert "the figure is too high for so few" in done.stderr


def test_wrong_input_exits_2_with_one_sentence(tmp_path: Path) -> None:
    done = _g3d(tmp_path / "nothing", tmp_path, "--extractor", "random")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("g3d: the real images") and "does not exist" in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_missing_weights_exit_4(tmp_path: Path) -> None:
    real = _folder(tmp_path / "real", 2, 0)
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    done = _g3d(real, real, "--extractor", "inception", G3D_CACHE=str(tmp_path / "cache"), **nowhere)
    assert done.returncode == 4, done.stderr
    assert f"put it at '{tmp_path / 'cache' / 'inception-2015-12-05.pt'}'" in done.stderr and "--weights" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_a_file_the_default_is_what_is_installed(tmp_path: Path) -> None:
    """A fresh machine without a network: figures under their own names, one note, exit 0."""
    real, fake = _folder(tmp_path / "real", 12, 0), _folder(tmp_path / "fake", 9, 1, bright=120)
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    done = _g3d(real, fake, "--json", "--device", "cpu", G3D_CACHE=str(tmp_path / "cache"), **nowhere)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["metric"], found["extractor"]) == ("kernel_efficientnet", "efficientnet")
    assert found["value"] == found["kernel_efficientnet"] > 0 and found["frechet_efficientnet"] > 0
    for name in ("class_score_efficientnet", "precision", "recall", "density", "coverage", "diversity_fake"):
        assert np.isfinite(found[name])
    assert found["absent"] == {} and not {"fid", "kid", "is"} & found.keys()
    assert done.stderr.count("EfficientNet-lite0") == 1 and "rank-deficient" in done.stderr
    again = run(Options(real, fake, extractor="efficientnet", device="cpu", cache=str(tmp_path / "cache" / "features")))
    assert again["value"] == found["value"] and len(list((tmp_path / "cache" / "features").iterdir())) == 2


def test_out_is_written_and_protected(tmp_path: Path) -> None:
    real, out = _folder(tmp_path / "real", 4, 0), tmp_path / "fid.json"
    options = Options(real, real, extractor="random", device="cpu", out=out)
    result = run(options)
    assert result["written"] == [str(out)]
    written = json.loads(out.read_text())
    assert written == {k: v for k, v in result.items() if k != "written"}
    assert written["value"] == 0
    with pytest.raises(G3dError, match="--overwrite"):
        run(options)
    (tmp_path / "folder").mkdir()
    with pytest.raises(G3dError, match=r"folder' is a folder.*fid\.json"):
        resolve(Options(real, real, extractor="random", out=tmp_path / "folder", overwrite=True))
    with pytest.raises(G3dError, match="lies inside the input"):
        run(Options(real, real, extractor="random", out=real / "fid.json"))


def test_a_zip_equals_its_folder(tmp_path: Path) -> None:
    real = _folder(tmp_path / "real", 6, 0)
    with zipfile.ZipFile(tmp_path / "real.zip", "w") as archive:
        for path in sorted(real.rglob("*.png")):
            archive.write(path, path.relative_to(real))
    result = run(Options(real, tmp_path / "real.zip", extractor="random", device="cpu", batch=4, cache="none"))
    assert (result["n_fake"], result["value"], result["density"]) == (6, 0, 1)
    assert not (tmp_path / "the_cache").exists()


def test_splits_of_a_dataset(tmp_path: Path) -> None:
    data, fake = _dataset(tmp_path / "data", 9, 3), _folder(tmp_path / "fake", 5, 1)
    counts = {}
    for split in ("train", "test", "all", None):
        result = run(Options(data, fake, extractor="random", device="cpu", split=split))
        counts[split] = (result["split"], result["n_real"], result["n_fake"])
    assert counts == {"train": ("train", 6, 5), "test": ("test", 3, 5), "all": ("all", 9, 5), None: ("all", 9, 5)}
    with pytest.raises(G3dError, match="needs a dataset"):
        run(Options(fake, fake, extractor="random", split="test"))
    with pytest.raises(G3dError, match=r"hold 1 image\(s\) in the split 'test'"):
        run(Options(_dataset(tmp_path / "small", 4, 1), fake, extractor="random", device="cpu", split="test"))


def test_objects_of_a_split(pipeline: Pipeline, tmp_path: Path) -> None:
    """A dataset whose last object is held out: 4 objects of 6 training and 2 test views."""
    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)
    info = json.loads((data / "dataset.json").read_text())
    info["objects"][3]["split"] = "test"
    (data / "dataset.json").write_text(json.dumps(info))
    counts = {}
    for split, objects in ((None, "train"), ("train", "train"), ("test", "train"), ("test", "test"), (None, None)):
        options = Options(data, data, extractor="random", device="cpu", split=split, objects=objects, metrics="fid")
        counts[split, objects] = run(options)["n_real"]
    assert counts == {
        (None, "train"): 24, ("train", "train"): 18, ("test", "train"): 6, ("test", "test"): 2, (None, None): 32,
    }  # fmt: skip
    fake = _folder(tmp_path / "fake", 4, 1)
    with pytest.raises(G3dError, match="--objects test needs a dataset"):
        run(Options(fake, fake, extractor="random", objects="test"))


def test_num_draws_by_seed(tmp_path: Path) -> None:
    real, fake = _folder(tmp_path / "real", 30, 0), _folder(tmp_path / "fake", 4, 1)
    first, again, other = (
        run(Options(real, fake, extractor="random", device="cpu", num=8, seed=seed)) for seed in (0, 0, 1)
    )
    assert (first["n_real"], first["n_fake"]) == (8, 4)
    assert first["value"] == again["value"] != other["value"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"extractor": "randm"},
            r"--extractor 'randm' is unknown \(did you mean 'random'\?\); allowed are auto, inception, efficientnet, random and",
        ),
        ({"extractor": "inception", "resize": "bicubic"}, r"--resize 'bicubic' is unknown"),
        ({"split": "val"}, "--split 'val' is unknown"),
        ({"num": 1}, "--num 1 is too small; give 2 or more"),
        ({"batch": 0}, "--batch 0 is too small"),
        ({"resize": "clean"}, "--resize belongs to --extractor inception"),
        ({"trust": True}, "--trust belongs to --extractor inception or a TorchScript file"),
        ({"extractor_range": "unit"}, "--extractor-range belongs to --extractor a TorchScript file or an ONNX file"),
        ({"metrics": "fid,kidd"}, r"--metrics 'kidd' is unknown \(did you mean 'kid'\?\)"),
        ({"metrics": ""}, "--metrics '' is unknown"),
        ({"protocol": "fid5k"}, r"--protocol 'fid5k' is unknown.*fid50k, fid1k|--protocol 'fid5k' is unknown"),
        ({"protocol": "fid1k", "num": 9}, "--protocol fid1k sets the numbers of images, and so does --num 9"),
        ({"plot": Path("histogram.jpg")}, r"must end in \.png"),
        ({"plot": Path("h.png"), "metrics": "fid"}, "add precision to --metrics"),
        ({"device": "gpu"}, "the device 'gpu' is unknown; allowed are auto, cpu, cuda and cuda:N"),
        ({"device": "cuda:99"}, "the device 'cuda:99' is not here"),
    ],
)
def test_refused_before_any_image_is_read(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(G3dError, match=words):
        resolve(Options(tmp_path, tmp_path, **{"extractor": "random", **changes}))  # type: ignore[arg-type]


def test_too_few_and_damaged_images(tmp_path: Path) -> None:
    one, good = _folder(tmp_path / "one", 1, 0), _folder(tmp_path / "good", 3, 0)
    with pytest.raises(G3dError, match=r"the fake images '.*one' hold 1 image\(s\); a distance needs 2 or more"):
        run(Options(good, one, extractor="random", device="cpu"))
    (one / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    with pytest.raises(G3dError, match=r"broken\.png' cannot be read"):
        run(Options(good, one, extractor="random", device="cpu"))


def test_some_metrics_and_what_cannot_be_given(tmp_path: Path) -> None:
    real, fake = _folder(tmp_path / "real", 8, 0), _folder(tmp_path / "fake", 3, 1)
    options = Options(real, fake, extractor="random", device="cpu", metrics="diversity,kid")
    result = run(options)
    assert (result["metric"], result["absent"]) == ("kernel_random", {}) and "frechet_random" not in result
    assert result["value"] == result["kernel_random"]
    with pytest.raises(G3dError, match=r"--metrics recall cannot be given: 3 fake images are too few for 3 neighbours"):
        run(Options(real, fake, extractor="random", device="cpu", metrics="recall"))
    with pytest.raises(G3dError, match="--metrics is cannot be given: the extractor 'random' gives no classes"):
        run(Options(real, fake, extractor="random", device="cpu", metrics="is"))
    result = run(Options(real, fake, extractor="random", device="cpu"))
    assert set(result["absent"]) == {"is", "recall", "f1"} and "recall" not in result and "precision" in result


class _Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def update(self, done: int, total: int, **figures: object) -> None: ...

    def start(self, label: str, total: int) -> None: ...


def test_features_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _folder(tmp_path / "real", 9, 0), _folder(tmp_path / "fake", 7, 1)
    options = Options(real, fake, extractor="random", device="cpu", cache=str(tmp_path / "kept"))
    fresh = run(options)
    assert len(list((tmp_path / "kept").glob("*.safetensors"))) == 2
    notes = _Notes()
    with monkeypatch.context() as patched:
        patched.setattr("g3d.evaluation.features.features", None)  # computing would fail
        assert run(options, notes) == fresh
    assert [line for line in notes.lines if "from the cache" in line] == [
        "real images: 9 features from the cache",
        "fake images: 7 features from the cache",
    ]
    write_image(fake / "0" / "000.png", np.zeros((9, 9, 3), np.uint8))
    changed = run(options)
    assert changed["value"] != fresh["value"] and len(list((tmp_path / "kept").glob("*.safetensors"))) == 3
    for file in (tmp_path / "kept").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    notes = _Notes()
    assert run(options, notes) == changed
    assert sum("computed again" in line for line in notes.lines) == 2
    assert run(Options(real, fake, extractor="random", device="cpu", cache="none")) == changed


def test_a_protocol_sets_the_number_of_fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = _folder(tmp_path / "real", 12, 0), _folder(tmp_path / "fake", 9, 1)
    options = Options(real, fake, extractor="random", device="cpu", protocol="fid1k")
    with pytest.raises(G3dError, match=r"fid1k needs 1000 fake images.*fake' holds 9.*--num 1000 .*--cameras dataset:"):
        run(options)
    monkeypatch.setattr("g3d.steps.eval_fid.PROTOCOLS", {"fid1k": 5})
    result = run(options)
    assert (result["n_real"], result["n_fake"], result["protocol"], result["num"]) == (12, 5, "fid1k", None)
    assert run(options) == result
    other = run(Options(real, fake, extractor="random", device="cpu", protocol="fid1k", seed=1))
    assert other["value"] != result["value"]


def test_pose_matched_samples_stand_where_the_real_cameras_stood(pipeline: Pipeline, tmp_path: Path) -> None:
    """`sample --render --cameras dataset:DIR` draws the real set's cameras by seed; the result says that they are these."""
    poses = {}
    for name, seed, cameras in (
        ("a", 0, f"dataset:{pipeline.data}:train"),
        ("b", 0, f"dataset:{pipeline.data}:train"),
        ("c", 1, f"dataset:{pipeline.data}:train"),
        ("d", 7, "prior"),
    ):
        words = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 6, "--seed", seed, "--device", "cpu"]
        assert g3d(*words, "--render", tmp_path / name, "--cameras", cameras).code == 0
        poses[name] = read_transforms(tmp_path / name / "transforms.json").c2w
    assert torch.equal(poses["a"], poses["b"]) and not torch.equal(poses["a"], poses["c"])
    assert len(torch.unique(poses["a"], dim=0)) > 1
    data = open_dataset(pipeline.data)
    assert data.cameras is not None
    known = data.cameras.c2w[data.view_split == 0]
    assert all((known - pose).abs().amax((1, 2)).min() < 1e-5 for name in "abc" for pose in poses[name])
    for name, split, share in (("a", "train", 1.0), ("c", None, 1.0), ("a", "test", 0.0), ("d", None, 0.0)):
        options = Options(pipeline.data, tmp_path / name, extractor="random", device="cpu", metrics="fid", split=split)
        assert run(options)["fake_poses_in_real"] == share
    assert run(Options(pipeline.data, pipeline.data, extractor="random", metrics="fid"))["fake_poses_in_real"] == 1.0


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    real, fake = _folder(tmp_path / "real", 12, 0), _folder(tmp_path / "fake", 9, 1)
    options = Options(real, fake, extractor="random", device="cpu", plot=tmp_path / "near.png")
    assert run(options)["written"] == [str(tmp_path / "near.png")]
    first = (tmp_path / "near.png").read_bytes()
    with pytest.raises(G3dError, match="--overwrite"):
        run(options)
    (tmp_path / "near.png").unlink()
    run(options)
    assert (tmp_path / "near.png").read_bytes() == first
    few = _folder(tmp_path / "few", 3, 2)
    with pytest.raises(G3dError, match="more than 3 images"):
        run(Options(few, few, extractor="random", device="cpu", plot=tmp_path / "few.png"))


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    real = _folder(tmp_path / "real", 2, 0)
    with pytest.raises(G3dError, match=r"--plot needs the package 'matplotlib'.*leave --plot out"):
        resolve(Options(real, real, extractor="random", plot=tmp_path / "near.png"))


class _Net(torch.nn.Module):
    """Means of nine fields of the picture: [B, 3, H, W] => [B, 27]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 3).flatten(1)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_file_as_extractor(tmp_path: Path) -> None:
    real, fake = _folder(tmp_path / "real", 8, 0), _folder(tmp_path / "fake", 8, 1)
    torch.jit.script(_Net()).save(str(tmp_path / "nine.pt"))
    words = [
        real,
        fake,
        "--extractor",
        tmp_path / "nine.pt",
        "--extractor-range",
        "signed",
        "--device",
        "cpu",
        "--json",
    ]
    refusal = g3d("eval-fid", *words)
    assert refusal.code == 2 and "--trust" in refusal.err
    done = g3d("eval-fid", *words, "--trust", "--extractor-size", 24)
    assert done.code == 0, done.err
    assert (done.json["metric"], done.json["resize"], done.json["dimensions"]) == (
        "frechet_nine",
        "clean_24, signed",
        27,
    )
    assert done.json["extractor"] == "nine.pt" and "kernel_nine" in done.json
    shown = g3d("eval-fid", *words, "--trust", "--dry-run")
    assert '"extractor_range": "signed"' in shown.out and shown.code == 0
