"""PLY files, opened: comments of the header may hold any bytes, which plyfile would refuse; and what the header says."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.errors import require_module

if TYPE_CHECKING:
    from plyfile import PlyData

_HEADER_MOST = 1 << 20  # bytes


def header(path: Path) -> bytes:
    """From `ply` to the line after which the data begins; all that was read, where there is no such line."""
    with path.open("rb") as stream:
        data = stream.read(_HEADER_MOST)
    found = re.search(rb"(?:^|[\r\n])end_header[ \t]*(?:\r\n|\n|\r)", data)
    return data[: found.end()] if found else data


def read(path: Path, **more: Any) -> "PlyData":
    """As `plyfile.PlyData.read`."""
    require_module("plyfile", "reading PLY files", "pip install plyfile")
    from plyfile import PlyData

    head = header(path)
    if head.isascii():
        return PlyData.read(str(path), **more)
    with path.open("rb") as stream:
        data = stream.read()
    return PlyData.read(io.BytesIO(re.sub(rb"[^\x00-\x7f]", b"?", head) + data[len(head) :]), **more)


def comments(path: Path) -> list[str]:
    """The comments of the header."""
    lines = header(path).decode("utf-8", errors="replace").splitlines()
    return [line.split(None, 1)[1] for line in lines if line.startswith("comment ") and len(line.split(None, 1)) > 1]
