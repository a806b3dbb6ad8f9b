"""The methods by name. A method is a value of the contract (`contract.py`); nothing else in the project knows their names.

Other packages add theirs by the entry-point group `g3d.methods`.
"""

from collections.abc import Sequence
from typing import Any

from g3d import config
from g3d.methods.contract import CALLS, Method, refuse_idle
from g3d.plugins import Registry

METHODS: Registry[Method[Any, Any]] = Registry(
    "method",
    "g3d.methods",
    {
        "mnif": "g3d.methods.mnif:METHOD",
        "hypernerfgan": "g3d.methods.hypernerfgan:METHOD",
        "gsgan": "g3d.methods.gsgan:METHOD",
        "vq3d": "g3d.methods.vq3d:METHOD",
        "infamous-nerf": "g3d.methods.infamous_nerf:METHOD",
    },
    lambda found: isinstance(found, Method),
    lambda found: found.name,
    CALLS,
)


def method(name: str) -> Method[Any, Any]:
    """The method of this name, or a sentence with the names that there are."""
    return METHODS.get(name)


def settings_of(name: str, preset: str | None, pairs: Sequence[str]) -> Any:
    """The settings of a method: its defaults or a preset, with `key=value` pairs over them; none without effect."""
    found = method(name)
    start = config.preset(found.presets, preset, name) if preset else found.config()
    settings = config.override(start, pairs, name)
    refuse_idle(found, settings, start, [pair.partition("=")[0].strip() for pair in pairs])
    return settings
