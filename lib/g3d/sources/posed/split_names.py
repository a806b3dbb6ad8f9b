"""nerfstudio's lists of pictures in a transforms.json: `train_filenames`, `val_filenames`, `test_filenames`.

Trained on are the frames of the first list alone; those of the other two never.
"""

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from g3d.errors import G3dError, closest

TRAIN, TEST = "train", "test"
_LISTS = ("train_filenames", "val_filenames", "test_filenames")
_IN_NONE = "frames that none of train_filenames and test_filenames names"
_VAL = "frames of val_filenames, since test_filenames are the split test"


def shares(file_paths: Sequence[str], data: Mapping[str, Any], where: str) -> list[str]:
    """What each frame is for: TRAIN, TEST, or the reason why it is left out. Without lists all are TRAIN."""
    lists = {name: _indices(data[name], file_paths, name, where) for name in _LISTS if name in data}
    train, val, test = (lists.get(name, set()) for name in _LISTS)
    held_out = test or val
    found = []
    for i in range(len(file_paths)):
        if i in held_out:
            found.append(TEST)
        elif i in val:
            found.append(_VAL)
        else:
            found.append(TRAIN if "train_filenames" not in lists or i in train else _IN_NONE)
    return found


def _indices(listed: Any, file_paths: Sequence[str], name: str, where: str) -> set[int]:
    """The frames that a list names; refuses a name that is none of them."""
    if not isinstance(listed, list):
        raise G3dError(f"'{where}' has the {name} {str(listed)[:60]!r}; it is a list of the frames' file_path")
    numbers: dict[str, set[int]] = {}
    for i, path in enumerate(file_paths):
        for key in {tidy(path), _bare(path)}:
            numbers.setdefault(key, set()).add(i)
    found: set[int] = set()
    for word in listed:
        at = numbers.get(tidy(str(word)))
        if at is None and "" in (
            PurePosixPath(tidy(str(word))).suffix,
            *(PurePosixPath(tidy(p)).suffix for p in file_paths),
        ):
            at = numbers.get(_bare(str(word)))  # NeRF-synthetic leaves the suffix out
        if at is None:
            near = closest(str(word), file_paths) if len(str(word)) < 200 else ""
            raise G3dError(f"'{where}' lists '{str(word)[:80]}' in {name}, which is the file_path of none of its "
                           f"{len(file_paths)} frames{near}; correct the list")  # fmt: skip
        found |= at
    return found


def tidy(path: str) -> str:
    """`.\\images\\A.PNG` => `images/A.png`."""
    plain = PurePosixPath(posixpath.normpath(path.replace("\\", "/")))
    return plain.with_suffix(plain.suffix.lower()).as_posix() if plain.name else plain.as_posix()


def _bare(path: str) -> str:
    plain = PurePosixPath(tidy(path))
    return plain.with_suffix("").as_posix() if plain.name else plain.as_posix()
