"""What g3d wrote into a folder, by name and size: --overwrite deletes that and nothing else.

Every folder that appears whole holds the file MANIFEST. Folders that were written before there was one are known by what
lies in them: a dataset by its description, scenes by their headers, pictures by the cameras that g3d wrote beside them.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from g3d.errors import G3dError
from g3d.progress import Progress
from g3d.storage import container
from g3d.storage.json_text import parsed

MANIFEST = ".g3d.json"
FORMAT = "g3d/folder@1"
_CLOCK_S = 1.0  # that two clocks of a file system may differ
_SHOWN = 3  # names of a sentence
_MOST = 1 << 28  # bytes of a table
_DATASET = re.compile(
    r"(dataset\.json|(cameras|labels|shapes)\.safetensors|(images|masks|depth|normals|inverse_depth)(/\d{6}\.png|\.zip))"
)
_BESIDE = ("{}", "masks/{}", "depth/{}")  # of a picture that is drawn


def seal(folder: Path) -> None:
    """Write down what lies in a folder that is whole."""
    found = {name: status.st_size for name, status in _entries(folder) if name != MANIFEST}
    text = json.dumps({"format": FORMAT, "files": found}, sort_keys=True, indent=0)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def refuse_foreign(folder: Path) -> None:
    """Refuse to let go a folder that holds anything that g3d did not write, or that was changed since."""
    lost = foreign(folder)
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        names = ", ".join(f"'{name}'" for name in lost[:_SHOWN])
        raise G3dError(
            f"'{folder}' holds {names}{more}, which g3d did not write, and --overwrite would delete it; move it away, or choose "
            "another --out"
        )


def foreign(folder: Path) -> list[str]:
    """The names of what g3d did not write into `folder`, or not so; empty where all of it may go."""
    sizes = _sealed(folder)
    known = _recognised(folder) if sizes is None else None
    found = []
    for name, status in _entries(folder):
        if not stat.S_ISREG(status.st_mode):
            found.append(name)
        elif sizes is not None:
            if name != MANIFEST and sizes.get(name) != status.st_size:
                found.append(name)
        elif known is not None and name not in known:
            found.append(name)
    return found


def note_changed(progress: Progress, *folders: Path | None) -> None:
    """Say in one note for each of the datasets which files are not those that its digest stands for, as far as size and time
    tell; folders that are no datasets have no digest.

    Where most are newer than the manifest, the folder was copied without its times, and times tell nothing."""
    for folder in folders:
        if folder is None or not (folder / "dataset.json").is_file():
            continue
        sizes = _sealed(folder)
        if sizes is None:
            continue
        sealed_s = (folder / MANIFEST).stat().st_mtime
        known = [(name, status) for name, status in _entries(folder) if name in sizes and name != MANIFEST]
        found = [name for name, status in known if status.st_size != sizes[name]]
        newer = [name for name, status in known if status.st_mtime > sealed_s + _CLOCK_S and name not in set(found)]
        found += newer if 2 * len(newer) < len(known) else []
        if found:
            progress.log(
                f"note: {len(found)} of the files of '{folder}' (such as '{found[0]}') have changed since they were written, "
                "which its digest does not tell; prepare it again if that was not meant"
            )


def _entries(folder: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Everything in a folder but folders, by its name there; nothing behind a link."""
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(folder / entry.name, f"{below}{entry.name}/")
        else:
            yield below + entry.name, entry.stat(follow_symlinks=False)


def _sealed(folder: Path) -> dict[str, int] | None:
    """The sizes in a folder's manifest; None where there is none that can be read."""
    found = _json(folder / MANIFEST)
    sizes = found.get("files") if found.get("format") == FORMAT else None
    return {str(name): size for name, size in sizes.items()} if isinstance(sizes, dict) else None


def _recognised(folder: Path) -> set[str]:
    """The names in a folder without a manifest that only g3d gives, by what else lies there."""
    names = {name for name, status in _entries(folder) if stat.S_ISREG(status.st_mode)}
    described = _json(folder / "dataset.json") if "dataset.json" in names else {}
    if str(described.get("format", "")).startswith("g3d/dataset@"):
        return {name for name in names if _DATASET.fullmatch(name)}
    known = {name for name in names if name.endswith(".safetensors") and "/" not in name and _ours(folder / name)}
    for name in names:
        if name == "transforms.json" or re.fullmatch(r"[^/]+/transforms\.json", name):
            known |= _drawn(folder, name)
    return known & names


def _drawn(folder: Path, table: str) -> set[str]:
    """What `render` writes beside its cameras; nothing where they are those of another tool, which name no `world_up`."""
    found = _json(folder / table)
    frames = found.get("frames")
    if found.get("world_up") != "y" or not isinstance(frames, list):
        return set()
    below = table.removesuffix("transforms.json")
    pictures = {str(frame["file_path"]) for frame in frames if isinstance(frame, dict) and "file_path" in frame}
    known = {below + place.format(name) for name in pictures for place in _BESIDE}
    sums = {f"{below}disparity/{name.removesuffix('.png')}.safetensors" for name in pictures}
    return {table, f"{below}depth/depth.json", *known, *sums}


def _ours(path: Path) -> bool:
    try:
        return "g3d" in container.read_header(path)[1]
    except (G3dError, TypeError):
        return False


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST:
            return {}
        found = parsed(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
