"""torchrun itself starts commands in two processes: the first does what is not shared out, all end well, and the bytes are those
of one process.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Pipeline, environment, g3d, refused

LOOP = """
import json, os, sys
from g3d_cli.main import main

if __name__ == "__main__":  # and not in the workers of prepare-data
    for words in json.load(open(sys.argv[1])):
        sys.argv = ["g3d", *words]
        try:
            main()
        except SystemExit as end:
            assert not end.code, (os.environ["RANK"], words, end.code)
    open(f"{__file__}.{os.environ['RANK']} of {os.environ['WORLD_SIZE']}", "w").close()
"""  # a start of torchrun takes seconds, so that one does all commands, one after the other
CPU = ("--device", "cpu")


def torchrun(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    return subprocess.run(command, text=True, capture_output=True, env=environment(), check=False, timeout=300)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def commands(made: Pipeline, out: Path) -> list[list[str]]:
    """Of every command that is not shared out, but `view` and `profile`, and those that need faces or minutes."""
    lists: list[list[object]] = [
        ["prepare-data", "procedural", "cars", "--num", 2, "--views", 2, "--size", 8, "--workers", 2, "--out", out / "data"],
        ["export-ply", made.scenes, "--resolution", 6, "--level", 0.097, "--out", out / "plys", *CPU],
        ["export-html", made.scenes / "000000.safetensors", "--resolution", 6, "--level", 0.097, "--out", out / "page.html"],
        ["convert", made.scenes, "--dry-run", "--out", out / "splats"],
        ["import-ply", made.root / "demo" / "splats.ply", "--out", out / "scene.safetensors"],
        ["edit", "interpolate", made.model, "--items", "0,1", "--steps", 3, "--out", out / "path.safetensors"],
        ["eval-recon", made.data, made.data, "--out", out / "recon.json", *CPU],
        ["sheet", made.data, "--out", out / "sheet.png"],
        ["report", made.model, "--out", out / "report.html"],
        ["compare", made.prior, out.parent / "other", "--csv", out / "runs.csv"],
        ["info", made.model, "--json"],
    ]  # fmt: skip
    return [[str(word) for word in words] for words in lists]


@pytest.mark.slow
def test_commands_of_one_process_under_torchrun(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP)
    assert (
        g3d("fit-prior", pipeline.model, "--kind", "gaussian", "--seed", 1, "--out", tmp_path / "other", *CPU).code == 0
    )
    said = ""
    for words in commands(pipeline, tmp_path / "one"):
        done = g3d(*words)
        assert done.code == 0, done.err
        said += done.out
    (tmp_path / "two.json").write_text(json.dumps(commands(pipeline, tmp_path / "two")))
    done_by_two = torchrun(tmp_path / "loop.py", tmp_path / "two.json")
    assert done_by_two.returncode == 0, done_by_two.stderr
    assert done_by_two.stdout == said.replace(str(tmp_path / "one"), str(tmp_path / "two"))
    assert {p.name for p in tmp_path.glob("loop.py.*")} == {"loop.py.0 of 2", "loop.py.1 of 2"}  # both came to the end
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert (
        one.keys() == two.keys()
        and len({name.partition("/")[0] for name in one}) == len(commands(pipeline, tmp_path)) - 2
    )
    for name in one:
        assert one[name] == two[name].replace(str(tmp_path / "two").encode(), str(tmp_path / "one").encode()), name


@pytest.mark.slow
def test_a_shared_command_under_torchrun(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ("render", pipeline.scenes, "--cameras", "orbit:2", "--size", 8, *CPU, "--out")
    assert g3d(*words, tmp_path / "one").code == 0
    done = torchrun("-m", "--", "g3d_cli.main", *words, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "one") == tree(tmp_path / "two") != {}


@pytest.mark.parametrize("world", [None, "1", ""])
def test_a_rank_alone_is_no_torchrun(
    world: str | None, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some schedulers count jobs in RANK: a command that is alone does its work, whatever its number."""
    monkeypatch.setenv("RANK", "3")
    if world is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", world)
    done = g3d("render", pipeline.scenes / "000000.safetensors", "--size", 8, "--out", tmp_path / "out", *CPU)
    assert done.code == 0 and done.out == f"{tmp_path / 'out'}\n" and list((tmp_path / "out").glob("*.png"))
    assert g3d("sheet", tmp_path / "out", "--out", tmp_path / "s.png").out and (tmp_path / "s.png").is_file()
    shapes = ("eval-shapes", pipeline.data, pipeline.data, "--points", 16, *CPU, "--out", tmp_path / "shapes.json")
    assert g3d(*shapes).code == 0 and (tmp_path / "shapes.json").is_file()


def test_dry_runs_are_told_once(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ("render", pipeline.scenes, "--dry-run", "--out", tmp_path / "out", *CPU)
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        done = g3d(*words)
        assert done.code == 0 and bool(done.out) == (rank == "0")
    monkeypatch.setenv("WORLD_SIZE", "two")
    refused(g3d(*words[:2], *words[3:]), "cannot meet", "torchrun")
