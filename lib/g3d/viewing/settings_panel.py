"""The settings of a kind of scene as controls: a box to tick, a number, a choice, a text, each with its meaning."""

import typing
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Literal

from g3d import config
from g3d.render import RenderSettings

ELSEWHERE = ("background",)  # has a control of its own


class SettingsPanel:
    """Controls under a folder; `pairs()` is what `--set` would be."""

    def __init__(self, gui: Any, defaults: RenderSettings, changed: Callable[[Any], None]):
        self._defaults = defaults
        self._controls: dict[str, Any] = {}
        types = typing.get_type_hints(type(defaults))
        names = [f.name for f in fields(defaults) if f.name not in ELSEWHERE]
        self.folder = gui.add_folder("Settings", expand_by_default=False, visible=bool(names))
        with self.folder:
            for f in fields(defaults):
                if f.name in names:
                    about = str(f.metadata.get("doc", ""))
                    control = _control(gui, f.name, getattr(defaults, f.name), types[f.name], about)
                    control.on_update(changed)
                    self._controls[f.name] = control

    def fits(self, defaults: RenderSettings) -> bool:
        """Whether the controls are those of these defaults."""
        return self._defaults == defaults

    def pairs(self) -> Sequence[str]:
        """What was changed, as key=value."""
        shown = {name: control.value for name, control in self._controls.items()}
        return [f"{n}={_word(v)}" for n, v in shown.items() if v != getattr(self._defaults, n)]

    def remove(self) -> None:
        """Take the controls away."""
        self.folder.remove()


def settings_with(defaults: RenderSettings, pairs: Sequence[str], background: Sequence[float] | None) -> RenderSettings:
    """The defaults with what was changed; refuses, in one sentence, what cannot be."""
    more = [] if background is None else ["background=" + ",".join(f"{x:.6g}" for x in background)]
    return config.override(defaults, [*pairs, *more], "the scene")


def _control(gui: Any, name: str, value: Any, kind: Any, about: str) -> Any:
    label, hint = name.replace("_", " "), about or None
    if typing.get_origin(kind) is Literal:
        return gui.add_dropdown(label, [str(a) for a in typing.get_args(kind)], initial_value=value, hint=hint)
    if isinstance(value, bool):
        return gui.add_checkbox(label, value, hint=hint)
    if isinstance(value, int | float):
        return gui.add_number(label, value, step=1 if isinstance(value, int) else 0.001, hint=hint)
    return gui.add_text(label, str(value), hint=hint)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
