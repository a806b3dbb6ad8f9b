"""`g3d prepare-data` as a user runs it: the example, exit codes, one sentence for a mistake, nothing half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from g3d.dataset import open_dataset
from g3d_cli.prepare_data import EXAMPLE


def _g3d(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g3d_cli.main", "prepare-data", *map(str, words)]
    env = {**os.environ, "NO_COLOR": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_the_example_runs(tmp_path: Path) -> None:
    words = EXAMPLE.split()[2:]
    words[words.index("--out") + 1] = str(tmp_path / "data")
    words[words.index("--num") + 1] = "2"  # fewer, to be quick
    done = _g3d(*words, "--json", "--workers", "2")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    data = open_dataset(tmp_path / "data")
    assert result["written"] == [str(tmp_path / "data")] and result["objects"] == 2
    assert result["views"] == data.info["views"] == 2 * (8 + 8)
    assert result["views_per_s"] > 0 and data.info["width"] == 32
    again = _g3d(*words)
    assert again.returncode == 2 and "--overwrite" in again.stderr


def test_a_dry_run_prints_the_settings_and_writes_nothing(tmp_path: Path) -> None:
    done = _g3d("procedural", "chairs", "--out", tmp_path / "data", "--dry-run")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)
    assert settings["num"] == 48 and settings["pictures"] == 48 * (16 + 8) and settings["size"] == 64
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["procedurl", "cars"], "did you mean 'procedural'"),
        (["procedural", "boats"], "'boats'"),
        (["procedural", "cars", "--size", "2"], "--size is 2"),
        (["procedural", "cars", "--skip-bad"], "does not use --skip-bad"),
        (["meshes", ".", "--num", "3"], "does not use --num"),
        (["meshes", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    done = _g3d(*words, "--out", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.startswith("g3d: ") and sentence in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr and done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_damaged_mesh_ends_with_2_in_a_worker_too(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    (folder / "b.glb").write_text("this is no mesh, whatever its name says\n")
    done = _g3d("meshes", folder, "--out", tmp_path / "data", "--views", "1", "--size", "16", "--workers", "2")
    assert done.returncode == 2
    assert "b.glb" in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_missing_open3d_ends_with_4_and_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "open3d.py").write_text("raise ImportError('libusb-1.0.so.0: cannot open shared object file')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = _g3d("procedural", "cars", "--num", "1", "--out", tmp_path / "data", PYTHONPATH=path)
    assert done.returncode == 4
    assert "pip install open3d" in done.stderr and "libusb-1.0" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
