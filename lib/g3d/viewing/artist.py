"""Draws for one browser: coarse while its camera moves, fine when it rests. A thread of its own; the last wish counts."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from g3d.cameras import Cameras
from g3d.images import U8
from g3d.render import FieldSettings, ImageSettings, RenderSettings, TriplaneSettings, empty, empty_space
from g3d.scenes.scene import MlpField, Scene
from g3d.viewing.picture import drawn

BUDGET_S = 0.1  # for a picture while the camera moves
REST_S = 0.25  # without a change, and the camera rests
LEAST_PX, FIRST_PX = 24, 64  # rows of a coarse picture: the fewest, and the first time
MOVING_SAMPLES = 32  # a ray of a coarse picture, at most: twice the rows say more than four times the samples
GRID_VIEWS = 100  # that a scene is likely to be seen from, so that its empty space is worth finding


@dataclass(frozen=True)
class Wish:
    """What the browser would like to see: a scene from a camera of the resting picture's size."""

    scene: Scene
    settings: RenderSettings
    camera: Cameras
    show: str
    rests: bool = False  # do not wait for it to rest: there is nothing coarse to show


Deliver = Callable[[U8, bool], None]  # a picture, and whether it is the fine one


def hasty(settings: RenderSettings) -> RenderSettings:
    """The settings of a coarse picture."""
    match settings:
        case FieldSettings():
            return replace(settings, samples=min(settings.samples, MOVING_SAMPLES))
        case TriplaneSettings():
            proposal = min(settings.proposal_samples, MOVING_SAMPLES)
            return replace(settings, samples=min(settings.samples, MOVING_SAMPLES), proposal_samples=proposal)
        case _:
            return settings


def without_background(settings: RenderSettings) -> RenderSettings:
    """The settings that a scene's form depends on, whatever it stands before."""
    return settings if isinstance(settings, ImageSettings) else replace(settings, background=())


class Artist:
    """A thread that draws the last wish, twice."""

    def __init__(self, deliver: Deliver, complain: Callable[[Exception], None]):
        self._deliver, self._complain = deliver, complain
        self._changed = threading.Condition()
        self._wish: Wish | None = None
        self._number, self._done, self._closed = 0, 0, False
        self._pixels_per_s = 0.0
        self._of: tuple[Scene, RenderSettings] | None = None  # that the grid belongs to
        self._grid: empty.Grid | None = None
        self.frames, self.seconds = 0, 0.0  # coarse ones so far
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, wish: Wish | None) -> None:
        """Draw this from now on; None: nothing."""
        with self._changed:
            self._wish = wish
            self._number += 1
            self._changed.notify()

    def close(self) -> None:
        """Stop; what is drawn at the moment is given up."""
        with self._changed:
            self._closed = True
            self._number += 1
            self._changed.notify()

    def idle(self) -> bool:
        """Whether all that was asked for is drawn, finely."""
        return self._done == self._number

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._done != self._number)
                if self._closed:
                    return
                wish, number = self._wish, self._number
            try:
                finished = wish is None or self._draw(wish, number)
            except Exception as error:  # a scene that cannot be drawn must not end the browser's thread
                self._complain(error)
                finished = True
            if finished:
                self._done = number

    def _draw(self, wish: Wish, number: int) -> bool:
        """Coarse at once, fine after a rest; False where another wish came first."""
        self._find_grid(wish)
        if not wish.rests:
            coarse = self._coarse(wish.camera)
            began = time.monotonic()
            picture = drawn(wish.scene, coarse, hasty(wish.settings), self._grid, wish.show)
            assert picture is not None
            took = max(time.monotonic() - began, 1e-4)
            self.frames, self.seconds = self.frames + 1, self.seconds + took
            pixels_per_s = coarse.width * coarse.height / took
            before = self._pixels_per_s or pixels_per_s
            self._pixels_per_s = 0.7 * before + 0.3 * pixels_per_s
            self._hand_over(picture, None)
            with self._changed:
                if self._changed.wait_for(lambda: self._number != number, REST_S):
                    return False
        fine = drawn(wish.scene, wish.camera, wish.settings, self._grid, wish.show, lambda: self._number == number)
        return fine is not None and self._hand_over(fine, number)

    def _hand_over(self, picture: U8, number: int | None) -> bool:
        """Give the picture away, the fine one of wish `number` where it still is the last wish, else a coarse one where any
        picture is wanted: after `ask(None)` none comes any more."""
        with self._changed:
            if self._closed or self._wish is None or number not in (None, self._number):
                return False
            self._deliver(picture, number is not None)
            return True

    def _coarse(self, camera: Cameras) -> Cameras:
        """As large as the time for a moving picture allows, by what the last ones took."""
        rows = (BUDGET_S * self._pixels_per_s * camera.height / camera.width) ** 0.5 if self._pixels_per_s else FIRST_PX
        rows = min(camera.height, max(LEAST_PX, round(rows)))
        return camera.resized(max(1, round(rows * camera.width / camera.height)), rows)

    def _find_grid(self, wish: Wish) -> None:
        """The scene's empty space, once."""
        settings = without_background(wish.settings)
        if self._of is not None and self._of[0] is wish.scene and self._of[1] == settings:
            return
        self._of, self._grid = (wish.scene, settings), None
        if isinstance(wish.scene, MlpField) and not isinstance(wish.settings, ImageSettings):
            many = wish.camera[[0] * GRID_VIEWS]
            self._grid = empty_space(wish.scene, replace(many, width=256, height=256), wish.settings)
