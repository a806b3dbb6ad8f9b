"""`g3d eval-fid` as a user runs it; the finer cases call the step, which is the same without a new process."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from g3d.dataset_writer import Made, View, Writer
from g3d.errors import G3dError
from g3d.images import encode, write_image
from g3d.metrics.features import random_extractor
from g3d.steps.eval_fid import Options, resolve, run


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


def test_json_names_all_that_makes_figures_comparable(tmp_path: Path) -> None:
    real, fake = _folder(tmp_path / "real", 12, 0), _folder(tmp_path / "fake", 9, 1, bright=120)
    done = _g3d(real, fake, "--extractor", "random", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("value") > 0
    extractor = random_extractor()
    assert found == {
        "metric": "frechet_random", "n_real": 12, "n_fake": 9, "seed": 0, "split": None, "num": None,
        "extractor": "random", "extractor_sha256": extractor.sha256, "resize": extractor.resize,
        "dimensions": extractor.dimensions, "real": str(real), "fake": str(fake),
    }  # fmt: skip
    assert "the figure is too high for so few" in done.stderr


def test_wrong_input_exits_2_with_one_sentence(tmp_path: Path) -> None:
    done = _g3d(tmp_path / "nothing", tmp_path, "--extractor", "random")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("g3d: the real images") and "does not exist" in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_missing_weights_exit_4(tmp_path: Path) -> None:
    real = _folder(tmp_path / "real", 2, 0)
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    done = _g3d(real, real, G3D_CACHE=str(tmp_path / "cache"), **nowhere)
    assert done.returncode == 4, done.stderr
    assert f"put it at '{tmp_path / 'cache' / 'inception-2015-12-05.pt'}'" in done.stderr and "--weights" in done.stderr
    assert done.stderr.count("\n") == 1


def test_out_is_written_and_protected(tmp_path: Path) -> None:
    real, out = _folder(tmp_path / "real", 4, 0), tmp_path / "fid.json"
    options = Options(real, real, extractor="random", device="cpu", out=out)
    result = run(options)
    assert result["written"] == [str(out)]
    written = json.loads(out.read_text())
    assert written == {k: v for k, v in result.items() if k != "written"}
    assert written["value"] == pytest.approx(0, abs=1e-6)
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
    result = run(Options(real, tmp_path / "real.zip", extractor="random", device="cpu", batch=4))
    assert result["n_fake"] == 6 and result["value"] < 1e-6


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
            r"--extractor 'randm' is unknown \(did you mean 'random'\?\); allowed are inception, random",
        ),
        ({"extractor": "inception", "resize": "bicubic"}, r"--resize 'bicubic' is unknown"),
        ({"split": "val"}, "--split 'val' is unknown"),
        ({"num": 1}, "--num 1 is too small; give 2 or more"),
        ({"batch": 0}, "--batch 0 is too small"),
        ({"resize": "clean"}, "--resize belongs to --extractor inception"),
        ({"trust": True}, "--trust belongs to --extractor inception"),
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
