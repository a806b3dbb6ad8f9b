"""Features kept in a folder: found again, never mistaken for others, made again when damaged."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from g3d.evaluation import feature_cache
from g3d.evaluation.feature_cache import Entry, entry, load, save
from g3d.evaluation.features import random_extractor
from g3d.storage import artifacts

EXTRACTOR = random_extractor()
VALUES = np.random.default_rng(0).normal(size=(3, EXTRACTOR.dimensions)).astype(np.float32)


class Notes:
    """Collects what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def update(self, done: int, total: int, **figures: object) -> None: ...

    def start(self, label: str, total: int) -> None: ...


def _place(folder: Path) -> Entry:
    return entry(folder, EXTRACTOR, "files:abc", 3)


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    notes, place = Notes(), _place(tmp_path / "features")
    assert load(place, notes) is None
    save(place, VALUES, notes)
    np.testing.assert_array_equal(load(_place(tmp_path / "features"), notes), VALUES)
    assert not notes.lines
    head = artifacts.check(place.path, "features")
    assert head.config["extractor_sha256"] == EXTRACTOR.sha256 and head.config["pictures"] == "files:abc"


def test_every_thing_that_features_depend_on_is_in_the_key(tmp_path: Path) -> None:
    places = {
        entry(tmp_path, extractor, digest, count).path
        for extractor, digest, count in (
            (EXTRACTOR, "files:abc", 3),
            (EXTRACTOR, "files:abd", 3),
            (EXTRACTOR, "files:abc", 4),
            (replace(EXTRACTOR, sha256="0"), "files:abc", 3),
            (replace(EXTRACTOR, resize="other"), "files:abc", 3),
            (replace(EXTRACTOR, name="other"), "files:abc", 3),
        )
    }
    assert len(places) == 6


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def _swapped(path: Path) -> None:
    other = entry(path.parent, EXTRACTOR, "files:other", 3)
    save(other, VALUES + 1, Notes())
    other.path.replace(path)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-9]), _flip, _swapped,
    lambda path: path.write_text("not safetensors at all"),
])  # fmt: skip
def test_a_damaged_file_is_noted_and_not_used(tmp_path: Path, damage: object) -> None:
    notes, place = Notes(), _place(tmp_path)
    save(place, VALUES, notes)
    damage(place.path)  # type: ignore[operator]
    assert load(place, notes) is None
    assert len(notes.lines) == 1 and "computed again" in notes.lines[0] and "\n" not in notes.lines[0]
    save(place, VALUES, notes)
    np.testing.assert_array_equal(load(place, notes), VALUES)


def test_a_folder_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notes = Notes()
    save(_place(tmp_path / "file" / "features"), VALUES, notes)
    assert len(notes.lines) == 1 and notes.lines[0].startswith("note: the features are not cached")


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_CACHE", str(tmp_path))
    assert feature_cache.default_folder() == tmp_path / "features"
    monkeypatch.delenv("G3D_CACHE")
    assert feature_cache.default_folder() == Path.home() / ".cache" / "g3d" / "features"


def test_the_bytes_are_those_of_the_values(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(_place(tmp_path / name), VALUES, Notes())
    first, second = (hashlib.sha256(_place(tmp_path / name).path.read_bytes()).hexdigest() for name in "ab")
    assert first == second
