"""What is looked at: scenes of a folder, a model that makes them, or pictures with their cameras."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g3d import images
from g3d.cameras import Cameras
from g3d.images import U8
from g3d.scenes.scene import Scene
from g3d.scenes.scene_file import load_scene


@dataclass(frozen=True)
class Knob:
    """A control that a scene is made by: a whole number where `step` is one, one of `words` where there are some."""

    name: str
    value: float
    low: float
    high: float
    step: float = 1
    words: Sequence[str] = ()  # of the numbers from `low` on


@dataclass(frozen=True)
class Photographs:
    """Pictures and where they were taken, drawn as frusta."""

    pictures: Sequence[U8]
    cameras: Cameras


@dataclass(frozen=True)
class Subject:
    """Named things, each made when it is asked for; `load` raises `G3dError` or `OSError` for one that is gone."""

    title: str
    names: Sequence[str]
    load: Callable[[int, Mapping[str, Any]], Scene | U8]
    knobs: Sequence[Knob] = field(default_factory=tuple)
    photographs: Photographs | None = None


def of_scenes(title: str, files: Sequence[Path]) -> Subject:
    """Scene files, read again each time: what lies there may have changed, or be gone."""
    return Subject(title, [file.stem for file in files], lambda number, _: load_scene(files[number]))


def of_pictures(title: str, files: Sequence[Path], names: Sequence[str]) -> Subject:
    """Picture files."""
    return Subject(title, names, lambda number, _: images.read_image(files[number]))
