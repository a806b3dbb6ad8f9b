"""Errors that a user can act on: one sentence each, with the exit code that the command line gives them.

A sentence says what is wrong, where, what is allowed and what to do next. Anything that is not a `G3dError` is our own
bug and ends as a traceback.
"""

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path


class G3dError(Exception):
    """The user's input is wrong: a value, a file, a combination. Nothing was changed."""

    exit_code = 2


class Failure(G3dError):
    """The machine failed: disk full, folder not writable, memory exhausted. What was saved before stays whole."""

    exit_code = 1


class Diverged(G3dError):
    """Training left the finite numbers; the last good state is on disk."""

    exit_code = 3


class Missing(G3dError):
    """Something that must be downloaded or installed is not here; the sentence says how to supply it."""

    exit_code = 4


class Interrupted(BaseException):
    """A signal ends the command, after what it had was saved (SIGINT 130, SIGTERM 143).

    No `G3dError`, as KeyboardInterrupt is no `Exception`: who leaves out a bad item must not leave out the end."""

    def __init__(self, sentence: str, signal_number: int):
        super().__init__(sentence)
        self.exit_code = 128 + signal_number


def closest(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or nothing where none is close: in a sentence that says itself what is allowed."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5) or [k for k in known if word.split(".")[-1] in k]
    return f" (did you mean '{close[0]}'?)" if close else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or the allowed words where none is close: in a sentence that does not say them."""
    known = sorted(known)
    return closest(word, known) or (f" (allowed: {', '.join(known)})" if known else "")


def require_module(name: str, why: str, install: str) -> None:
    """Raise `Missing` when module `name` cannot be imported; `why` says what needs it."""
    import importlib

    try:
        importlib.import_module(name)
    except ImportError as error:
        detail = "" if isinstance(error, ModuleNotFoundError) and error.name == name.split(".")[0] else f" ({error})"
        raise Missing(f"{why} needs the package '{name}', which cannot be imported{detail}; {install}") from error


def from_os_error(error: OSError, doing: str) -> Failure:
    """An operating-system error as one sentence: `doing` is e.g. 'writing runs/a/model.safetensors'."""
    reason = error.strerror or str(error)
    free = ""
    if error.errno in (27, 28, 122):  # EFBIG, ENOSPC, EDQUOT
        free = "; free some space and run the same command again (a run: with --resume)"
    elif error.errno in (13, 30):  # EACCES, EROFS
        writes = doing.startswith("writing")
        free = (
            "; choose a folder that you may write to"
            if writes
            else "; check the permissions of what it reads and writes"
        )
    return Failure(f"{doing} failed: {reason}{free}; what was saved before is untouched")


def existing(path: Path, what: str) -> Path:
    """`path` if it is a file or a folder that can be read, else what is wrong with `what` (e.g. 'the dataset').

    Nothing is opened: a pipe would wait for ever, a device never end."""
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise G3dError(f"{what} '{path}' lies in a folder that you may not look into; check its permissions") from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and path.is_symlink():
            raise G3dError(f"{what} '{path}' is a link that leads nowhere; give the path of an existing one") from error
        there = path.parent.is_dir() and os.access(path.parent, os.R_OK)
        near = (
            closest(path.name, [p.name for p in path.parent.iterdir() if not p.name.startswith(".")]) if there else ""
        )
        raise G3dError(f"{what} '{path}' does not exist{near}; give the path of an existing one") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise G3dError(f"{what} '{path}' is {special(mode)}, from which g3d does not read; give a file or a folder")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise G3dError(f"{what} '{path}' cannot be read; check its permissions")
    return path


def special(mode: int) -> str:
    """What a thing is that is neither a file nor a folder."""
    kinds = (
        (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")
    )  # fmt: skip
    return next((word for test, word in kinds if test(mode)), "no regular file")
