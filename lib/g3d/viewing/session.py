"""One browser: its controls, its camera, what it sees. Several browsers do not know of each other."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from g3d.cameras import SIDE_MOST, CameraPrior, Cameras
from g3d.drawing.camera_path import Path3D, path_json
from g3d.drawing.whole_view import cameras_of
from g3d.errors import G3dError
from g3d.images import U8, encode
from g3d.render import ImageSettings, default_settings
from g3d.render.gaussians import GaussianSettings
from g3d.scenes.scene import Gaussians, MlpField, Scene, Triplane, World
from g3d.viewing import shapes
from g3d.viewing.artist import Artist, Wish, without_background
from g3d.viewing.callbacks import Callbacks
from g3d.viewing.picture import KINDS, drawn, fitted
from g3d.viewing.player import Player, around, through
from g3d.viewing.poses import ahead_world, camera_of, fov_rad, move
from g3d.viewing.settings_panel import SettingsPanel, settings_with
from g3d.viewing.subject import Subject

HEIGHT_PX, LEAST_PX = 512, 64  # of the resting picture
PICTURE, PLAY, STOP = "picture", "Play", "Stop"
ROUND_S = 8
_BY_BROWSER = {"Gaussians": "splats", "MlpField": "mesh", "Triplane": "mesh"}


class Session:
    """What a browser sees and controls."""

    def __init__(self, client: Any, subject: Subject):
        self._client, self._subject = client, subject
        self._calls = Callbacks(self._load, self._redraw, self._complain)
        self._scene: Scene | U8 | None = None
        self._panel: SettingsPanel | None = None
        self._shape: Any = None  # what the browser draws
        self._shape_of: tuple[Scene, Any] | None = None
        self._no_shape: G3dError | None = None  # why there is none
        self._flat: U8 | None = None  # the picture file that is seen
        self._gone = False
        self._begun = False  # with the default camera of the first scene that has one
        self._own_background: Any = None  # of the scene that was seen last
        self._keys: list[Cameras] = []
        self._next_camera = 0
        self.picture: U8 | None = None  # the last one that was sent, and whether it is the fine one
        self.fine = False
        self.artist = Artist(self._deliver, self._complain)
        self._ahead_world = 1.0  # of what is looked at, while it plays
        self.player = Player(
            lambda camera: self._place(camera, self._ahead_world), lambda: self._set_playing(False), self._complain
        )
        self._build()
        self._frusta = [] if subject.photographs is None else shapes.add_frusta(client.scene, subject.photographs)
        for handle in self._frusta:
            handle.on_click(self._calls.heeded(lambda event: self._to_photograph(int(event.target.name[-6:]))))
        self._calls.soon(load=True)(None)
        client.camera.on_update(self._calls.soon())

    def close(self) -> None:
        """The browser is gone."""
        self._gone = True
        self.player.stop()
        self.artist.close()

    def _build(self) -> None:
        """The controls that every subject has."""
        gui, subject, redraw, reload = self._client.gui, self._subject, self._calls.soon(), self._calls.soon(load=True)
        self.note = gui.add_markdown("", visible=False)
        several = len(subject.names) > 1
        self.number = gui.add_slider("Scene", 0, max(1, len(subject.names) - 1), 1, 0, visible=several)
        self.number.on_update(reload)
        self.name = gui.add_markdown("")
        self.knobs = {}
        for knob in subject.knobs:
            whole = knob.step == 1
            numbers = [int(x) if whole else x for x in (knob.low, knob.high, knob.step, knob.value)]
            control: Any
            if knob.words:
                control = gui.add_dropdown(
                    knob.name, list(knob.words), initial_value=knob.words[int(knob.value - knob.low)]
                )
            else:
                control = gui.add_slider(knob.name, *numbers)
            control.on_update(reload)
            self.knobs[knob.name] = control
        self.show = gui.add_dropdown("Show", list(KINDS), initial_value=KINDS[0])
        self.way = gui.add_dropdown("Drawn as", (PICTURE, "splats", "mesh"), initial_value=PICTURE)
        self.background = gui.add_rgb("Background", (255, 255, 255))
        self.fov = gui.add_slider("Field of view", 5.0, 120.0, 0.5, 45.0)
        self.height = gui.add_slider("Rows at rest", LEAST_PX, 2048, 16, HEIGHT_PX)
        for control in (self.show, self.way, self.background, self.height):
            control.on_update(redraw)
        self.fov.on_update(self._calls.heeded(lambda _: self._set_fov()))
        self._button("Default camera", lambda: self._to_default())
        self._button("Next training camera", lambda: self._to_training())
        self.play = self._button(PLAY, lambda: self._play())
        with gui.add_folder("Camera path", expand_by_default=False):
            self.closed = gui.add_checkbox("Closed", False)
            self.round_s = gui.add_slider("Seconds to play", 2, 60, 1, ROUND_S)
            self._button("Add key frame", lambda: self._add_key())
            self._button("Clear", lambda: self._clear_keys())
            self._button("Save path", lambda: self._save_path())
        with gui.add_folder("Screenshot", expand_by_default=False):
            self.shot = gui.add_vector2("Width, height", (512.0, 512.0), min=(1, 1), max=(SIDE_MOST, SIDE_MOST), step=1)
            self._button("Save picture", lambda: self._screenshot())

    def _button(self, label: str, action: Callable[[], object]) -> Any:
        button = self._client.gui.add_button(label)
        button.on_click(self._calls.heeded(lambda _: action()))
        return button

    def _complain(self, error: Exception) -> None:
        known = isinstance(error, G3dError | OSError)
        self._say(f"**{error if known else f'{type(error).__name__}: {error}'}**")

    def _say(self, text: str) -> None:
        self.note.content, self.note.visible = text, bool(text)

    def _load(self) -> None:
        """The scene that the controls name; one that is gone is said, and the one before stays."""
        values: dict[str, Any] = {}
        for knob in self._subject.knobs:
            told = self.knobs[knob.name].value
            values[knob.name] = knob.low + knob.words.index(told) if knob.words else told
        place = min(int(self.number.value), len(self._subject.names) - 1)
        self._scene = self._subject.load(place, values) if self._subject.names else None
        self.name.content = self._subject.names[place] if self._subject.names else self._subject.title
        if not isinstance(self._scene, Gaussians | MlpField | Triplane):
            self.way.options = (PICTURE,)
        else:
            defaults = default_settings(self._scene)
            if self._panel is None or not self._panel.fits(defaults):
                if self._panel is not None:
                    self._panel.remove()
                self._panel = SettingsPanel(self._client.gui, defaults, self._calls.soon())
            flat = isinstance(defaults, ImageSettings)
            self.way.options = (PICTURE,) if flat else (PICTURE, _BY_BROWSER[type(self._scene).__name__])
            if not flat:
                self._follow_background(self._scene)
        if not self._begun:
            self._begun = not isinstance(self._scene, MlpField) or self._scene.signal != "image"  # which has no camera
            self._to_default()
        self._redraw()

    def _follow_background(self, scene: Scene) -> None:
        """A scene stands before its own background, unless the user has chosen another one."""
        own = tuple(round(255 * x) for x in scene.world.background)
        if self._own_background in (None, tuple(self.background.value)):
            self.background.value = own
        self._own_background = own

    def _settings(self, scene: Scene) -> Any:
        defaults = default_settings(scene)
        assert self._panel is not None
        flat = isinstance(defaults, ImageSettings)
        return settings_with(defaults, self._panel.pairs(), None if flat else [x / 255 for x in self.background.value])

    def _redraw(self) -> None:
        """Ask for what the controls and the camera say."""
        camera = camera_of(self._client.camera, int(self.height.value))
        self._enable()
        if not isinstance(self._scene, Gaussians | MlpField | Triplane):
            shapes.hide_near(self._frusta, self._client.camera.position)
            self.artist.ask(None)
            if self._scene is not None:
                self._show_flat(self._scene, camera.width, camera.height)
            return
        settings = self._settings(self._scene)
        if self.way.value == PICTURE:
            self._drop_shape()
            flat = isinstance(settings, ImageSettings)
            self.artist.ask(Wish(self._scene, settings, camera, self.show.value, rests=flat))
        else:
            self.artist.ask(None)
            self._show_shape(self._scene, settings, camera)
        self._say("")

    def _show_flat(self, picture: U8, width: int, height: int) -> None:
        """A picture file, sent once, not whenever the camera moves."""
        size = (height, width, 3)
        if self._flat is not picture or self.picture is None or self.picture.shape != size:
            self._deliver(fitted(picture, width, height), True)
            self._flat = picture

    def _enable(self) -> None:
        """Controls without an effect on what is seen are grey."""
        scene = self._scene
        turns = isinstance(scene, Gaussians | Triplane) or (isinstance(scene, MlpField) and scene.signal != "image")
        here = self.way.value == PICTURE
        for control, useful in ((self.show, turns and here), (self.background, turns), (self.height, here)):
            if control.disabled == useful:
                control.disabled = not useful

    def _show_shape(self, scene: Scene, settings: Any, camera: Cameras) -> None:
        """What the browser turns by itself, sent again only when it changes."""
        self._client.scene.set_background_image(_plain(settings.background), format="png")
        form = without_background(settings)
        if self._shape_of is None or self._shape_of[0] is not scene or self._shape_of[1] != form:
            self._drop_shape()
            self._shape_of = (scene, form)
            try:
                self._shape = self._made_shape(scene, settings, camera)
            except G3dError as error:
                self._no_shape = error
        if self._no_shape is not None:  # said again while the camera moves, not tried again
            raise self._no_shape

    def _made_shape(self, scene: Scene, settings: Any, camera: Cameras) -> Any:
        if isinstance(scene, Gaussians):
            assert isinstance(settings, GaussianSettings)
            return shapes.add_splats(self._client.scene, scene, settings, camera)
        return shapes.add_mesh(self._client.scene, scene)

    def _drop_shape(self) -> None:
        if self._shape is not None:
            self._shape.remove()
        self._shape, self._shape_of, self._no_shape = None, None, None

    def _deliver(self, picture: U8, fine: bool) -> None:
        """Send a picture: exact at rest, small on the way while the camera moves."""
        self._client.scene.set_background_image(picture, format="png" if fine else "jpeg")
        self.picture, self.fine = picture, fine

    def _prior(self) -> CameraPrior:
        scene = self._scene
        return cameras_of(scene.world if isinstance(scene, Gaussians | MlpField | Triplane) else World())

    def _go(self, camera: Cameras, ahead: float) -> None:
        self.fov.value = round(2 * torch.rad2deg(torch.tensor(fov_rad(camera) / 2)).item(), 1)
        self._place(camera, ahead)

    def _to_default(self) -> None:
        if self._subject.photographs is None:
            self._go(self._prior().default(), self._prior().radius_world)
        else:
            self._to_photograph(0)

    def _to_training(self) -> None:
        """The next of the photographs' cameras, or of those that the model's training views were drawn from."""
        shots = self._subject.photographs
        if shots is not None:
            self._to_photograph(self._next_camera % len(shots.cameras))
        else:
            self._go(self._prior().sample(0, [self._next_camera]), self._prior().radius_world)
            self._next_camera += 1

    def _to_photograph(self, number: int) -> None:
        assert self._subject.photographs is not None
        cameras = self._subject.photographs.cameras
        self._next_camera = number + 1
        self._go(cameras[number], ahead_world(cameras, number))
        if number < len(self._subject.names):
            self.number.value = number

    def _play(self) -> None:
        """Fly along the key frames where there are two, else turn; or stop that."""
        if self.player.plays:
            self.player.stop()
            self._set_playing(False)
            return
        self._set_playing(True)
        seconds, handle = float(self.round_s.value), self._client.camera
        pivot, eye = (torch.tensor([float(x) for x in place]) for place in (handle.look_at, handle.position))
        self._ahead_world = float((pivot - eye).norm())  # once: on the way the browser tells of places that it has left
        if len(self._keys) > 1:
            self.player.start(through(self._path(), seconds), seconds, bool(self.closed.value))
        else:
            self.player.start(around(camera_of(handle, int(self.height.value)), pivot), seconds, True)

    def _set_playing(self, plays: bool) -> None:
        self.play.label = STOP if plays else PLAY

    def _place(self, camera: Cameras, ahead_world: float) -> None:
        """The browser's camera, in one message."""
        with self._client.atomic():
            move(self._client.camera, camera, ahead_world)

    def _set_fov(self) -> None:
        self._client.camera.fov = float(torch.deg2rad(torch.tensor(float(self.fov.value))))
        self._redraw()

    def _add_key(self) -> None:
        self._keys.append(camera_of(self._client.camera, int(self.height.value)))
        self._count_keys()

    def _clear_keys(self) -> None:
        self._keys.clear()
        self._count_keys()

    def _count_keys(self) -> None:
        self._say(f"{len(self._keys)} key frame{'' if len(self._keys) == 1 else 's'}")

    def _path(self) -> Path3D:
        """The key frames, all of the first one's size."""
        first = self._keys[0]
        c2w, k = (torch.cat([getattr(key, name) for key in self._keys]) for name in ("c2w", "intrinsics"))
        scale = torch.tensor([[first.height / key.height] for key in self._keys])
        k = torch.cat([k[:, :2] * scale, first.intrinsics[:, 2:].expand(len(k), 2)], dim=1)
        return Path3D(replace(first, c2w=c2w, intrinsics=k), bool(self.closed.value) and len(c2w) > 1)

    def path_bytes(self) -> bytes:
        """The key frames as `render --cameras path:JSON` reads them."""
        if not self._keys:
            raise G3dError("there are no key frames yet; add some")
        return (json.dumps(path_json(self._path()), indent=1) + "\n").encode()

    def _save_path(self) -> None:
        self._client.send_file_download("path.json", self.path_bytes(), save_immediately=True)

    def screenshot(self, width: int, height: int) -> Callable[[], U8 | None]:
        """What draws the scene from where the browser looks, at any size, as things stand now; None once the browser is gone."""
        scene = self._scene
        if not isinstance(scene, Gaussians | MlpField | Triplane):
            raise G3dError("there is no scene to draw; save the picture itself")
        camera = camera_of(self._client.camera, height)
        k = camera.intrinsics.clone()
        k[:, 2:] = torch.tensor([width / 2, height / 2])
        wide = replace(camera, intrinsics=k, width=width, height=height)
        settings, show = self._settings(scene), self.show.value

        return lambda: drawn(scene, wide, settings, None, show, lambda: not self._gone)

    def _screenshot(self) -> None:
        """In a thread of its own: a large one takes minutes."""
        draw = self.screenshot(*(int(x) for x in self.shot.value))

        def save() -> None:
            try:
                made = draw()
                if made is not None:
                    self._client.send_file_download("picture.png", encode(made), save_immediately=True)
            except Exception as error:
                self._complain(error)

        threading.Thread(target=save, daemon=True).start()


def _plain(colour: Any) -> U8:
    """A picture of one colour."""
    return (torch.tensor(colour) * 255).round().to(torch.uint8).expand(2, 2, 3).contiguous().numpy()
