"""What a fit will cost, said once its first steps are timed: parameters, memory, minutes. Short fits say nothing."""

from collections.abc import Callable

from g3d.progress import amount, duration
from g3d.training.log import now

WORTH_SAYING_S = 60.0
_TIMED_S = 1.0  # of steps that are timed, behind the first one, which compiles and warms up


class Forecast:
    """Of one process of a run."""

    def __init__(self) -> None:
        self.parameters = 0
        self._since: tuple[int, float] | None = None
        self._said = False

    def line(self, done: int, total: int, memory_mb: Callable[[], float]) -> str | None:
        """After `done` of `total` steps of this process: the line, once, where all of them take more than a minute."""
        if self._said or done >= total:
            return None
        if self._since is None:
            self._since = done, now()
            return None
        steps, seconds = done - self._since[0], now() - self._since[1]
        if seconds < _TIMED_S:
            return None
        self._said = True
        whole_s = seconds / steps * total
        if whole_s < WORTH_SAYING_S:
            return None
        return (
            f"{amount(self.parameters)} parameters to fit, {memory_mb() / 1024:.1f} GB of memory, {total:,} steps: about "
            f"{duration(whole_s)}"
        )
