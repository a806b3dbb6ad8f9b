"""The engine of prepare-data: any number of workers and any number of interruptions give the same bytes; splits; bad items."""

import errno
import fcntl
import json
import os
import re
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d import images
from g3d.data.opening import open_dataset
from g3d.data.writer import ASKED, JOURNAL
from g3d.errors import Failure, G3dError, Interrupted
from g3d.progress import SILENT
from g3d.sources import Collection, Item, Made, View
from g3d.sources.writing.collection import Plan, write
from g3d.sources.writing.split_list import read_split_list
from g3d.storage import files, locks, manifest


def make(number: int, trouble: str = "") -> Made:
    """A picture of one colour; or what goes wrong."""
    if trouble == "bad":
        raise G3dError(f"the file 'p{number}' is damaged; replace it")
    if trouble == "full":
        raise Failure("no space left")
    if trouble == "ended":
        raise Interrupted("ended by SIGTERM", 15)
    if trouble == "dies":
        os._exit(9)
    picture = images.encode(np.full((8, 8, 3), number * 7 % 256, np.uint8))
    return Made(
        [View(picture)],
        {"class": np.array([number % 3])},
        entry={"file": f"in/p{number}.jpg"},
        box=([-1.0] * 3, [1.0] * 3),
    )


def collection(count: int, **trouble: str) -> Collection:
    items = [Item(f"p{i}", partial(make, i, trouble.get(f"p{i}", "")), "stamp") for i in range(count)]
    return Collection("toy", items, "CC0", {"input": "in"}, 8, 8, names={"class": ["a", "b", "c"]})


def plan(**more: Any) -> Plan:
    given = {"source": "toy", "seed": 0, "split": None, "holdout": 0, "zipped": False, "skip_bad": False, "workers": 1}
    return Plan(**{**given, **more})


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def written(folder: Path, what: Collection, **more: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return write(folder, what, plan(**more), SILENT)


@pytest.mark.slow
def test_workers_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    one = written(tmp_path / "one", collection(9))
    two = written(tmp_path / "two", collection(9), workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") and one["digest"] == two["digest"]
    data = open_dataset(tmp_path / "one")
    assert data.labels["class"].tolist() == [0, 1, 2] * 3 and data.info["names"] == {"class": ["a", "b", "c"]}
    assert data.object_names == [f"p{i}" for i in range(9)] and data.info["licence"] == "CC0"


def test_a_bad_item_ends_it_and_the_same_call_goes_on(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match=r"'p5' is damaged.*--skip-bad"):
        written(tmp_path / "a", collection(8, p5="bad"))
    assert len((tmp_path / "a" / JOURNAL).read_text().splitlines()) == 5
    said: list[str] = []

    class Said(type(SILENT)):  # type: ignore[misc]
        def log(self, line: str) -> None:
            said.append(line)

    write(tmp_path / "a", collection(8), plan(), Said())
    assert said == ["going on behind 5 of 8 objects that an interrupted run had made"]
    written(tmp_path / "b", collection(8))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.slow
def test_bad_items_are_left_out_and_listed(tmp_path: Path) -> None:
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        figures = written(folder, collection(6, p0="bad", p4="bad"), skip_bad=True, workers=workers, holdout=1)
        assert figures["skipped"] == [f"the file 'p{i}' is damaged; replace it" for i in (0, 4)]
        data = open_dataset(folder)
        assert (
            data.object_names == ["p1", "p2", "p3", "p5"] and data.info["provenance"]["skipped"] == figures["skipped"]
        )
        assert data.objects("test") == [3] and data.view_split.tolist() == [0, 0, 0, 1]
    with pytest.raises(G3dError, match="none of the 2 items"):
        written(tmp_path / "none", collection(2, p0="bad", p1="bad"), skip_bad=True)


@pytest.mark.slow
def test_a_failure_of_the_machine_is_not_a_bad_item(tmp_path: Path) -> None:
    for workers in (1, 2):
        with pytest.raises(Failure, match="no space left"):
            written(tmp_path / str(workers), collection(4, p2="full"), skip_bad=True, workers=workers)
    with pytest.raises(Failure, match="worker process died"):
        written(tmp_path / "dies", collection(4, p2="dies"), workers=2)


@pytest.mark.slow
def test_a_worker_that_dies_while_an_item_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next item is handed to a pool that is broken by then."""
    from concurrent.futures import ProcessPoolExecutor

    from g3d.sources.writing import worker

    submit = ProcessPoolExecutor.submit

    def after_the_death(pool: ProcessPoolExecutor, make: Any, item: Item) -> Any:
        if item.name == "p9":
            next(iter((pool._processes or {}).values())).kill()
            while not pool._broken:
                time.sleep(0.01)
        return submit(pool, make, item)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", after_the_death)
    with pytest.raises(Failure, match="worker process died while making one of 'p"):
        list(worker.made(collection(12).items, 0, 2))


def test_the_end_is_no_bad_item(tmp_path: Path) -> None:
    """A signal in the middle of an item, in the process that writes."""
    with pytest.raises(Interrupted):
        written(tmp_path / "a", collection(4, p2="ended"), skip_bad=True)
    assert "skipped" not in (tmp_path / "a" / JOURNAL).read_text()
    written(tmp_path / "a", collection(4), skip_bad=True)
    written(tmp_path / "b", collection(4), skip_bad=True)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_what_was_skipped_is_tried_again_without_skip_bad(tmp_path: Path) -> None:
    def begun(name: str) -> Path:
        with pytest.raises(Failure):
            written(tmp_path / name, collection(6, p1="bad", p4="full"), skip_bad=True)
        return tmp_path / name

    with pytest.raises(G3dError, match="'p1' is damaged"):
        written(begun("a"), collection(6, p1="bad"))
    written(begun("b"), collection(6))  # it was repaired, without a change of its stamp
    assert open_dataset(tmp_path / "b").object_names == [f"p{i}" for i in range(6)]
    written(begun("c"), collection(6), skip_bad=True)
    assert open_dataset(tmp_path / "c").object_names == ["p0", "p2", "p3", "p4", "p5"]


def note(folder: Path, number: int) -> Made:
    """An item that leaves its number in a folder."""
    (folder / str(number)).touch()
    return make(number)


@pytest.mark.slow
def test_memory_holds_a_few_items_at_a_time_in_several_processes(tmp_path: Path) -> None:
    """Of 2 workers, at most 8 items are made or being made that were not taken."""
    from g3d.sources.writing import worker

    items = [Item(f"p{i}", partial(note, tmp_path, i)) for i in range(24)]
    most = 0
    for taken, (item, _) in enumerate(worker.made(items, 0, 2), 1):
        assert item.name == f"p{taken - 1}"
        if taken in (1, 5, 12):  # what was handed out is made while this one is written
            for _ in range(100):
                time.sleep(0.01)
                most = max(most, len(list(tmp_path.iterdir())) - taken)
        assert len(list(tmp_path.iterdir())) <= taken + 7  # the one that was taken was one of the 8
    assert taken == 24 and most == 7


def test_memory_holds_a_few_items_at_a_time(tmp_path: Path) -> None:
    """Items are made only when what was before them is written, in one process."""
    from g3d.sources.writing import worker

    made: list[int] = []

    def counted(number: int) -> Made:
        made.append(number)
        return make(number)

    items = [Item(f"p{i}", partial(counted, i)) for i in range(50)]
    for taken, _ in enumerate(worker.made(items, 0, 1), 1):
        assert len(made) == taken


def test_a_mirrored_copy_is_held_out_with_its_original() -> None:
    from g3d.sources.writing.collection import _splits

    objects: list[dict[str, Any]] = [{"name": f"p{i // 2}", "mirrored": i % 2 == 1} for i in range(8)]
    assert _splits(objects, plan(holdout=1)) == ["train"] * 6 + ["test"] * 2
    assert _splits(objects, plan(holdout=3)) == ["train"] * 2 + ["test"] * 6
    with pytest.raises(G3dError, match="leaves none of the 4"):
        _splits(objects, plan(holdout=4))


def test_splits_by_list(tmp_path: Path) -> None:
    listed = tmp_path / "test.txt"
    listed.write_text("# for testing\np1\n\np4.jpg\n")
    written(tmp_path / "a", collection(6), split=read_split_list(listed))
    data = open_dataset(tmp_path / "a")
    assert data.objects("test") == [1, 4] and data.info["provenance"]["settings"]["split"]["file"] == "test.txt"
    both = tmp_path / "both.json"
    both.write_text(json.dumps({"train": ["p0", "in/p1.jpg", "p2"], "test": ["in/p3"]}))
    assert read_split_list(both).of(["p0", "p1", "p2", "p3"], [f"in/p{i}.jpg" for i in range(4)]) == ["train"] * 3 + [
        "test"
    ]
    only = tmp_path / "only.json"
    only.write_text(json.dumps({"train": ["p0"]}))
    assert read_split_list(only).of(["p0", "p1"], ["", ""]) == ["train", "test"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.txt", "p0\nq9\n", ["'q9'", "no object"]),
        ("l.txt", "\n#\n", ["names nothing"]),
        ("l.txt", "p0\np1\np2\n", ["no object for training"]),
        ("l.json", "{", ["not valid JSON"]),
        ("l.json", '{"val": ["p0"]}', ["not understood"]),
        ("l.json", '{"train": ["p0", "p1"], "test": ["p1", "p2"]}', ["'p1' in both"]),
        ("l.json", '{"train": ["p0"], "test": ["p1"]}', ["'p2' in neither"]),
    ],
)
def test_a_wrong_list_is_refused(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(G3dError) as caught:
        read_split_list(tmp_path / name).of(["p0", "p1", "p2"], ["", "", ""])
    assert name in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("line", ["/", ".", "//", ".."])
def test_a_line_that_can_be_no_name(tmp_path: Path, line: str) -> None:
    (tmp_path / "l.txt").write_text(f"p1\n{line}\n")
    found = read_split_list(tmp_path / "l.txt")
    for check in (found.check, lambda names: found.of(names, [""] * len(names))):
        with pytest.raises(G3dError, match=f"names '{re.escape(line)}', which is no object"):
            check(["p0", "p1"])


def test_a_list_that_begins_with_a_mark(tmp_path: Path) -> None:
    for name, text in (("l.txt", "p1\n"), ("l.json", '{"test": ["p1"]}')):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        found = read_split_list(tmp_path / name)
        found.check(["p0", "p1"])
        assert found.of(["p0", "p1"], ["", ""]) == ["train", "test"]


def test_the_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def attempt(identity: object, fail: bool) -> bool:
        with files.resumable_folder(out, False, (), identity, JOURNAL) as (folder, removed):
            assert not out.exists()
            with (folder / JOURNAL).open("a") as stream:
                stream.write("x\n")
            if fail:
                raise G3dError("no")
        return removed

    for _ in range(3):
        with pytest.raises(G3dError):
            attempt(1, fail=True)
    (left,) = tmp_path.iterdir()
    assert (left / JOURNAL).read_text() == "x\nx\nx\n"  # it went on
    with pytest.raises(G3dError):
        attempt(2, fail=True)
    assert [p.name for p in tmp_path.iterdir()] != [left.name] and not left.exists()  # other settings: anew
    assert not attempt(2, fail=False)
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (out / JOURNAL).read_text() == "x\nx\n"


def test_nothing_is_left_of_work_that_had_not_begun(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="no"), files.resumable_folder(tmp_path / "out", False, (), 1, JOURNAL):
        raise G3dError("no")
    assert not list(tmp_path.iterdir())


def test_two_runs_into_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.resumable_folder(out, False, (), 1, JOURNAL) as (folder, _):
        (folder / JOURNAL).write_text("x")
        for identity in (1, 2):  # the same command, and another one for the same place
            with (
                pytest.raises(G3dError, match="another run is writing"),
                files.resumable_folder(out, False, (), identity, JOURNAL),
            ):
                pass
            assert [p.name for p in tmp_path.iterdir()] == [folder.name]  # the refused one leaves nothing
    assert (out / JOURNAL).is_file()
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock is gone with the run
    os.close(handle)


def test_a_kill_while_tidying_up_leaves_a_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    written(folder, collection(3), zipped=True)
    whole = tree(folder)
    (folder / "class.raw").write_bytes(b"rest")
    (folder / "images").mkdir()
    (folder / "images/000000.png").write_bytes(b"rest")
    figures = written(folder, collection(3), zipped=True)
    assert tree(folder) == whole and figures["objects"] == 3 and figures["views"] == 3


@pytest.mark.parametrize(
    "more", [{"zipped": True}, {"holdout": 1}, {"skip_bad": True}, {"split": True}, {"stamp": "new"}]
)
def test_a_whole_dataset_that_was_not_moved_is_taken_for_the_same_call_only(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    folder, other, anew = tmp_path / "a", collection(3), dict(more)
    written(folder, collection(3))
    before = (folder / "dataset.json").stat().st_mtime_ns
    written(folder, collection(3), workers=2)
    assert (folder / "dataset.json").stat().st_mtime_ns == before  # taken
    if anew.pop("stamp", None):
        other = Collection("toy", [Item(i.name, i.make, "new") for i in other.items], "CC0", {}, 8, 8)
    if "split" in anew:
        (tmp_path / "l.txt").write_text("p1\n")
        anew["split"] = read_split_list(tmp_path / "l.txt")
    written(folder, other, **anew)
    written(tmp_path / "b", other, **anew)
    assert tree(folder) == tree(tmp_path / "b") and (folder / "dataset.json").stat().st_mtime_ns != before


def test_a_kill_behind_the_packing_and_another_store(tmp_path: Path) -> None:
    written(tmp_path / "folder", collection(3))
    with pytest.raises(Failure):
        written(tmp_path / "a", collection(3, p2="full"))
    for name in ("images.zip", "shapes.safetensors", ".cameras.safetensors.abcdefgh.partial"):
        (tmp_path / "a" / name).write_bytes(b"of the killed run")
    written(tmp_path / "a", collection(3))
    assert tree(tmp_path / "a") == tree(tmp_path / "folder")


def test_a_kill_in_the_first_item(tmp_path: Path) -> None:
    """There is no journal yet, but a part of the item."""
    written(tmp_path / "whole", collection(3))
    (tmp_path / "a/masks").mkdir(parents=True)
    (tmp_path / "a/masks/000000.png").write_bytes(b"a part")
    (tmp_path / "a/class.raw").write_bytes(b"12345678")
    written(tmp_path / "a", collection(3))
    assert tree(tmp_path / "a") == tree(tmp_path / "whole") and not (tmp_path / "a/masks").exists()


def test_the_note_for_the_next_block_is_not_in_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pytest.raises(G3dError, match="appeared while it was being made"),
        files.resumable_folder(out, False, (), 1, JOURNAL, ASKED) as (folder, _),
    ):
        (folder / "dataset.json").write_text("{}")
        (folder / ASKED).write_text("this")
        out.mkdir()
    out.rmdir()
    assert (folder / ASKED).read_text() == "this"  # the next one can compare
    with files.resumable_folder(out, False, (), 1, JOURNAL, ASKED) as (again, _):
        assert again == folder
    assert sorted(p.name for p in out.iterdir()) == [".g3d.json", "dataset.json"]


def ours(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "dataset.json").write_text(text)
    manifest.seal(folder)
    return folder


@pytest.mark.parametrize("end", [KeyboardInterrupt, Interrupted("ended", 15), OSError("full")])
def test_an_end_between_the_two_renames_keeps_the_old_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    out, rename, calls = ours(tmp_path / "out", "old"), Path.rename, []

    def interrupted(path: Path, to: Path) -> Path:
        calls.append(to)
        if len(calls) == 2:
            raise end
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(BaseException), files.output_folder(out, True) as folder:  # noqa: B017
        (folder / "dataset.json").write_text("new")
    assert len(calls) == 3 and [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "dataset.json").read_text() == "old"


def test_a_kill_between_the_two_renames_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = ours(tmp_path / ".out.v2.0123456789ab.old", "of out.v2")
    for mark in ("0123456789ab", "a_1bcdef"):  # of a resumable folder, and of one that is not
        ours(tmp_path / f".out.{mark}.old", mark)
        with pytest.raises(G3dError, match="out' exists"), files.output_folder(out, False):
            pass
        assert (out / "dataset.json").read_text() == mark
        ours(tmp_path / f".out.{mark}.old", "older")
        with pytest.raises(G3dError, match="out' exists"), files.resumable_folder(out, False, (), 1, JOURNAL):
            pass
        assert (out / "dataset.json").read_text() == mark
        assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "out"]
        shutil.rmtree(out)


def test_outputs_whose_names_begin_alike_leave_each_other_alone(tmp_path: Path) -> None:
    with pytest.raises(G3dError), files.resumable_folder(tmp_path / "data.v2", False, (), 1, JOURNAL) as (other, _):
        (other / JOURNAL).write_text("x")
        raise G3dError("no")
    with files.resumable_folder(tmp_path / "data", False, (), 2, JOURNAL) as (_, removed):
        assert not removed
    assert (other / JOURNAL).is_file()


@pytest.mark.parametrize("moved", [True, False])
def test_a_lock_on_a_folder_that_was_moved_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """The other run ended between the opening and the lock."""
    folder = tmp_path / "folder"
    folder.mkdir()
    flock = fcntl.flock

    def late(handle: int, how: int) -> None:
        folder.rename(tmp_path / "out")
        if not moved:
            folder.mkdir()  # and a third one has begun
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(G3dError, match="another run is writing"), locks.locked(folder, tmp_path / "out"):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuses(handle: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuses)
    if number == errno.EIO:
        with pytest.raises(Failure, match="Input/output error"), locks.locked(tmp_path, tmp_path):
            raise AssertionError("the block must not run")
        return
    with locks.locked(tmp_path, tmp_path):
        (tmp_path / "ran").touch()
    assert (tmp_path / "ran").exists()
