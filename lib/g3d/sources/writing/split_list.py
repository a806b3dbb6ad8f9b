"""`--split LIST`: which objects are for training and which for testing, from a file of names.

A text file names the test objects, one a line. A JSON file holds {"train": [names], "test": [names]}, or one of the two
lists, and the rest is the other. A name is that of the object, or of its file with or without folder and suffix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from g3d.errors import G3dError, closest, existing
from g3d.storage import files
from g3d.storage.json_text import parsed

_SPLITS = ("train", "test")


@dataclass(frozen=True)
class SplitList:
    """The names of each split."""

    path: Path
    names: Mapping[str, frozenset[str]]
    digest: str

    @property
    def description(self) -> dict[str, str]:
        """For the provenance."""
        return {"file": self.path.name, "digest": self.digest}

    def check(self, names: Sequence[str]) -> None:
        """Refuse a name that no object can have, before any is made; `of` looks again, at their files, too."""
        known = {word for name in names for word in _words(name)}
        for word in sorted(frozenset().union(*self.names.values())):
            if not _words(word) & known:
                raise self._unknown(word, names)

    def of(self, names: Sequence[str], places: Sequence[str]) -> list[str]:
        """The split of each object; `places` are the files they came from, "" for none."""
        (rest,) = set(_SPLITS) - set(self.names) or {""}
        found: list[str] = []
        used: set[str] = set()
        for name, place in zip(names, places, strict=True):
            words = _words(name) | (_words(place) if place else set())
            hits = {split: words & listed for split, listed in self.names.items() if words & listed}
            if len(hits) > 1:
                raise G3dError(f"the split list '{self.path}' names '{name}' in both splits; name it once")
            used |= {word for hit in hits.values() for word in hit}
            if not hits and not rest:
                raise G3dError(
                    f"the split list '{self.path}' names '{name}' in neither split; add it, or leave one list out"
                )
            found.append(next(iter(hits), rest))
        unknown = sorted(frozenset().union(*self.names.values()) - used)
        if unknown:
            raise self._unknown(unknown[0], names)
        if "train" not in found:
            raise G3dError(f"the split list '{self.path}' leaves no object for training; name fewer for testing")
        return found

    def _unknown(self, word: str, names: Sequence[str]) -> G3dError:
        near = closest(word, list(names)[:5000]) if len(word) < 200 else ""
        return G3dError(
            f"the split list '{self.path}' names '{word[:80]}', which is no object of the dataset{near}; correct the list"
        )


def read_split_list(path: Path) -> SplitList:
    """The list in `path`."""
    existing(path, "the split list")
    if not path.is_file():
        raise G3dError(f"the split list '{path}' is a folder; give a text file of names, or a JSON file of two lists")
    digest = files.file_digest(path)
    try:
        text = files.read_bytes(path, "the split list", files.JSON_MOST).decode(
            "utf-8-sig"
        )  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise G3dError(f"the split list '{path}' is not a text file ({error}); write one name a line") from error
    if path.suffix.lower() != ".json":
        lines = frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
        names: dict[str, frozenset[str]] = {"test": lines}
    else:
        try:
            table = parsed(text)
        except (ValueError, RecursionError) as error:
            raise G3dError(f"the split list '{path}' is not valid JSON ({error}); write it again") from error
        plain = isinstance(table, dict) and len(table) > 0 and set(table) <= {*_SPLITS}
        if not plain or not all(isinstance(v, list) and all(isinstance(n, str) for n in v) for v in table.values()):
            raise G3dError(
                f'the split list \'{path}\' is not understood; write {{"train": [names], "test": [names]}}, or one of them'
            )
        names = {split: frozenset(listed) for split, listed in table.items()}
    if not frozenset().union(*names.values()):
        raise G3dError(f"the split list '{path}' names nothing; write one name a line")
    return SplitList(path, names, digest)


def _words(name: str) -> set[str]:
    """What may stand for an object in a list: with and without folder and suffix."""
    path = PurePosixPath(name)
    if not path.name:  # "/", ".": no object's name, and `check` says so
        return {name}
    return {name, path.name, path.stem, path.with_suffix("").as_posix()}
