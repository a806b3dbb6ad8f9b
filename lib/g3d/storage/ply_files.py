"""PLY files, opened: comments of the header may hold any bytes, which plyfile would refuse; and what the header says."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.errors import G3dError, require_module

if TYPE_CHECKING:
    from plyfile import PlyData

_HEADER_MOST = 1 << 20  # bytes


def header(path: Path) -> bytes:
    """From `ply` to the line after which the data begins; all that was read, where there is no such line."""
    with path.open("rb") as stream:
        data = stream.read(_HEADER_MOST)
    found = re.search(rb"(?:^|[\r\n])end_header[ \t]*(?:\r\n|\n|\r)", data)
    return data[: found.end()] if found else data


@dataclass(frozen=True)
class Element:
    """What the header says of one of its tables."""

    name: str
    count: int
    properties: Sequence[str]


def elements(path: Path) -> list[Element]:
    """The tables of a PLY, from its header alone. Raises `G3dError` for a file that has none."""
    found: list[Element] = []
    try:
        for line in header(path).decode("utf-8", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["element"]:
                found.append(Element(words[1], int(words[2]), []))
            elif words[:1] == ["property"]:
                found[-1] = replace(found[-1], properties=[*found[-1].properties, words[-1]])
    except (IndexError, ValueError) as error:
        raise G3dError(f"'{path}' is no PLY file that can be read: its header is damaged; write it again") from error
    if not found:
        raise G3dError(f"'{path}' is no PLY file that can be read: its header names no element; write it again")
    return found


def encoding(path: Path) -> str:
    """`binary_little_endian`, `ascii`, ...; empty where the header does not say."""
    lines = (line.split() for line in header(path).decode("utf-8", errors="replace").splitlines())
    return next((words[1] for words in lines if words[:1] == ["format"] and len(words) > 1), "")


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
