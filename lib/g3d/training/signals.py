"""SIGINT, SIGTERM and SIGUSR1 (what batch schedulers send before they end a job) as a flag that a loop looks at."""

import signal
from types import FrameType
from typing import Any

CAUGHT = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Signals:
    """While entered, the first signal raises the flag; a second Ctrl-C ends at once, with what was saved before whole."""

    def __init__(self) -> None:
        self.raised: int | None = None
        self._before: dict[int, Any] = {}

    def exit_signal(self) -> int:
        """The signal that the exit code names: 130 for Ctrl-C, 143 for everything that asks the process to end."""
        return signal.SIGINT if self.raised == signal.SIGINT else signal.SIGTERM

    def __enter__(self) -> "Signals":
        try:
            for number in CAUGHT:
                self._before[number] = signal.signal(number, self._take)
        except ValueError:  # not in the main thread: a caller from Python keeps its own handlers
            pass
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.raised is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.raised = number
