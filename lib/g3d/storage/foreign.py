"""Whose file is it: what systems and programs leave beside pictures, meshes and scenes is counted among none of them; and the
folder that a zip or a folder is about, where all of it lies in one.

One rule for every reader of folders and zips. Names are relative, with `/`.
"""

from collections.abc import Collection, Iterable
from pathlib import Path, PurePath, PurePosixPath

_FOREIGN = frozenset((
    "__macosx", "thumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__",
))  # fmt: skip
_TEXTS = (
    ".txt",
    ".md",
    ".rst",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".html",
    ".xml",
    ".yaml",
    ".yml",
    ".pdf",
    ".sh",
    ".py",
)
"""What people write about their pictures."""


def is_foreign(name: str | PurePath) -> bool:
    """Whether a relative path is hidden, lies in a hidden folder, or is what a system or a program keeps for itself."""
    parts = name.split("/") if isinstance(name, str) else name.parts
    return any((part.startswith(".") and part not in (".", "..")) or part.lower() in _FOREIGN for part in parts)


def files_below(folder: Path) -> list[Path]:
    """The files in a folder and below it that somebody means, in the order of their names."""
    return sorted(p for p in folder.rglob("*") if not is_foreign(p.relative_to(folder)) and p.is_file())


def inside(folder: Path, pattern: str = "*") -> list[Path]:
    """What lies in a folder itself and fits `pattern`, in the order of its names; nothing foreign."""
    return sorted(p for p in folder.glob(pattern) if not is_foreign(p.relative_to(folder)))


def lead(names: Collection[str], key: str, pictures: Iterable[str]) -> str:
    """`FOLDER/` where the file `key` lies in FOLDER and so do all pictures, as in a zip made of a folder; else ""."""
    if key in names:
        return ""
    places = [n[: -len(key)] for n in names if n.endswith("/" + key)]
    least = min((p.count("/") for p in places), default=0)
    first = [p for p in places if p.count("/") == least]
    return first[0] if len(first) == 1 and all(p.startswith(first[0]) for p in pictures) else ""


def kinds(names: Iterable[str]) -> dict[str, list[str]]:
    """What is left out of a folder of pictures for its kind: a phrase for each suffix => the files. Texts are not counted."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if suffix not in _TEXTS and path.name.split(".")[0].lower() not in ("license", "licence", "copying", "readme"):
            way = " here (pip install pillow-heif)" if suffix in (".heic", ".heif") else ""
            found.setdefault(f"files {suffix or 'without a suffix'} of a kind that is not read{way}", []).append(name)
    return found
