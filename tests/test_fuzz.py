"""The short form of `make fuzz`; and the harness itself sees a traceback, a hang, and memory without end."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fuzz
import g3d_cli.main
import pytest

INPUTS = 90
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


def filled() -> list[bytearray]:
    """640 MB."""
    return [bytearray(b"x" * (1 << 24)) for _ in range(40)]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Children say what they say into files, and leave by themselves."""
    sys.stdout.flush()
    yield


@pytest.fixture
def keeping() -> Iterator[None]:
    """glibc gives nothing back to the system."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 1 << 25), libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
    yield
    libc.mallopt(_MMAP_THRESHOLD, 1 << 17), libc.mallopt(_TRIM_THRESHOLD, 1 << 17)


@pytest.mark.slow
def test_changed_inputs_end_in_a_sentence_or_well(quiet: None, tmp_path: Path) -> None:
    import fuzz_targets

    targets = fuzz_targets.targets(tmp_path)
    result = fuzz.run(targets, range(1_000_000, 1_000_000 + INPUTS), 0, tmp_path)
    assert result.tried == INPUTS and len(targets) > 60
    assert not result.faults, "\n".join(result.told)
    assert result.codes[2] > INPUTS // 5 and result.codes[0] > INPUTS // 10, result.codes


@pytest.mark.parametrize(
    "fault",
    [
        "traceback", "hang", "hang, waiting", "over memory", "over memory, seen late", "over memory, of freed pages",
        "left something", "exit 1", "",
    ],
)  # fmt: skip
def test_the_harness_sees_what_it_looks_for(
    fault: str, quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def command() -> None:
        match fault:
            case "traceback":
                raise ValueError("odd")
            case "hang":
                while True:
                    pass
            case "hang, waiting":
                os.mkfifo(tmp_path / "fifo")
                (tmp_path / "fifo").read_bytes()
            case _ if fault.startswith("over memory"):
                kept = filled()
                while kept:
                    pass
            case "left something":
                Path(sys.argv[2]).write_text("half")
                sys.exit(2)
            case "exit 1":
                sys.exit(1)

    if fault.endswith("freed pages"):  # a process that has done much keeps pages that it no longer uses
        request.getfixturevalue("keeping")
        filled()
    if fault.endswith("seen late"):  # a busy machine: the child has grown before its parent goes on
        fork = os.fork

        def late() -> int:
            pid = fork()
            time.sleep(bool(pid))
            return pid

        monkeypatch.setattr(os, "fork", late)
    monkeypatch.setattr(fuzz, "SECONDS", 0.5 if fault == "hang" else 20.0)  # a busy machine is no hang
    monkeypatch.setattr(fuzz, "STILL_S", 2.0 if fault == "hang, waiting" else 60.0)
    monkeypatch.setattr(fuzz, "MEMORY", 1 << 28)
    monkeypatch.setattr(g3d_cli.main, "main", command)
    (tmp_path / "seed.txt").write_text("sound")
    target = fuzz.Target("t", tmp_path / "seed.txt", lambda given, out: ["do", out])
    result = fuzz.run([target], [7], 0, tmp_path)
    assert result.tried == 1 and dict(result.faults) == ({fault.partition(",")[0]: 1} if fault else {}), result.told
