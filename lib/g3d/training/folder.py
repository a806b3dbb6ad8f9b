"""The folder of a run: begun anew, resumed with the same settings, locked against a second run, never foreign.

RUN/config.json          what is fitted, with which settings, seed and data
    log.jsonl, events/   a line every few seconds, for people and for TensorBoard
    state.safetensors    all that --resume needs
    checkpoints/NNNNNN/  what --keep keeps; best/ the best of them by the metric
    (what the method writes at each save: model.safetensors, latents.safetensors, ...)
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from g3d.config import differences
from g3d.errors import G3dError
from g3d.progress import Progress
from g3d.storage import artifacts, files

_OURS = (
    "state.safetensors", "model.safetensors", "latents.safetensors", "prior.safetensors", "log.jsonl", "metrics.json",
    "report.html", "grid.png",
)  # fmt: skip


_KINDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("settings", (dict,), "table"), ("parents", (dict,), "table"), ("changed", (list,), "list"), ("seed", (int,), "number"),
)  # fmt: skip


_REST = re.compile(r"\.(.+\.[a-z0-9_]{8}|best|\d+)\.partial")  # what writes leave when they are killed
_ASIDE = re.compile(r"\.(best|\d+)\.old")


def check_folder(folder: Path, resume: bool, overwrite: bool, inputs: tuple[Path, ...]) -> None:
    """Refuse, before anything is written, a folder in which the run cannot be."""
    if resume and overwrite:
        raise G3dError("--resume goes on with the run that --overwrite would remove; give one of the two")
    if resume:
        files.refuse_existing(folder, True, inputs)
    else:
        refuse_foreign_run(folder, overwrite, inputs)


def refuse_foreign_run(folder: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a folder that exists, or with `overwrite` one that holds something else than a run. An empty one, and what a kill
    has left of one that was being made, is as none."""
    new = half_born(folder)
    if not new and not overwrite and is_run(folder):
        files.refuse_existing(folder, True, inputs)
        raise G3dError(
            f"the output '{folder}' exists and holds a run; go on with that by --resume, give another --out, or --overwrite to "
            "replace it"
        )
    files.refuse_existing(folder, overwrite or new, inputs)
    if not new and folder.exists() and not _holds_run(folder):
        raise G3dError(
            f"'{folder}' holds something else than a run, so --overwrite does not touch it; choose another --out"
        )


def _holds_run(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and {"settings", "parents", "seed"} <= set(
        files.read_json(config, "the settings of the run")
    )


def is_run(folder: Path) -> bool:
    """Whether it holds a run that can be resumed; what cannot be read is none."""
    try:
        return _holds_run(folder)
    except G3dError:
        return False


def half_born(folder: Path) -> bool:
    """Whether a folder holds no run yet: nothing, or the rest of a write that a kill has cut."""
    return folder.is_dir() and not folder.is_symlink() and all(_rest(path) for path in folder.iterdir())


def make(folder: Path, identity: Mapping[str, Any]) -> None:
    """A new folder that appears together with what says which run it is: a kill leaves one that can be resumed, or none."""
    with files.fresh_folder(folder) as new:
        files.write_json(new / "config.json", identity)


def unmake(folder: Path) -> None:
    """Take away a folder that was made for a run that did not come to its first step."""
    if [path.name for path in folder.iterdir()] == ["config.json"]:
        (folder / "config.json").unlink()
        folder.rmdir()


def begin(folder: Path, identity: Mapping[str, Any]) -> None:
    """A folder that holds nothing of an earlier run, and says what the new one is. What that run did not write stays.

    What says that the folder is a run goes last: killed in the middle, --overwrite still knows it as one."""
    for path in [folder / "state.safetensors", *_written(folder)]:
        path.unlink(missing_ok=True)
    for place in (*folder.glob("checkpoints/*"), *(folder / name for name in ("checkpoints", "best", "events"))):
        if place.is_dir() and not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
    files.write_json(folder / "config.json", identity)


def _written(folder: Path) -> list[Path]:
    """The files of the run in a folder: those that every run has, and artifacts of its inputs and seed."""
    config = settings_of(folder)
    kept = [p for p in _places(folder) if p.name == "best" or p.name.isdigit() or p == folder]
    found = [folder / name for name in _OURS] + [place / "metrics.json" for place in kept]
    for path in (p for place in kept for p in place.glob("*.safetensors")):
        try:
            head = artifacts.header(path)
        except G3dError:
            continue
        if head.parents == config.get("parents") and head.seed == config.get("seed"):
            found.append(path)
    events = [] if (folder / "events").is_symlink() else folder.glob("events/events.out.tfevents.*")
    return [*(path for path in found if path.is_file()), *events]


def settings_of(folder: Path) -> dict[str, Any]:
    """What config.json says; one that was changed by hand may hold anything."""
    place = folder / "config.json"
    found = files.read_json(place, "the settings of the run")
    for name, kinds, what in _KINDS:
        if name in found and (not isinstance(found[name], kinds) or isinstance(found[name], bool)):
            raise G3dError(
                f"the settings of the run '{place}' hold '{name}' that is no {what}; put it right, or fit anew"
            )
    return found


def check_resumed(
    folder: Path, identity: Mapping[str, Any], allow_change: bool, progress: Progress, before: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The run in `folder` may go on as `identity`; None if it was begun as such.

    Else what config.json is to say, once something is saved: where it was begun before there were some settings, without which
    runs did as `before` says; and, with `allow_change`, where it was begun as another."""
    if not (folder / "config.json").is_file():
        raise G3dError(f"'{folder}' holds no run to resume (config.json); start it without --resume")
    old = settings_of(folder)
    history = old.pop("changed", [])
    known, now = old.get("settings", {}), identity.get("settings", {})
    new = {name: before[name] for name in now if known and name not in known and name in before}
    changed = differences({**old, **new, **known}, {**identity, **now})
    changed = [c for c in changed if not c.startswith("settings:")]
    if changed and not allow_change:
        raise G3dError(
            f"'{folder}' was started with other settings ({'; '.join(changed)}); resume it with the same ones, or allow this "
            "with --allow-change"
        )
    told = ", ".join(f"{name}={value}" for name, value in new.items() if now[name] == value)
    if told:
        progress.log(
            f"note: '{folder}' was begun before there were these settings; it goes on as it did without them: {told}"
        )
    if changed:
        progress.log(f"going on with changed settings: {'; '.join(changed)}")
        history = [*history, changed]
    return {**identity, **({"changed": history} if history else {})} if new or changed else None


def replace_folder(place: Path, partial: Path) -> None:
    """`partial` becomes `place`, to which goes what else lay there; a kill on the way is mended by `sweep`."""
    old = place.with_name(f".{place.name}.old")
    if place.exists():
        place.rename(old)
    partial.rename(place)
    _let_go(old, place)


def thin_out(place: Path, published: Iterable[str]) -> None:
    """Take away a checkpoint, and its folder where nothing else lies in it."""
    if place.is_symlink():
        return
    for name in published:
        (place / name).unlink(missing_ok=True)
    if not any(place.iterdir()):
        place.rmdir()


def _let_go(old: Path, place: Path) -> None:
    """What `place` has not from the folder that it took the place of is somebody's own."""
    if old.is_dir() and not old.is_symlink():
        for path in old.iterdir():
            if not os.path.lexists(place / path.name):
                path.rename(place / path.name)
    files.remove(old)


def sweep(folder: Path) -> None:
    """Take away what a kill in the middle of a write has left, and put back what was aside."""
    for path in [path for place in _places(folder) for path in place.iterdir()]:
        if _ASIDE.fullmatch(path.name):
            place = path.with_name(path.name[1:].removesuffix(".old"))
            if place.exists():
                _let_go(path, place)
            else:
                path.rename(place)
        elif _rest(path):
            files.remove(path)


def _places(folder: Path) -> list[Path]:
    """The folder of a run, and those in it that the run writes into; none behind a link, which is the user's."""
    inner = [folder / "best", folder / "checkpoints", *folder.glob("checkpoints/*")]
    return [folder, *(p for p in inner if p.is_dir() and not _linked(p, folder))]


def _linked(path: Path, folder: Path) -> bool:
    return any(p.is_symlink() for p in (path, *path.parents[: len(path.relative_to(folder).parts) - 1]))


def _rest(path: Path) -> bool:
    return _REST.fullmatch(path.name) is not None


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON keeps of it."""
    found: dict[str, Any] = json.loads(json.dumps(identity))
    return found
