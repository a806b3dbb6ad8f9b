"""What a fit is said to cost."""

import pytest
from g3d import progress
from g3d.training import forecast


def test_a_long_fit_is_forecast_once_from_steps_behind_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(forecast, "now", lambda: clock[0])
    found, said = forecast.Forecast(), []
    found.parameters = 170_123_456
    for done in range(1, 20):
        clock[0] += 10.0 if done == 1 else 0.4  # the first step compiles
        said.append(found.line(done, 1000, lambda: 3584.0))
    lines = [line for line in said if line]
    assert lines == ["170 M parameters to fit, 3.5 GB of memory, 1,000 steps: about 7 min"]  # 1000 * 0.4 s
    assert said.index(lines[0]) == 3  # after steps 2 to 4, 1.2 s


def test_a_short_fit_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(forecast, "now", lambda: clock[0])
    found = forecast.Forecast()
    for done in range(1, 101):
        clock[0] += 0.5
        assert found.line(done, 101, lambda: 0.0) is None  # 50.5 s


def test_amounts_and_durations_are_short() -> None:
    assert [progress.amount(n) for n in (7, 12_345, 999_949, 2.5e9)] == ["7", "12.3 k", "1 M", "2.5 G"]
    assert [progress.duration(s) for s in (60, 5399, 5400, 172_800)] == ["1 min", "90 min", "1.5 h", "2.0 days"]
