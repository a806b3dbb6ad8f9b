"""The callbacks of one browser: one at a time, and none waits for a slow one only to draw what stands by then anyway."""

import threading
from collections.abc import Callable
from typing import Any

Callback = Callable[[Any], None]


class Callbacks:
    """Callbacks come from threads that all browsers share; one whose browser is busy must give its thread back."""

    def __init__(self, load: Callable[[], object], redraw: Callable[[], object], complain: Callable[[Exception], None]):
        self._load, self._redraw, self._complain = load, redraw, complain
        self._busy = threading.RLock()  # a control that is set by another one's callback has its own called within
        self._noting = threading.Lock()
        self._load_is_due, self._draw_is_due = False, False

    def heeded(self, action: Callable[[Any], object]) -> Callback:
        """Done each time, after what is being done. A failure is complained of: no traceback on the terminal."""

        def call(event: Any) -> None:
            with self._busy:
                try:
                    action(event)
                except Exception as error:
                    self._complain(error)
            self._catch_up()

        return call

    def soon(self, load: bool = False) -> Callback:
        """Reads the scene, or only draws it again: at once, or, once for all who asked, after what is being done."""

        def call(_: Any = None) -> None:
            with self._noting:
                self._load_is_due, self._draw_is_due = self._load_is_due or load, True
            self._catch_up()

        return call

    def _catch_up(self) -> None:
        """Who finds the browser busy leaves; who was busy looks here again when it is done."""
        while self._draw_is_due and self._busy.acquire(blocking=False):
            try:
                with self._noting:
                    load, self._load_is_due, self._draw_is_due = self._load_is_due, False, False
                (self._load if load else self._redraw)()
            except Exception as error:
                self._complain(error)
            finally:
                self._busy.release()
