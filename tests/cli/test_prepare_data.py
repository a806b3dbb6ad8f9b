"""`g3d prepare-data` as a user runs it: the example, exit codes, one sentence for a mistake, nothing half written."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import g3d, refused
from g3d.data.opening import open_dataset
from g3d_cli.prepare_data import EXAMPLE


def _g3d(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g3d_cli.main", "prepare-data", *map(str, words)]
    env = {**os.environ, "NO_COLOR": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@pytest.mark.slow
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
    refused(g3d("prepare-data", *words), "--overwrite")


def test_a_dry_run_prints_the_settings_and_writes_nothing(tmp_path: Path) -> None:
    settings = g3d("prepare-data", "procedural", "chairs", "--out", tmp_path / "data", "--dry-run").json
    assert settings["num"] == 48 and settings["pictures"] == 48 * (16 + 8) and settings["size"] == 64
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["procedurl", "cars"], "did you mean 'procedural'"),
        (["procedural", "boats"], "'boats'"),
        (["procedural", "cars", "--size", "2"], "--size is 2"),
        (["meshes", ".", "--num", "3"], "does not use --num"),
        (["images", ".", "--views", "3"], "does not use --views"),
        (["procedural", "cars", "--mirror"], "does not use --mirror (images, eg3d, srn, transforms, colmap do)"),
        (["procedural", "cars", "--store", "tar"], "--store is 'tar'"),
        (["procedural", "cars", "--holdout", "48"], "--holdout is 48"),
        (["procedural", "cars", "--split", "nowhere.txt"], "the split list 'nowhere.txt' does not exist"),
        (["meshes", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    refused(g3d("prepare-data", *words, "--out", tmp_path / "data"), sentence)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_damaged_mesh_ends_with_2_in_a_worker_too(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    (folder / "b.glb").write_text("this is no mesh, whatever its name says\n")
    done = _g3d("meshes", folder, "--out", tmp_path / "data", "--views", "1", "--size", "16", "--workers", "2")
    assert done.returncode == 2
    assert "b.glb" in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "data").exists()
    left = [p for p in tmp_path.iterdir() if p != folder]
    assert all(
        p.name.startswith(".data.") and p.name.endswith(".partial") for p in left
    )  # the mesh before it is not lost


@pytest.mark.slow
def test_a_missing_open3d_ends_with_4_and_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "open3d.py").write_text("raise ImportError('libusb-1.0.so.0: cannot open shared object file')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = _g3d("procedural", "cars", "--num", "1", "--out", tmp_path / "data", PYTHONPATH=path)
    assert done.returncode == 4
    assert "pip install open3d" in done.stderr and "libusb-1.0" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


KILLED = (
    "procedural", "cars", "--num", "32", "--views", "2", "--test-views", "1", "--size", "16", "--holdout", "2",
    "--normals", "--store", "zip",
)  # fmt: skip


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _start(out: Path, *words: object, limit_bytes: int | None = None) -> subprocess.Popen[str]:
    def limited() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "g3d_cli.main", "prepare-data", *KILLED, *map(str, words), "--out", str(out)]
    env = {**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=limited
    )


def _items(out: Path) -> int:
    """How many items are in the journal."""
    return sum(p.read_text().count("\n") for p in out.parent.glob(f".{out.name}.*.partial/journal.jsonl"))


def _wait_for(out: Path, items: int, process: subprocess.Popen[str]) -> None:
    """Until so many items are in the journal, or one more than there were if there were so many."""
    before = _items(out)
    for _ in range(6000):
        if _items(out) >= max(items, before + 1) or process.poll() is not None:
            return
        time.sleep(0.01)
    raise AssertionError("it never got there")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "data"
    assert g3d("prepare-data", *KILLED, "--workers", 1, "--out", out).code == 0
    return _tree(out)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_bytes_of_an_undisturbed_run(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    for number, (items, how) in enumerate([(1, signal.SIGKILL), (4, signal.SIGTERM), (8, signal.SIGINT)]):
        process = _start(tmp_path / "data", "--workers", 1 + number % 2)
        _wait_for(tmp_path / "data", items, process)
        process.send_signal(how)
        _, err = process.communicate(timeout=300)
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how], err
        assert "Traceback" not in err and not (tmp_path / "data").exists()
    done = g3d("prepare-data", *KILLED, "--workers", 1, "--out", tmp_path / "data")
    assert done.code == 0 and "going on behind" in done.err and done.out.strip() == str(tmp_path / "data")
    assert _tree(tmp_path / "data") == undisturbed
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.slow
def test_a_full_disk_ends_with_1_and_the_same_command_goes_on(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """A limit on the size of a file stands for the disk: the occupancy of the fourth object goes beyond it."""
    process = _start(tmp_path / "data", "--workers", 1, limit_bytes=100_000)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and err.splitlines()[-1].startswith("g3d: writing ") and "Traceback" not in err
    assert not (tmp_path / "data").exists() and list(tmp_path.glob(".data.*.partial"))
    done = g3d("prepare-data", *KILLED, "--workers", 1, "--out", tmp_path / "data")
    assert done.code == 0 and "going on behind" in done.err
    assert _tree(tmp_path / "data") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_in_the_middle_of_an_item_ends_it_and_skips_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """One worker is the process of the command itself, where the signal arrives."""
    process = _start(
        tmp_path / "data", "--workers", 1, "--skip-bad", "--num", 2000
    )  # a minute and more: it ends in the middle
    _wait_for(tmp_path / "data", 2, process)
    process.send_signal(how)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143 and not out, err
    assert err.splitlines()[-1] == f"g3d: ended by {how.name}; what was saved before is whole"
    (journal,) = tmp_path.glob(".data.*.partial/journal.jsonl")
    assert "skipped" not in journal.read_text() and "Traceback" not in err
