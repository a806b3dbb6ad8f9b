"""Files and folders that appear whole or not at all, and never in the place of something that is not ours."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g3d.errors import G3dError, existing, from_os_error
from g3d.storage import impostors

_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # NFS, Lustre: folders cannot be locked there


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
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101  (mkstemp gives 0600)
        temporary.replace(path)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))  # safetensors wraps the system's error in its own
        if found is None:
            raise
        wrapped = OSError(int(found[1]), os.strerror(int(found[1])))
        raise from_os_error(wrapped, f"writing {path}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def output_folder(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> Iterator[Path]:
    """A new folder that appears under the name `out` only when the block ends well; what was there stays until then."""
    _refuse_place(out, overwrite, inputs)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
        temporary.chmod(0o777 & ~_umask())
    except OSError as error:
        raise from_os_error(error, f"writing {out}") from error
    try:
        yield temporary
        _take_place(temporary, out, overwrite)
    finally:
        _remove(temporary)


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
    with locked(temporary, out):
        removed = False
        try:
            refuse_existing(out, overwrite, inputs)  # again: another run may have ended since
            for other in others:
                with locked(other, out):
                    removed = True
                    _remove(other)
            yield temporary, removed
            _take_place(temporary, out, overwrite, note)
        finally:
            worked = (temporary / journal).is_file() and (temporary / journal).stat().st_size > 0
            if temporary.is_dir() and not worked and not (temporary / "dataset.json").is_file():
                _remove(temporary)


@contextmanager
def locked(folder: Path, out: Path) -> Iterator[None]:
    """Hold `folder` for this process, or say that another run writes `out`; the system lets go however the process ends.

    Where the system cannot lock a folder, two runs into one are not noticed."""
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    taken = G3dError(f"another run is writing '{out}' now; wait for it, end it, or choose another --out")
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError as error:  # it was there a moment ago
        raise taken from error
    except OSError as error:
        raise from_os_error(error, f"locking {folder}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise from_os_error(error, f"locking {folder}") from error
        if not _is_open_at(handle, folder):
            raise taken  # who held it has moved or removed it: the lock is on something else now
        yield
    finally:
        os.close(handle)


def _is_open_at(handle: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), place.stat())
    except FileNotFoundError:
        return False


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
            _remove(old)


def _put_back(out: Path) -> None:
    """What a kill while `out` was replaced had left aside: `out` again where there is none, else gone."""
    for old in _beside(out, "([0-9a-f]{12}|[a-z0-9_]{8})", "old"):
        try:
            if not out.exists():
                old.rename(out)
        except OSError as error:
            if not out.exists():
                raise from_os_error(error, f"putting {old} back as {out}") from error
        else:
            _remove(old)


def _beside(out: Path, mark: str, suffix: str) -> list[Path]:
    """The `.NAME.MARK.SUFFIX` beside `out`, `mark` being a regular expression; not those of an output NAME.more."""
    if not out.parent.is_dir() or not os.access(out.parent, os.R_OK):
        return []
    return sorted(
        p for p in out.parent.iterdir() if re.fullmatch(rf"\.{re.escape(out.name)}\.{mark}\.{suffix}", p.name)
    )


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _refuse_foreign_folder(out: Path) -> None:
    """--overwrite replaces a whole folder: only one that g3d wrote, or an empty one."""
    if out.exists() and not out.is_dir():
        raise G3dError(f"the output '{out}' is a file where a folder is wanted; choose another --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    ours = ("dataset.json", "transforms.json", "*/transforms.json", "*.safetensors", "*.ply", "[0-9]*.png")
    if Path.cwd().resolve().is_relative_to(out.resolve()) or not any(next(out.glob(name), None) for name in ours):
        raise G3dError(
            f"'{out}' is a folder that g3d did not write, so --overwrite does not replace it; choose another --out"
        )


def refuse_overlap(outputs: Sequence[Path]) -> None:
    """Refuse outputs of one command that are equal, or of which one lies inside another."""
    places = [out.resolve() for out in outputs]
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            if i < j and (a == b or a in b.parents or b in a.parents):
                raise G3dError(
                    f"the outputs '{outputs[i]}' and '{outputs[j]}' lie in each other; choose separate places"
                )


def refuse_existing(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output that exists (without --overwrite), that is an input, or that lies inside or around one."""
    for source in inputs:
        here, there = out.resolve(), source.resolve()
        if here == there or there in here.parents or here in there.parents:
            raise G3dError(f"the output '{out}' is, contains or lies inside the input '{source}'; choose another --out")
    if out.exists() and not overwrite:
        raise G3dError(f"the output '{out}' exists; give another --out, or --overwrite to replace it")
    if out.is_symlink():
        raise G3dError(f"the output '{out}' is a symbolic link; give the folder or file that it points to")
    for parent in out.parents:
        if parent.exists() and not parent.is_dir():
            raise G3dError(f"the output '{out}' cannot be written: '{parent}' is a file; choose another --out")


def write_json(path: Path, value: Any) -> None:
    """Sorted, indented JSON, written whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file, or a sentence that names the file and the place of the mistake."""
    existing(path, what)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except (UnicodeDecodeError, json.JSONDecodeError, IsADirectoryError, RecursionError) as error:
        impostors.refuse_file(path)
        raise G3dError(f"{what} '{path}' is not valid JSON ({error}); write it again") from error
    if not isinstance(value, dict):
        raise G3dError(f"{what} '{path}' holds a JSON {type(value).__name__}; wanted is an object {{…}}")
    return value


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
