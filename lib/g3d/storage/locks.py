"""Who is writing: locks that the system lets go however a process ends, so that what nobody holds was left by a kill."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g3d.errors import G3dError, from_os_error

_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # NFS, Lustre: folders cannot be locked there


@contextmanager
def locked(folder: Path, out: Path) -> Iterator[None]:
    """Hold `folder` for this process, or say that another run writes `out`; the system lets go however the process ends.

    Where the system cannot lock a folder, two runs into one are not noticed."""
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError as error:  # it was there a moment ago
        raise taken(out) from error
    except OSError as error:
        raise from_os_error(error, f"locking {folder}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken(out) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise from_os_error(error, f"locking {folder}") from error
        if not is_open_at(handle, folder):
            raise taken(out)  # who held it has moved or removed it: the lock is on something else now
        yield
    finally:
        os.close(handle)


def taken(out: Path) -> G3dError:
    """What to say where two would write `out`."""
    return G3dError(f"another run is writing '{out}' now; wait for it, end it, or choose another --out")


def hold(place: Path) -> int | None:
    """An open handle that holds the file or folder `place` until it is closed; None where another has it or has removed it."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    if lock(handle) is not False and is_open_at(handle, place):
        return handle
    os.close(handle)
    return None


def lock(handle: int) -> bool | None:
    """Whether the open file is ours now; None where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def is_left(place: Path) -> bool:
    """Whether nobody holds `place` any more; where that cannot be known, it is taken for held."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return lock(handle) is True and is_open_at(handle, place)
    finally:
        os.close(handle)


def is_open_at(handle: int, place: Path) -> bool:
    """Whether `place` still is what is open."""
    try:
        return os.path.samestat(os.fstat(handle), place.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
