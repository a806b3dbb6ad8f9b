"""What was made of files, kept in memory as long as these do not change: for programs that ask again and again."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from g3d.storage.artifacts import Header

T = TypeVar("T")


class Kept:
    """A thing for each file. Who asks gets a copy: what is drawn may share its tensors, and encoding leaves gradients in them."""

    def __init__(self) -> None:
        self._found: dict[Path, tuple[tuple[object, ...], Any]] = {}

    def get(self, head: Header, device: str, read: Callable[[], T]) -> T:
        """What `read` makes of the file for a device; not read again where it did so before and the file is the same."""
        stat = head.path.stat()
        stamp = (head.digest, stat.st_ino, stat.st_size, stat.st_mtime_ns, device)
        kept = self._found.get(head.path)
        known = kept is not None and kept[0] == stamp
        if not known:
            self._found.pop(head.path, None)  # so that two are never in memory
        found: T = kept[1] if kept is not None and known else read()
        try:
            given = copy.deepcopy(found)
        except Exception:  # another package's model may hold what cannot be copied
            return found if not known else read()
        self._found[head.path] = (stamp, found)
        return given


def kept_or_read(kept: Kept | None, head: Header, device: str, read: Callable[[], T]) -> T:
    """`get` of what is kept, where anything is."""
    return read() if kept is None else kept.get(head, device, read)
