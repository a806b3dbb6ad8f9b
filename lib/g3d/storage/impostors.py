"""What a file is that is not what its name says, or of a kind that is not read here; and the way out.

Downloads end as web pages, clones as pointers of Git LFS; splats come in formats of viewers.
"""

from pathlib import Path

from g3d.errors import G3dError

_LFS = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")
_SPLATS = {
    ".splat": "a .splat of web viewers (32 bytes a Gaussian, without harmonics)", ".spz": "Niantic's packed splats",
    ".sog": "SuperSplat's packed splats", ".ksplat": "a .ksplat of a web viewer", ".sogs": "packed splats",
}  # fmt: skip
LOOKED_AT = 512  # bytes


def named(data: bytes) -> str:
    """What the first bytes of a file say that it is, with the way out; empty where they say nothing of the kind."""
    head = data[:LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(_LFS):
        return "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"
    if head.startswith(_PAGES):
        return "a web page, not the file itself; download it again, by the link to the raw file"
    return ""


def refuse(data: bytes, where: str) -> None:
    """Refuse what is named."""
    what = named(data)
    if what:
        raise G3dError(f"'{where}' is {what}")


def refuse_file(path: Path) -> None:
    """As `refuse`, of a file that is there."""
    if path.is_file():
        with path.open("rb") as stream:
            refuse(stream.read(LOOKED_AT), str(path))


def refuse_splats(path: Path) -> None:
    """Refuse splats of formats that are not read, by their names."""
    what = _SPLATS.get(path.suffix.lower())
    if what is not None:
        raise G3dError(
            f"'{path}' is {what}, which is not read; save it as PLY, e.g. with SuperSplat or splat-transform"
        )
