"""Zips: opened once, checked before anything is read, unpacked a piece at a time."""

import re
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from g3d.errors import G3dError, existing

_MEMBER_MOST = 1 << 30  # bytes of one picture in a zip
_BOMB_RATIO, _BOMB_BYTES = 100, 1 << 26  # what unpacks to more than both of them is no picture


def opened(path: Path) -> zipfile.ZipFile:
    """The zip, opened once a process: reading the list of a hundred thousand members takes half a second."""
    stat = existing(path, "the zip").stat()
    return _opened(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(path: Path, size: int, changed_ns: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise G3dError(f"'{path}' is not a zip that can be read ({error}); write it again") from error


def check(path: Path, max_unpacked_gb: float) -> dict[str, zipfile.ZipInfo]:
    """The files in a zip by name, in the order of their names; a zip that could do harm is refused before any is read."""
    members = [m for m in opened(path).infolist() if not m.filename.endswith("/")]
    for m in members:
        trouble = _harm(m)
        if trouble:
            raise G3dError(f"the zip '{path}' holds '{m.filename}', {trouble}")
    found = {m.filename: m for m in sorted(members, key=lambda m: m.filename)}
    if len(found) < len(members):
        twice = next(m.filename for m in members if found[m.filename] is not m)
        raise G3dError(f"the zip '{path}' holds '{twice}' twice; write it again")
    if sum(m.compress_size for m in members) > path.stat().st_size:
        raise G3dError(f"the members of the zip '{path}' overlap, as in a zip bomb; take a zip whose origin you know")
    total_gb = sum(m.file_size for m in members) / 1e9
    if total_gb > max_unpacked_gb:
        raise G3dError(f"the zip '{path}' unpacks to {total_gb:.3g} GB, more than the {max_unpacked_gb:g} GB allowed; give "
                       "a larger --max-unpacked-gb if it is meant to be so large")  # fmt: skip
    return found


def _harm(m: zipfile.ZipInfo) -> str:
    """Why a member of a zip is not read; empty if it may be."""
    if not m.filename:
        return "a member without a name; write the zip again"
    parts = m.filename.split("/")
    if m.filename.startswith("/") or ".." in parts or "\\" in m.filename or re.match("[A-Za-z]:", m.filename):
        return "a path that leaves the folder or is not written with '/'; write the zip again with relative paths"
    if m.flag_bits & 1:
        return "which is encrypted; write the zip again without a password"
    if m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others cannot be unpacked a piece at a time
        return f"packed by method {m.compress_type}; write the zip again stored or deflated"
    if m.file_size > _MEMBER_MOST or (
        m.file_size > _BOMB_BYTES and m.file_size > _BOMB_RATIO * max(1, m.compress_size)
    ):
        return (f"{m.compress_size} bytes that unpack to {m.file_size}, as in a zip bomb, whatever --max-unpacked-gb allows; "
                "take it out")  # fmt: skip
    return ""


def member(of: zipfile.ZipFile, name: str, where: str, what: str = "the image") -> bytes:
    """The bytes of a file in a zip, as many as it states and no more; `what` and `where` name it in messages."""
    try:
        stated = of.getinfo(name).file_size
        if stated > _MEMBER_MOST:
            raise zipfile.BadZipFile(f"it states {stated} bytes")
        parts: list[bytes] = []
        with of.open(name) as stream:
            while part := stream.read(1 << 20):  # piece by piece: a false size must not unpack into memory
                parts.append(part)
    except KeyError as error:
        raise G3dError(f"{what} '{where}' is not in the zip; correct its name, or add it") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        # RuntimeError: encrypted
        raise G3dError(f"{what} '{where}' cannot be read ({error}); write the zip again") from error
    return b"".join(parts)
