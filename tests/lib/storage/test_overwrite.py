"""What --overwrite may delete: what g3d itself wrote. What no output may replace: devices, pipes, sockets. What a kill leaves."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d.errors import G3dError
from g3d.progress import Progress
from g3d.storage import artifacts, files, manifest
from g3d.training import checkpoint
from PIL import Image


def refuses(out: Path, *words: str) -> None:
    before = sorted(p.relative_to(out) for p in out.rglob("*"))
    with pytest.raises(G3dError) as caught, files.output_folder(out, True):
        raise AssertionError("the block must not run")
    for word in words:
        assert word in str(caught.value)
    assert sorted(p.relative_to(out) for p in out.rglob("*")) == before


def replaced(out: Path) -> None:
    with files.output_folder(out, True) as folder:
        (folder / "new").write_text("new")
    assert sorted(p.name for p in out.iterdir()) == [manifest.MANIFEST, "new"]


@pytest.mark.parametrize(
    "ours", ["000000.png", "0001.png", "mesh.ply", "weights.safetensors", "transforms.json", "dataset.json"]
)
def test_a_folder_of_the_user_is_not_taken_for_ours(ours: str, tmp_path: Path) -> None:
    """One file that could be of g3d's was enough to lose a photo and a document."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "thesis.tex").write_text("four years")
    (photos / ours).write_text("{}")
    refuses(photos, "'thesis.tex'", "did not write", "--overwrite would delete it")


@pytest.mark.parametrize("name", ["0001.png", "mesh.ply", "weights.safetensors"])
def test_a_folder_without_a_sign_of_g3d_is_the_users(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    refuses(tmp_path / "mine", f"'{name}'")


def test_cameras_of_another_tool_do_not_make_its_pictures_ours(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    (shots / "000000.png").write_text("a photo")
    table = {"w": 4, "h": 4, "frames": [{"file_path": "000000.png", "transform_matrix": np.eye(4).tolist()}]}
    (shots / "transforms.json").write_text(json.dumps(table))
    refuses(shots, "'000000.png'", "'transforms.json'")


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a file more", lambda out: (out / "notes.txt").write_text("mine")),
        ("a file below", lambda out: (out / "masks" / "photo.png").write_text("mine")),
        ("another size", lambda out: (out / "000000.png").write_text("edited by hand")),
        ("a link", lambda out: (out / "link").symlink_to("000000.png")),
        ("a linked folder", lambda out: (out / "more").symlink_to(out.parent)),
        ("a pipe", lambda out: os.mkfifo(out / "pipe")),
    ],
)
def test_what_was_put_into_our_folder_is_named(what: str, change: Callable[[Path], object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.output_folder(out, False) as folder:
        (folder / "000000.png").write_text("drawn")
        (folder / "masks").mkdir()
        (folder / "masks" / "000000.png").write_text("drawn")
    change(out)
    refuses(out, "did not write")
    names = manifest.foreign(out)
    assert len(names) == 1 and (out / names[0]).lstat()


def test_what_comes_while_the_new_folder_is_made_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.output_folder(out, False) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(G3dError, match=r"notes\.txt"), files.output_folder(out, True) as folder:
        (folder / "a").write_text("new")
        (out / "notes.txt").write_text("written in the meantime")
    assert (out / "a").read_text() == "old" and (out / "notes.txt").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_folder_that_one_is_in_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with files.output_folder(tmp_path / "out", False) as folder:
        (folder / "a").mkdir()
        (folder / "b").write_text("b")
    for place in (tmp_path / "out", tmp_path / "out" / "a"):
        monkeypatch.chdir(place)
        refuses(tmp_path / "out", "the folder that you are in")


def test_folders_of_before_there_was_a_manifest(pipeline: Pipeline, tmp_path: Path) -> None:
    """Datasets, scenes and drawn pictures are known by what lies in them; one file more, and they are left alone."""
    assert g3d("render", pipeline.scenes, "--cameras", "orbit:2", "--size", 8, "--alpha", "--depth", "--disparity", "--out",
               tmp_path / "views").code == 0  # fmt: skip
    sources = [pipeline.data, pipeline.scenes, tmp_path / "views", pipeline.root / "demo" / "sampled"]
    for number, source in enumerate(sources):
        old = tmp_path / f"old{number}"
        shutil.copytree(source, old)
        (old / manifest.MANIFEST).unlink()
        assert len(list(old.rglob("*"))) >= 3
        (old / "notes.txt").write_text("mine")
        refuses(old, "'notes.txt'")
        assert manifest.foreign(old) == ["notes.txt"]
        (old / "notes.txt").unlink()
        replaced(old)


def test_plain_folders_are_replaced_and_files_are_not_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    replaced(tmp_path / "empty")
    replaced(tmp_path / "empty")
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(G3dError, match="is a file"), files.output_folder(tmp_path / "file.txt", True):
        raise AssertionError("the block must not run")


def test_a_damaged_manifest_saves_everything(tmp_path: Path) -> None:
    with files.output_folder(tmp_path / "out", False) as folder:
        (folder / "a").write_text("a")
    for text in (
        "",
        "[1]",
        '{"format": "g3d/folder@1"}',
        '{"format": "g3d/folder@1", "files": 3}',
        "\x00",
        "[" * 100_000,
    ):
        (tmp_path / "out" / manifest.MANIFEST).write_text(text)
        assert "a" in manifest.foreign(tmp_path / "out")


def test_an_earlier_run_loses_only_what_it_wrote(pipeline: Pipeline, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["fit-prior", pipeline.model, "--kind", "gaussian", "--device", "cpu", "--out", run]
    assert g3d(*words).code == 0
    for name in ("photo.png", "notes.txt", "events/notes.txt", "best/notes.txt"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    shutil.copy(pipeline.scenes / "000000.safetensors", run / "scene.safetensors")  # of g3d, but not of this run
    assert g3d(*words, "--overwrite").code == 0
    for name in ("photo.png", "notes.txt", "events/notes.txt", "best/notes.txt"):
        assert (run / name).read_text() == "mine"
    assert (run / "scene.safetensors").is_file() and (run / "prior.safetensors").is_file()


def special(kind: str, place: Path) -> Path:
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(place))
    else:
        return Path("/dev/null")
    return place


def small_refiner(room: Path) -> Path:
    """A refiner of no step, beside the folder of the test."""
    from g3d.config import as_json
    from g3d.refiners.config import PRESETS
    from g3d.refiners.training import build

    out = room / "small-refiner.safetensors"
    network = checkpoint.pack("network", build(PRESETS["smoke"], 0).state_dict())
    about = {"kind": "diffusion", "settings": as_json(PRESETS["smoke"]), "pictures": {"width": 24, "height": 24}}
    artifacts.write(out, "refiner", network, about)
    return out


def copied(run: Path, out: Path) -> Path:
    """Another run like this one, beside the folder of the test."""
    return Path(shutil.copytree(run, out.parent.parent / f"{out.parent.name}-run", dirs_exist_ok=True))


OUTPUTS: dict[str, Callable[[Pipeline, Path], list[object]]] = {
    "render": lambda p, out: ["render", p.scenes, "--out", out],
    "render --sheet": lambda p, out: ["render", p.scenes, "--out", out.parent / "views", "--sheet", out],
    "render --video": lambda p, out: ["render", p.scenes, "--out", out.parent / "views", "--video", out],
    "sample --out": lambda p, out: ["sample", p.model, "--prior", p.prior, "--num", 1, "--out", out],
    "sample --render": lambda p, out: ["sample", p.model, "--prior", p.prior, "--num", 1, "--render", out],
    "sample --latents": lambda p, out: ["sample", p.model, "--prior", p.prior, "--num", 1, "--latents", out],
    "decode --out": lambda p, out: ["decode", p.model, p.model, "--out", out],
    "decode --render": lambda p, out: ["decode", p.model, p.model, "--render", out],
    "edit": lambda p, out: ["edit", "interpolate", p.model, "--out", out],
    "encode": lambda p, out: ["encode", p.model, "--data", p.data, "--out", out],
    "export-ply": lambda p, out: ["export-ply", p.scenes / "000000.safetensors", "--out", out],
    "import-ply": lambda p, out: ["import-ply", p.root / "demo" / "splats.ply", "--out", out],
    "import-checkpoint": lambda p, out: ["import-checkpoint", "gsgan", p.model / "model.safetensors", "--out", out],
    "prepare-data": lambda p, out: ["prepare-data", "procedural", "cars", "--num", 1, "--out", out],
    "fit-stage1": lambda p, out: ["fit-stage1", "mnif", "--preset", "smoke", "--data", p.data, "--out", out],
    "fit-prior": lambda p, out: ["fit-prior", p.model, "--kind", "gaussian", "--out", out],
    "eval-fid --out": lambda p, out: ["eval-fid", p.data, p.data, "--extractor", "random", "--out", out],
    "eval-recon --out": lambda p, out: ["eval-recon", p.data, p.data, "--out", out],
    "eval-recon --per-item": lambda p, out: ["eval-recon", p.data, p.data, "--per-item", out],
    "eval-geometry --out": lambda p, out: ["eval-geometry", p.data, "--out", out],
    "eval-shapes --plot": lambda p, out: ["eval-shapes", p.data, p.data, "--points", 64, "--plot", out],
    "report": lambda p, out: ["report", p.model, "--out", out],
    "sheet": lambda p, out: ["sheet", p.data, "--out", out],
    "fit-refiner": lambda p, out: ["fit-refiner", p.data, p.data, "--preset", "smoke", "--out", out],
    "refine": lambda p, out: ["refine", p.data, "--refiner", small_refiner(out.parent.parent), "--out", out],
    "eval-transfer": lambda p, out: ["eval-transfer", p.data, p.data, "--out", out],
    "eval-identity": lambda p, out: ["eval-identity", p.data, p.data, "--network", "dlib", "--out", out],
    "compare --csv": lambda p, out: ["compare", p.model, copied(p.model, out), "--csv", out],
}  # fmt: skip
SUFFIXES = {
    "render --sheet": ".png", "render --video": ".mp4", "sheet": ".png", "report": ".html", "eval-shapes --plot": ".svg",
    "import-ply": ".safetensors",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("command", list(OUTPUTS))
def test_no_output_replaces_what_is_neither_file_nor_folder(
    command: str, kind: str, pipeline: Pipeline, tmp_path: Path
) -> None:
    out = special(kind, tmp_path / f"out{SUFFIXES.get(command, '')}")
    before = out.lstat()
    refused(g3d(*OUTPUTS[command](pipeline, out), "--overwrite"), str(out), f"is a {kind}")
    assert out.lstat() == before and [p.name for p in tmp_path.iterdir()] == [out.name]


def test_a_device_is_refused_where_everything_is_written(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="'/dev/null' is a device"):
        files.refuse_existing(Path("/dev/null"), True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(G3dError, match="is a pipe"), files.atomic(tmp_path / "pipe"):
        raise AssertionError("the block must not run")
    with pytest.raises(G3dError, match="is a pipe"), files.atomic(tmp_path / "late") as temporary:
        temporary.write_text("x")
        os.mkfifo(tmp_path / "late")
    with pytest.raises(G3dError, match="is a folder"), files.atomic(tmp_path):
        raise AssertionError("the block must not run")


def killed(work: Callable[[], None]) -> None:
    """Run `work` in a child; it ends by SIGKILL."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def test_what_a_kill_left_is_removed_by_the_next_of_the_same_output(tmp_path: Path) -> None:
    def folder() -> None:
        with files.output_folder(tmp_path / "o", False) as new:
            (new / "big").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    def file() -> None:
        with files.atomic(tmp_path / "f") as new:
            (new.parent / ".tmpAbCdEf").write_text("what safetensors writes first")
            os.kill(os.getpid(), signal.SIGKILL)

    killed(folder)
    killed(file)
    (tmp_path / ".o.other.abcdefgh.partial").mkdir()  # of an output o.other
    assert len(list(tmp_path.iterdir())) == 3
    with files.output_folder(tmp_path / "o", False) as one, files.atomic(tmp_path / "f") as first:
        (one / "a").write_text("a")
        first.write_text("first")
        with files.atomic(tmp_path / "f") as second, pytest.raises(ZeroDivisionError):
            second.write_text("second")
            with files.output_folder(tmp_path / "o", False):  # the others took nothing away: they saw that it is held
                raise ZeroDivisionError
        assert (one / "a").is_file() and first.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".o.other.abcdefgh.partial", "f", "o"]
    assert (tmp_path / "f").read_text() == "first" and (tmp_path / "o" / "a").is_file()


def test_pictures_are_written_without_looking_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a hundred thousand pictures must not be listed for each of them."""
    listed: list[Path] = []
    beside = files._beside
    monkeypatch.setattr(files, "_beside", lambda out, *words: (listed.append(out), beside(out, *words))[1])
    with files.output_folder(tmp_path / "o", False) as folder:
        count = len(listed)
        for number in range(5):
            with files.atomic(folder / f"{number}.png") as temporary:
                Image.new("RGB", (2, 2)).save(temporary, format="PNG")
    assert len([out for out in listed[count:] if out.suffix]) == 0


class Says(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)


def test_a_picture_changed_under_an_unchanged_digest_is_noted(pipeline: Pipeline, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)

    def said() -> list[str]:
        told = Says()
        manifest.note_changed(told, data)
        return told.said

    assert said() == []
    place = data / "images" / "000003.png"
    whole, times = place.read_bytes(), place.stat()
    place.write_bytes(whole + b"more")
    os.utime(place, (times.st_atime, times.st_mtime))
    assert len(said()) == 1 and "1 of the files" in said()[0] and "images/000003.png" in said()[0]
    place.write_bytes(whole[:-1] + b"x")  # of the same size, but later
    os.utime(place, (times.st_atime, times.st_mtime + 100))
    assert len(said()) == 1 and "images/000003.png" in said()[0]
    for path in data.rglob("*.*"):  # a copy that kept no times
        os.utime(path, (times.st_atime, times.st_mtime + 100))
    os.utime(data / manifest.MANIFEST, (times.st_atime, times.st_mtime))
    assert said() == []
    place.write_bytes(whole + b"more")
    done = g3d(
        "fit-stage1",
        "mnif",
        "--data",
        data,
        "--preset",
        "smoke",
        "--set",
        "epochs=1",
        "--out",
        tmp_path / "r",
        "--device",
        "cpu",
    )
    assert done.code == 0 and done.err.count("which its digest does not tell") == 1
    for command in ("eval-recon", "eval-geometry", "eval-fid --extractor random --batch 4 --cache none"):
        one, *more = command.split()
        told = g3d(one, data, data, *more)
        assert "which its digest does not tell" in told.err, (command, told.err)
    (data / manifest.MANIFEST).unlink()  # a dataset of before
    assert said() == []
