"""The licence of a folder of data, as its own licence file states it."""

from pathlib import Path

from g3d.storage import foreign, named

_NAMES = ("license", "licence", "copying")
UNKNOWN = "unknown (the folder holds no licence file)"


def licence_of(folder: Path) -> str:
    """The text of the folder's licence file, shortened, or `UNKNOWN`."""
    for path in foreign.inside(folder):
        if path.is_file() and is_licence(path.name):
            return shortened(path.name, named.read(path, "the licence"))
    return UNKNOWN


def is_licence(name: str) -> bool:
    """Whether a file of this name is a licence: LICENSE, licence.txt, COPYING, ..."""
    return name.split(".")[0].lower() in _NAMES and not name.lower().endswith((".png", ".jpg", ".jpeg"))


def shortened(name: str, data: bytes) -> str:
    """`name: text`, on one line, at most 600 characters of it."""
    return f"{name}: {' '.join(data.decode('utf-8', errors='replace').split())[:600]}"
