"""`make torture`: every kind of run of every method, killed again and again at random moments; it ends with the bytes of an
undisturbed one.

    python tests/torture.py --kills 30 [--seed 0] [--only WORDS]

Children are forked from this process, which has torch in memory: a start costs nothing, so that a kill can come at any moment,
also between the making of a run's folder and its first step. Several rounds a kind, each of some kills and one end; every third
round of a run begins with an empty folder, as versions left it that made the folder first.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fuzz

Words = list[object]
_CPU: Words = ["--device", "cpu"]


@dataclass(frozen=True)
class Kind:
    """A command without its --out; `resumes`: it goes on with --resume, else the same command does it again."""

    name: str
    words: Words
    resumes: bool = True


@dataclass
class Tally:
    """Of one kind: rounds, kills that hit, those that came before the first save, of these those that left a folder without a
    config.json (empty, or not yet under its name), and how the rounds ended."""

    kills: int = 0
    early: int = 0
    window: int = 0
    tried: int = 0
    equal: int = 0
    failed: int = 0
    why: str = ""


def child(words: Words, log: Path, most_bytes: int | None = None) -> int:
    """Run a command in a forked child, which may not write files larger than `most_bytes`; returns its process id."""
    from g3d_cli.main import main

    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        sys.stdout = sys.stderr = log.open("a", buffering=1)
        sys.argv = ["g3d", *map(str, words)]
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def ended(pid: int) -> int | None:
    """The exit code of a child that has ended by itself, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def undisturbed(words: Words, log: Path) -> int:
    """The exit code of a command that nobody kills."""
    return os.waitstatus_to_exitcode(os.waitpid(child(words, log), 0)[1])


def next_words(words: Words, out: Path, resumes: bool = True) -> Words:
    """The command that goes on, as a job's script chooses it: with --resume where there is a config.json."""
    return [*words, "--resume"] if resumes and (out / "config.json").is_file() else words


def gone(pid: int) -> bool:
    """Whether a child has ended by itself, and is only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


def _until(happens: Callable[[], bool], pid: int) -> bool:
    while not happens():
        if gone(pid):
            return False
        time.sleep(0.0005)
    return True


def some_moment(pid: int, out: Path, stream: random.Random) -> None:
    """Wait for a random moment: early in the start, when the folder has just come, or behind one to three saves."""
    state = out / "state.safetensors"
    kind = stream.randrange(6)
    if kind == 0:
        time.sleep(stream.uniform(0, 0.3))
    elif kind == 5:
        _until(
            lambda: any(out.parent.glob(f".{out.name}.*")) or (out / "config.json").is_file(), pid
        )  # it is being made
    elif kind == 1:
        if _until(out.exists, pid):
            time.sleep(stream.choice((0.0, stream.uniform(0, 0.01), stream.uniform(0, 0.3))))
    else:
        for _ in range(1 + kind % 3):
            before = state.stat().st_mtime_ns if state.is_file() else 0
            if not _until(lambda before=before: (state.stat().st_mtime_ns if state.is_file() else 0) != before, pid):  # type: ignore[misc]
                return
        time.sleep(stream.uniform(0, 0.02))


def round_of(kind: Kind, out: Path, kills: int, log: Path, stream: random.Random, tally: Tally) -> bool:
    """Some kills, then the end; whether every start ended well or by our kill."""
    words = [*kind.words, "--out", out]
    for _ in range(kills):
        if not kind.resumes and out.exists():
            return True  # it was whole before the kill came, which is all that appears
        pid = child(next_words(words, out, kind.resumes), log)
        if kind.resumes:
            some_moment(pid, out, stream)
        else:
            time.sleep(stream.uniform(0, 0.6))
        code = ended(pid)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            tally.kills += 1
            if kind.resumes and not (out / "state.safetensors").is_file():
                tally.early += 1
                tally.window += any(out.parent.iterdir()) and not (out / "config.json").is_file()
            continue
        if code == 0:
            return True  # it was done before the kill came
        tally.why = f"exit {code}: {log.read_text()[-600:]}"
        return False
    if not kind.resumes and out.exists():
        return True
    code = undisturbed(next_words(words, out, kind.resumes), log)
    tally.why = tally.why if code == 0 else f"exit {code}: {log.read_text()[-600:]}"
    return code == 0


def content(out: Path) -> dict[str, bytes]:
    """What is compared: artifacts, pictures and tables, not logs and times."""
    if out.is_file():
        return {"": out.read_bytes()}
    names = [p for p in sorted(out.rglob("*")) if p.suffix in (".safetensors", ".png", ".ply") and p.is_file()]
    return {str(p.relative_to(out)): p.read_bytes() for p in names}


def tortured(kind: Kind, room: Path, kills: int, stream: random.Random) -> Tally:
    """Rounds of up to ten kills, until there were `kills`."""
    tally, log = Tally(), room / "log.txt"
    assert undisturbed([*kind.words, "--out", room / "whole"], log) == 0, log.read_text()
    wanted = content(room / "whole")
    assert wanted
    while tally.kills < kills and tally.tried < kills:
        out = room / "cut" / "run"
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()
        if kind.resumes and tally.tried % 3 == 1:
            out.mkdir()
        log.write_text("")
        well = round_of(kind, out, min(10, kills - tally.kills), log, stream, tally)
        left = [str(p) for p in out.parent.rglob(".*") if p.name.endswith(".partial")]
        same = well and content(out) == wanted and not left
        if well and not same:
            differ = [n for n in {*wanted, *content(out)} if content(out).get(n) != wanted.get(n)]
            tally.why = f"differs in {differ[:5]}, left {left[:3]}"
        tally.tried, tally.equal, tally.failed = tally.tried + 1, tally.equal + same, tally.failed + (not same)
    return tally


def kinds(room: Path) -> list[Kind]:
    """Every kind of run, on small data made in `room`."""
    import numpy as np
    from commands import g3d
    from g3d.images import write_image
    from toy_faces import write_dataset

    def done(*words: object) -> None:
        result = g3d(*words)
        assert result.code == 0, result.err

    few = ("--num", 3, "--holdout", 1, "--views", 3, "--test-views", 1, "--size", 16, "--workers", 1)
    done("prepare-data", "procedural", "cars", *few, "--out", room / "data")
    done("prepare-data", "depth", room / "data", "--workers", 1, "--out", room / "deep")
    done("prepare-data", "procedural", "cars", *few, "--size", 24, "--out", room / "data24")
    heads = write_dataset(room / "heads")
    done(
        "fit-stage1",
        "mnif",
        "--data",
        room / "data",
        "--preset",
        "smoke",
        "--set",
        "epochs=2",
        *_CPU,
        "--out",
        room / "mnif",
    )
    done("fit-stage1", "vq3d", "--data", room / "deep", "--preset", "smoke", *_CPU, "--out", room / "vq3d")
    done("encode", room / "vq3d", "--data", room / "deep", "--out", room / "tokens.safetensors", *_CPU)
    done("fit-prior", room / "mnif", "--kind", "gaussian", *_CPU, "--out", room / "prior")
    for i in range(4):
        true = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        write_image(room / "true" / f"{i}.png", true)
        write_image(room / "coarse" / f"{i}.png", true // 2)
    done("decode", room / "mnif", room / "mnif", *_CPU, "--out", room / "scenes")
    pairs = (room / "coarse", room / "true")
    done("fit-refiner", *pairs, "--preset", "smoke", "--set", "steps=4", *_CPU, "--out", room / "refiner")
    often: Words = ["--save-every", 0, *_CPU]
    kept: Words = ["--checkpoint-every", 3, "--keep", 1]

    def stage1(method: str, data: Path, *settings: str) -> Kind:
        pairs = [word for pair in settings for word in ("--set", pair)]
        name = f"fit-stage1 {method}" + (" auto-decoding" if "adaptation=autodecode" in settings else "")
        return Kind(name, ["fit-stage1", method, "--data", data, "--preset", "smoke", *pairs, *kept, *often])

    codes, tokens = room / "mnif", room / "tokens.safetensors"
    small: Words = ["--set", "width=32", "--set", "epochs=40"]
    return [
        stage1("mnif", room / "data", "epochs=12"),
        stage1("mnif", room / "data", "epochs=12", "adaptation=autodecode"),
        stage1("hypernerfgan", room / "data", "kimg=0.02"),
        stage1("gsgan", room / "data24", "kimg=0.02", "background=true", "background_from_kimg=0.004"),
        stage1("vq3d", room / "deep"),
        stage1("infamous-nerf", heads, "steps=10"),
        Kind("fit-prior gaussian", ["fit-prior", codes, "--kind", "gaussian", *often]),
        Kind("fit-prior interpolation", ["fit-prior", codes, "--kind", "interpolation", *often]),
        Kind("fit-prior diffusion", ["fit-prior", codes, "--kind", "diffusion", *small, *kept, *often]),
        Kind("fit-prior autoregressive", ["fit-prior", tokens, "--kind", "autoregressive", "--preset", "smoke", *kept, *often]),
        Kind("fit-refiner", ["fit-refiner", *pairs, "--preset", "smoke", "--set", "steps=10", *often]),
        Kind("prepare-data", ["prepare-data", "procedural", "cars", *few], resumes=False),
        Kind("sample", ["sample", codes, "--prior", room / "prior", "--num", 6, *_CPU], resumes=False),
        Kind("decode", ["decode", codes, codes, *_CPU], resumes=False),
        Kind("encode", ["encode", codes, "--data", room / "data", *_CPU], resumes=False),
        Kind("render", ["render", room / "scenes", "--size", 16, "--cameras", "orbit:3", *_CPU], resumes=False),
        Kind("refine", ["refine", room / "coarse", "--refiner", room / "refiner", "--set", "ddim_steps=4", *_CPU], resumes=False),
    ]  # fmt: skip


def main_() -> None:
    """From the command line: a line a kind, and their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    fuzz.imported()
    room, whole = Path(tempfile.mkdtemp(prefix="g3d-torture-")), Tally()
    for kind in kinds(room):
        if options.only not in kind.name:
            continue
        place = room / kind.name.replace(" ", "-")
        place.mkdir()
        found = tortured(kind, place, options.kills, random.Random(f"{options.seed} {kind.name}"))
        print(json.dumps({"kind": kind.name, **vars(found)}), flush=True)
        for name in ("kills", "early", "window", "tried", "equal", "failed"):
            setattr(whole, name, getattr(whole, name) + getattr(found, name))
    print(json.dumps({"kind": "all", **vars(whole)}))
    if not whole.failed:
        shutil.rmtree(room)
    sys.exit(1 if whole.failed else 0)


if __name__ == "__main__":
    main_()
