"""Moves a camera by itself: around what it looks at, or along a path. A thread of its own while it plays."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.drawing.camera_path import Path3D, along

TICKS_PER_S = 20  # cameras that are asked for; as many are drawn as there is time for
Place = Callable[[float], Cameras]  # the share of a round, from 0 to 1 => one view


def around(camera: Cameras, pivot: Tensor) -> Place:
    """Once around the vertical line through `pivot` [3], from where one view stands."""

    def place(share: float) -> Cameras:
        c, s = math.cos(2 * math.pi * share), math.sin(2 * math.pi * share)
        turn = torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        c2w = camera.c2w.clone()
        c2w[0, :3, :3] = turn @ camera.c2w[0, :3, :3]
        c2w[0, :3, 3] = turn @ (camera.c2w[0, :3, 3] - pivot) + pivot
        return replace(camera, c2w=c2w)

    return place


def through(path: Path3D, seconds: float) -> Place:
    """Along the key frames, as `render --cameras path:JSON` flies."""
    views = along(path, max(2, round(seconds * TICKS_PER_S)))
    return lambda share: views[min(int(share * len(views)), len(views) - 1)]


class Player:
    """Plays one thing at a time."""

    def __init__(
        self, move: Callable[[Cameras], None], ended: Callable[[], None], complain: Callable[[Exception], None]
    ):
        self._move, self._ended, self._complain = move, ended, complain
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def plays(self) -> bool:
        """Whether the camera moves."""
        return self._thread is not None and self._thread.is_alive() and not self._stop.is_set()

    def start(self, place: Place, seconds: float, again: bool) -> None:
        """Take `seconds` for a round; `again` and again until `stop`, or once, which ends at the last place."""
        self.stop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(place, seconds, again, self._stop), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stand still; nothing where it stands."""
        self._stop.set()

    def _run(self, place: Place, seconds: float, again: bool, stop: threading.Event) -> None:
        rounds = max(1, round(seconds * TICKS_PER_S))
        tick = 0
        try:
            while not stop.wait(1 / TICKS_PER_S) and (again or tick < rounds):
                tick += 1
                self._move(place(tick % rounds / rounds if again else tick / rounds))
        except Exception as error:  # a browser that is gone must not end in a traceback
            stop.set()
            self._complain(error)
        if not stop.is_set():
            stop.set()
            self._ended()
