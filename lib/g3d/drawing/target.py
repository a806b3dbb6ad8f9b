"""Where new scenes go: a folder of scene files, a folder of pictures, or both; for `sample` and `decode`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3d import distributed
from g3d.drawing.camera_plan import CameraPlan, inputs_of
from g3d.drawing.painter import Drawing, Painter, maybe_painter
from g3d.errors import G3dError
from g3d.scenes.scene import Scene
from g3d.scenes.scene_file import save_scene
from g3d.storage import files

BATCH = 16  # scenes made at once, where nobody says otherwise


@dataclass(frozen=True)
class Target:
    """Where scenes go: a folder of files, a folder of pictures, or both."""

    scenes: Path | None
    images: Path | None
    drawing: Drawing
    overwrite: bool
    inputs: tuple[Path, ...]
    seed: int | None = None  # of the latents, where they were drawn

    def check(self) -> None:
        """Refuse, before anything is made, what could not be written, and cameras that mean nothing."""
        if not self.wanted:
            raise G3dError("there is nothing to write; give --out SCENES, --render IMAGES, or both")
        outputs = [p for p in (self.scenes, self.images, self.drawing.sheet, self.drawing.video) if p is not None]
        for out in outputs:
            files.refuse_existing(out, self.overwrite, (*self.inputs, *inputs_of(self.drawing.cameras)))
        files.refuse_overlap(outputs)
        if self.images is not None:
            CameraPlan(self.drawing.cameras, self.drawing.seed, self.drawing.size)

    @property
    def wanted(self) -> bool:
        """Whether there is anywhere for scenes to go."""
        return self.scenes is not None or self.images is not None

    def as_json(self) -> dict[str, Any]:
        """For --dry-run."""
        shown = {"out": self.scenes, "render": self.images}
        return {name: None if path is None else str(path) for name, path in shown.items()}

    @contextmanager
    def opened(self, count: int, parents: Mapping[str, str]) -> Iterator["Opened"]:
        """A place for `count` scenes that appears when all are there. Several processes share it, each with scenes of its own."""
        with (
            _maybe_folder(self) as folder,
            maybe_painter(self.images, self.drawing, count, self.overwrite, self.inputs) as paint,
        ):
            yield Opened(self, folder, paint, parents)


@dataclass(frozen=True)
class Opened:
    """A target while it is written."""

    target: Target
    folder: Path | None
    paint: Painter | None
    parents: Mapping[str, str]

    def add(self, place: int, number: int, scene: Scene, item: str | None) -> None:
        """Write one scene: the `place`th of all, named by `number`, of an `item` of a dataset or none."""
        name = f"{number:06d}"
        if self.folder is not None:
            save_scene(
                self.folder / f"{name}.safetensors", scene, item=item, seed=self.target.seed, parents=self.parents
            )
        if self.paint is not None:
            self.paint.add(place, name, scene, item)

    def result(self, count: int) -> dict[str, Any]:
        """What was written, once the target is closed."""
        written = [str(self.target.scenes)] if self.target.scenes else []
        views = {"views": self.paint.views_drawn} if self.paint else {}
        return {"written": written + (self.paint.written if self.paint else []), "scenes": count, **views}


def batched(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Consecutive parts of at most `size`."""
    for i in range(0, len(numbers), size):
        yield numbers[i : i + size]


def check_batch(size: int) -> None:
    """Refuse a batch that means nothing."""
    if size < 1:
        raise G3dError(f"--batch is {size}; it must be at least 1")


@contextmanager
def _maybe_folder(target: Target) -> Iterator[Path | None]:
    if target.scenes is None:
        yield None
        return
    with distributed.shared_folder(target.scenes, target.overwrite, target.inputs) as folder:
        yield folder
