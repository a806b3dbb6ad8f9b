"""`make fuzz`: inputs changed by a seeded stream, each given to a command: no traceback, no hang, no memory without end.

    python tests/fuzz.py --inputs 5000 --seed 0 [--only NUMBERS]

Each input is read by a child forked from this process, which has torch in memory. Its resident memory may grow by 2 GB above what
it started with, and it may work for 20 s. These are a processor's seconds, since a shared machine's clock says nothing about the
input: a child hangs when it has used more, or when it has used none at all for a minute of the clock (it waits for something, as
for the other end of a FIFO), or, whatever it does, after ten minutes. Exit 0 is well, exit 2 with one sentence too; what is left
where a command refused is a fault as well.
"""

import argparse
import contextlib
import ctypes
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import g3d
import g3d_cli
import mutators
import torch

MEMORY, SECONDS, STILL_S, CLOCK_S = 2 << 30, 20.0, 60.0, 600.0
_TICK, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
Words = Callable[[Path, Path], Sequence[object]]  # (the input, the output) => a command


@dataclass(frozen=True)
class Target:
    """A command that reads something: a file, or a folder of which one file is changed."""

    name: str
    source: Path
    words: Words
    files: tuple[str, ...] = ()  # of a folder


@dataclass
class Result:
    """What came of all inputs."""

    tried: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    largest_mb: float = 0.0
    longest_s: float = 0.0

    def fault(self, kind: str, number: int, target: Target, text: str) -> None:
        """One more of a kind, with what it said."""
        self.faults[kind] += 1
        self.told.append(f"--only {number} ({target.name}): {kind}: {text[-1500:]}")
        print(self.told[-1], file=sys.stderr, flush=True)


def run(targets: Sequence[Target], numbers: Sequence[int], seed: int, room: Path) -> Result:
    """Try the inputs of these numbers."""
    result = Result()
    for number in numbers:
        stream = random.Random(f"{seed} {number}")
        target = targets[number % len(targets)]
        place = room / "try"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        given = prepared(target, place, stream)
        if result.tried % 250 == 249:
            print(f"{result.tried + 1} inputs, faults {dict(result.faults)}", file=sys.stderr, flush=True)
        said, out = place / "said.txt", place / "out"
        words = [str(word) for word in target.words(given, out)]
        code, grown, seconds, why = watched(words, said)
        result.tried += 1
        result.codes[code] += 1
        result.largest_mb, result.longest_s = max(result.largest_mb, grown / 2**20), max(result.longest_s, seconds)
        text = said.read_text(errors="replace")
        if why:
            result.fault(why, number, target, text)
        elif "Traceback" in text or code not in (0, 2):
            result.fault("traceback" if "Traceback" in text else f"exit {code}", number, target, text)
        elif code == 2 and _left(place, words[0]):
            result.fault("left something", number, target, text)
    return result


def _left(place: Path, command: str) -> bool:
    """Whether something of an output is there; `prepare-data` keeps what it has made beside it, and goes on with it."""
    return any(p.name.startswith("out") or command != "prepare-data" for p in place.glob("*out*"))


def prepared(target: Target, place: Path, stream: random.Random) -> Path:
    """The input, with one file of it changed; now and then with a thing in its place that is no file."""
    given = place / f"in{target.source.suffix}"
    if target.source.is_dir():
        shutil.copytree(target.source, given, symlinks=True)
        file = given / stream.choice(target.files)
    else:
        shutil.copy(target.source, given)
        file = given
    data = file.read_bytes()
    file.unlink()
    match stream.randrange(60):
        case 0:
            os.mkfifo(file)
        case 1:
            file.symlink_to("/dev/zero")
        case 2:
            file.symlink_to(file)
        case 3:
            file.mkdir()
        case 4:
            with file.open("wb") as stream_out:
                stream_out.truncate(3 << 30)
        case _:
            file.write_bytes(mutators.mutated(data, file.suffix, stream))
    return given


def watched(words: Sequence[str], said: Path) -> tuple[int, int, float, str]:
    """Run a command in a child: its exit code, the bytes that it grew by, its seconds, and why it was ended, if it was."""
    from g3d_cli.main import main

    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)  # a child that fills pages which this process kept would not grow
    told, tell = os.pipe()  # the child's memory before it works: a busy machine may look at it only when it has grown
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.write(tell, b"%d" % _resident(os.getpid()))
            os.close(tell)
            sys.stdout = sys.stderr = said.open("w", buffering=1)
            os.dup2(sys.stdout.fileno(), 1)
            os.dup2(sys.stdout.fileno(), 2)
            os.setsid()
            sys.argv = ["g3d", *words]
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(tell)
    with os.fdopen(told) as pipe:
        first = int(pipe.read() or 0)
    start, grown, why = time.monotonic(), 0, ""
    before, moved = 0.0, start  # the processor's seconds, and when they last became more
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        grown = max(grown, _resident(pid) - first)
        used, now = _processor_s(pid), time.monotonic()
        before, moved = (used, now) if used > before else (before, moved)
        hangs = used > SECONDS or now - moved > STILL_S or now - start > CLOCK_S
        why = "over memory" if grown > MEMORY else "hang" if hangs else ""
        if why:
            os.killpg(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            break
        time.sleep(0.003)
    return os.waitstatus_to_exitcode(status), grown, time.monotonic() - start, why


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _processor_s(pid: int) -> float:
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / _TICK
    except (OSError, IndexError):
        return 0.0


def imported() -> None:
    """Everything that commands import, once for all children; and as it is now, whatever is written meanwhile."""
    for package in (g3d_cli, g3d):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "gpu" not in module.name:
                importlib.import_module(module.name)


def main_() -> None:
    """From the command line."""
    import fuzz_targets

    imported()
    torch.set_num_threads(1)  # a child forked from a process with a pool of threads waits for them for ever
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+")
    options = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="g3d-fuzz-"))
    os.environ["G3D_CACHE"] = str(room / "cache")
    targets = fuzz_targets.targets(room)
    numbers = options.only or range(options.first, options.first + options.inputs)
    result = run(targets, numbers, options.seed, room)
    if options.only is not None:
        print((room / "try" / "said.txt").read_text(errors="replace"), room)
    else:
        shutil.rmtree(room, ignore_errors=True)
    print(json.dumps(_summary(result, len(targets), options.seed), sort_keys=True))
    sys.exit(1 if result.faults else 0)


def _summary(result: Result, targets: int, seed: int) -> dict[str, Any]:
    return {
        "tried": result.tried, "targets": targets, "seed": seed,
        "exit_codes": {str(k): v for k, v in sorted(result.codes.items())},
        "faults": dict(result.faults), "largest_growth_mb": round(result.largest_mb), "longest_s": round(result.longest_s, 1),
    }  # fmt: skip


if __name__ == "__main__":
    main_()
