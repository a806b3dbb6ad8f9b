"""The words of `--cameras`, and the cameras that they mean for a scene.

default            the scene's own default camera
orbit[:N]          N views once around at the default elevation (60)
spiral[:N]         N fixed views that cover the prior's band evenly (251)
grid[:RxC[:A,B:E,F]]  R elevations by C azimuths (3x5); of these ranges, degrees: azimuth A to B, elevation E to F
far[:X]            the default camera, X times as far away (3)
disc:R[:N]         N views (1) drawn uniformly in a disc of radius R world units around the default camera, aimed as it is
ring:R[:N]         N views (60) evenly on the rim of that disc
prior              one view a scene, drawn from where the training cameras stood
dataset:DIR[:SPLIT]   the views of the item that the scene shows; one view of the set, drawn, for a scene without a name
file:JSON          the cameras of a transforms.json
path:JSON[:N]      N views along a smooth path through them, its key frames (24 between two)
"""

import math
import os
import re
from dataclasses import replace
from pathlib import Path

import torch

from g3d.cameras import SIDE_MOST, CameraPrior, Cameras, read_transforms
from g3d.data.columns import SPLITS
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.drawing.camera_path import along, read_path
from g3d.errors import G3dError, did_you_mean
from g3d.scenes.scene import Scene, World
from g3d.seeds import rng

VIEWS_MOST = 10_000  # of a scene, as for the views of an object in a dataset
FAR_MOST = 1_000_000
KINDS = ("orbit", "spiral", "grid", "far", "disc", "ring", "prior", "default", "dataset", "file", "path")


def inputs_of(spec: str) -> tuple[Path, ...]:
    """The file or folder that the words of `--cameras` name, which no output may replace."""
    kind, _, name = spec.partition(":")
    if kind not in ("dataset", "file", "path"):
        return ()
    whole = os.path.exists(name) or ":" not in name  # noqa: PTH110  (a name too long is none)
    return (Path(name if whole else name.rpartition(":")[0]),)


class CameraPlan:
    """The words of `--cameras`, and the cameras that they mean for each scene."""

    def __init__(self, spec: str, seed: int, size: int | None):
        self.spec, self.seed, self.size = spec, seed, size
        self.kind, _, self.argument = self.spec.partition(":")
        if self.kind not in KINDS:
            raise G3dError(f"the cameras '{self.spec}' are unknown{did_you_mean(self.kind, KINDS)}")
        self._dataset: Dataset | None = None
        self._file: Cameras | None = None
        self._split: str | None = None
        self._numbers: tuple[int, ...] = ()
        self._radius_world = 0.0  # of a disc or a ring
        self._ranges: tuple[tuple[float, float], tuple[float, float]] | None = None  # azimuth, elevation, degrees
        match self.kind:
            case "orbit" | "spiral":
                self._numbers = self._parse(r"\d+", "60" if self.kind == "orbit" else "251", VIEWS_MOST)
            case "grid":
                self.argument, *ranges = self.argument.split(":")
                self._numbers, self._ranges = self._parse(r"\d+x\d+", "3x5", VIEWS_MOST), self._angles(ranges)
            case "far":
                self._numbers = self._parse(r"\d+", "3", FAR_MOST)
            case "disc" | "ring":
                radius, _, self.argument = self.argument.partition(":")
                self._radius_world = self._parse_radius(radius)
                self._numbers = self._parse(r"\d+", "1" if self.kind == "disc" else "60", VIEWS_MOST)
            case "dataset":
                self._open_dataset()
            case "file":
                self._file = read_transforms(Path(self.argument))
            case "path":
                self._file = self._read_path()
            case _ if self.argument:
                raise G3dError(f"the cameras '{self.spec}' take no ':'; write --cameras {self.kind}")

    @property
    def views(self) -> int | None:
        """Views of a scene, or None where that depends on the scene."""
        if self.kind in ("default", "prior", "far"):
            return 1
        if self.kind == "dataset":
            return None
        return len(self._file) if self._file else math.prod(self._numbers)

    def one_view(self, item: str | None) -> bool:
        """Whether a scene that shows `item` (or nothing with a name) has one view by the words themselves."""
        return self.views == 1 or (self._dataset is not None and item not in self._dataset.object_names)

    def for_scene(self, scene: Scene, index: int, item: str | None) -> Cameras:
        """The cameras of scene number `index`, which shows `item` of a dataset or nothing that has a name."""
        return self.for_world(scene.world, index, item)

    def for_world(self, world: World, index: int, item: str | None) -> Cameras:
        """The cameras of scene number `index` before it is made."""
        if self._file is not None:
            cameras = self._file
        elif self._dataset is not None:
            cameras = self._of_dataset(self._dataset, index, item)
        else:
            cameras = self._of_prior(world.camera_prior, index)
        if self.size:
            cameras = cameras.resized(self.size, max(1, round(self.size * cameras.height / cameras.width)))
        if max(cameras.width, cameras.height) > SIDE_MOST:
            raise G3dError(f"'{self.spec}' asks for {cameras.width}x{cameras.height} pixels; at most {SIDE_MOST} a side "
                           "are drawn: give a smaller --size")  # fmt: skip
        return cameras

    def _of_prior(self, prior: CameraPrior | None, index: int) -> Cameras:
        if prior is None:
            raise G3dError(
                f"the scene records no cameras, so '{self.spec}' has no meaning; use --cameras file: or dataset:"
            )
        match self.kind:
            case "orbit":
                return prior.orbit(self._numbers[0])
            case "spiral":
                return prior.spiral(self._numbers[0])
            case "grid":
                if self._ranges:
                    azimuth, elevation = self._ranges
                    prior = replace(prior, azimuth_deg=azimuth, elevation_deg=elevation)
                return prior.grid(*self._numbers)
            case "far":
                return replace(prior, radius_world=prior.radius_world * self._numbers[0]).default()
            case "disc":
                return prior.disc(self._radius_world, self._numbers[0], self.seed, index)
            case "ring":
                return prior.ring(self._radius_world, self._numbers[0])
            case "prior":
                return prior.sample(self.seed, [index], "new camera")
            case _:
                return prior.default()

    def _of_dataset(self, data: Dataset, index: int, item: str | None) -> Cameras:
        """An item's own views; for a scene that is no item one camera of the set, drawn by seed."""
        assert data.cameras is not None
        if item in data.object_names:
            views = data.views(data.object_names.index(item), self._split)
            if not len(views):
                raise G3dError(
                    f"'{data.path}' has no views of '{item}' in the split '{self._split}'; use another split"
                )
        else:
            pool = range(len(data.cameras)) if self._split is None else self._in_split(data, self._split)
            views = torch.tensor([pool[int(torch.randint(len(pool), (1,), generator=rng(self.seed, index, "camera")))]])
        return data.cameras[views]

    def _in_split(self, data: Dataset, split: str) -> list[int]:
        found: list[int] = (data.view_split == SPLITS.index(split)).nonzero().squeeze(1).tolist()
        if not found:
            raise G3dError(f"'{data.path}' has no views of the split '{split}'; use another one")
        return found

    def _open_dataset(self) -> None:
        folder, colon, split = self.argument.rpartition(":")
        if colon and split in SPLITS:
            self._split = split
        else:
            folder = self.argument
        self._dataset = open_dataset(Path(folder))
        if self._dataset.cameras is None:
            raise G3dError(f"'{folder}' has no cameras; use a dataset of posed views")

    def _read_path(self) -> Cameras:
        name, _, count = self.argument.rpartition(":")
        if not name or not count.isdecimal() or os.path.exists(self.argument):  # noqa: PTH110
            name, count = self.argument, ""
        path = read_path(Path(name))
        self.argument = count
        return along(path, *self._parse(r"\d+", str(path.usual_views), VIEWS_MOST))

    def _angles(self, words: list[str]) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """`A,B` and `E,F` => two ranges; none for no words."""
        if not words:
            return None
        number = r"-?\d+(?:\.\d+)?"
        if len(words) != 2 or not all(re.fullmatch(f"{number},{number}", word) for word in words):
            raise G3dError(f"the cameras '{self.spec}' are not understood; write e.g. --cameras grid:4x9:-23,23:-23,6")
        (a, b), (e, f) = (tuple(float(n) for n in word.split(",")) for word in words)
        return (a, b), (e, f)

    def _parse_radius(self, text: str) -> float:
        radius = float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text) else math.inf
        if not math.isfinite(radius):
            raise G3dError(
                f"the cameras '{self.spec}' are not understood; write the radius in world units, e.g. --cameras {self.kind}:0.25"
            )
        return radius

    def _parse(self, pattern: str, default: str, most: int) -> tuple[int, ...]:
        """The numbers, whose product is at most `most`; words too long to be small are not even read."""
        text = self.argument or default
        words = text.split("x") if re.fullmatch(pattern, text) else []
        numbers = tuple(int(word) if len(word) <= 9 else most + 1 for word in words)
        before = {"disc": "0.25:", "ring": "0.25:", "path": "JSON:"}.get(self.kind, "")
        example = f"--cameras {self.kind}:{before}{default}"
        if not numbers or min(numbers) < 1:
            raise G3dError(f"the cameras '{self.spec}' are not understood; write e.g. {example}")
        if math.prod(numbers) > most:
            what = "times as far" if self.kind == "far" else "views of a scene"
            raise G3dError(f"the cameras '{self.spec}' are more than {most} {what}; write e.g. {example}")
        return numbers
