"""The setting that all kinds of scenes share: the colour behind."""

from g3d.config import setting


def background_setting() -> tuple[float, ...]:
    """A field of a settings class; its default comes from the scene."""
    default: tuple[float, ...] = setting((1.0, 1.0, 1.0), "colour behind, three numbers in [0, 1]", low=0, high=1)
    return default
