"""Files and folders that appear whole or not at all, and never in the place of something that is not ours."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing, from_os_error, special
from g3d.storage import impostors, locks, manifest
from g3d.storage.json_text import parsed

JSON_MOST = 1 << 28  # bytes of a JSON file
_MARK = "[a-z0-9_]{8}"  # what tempfile puts into a name


def inside(path: Path, name: str) -> Path:
    """A run folder stands for its file `name`; a file stands for itself."""
    if path.is_dir():
        if not (path / name).is_file():
            made = ", such as g3d encode writes" if name == "latents.safetensors" else ""
            raise G3dError(f"the folder '{path}' holds no {name}; give a run that has one, or the file itself{made}")
        return path / name
    return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    It lies in a folder of its own beside `path`: what writes it may put further files there (safetensors does)."""
    _refuse_no_file(path)
    with _temporary(path) as folder:
        temporary = folder / path.name
        try:
            temporary.touch()
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            _refuse_no_file(path)
            temporary.replace(path)
        except OSError as error:
            raise from_os_error(error, f"writing {path}") from error
        except Exception as error:
            found = re.search(r"\(os error (\d+)\)", str(error))  # safetensors wraps the system's error in its own
            if found is None:
                raise
            wrapped = OSError(int(found[1]), os.strerror(int(found[1])))
            raise from_os_error(wrapped, f"writing {path}") from error


@contextmanager
def output_folder(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> Iterator[Path]:
    """A new folder that appears under the name `out` only when the block ends well; what was there stays until then."""
    _refuse_place(out, overwrite, inputs)
    with _temporary(out) as temporary:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _take_place(temporary, out, overwrite)


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder that appears at `out`, where there is nothing, with all that the block puts into it."""
    with _temporary(out) as temporary:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        try:
            temporary.rename(out)
        except OSError as error:
            if out.exists():
                raise locks.taken(out) from error
            raise from_os_error(error, f"writing {out}") from error


@contextmanager
def resumable_folder(
    out: Path, overwrite: bool, inputs: tuple[Path, ...], identity: Any, journal: str, note: str = ""
) -> Iterator[tuple[Path, bool]]:
    """As `output_folder`, but work that an interruption or a failure ended stays beside `out`, and the next block of the
    same `identity` (any JSON value) goes on with it. Yields the folder, and whether what an earlier block of another
    identity had left was removed. Work is there when the file `journal` is not empty. The file `note` is for the next
    block, if there is one: it is not in `out`."""
    _refuse_place(out, overwrite, inputs)
    mark = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:12]
    temporary = out.with_name(f".{out.name}.{mark}.partial")
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        others = [p for p in _beside(out, "[0-9a-f]{12}", "partial") if p != temporary]
    except OSError as error:
        raise from_os_error(error, f"writing {out}") from error
    with locks.locked(temporary, out):
        removed = False
        try:
            refuse_existing(out, overwrite, inputs)  # again: another run may have ended since
            for other in others:
                with locks.locked(other, out):
                    removed = True
                    remove(other)
            yield temporary, removed
            _take_place(temporary, out, overwrite, note)
        finally:
            worked = (temporary / journal).is_file() and (temporary / journal).stat().st_size > 0
            if temporary.is_dir() and not worked and not (temporary / "dataset.json").is_file():
                remove(temporary)


@contextmanager
def _temporary(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, held while the block lasts and then removed, if it is still there; what killed processes have
    left of the same is removed first."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not any(part.startswith(".") and part.endswith(".partial") for part in out.parent.parts):
            for left in _beside(out, _MARK, "partial"):  # not in a folder that is being made, which nobody else has
                if locks.is_left(left):
                    remove(left)
        held = None
        while held is None:  # until it was held before another process took it for one that a kill has left
            place = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
            held = locks.hold(place)
    except OSError as error:
        raise from_os_error(error, f"writing {out}") from error
    try:
        yield place
    finally:
        remove(place)
        os.close(held)


def _refuse_place(out: Path, overwrite: bool, inputs: tuple[Path, ...]) -> None:
    _put_back(out)
    refuse_existing(out, overwrite, inputs)
    if overwrite:
        _refuse_foreign_folder(out)


def _take_place(temporary: Path, out: Path, overwrite: bool, note: str = "") -> None:
    """`temporary`, without its file `note`, becomes `out`; what was there is put back when that fails or is interrupted."""
    old = temporary.with_suffix(".old")
    if out.exists() and not overwrite:
        raise G3dError(
            f"the output '{out}' appeared while it was being made; nothing was replaced, choose another --out"
        )
    if note:
        (temporary / note).unlink(missing_ok=True)
    manifest.seal(temporary)
    if out.exists():
        _refuse_foreign_folder(out)  # again: making the new one may have taken hours
    try:
        if out.exists():
            out.rename(old)  # aside first: a kill between two renames loses nothing, see `_put_back`
        temporary.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        if out.exists():
            remove(old)


def _put_back(out: Path) -> None:
    """What a kill while `out` was replaced had left aside: `out` again where there is none, else gone."""
    for old in _beside(out, f"([0-9a-f]{{12}}|{_MARK})", "old"):
        try:
            if not out.exists():
                old.rename(out)
        except OSError as error:
            if not out.exists():
                raise from_os_error(error, f"putting {old} back as {out}") from error
        else:
            remove(old)


def _beside(out: Path, mark: str, suffix: str) -> list[Path]:
    """The `.NAME.MARK.SUFFIX` beside `out`, `mark` being a regular expression; not those of an output NAME.more."""
    if not out.parent.is_dir() or not os.access(out.parent, os.R_OK):
        return []
    return sorted(
        p for p in out.parent.iterdir() if re.fullmatch(rf"\.{re.escape(out.name)}\.{mark}\.{suffix}", p.name)
    )


def remove(place: Path) -> None:
    """Take away a file, a link, or a folder with all that is in it."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _refuse_foreign_folder(out: Path) -> None:
    """--overwrite replaces a whole folder: only one in which everything is of g3d, or an empty one."""
    if out.exists() and not out.is_dir():
        raise G3dError(f"the output '{out}' is a file where a folder is wanted; choose another --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if Path.cwd().resolve().is_relative_to(real(out)):
        raise G3dError(
            f"'{out}' is, or contains, the folder that you are in; go to another one, or choose another --out"
        )
    manifest.refuse_foreign(out)


def refuse_special(out: Path) -> None:
    """Refuse as an output what is neither a file nor a folder: a device, a pipe, a socket."""
    try:
        mode = out.stat().st_mode
    except (OSError, ValueError):  # nothing there; the other checks say what else is wrong
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise G3dError(f"the output '{out}' is {special(mode)}, which g3d does not replace; give a file or a folder")


def _refuse_no_file(path: Path) -> None:
    refuse_special(path)
    if path.is_dir():
        raise G3dError(f"the output '{path}' is a folder where a file is wanted; choose another name")


def refuse_overlap(outputs: Sequence[Path]) -> None:
    """Refuse outputs of one command that are equal, or of which one lies inside another."""
    places = [real(out) for out in outputs]
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            if i < j and (a == b or a in b.parents or b in a.parents):
                raise G3dError(
                    f"the outputs '{outputs[i]}' and '{outputs[j]}' lie in each other; choose separate places"
                )


def refuse_existing(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output that exists (without --overwrite), that is an input, or that lies inside or around one."""
    for source in inputs:
        here, there = real(out), real(source)
        if here == there or there in here.parents or here in there.parents:
            raise G3dError(f"the output '{out}' is, contains or lies inside the input '{source}'; choose another --out")
    refuse_special(out)
    if out.exists() and not overwrite:
        raise G3dError(f"the output '{out}' exists; give another --out, or --overwrite to replace it")
    if out.is_symlink():
        raise G3dError(f"the output '{out}' is a symbolic link; give the folder or file that it points to")
    for parent in out.parents:
        if parent.exists() and not parent.is_dir():
            raise G3dError(f"the output '{out}' cannot be written: '{parent}' is a file; choose another --out")


def refuse_unwritten(path: Path, whose: str) -> None:
    """Refuse what `whose` fit has left, where it did not write the file that everything else reads."""
    if not path.is_file():
        kind = path.stem
        raise G3dError(
            f"{whose}: its fit wrote no {path.name} into '{path.parent}'; let it call run.write('{path.name}', '{kind}', "
            "tensors, config) where it publishes"
        )


def real(path: Path) -> Path:
    """The absolute path without links; of a link that leads to itself, as far as it goes."""
    return Path(os.path.realpath(path))


def write_json(path: Path, value: Any) -> None:
    """Sorted, indented JSON, written whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file, or a sentence that names the file and the place of the mistake."""
    data = read_bytes(path, what, JSON_MOST)
    try:
        value = parsed(data.decode("utf-8-sig"))  # some editors begin a file with a mark
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        impostors.refuse_file(path)
        raise G3dError(f"{what} '{path}' is not valid JSON ({error}); write it again") from error
    if not isinstance(value, dict):
        raise G3dError(f"{what} '{path}' holds a JSON {type(value).__name__}; wanted is an object {{…}}")
    return value


def read_bytes(path: Path, what: str, most: int) -> bytes:
    """The bytes of a regular file that has at most `most` of them; `what` names it in messages."""
    if existing(path, what).is_dir():
        raise G3dError(f"{what} '{path}' is a folder; give a file")
    try:
        size = path.stat().st_size
        if size > most:
            raise G3dError(f"{what} '{path}' has {size} bytes; at most {most} are read: give a smaller file")
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error


def put(made: Path, path: Path) -> None:
    """Move a file to where it is wanted, on another disk too; whole or not at all."""
    with atomic(path) as temporary:
        shutil.copyfile(made, temporary)
    made.unlink()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
