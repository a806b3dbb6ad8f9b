"""The bar and the lines of progress: what is always said, and what only where there is room."""

import io
import re

import pytest
from g3d_cli import progress
from rich.console import Console

FIGURES = {"loss": 0.0123456, "gradient_norm": 12.5, "items_per_s": 3400.0, "peak_memory_mb": 1234.0}


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which a test sets."""
    clock = [0.0]
    monkeypatch.setattr("g3d_cli.progress.time.monotonic", lambda: clock[0])
    return clock


def _last_line(width: int, label: str, seconds: list[float]) -> str:
    """The bar after 2,500 of 10,000 steps in 30 s."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    with progress.terminal_progress(console) as bars:
        bars.start(label, 10_000)
        seconds[0] += 30
        bars.update(2_500, 10_000, **FIGURES)
        bars._bars.refresh()
        text = re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", out.getvalue())
    return re.split(r"[\r\n]", text.rstrip())[-1]


@pytest.mark.parametrize("width", [72, 80, 100, 132, 200])
@pytest.mark.parametrize("label", ["scenes", "fit-stage1 infamous-nerf"])
def test_bar_step_per_cent_and_eta_are_always_there_and_whole_figures_only(
    width: int, label: str, seconds: list[float]
) -> None:
    line = _last_line(width, label, seconds)
    assert len(line.rstrip()) <= width and line.startswith(label) and "━" in line
    assert "2500/10000  25% ETA 01:30" in line
    behind = line.partition("ETA 01:30")[2]
    found = dict(re.findall(r"(\w+) ([\d.e+]+)", behind))
    shown = {"loss": "0.01235", "gradient_norm": "12.5", "items_per_s": "3400", "peak_memory_mb": "1234"}
    assert found == dict(list(shown.items())[: len(found)])  # the first ones, none cut
    assert len(found) == 4 or width < 200
    assert found or width < 80


def test_piped_lines_carry_an_eta_that_a_resumed_run_does_not_count_its_earlier_steps_for(seconds: list[float]) -> None:
    out = io.StringIO()
    with progress.terminal_progress(Console(file=out, force_terminal=False, width=80)) as lines:
        lines.start("fit-prior diffusion", 1000)
        lines.update(600, 1000)  # what the process before had done
        seconds[0] = 31
        lines.update(610, 1000, loss=0.5)
    assert out.getvalue() == "fit-prior diffusion 610/1000 61% ETA 20:09 loss 0.5\n"


def test_eta_reads_as_clocks_do() -> None:
    assert [progress.eta(s) for s in (None, 59.6, 3599, 3600, 90_061)] == [
        "ETA --:--", "ETA 01:00", "ETA 59:59", "ETA 1:00:00", "ETA 25:01:01"
    ]  # fmt: skip
