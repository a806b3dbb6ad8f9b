"""`render`: scenes and cameras => images, masks, depth, a video, a contact sheet.

One scene goes into the folder itself, several with several views into a folder each, each with its `transforms.json`;
several scenes of one view each lie side by side under the scene's name, with one `transforms.json` for all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g3d import artifacts, config, device, files, images
from g3d.camera_plan import CameraPlan
from g3d.cameras import Cameras, write_transforms
from g3d.errors import G3dError
from g3d.export.video import write_video
from g3d.progress import SILENT, Progress, track
from g3d.render import Rendering, default_settings, render_image_field, render_scene
from g3d.scene import MlpField, Scene, tensors_of, to
from g3d.scene_file import load_scene, scene_files

SHEET_SCENES, SHEET_VIEWS = 25, 12  # a contact sheet shows so many at most


@dataclass(frozen=True)
class Drawing:
    """How scenes are drawn; also what `sample --render` and `decode --render` take."""

    cameras: str = "default"
    size: int | None = None
    settings: Sequence[str] = ()
    masks: bool = False
    depth: bool = False
    video: Path | None = None
    sheet: Path | None = None
    fps: float = 24.0
    seed: int = 0


@dataclass(frozen=True)
class Options:
    """Scenes (a file or a folder) and how to draw them."""

    scenes: Path
    out: Path
    drawing: Drawing = field(default_factory=Drawing)
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    scenes = scene_files(options.scenes)
    plan = CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)
    scene = load_scene(scenes[0])
    settings = config.override(default_settings(scene), options.drawing.settings, f"a scene of {type(scene).__name__}")
    return {
        "scenes": len(scenes), "cameras": plan.spec, "views": plan.views, "settings": config.as_json(settings),
        "out": str(options.out), "device": str(device.pick(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Draw every scene; returns what was written and views per second."""
    scenes = scene_files(options.scenes)
    where = device.pick(options.device)
    heads = [artifacts.header(file) for file in scenes]
    with painter(options.out, options.drawing, len(scenes), options.overwrite, (options.scenes,)) as paint:
        for file, head in track(list(zip(scenes, heads, strict=True)), len(scenes), "render", progress):
            paint.add(file.stem, to(load_scene(file), where), head.config.get("item"))
    return {"written": paint.written, "scenes": len(scenes), "views": paint.views_drawn}


class Painter:
    """Draws scene after scene into a folder; keeps small copies only for the sheet and the video."""

    def __init__(self, folder: Path, out: Path, drawing: Drawing, scenes: int):
        self.folder, self.out, self.drawing, self.scenes = folder, out, drawing, scenes
        self.plan = CameraPlan(drawing.cameras, drawing.seed, drawing.size)
        self.written = [str(out)]
        self.views_drawn = 0
        self._kept: list[list[images.U8]] = []
        self._flat: list[tuple[str, Cameras]] = []  # of scenes with one view each
        self._drawn = 0

    def add(self, name: str, scene: Scene, item: str | None = None) -> None:
        """Draw one scene (a batch of one); `name` is its file's, a number where it has one."""
        index = int(name) if name.isdigit() else self._drawn
        self._drawn += 1
        if isinstance(scene, MlpField) and scene.signal == "image":
            self._add_image_field(name, scene)
            return
        defaults = default_settings(scene)
        settings = config.override(defaults, self.drawing.settings, f"a scene of {type(scene).__name__}")
        cameras = self.plan.for_scene(scene, index, item)
        where = next(iter(tensors_of(scene).values())).device
        flat = self.scenes > 1 and len(cameras) == 1 and self.plan.one_view(item)
        folder = self.folder if self.scenes == 1 or flat else self.folder / name
        pictures = []
        for view in range(len(cameras)):
            drawn = render_scene(scene, cameras[view].to(where), settings)
            file_name = name if flat else f"{view:06d}"
            pictures.append(self._write(folder, file_name, drawn))
        if flat:
            self._flat.append((f"{name}.png", cameras))
        else:
            write_transforms(folder / "transforms.json", cameras, [f"{v:06d}.png" for v in range(len(cameras))])
        self._keep(pictures)

    def _add_image_field(self, name: str, scene: MlpField) -> None:
        if self.drawing.cameras != "default" or self.drawing.depth or self.drawing.masks:
            raise G3dError("an image field takes no cameras, depth or masks; leave --cameras, --depth and --masks out")
        size = self.drawing.size or 64
        picture = images.to_u8(render_image_field(scene, size, size).cpu().numpy())
        images.write_image(self.folder / f"{name}.png", picture)
        self._keep([picture])

    def _keep(self, pictures: list[images.U8]) -> None:
        self.views_drawn += len(pictures)
        if (self.drawing.sheet or self.drawing.video) and len(self._kept) < SHEET_SCENES:
            self._kept.append(pictures)

    def _write(self, folder: Path, name: str, drawn: Rendering) -> images.U8:
        """One view as PNG, with its mask and depth where they are wanted."""
        picture = images.to_u8(drawn.rgb[0].cpu().numpy())
        images.write_image(folder / f"{name}.png", picture)
        if self.drawing.masks:
            images.write_image(folder / "masks" / f"{name}.png", images.to_u8(drawn.alpha[0].cpu().numpy()))
        if self.drawing.depth:
            z = drawn.depth[0].cpu().numpy()
            images.write_image(
                folder / "depth" / f"{name}.png", (z / DEPTH_SCALE + 0.5).clip(0, 65535).astype(np.uint16)
            )
            if not (folder / "depth" / "depth.json").is_file():
                about = {
                    "depth_scale": DEPTH_SCALE,
                    "what": "expected camera z, world units = value * depth_scale, 0: nothing",
                }
                files.write_json(folder / "depth" / "depth.json", about)
        return picture

    def finish(self) -> None:
        """Cameras of flat folders, the sheet and the video."""
        if self._flat:
            names, parts = [n for n, _ in self._flat], [c for _, c in self._flat]
            whole = Cameras(
                torch.cat([c.c2w for c in parts]),
                torch.cat([c.intrinsics for c in parts]),
                parts[0].width,
                parts[0].height,
            )
            write_transforms(self.folder / "transforms.json", whole, names)
        if self.drawing.sheet:
            rows = [_spread(row, SHEET_VIEWS) for row in self._kept]
            if max(len(row) for row in rows) == 1:  # one view each: lay the scenes out in a square
                columns = int(np.ceil(len(rows) ** 0.5))
                rows = [[r[0] for r in rows[i : i + columns]] for i in range(0, len(rows), columns)]
            images.write_image(self.drawing.sheet, images.sheet(rows))
            self.written.append(str(self.drawing.sheet))
        if self.drawing.video:
            write_video(self.drawing.video, self._frames(), self.drawing.fps)
            self.written.append(str(self.drawing.video))

    def _frames(self) -> Iterator[images.U8]:
        """Frame v shows view v of every scene, in a square."""
        columns = int(np.ceil(len(self._kept) ** 0.5))
        for view in range(min(len(row) for row in self._kept)):
            shown = [row[view] for row in self._kept]
            page = images.sheet([shown[i : i + columns] for i in range(0, len(shown), columns)])
            yield images.enlarge(page, max(1, 256 // max(page.shape[:2])))


DEPTH_SCALE = 1 / 4096  # world units a step of 16-bit depth: up to 16 units


@contextmanager
def painter(
    out: Path, drawing: Drawing, scenes: int, overwrite: bool, inputs: tuple[Path, ...] = ()
) -> Iterator[Painter]:
    """A painter whose folder appears under the name `out` when all is drawn."""
    for extra in (drawing.sheet, drawing.video):
        if extra is not None:
            files.refuse_existing(extra, overwrite)
            if out.resolve() in extra.resolve().parents:
                raise G3dError(
                    f"'{extra}' lies inside the image folder '{out}' and would be counted as a view; put it beside"
                )
    if drawing.video is not None and drawing.video.suffix != ".mp4":
        raise G3dError(f"the video '{drawing.video}' must end in .mp4; rename it")
    with files.output_folder(out, overwrite, inputs) as folder:
        paint = Painter(folder, out, drawing, scenes)
        yield paint
        paint.finish()


@contextmanager
def maybe_painter(
    out: Path | None, drawing: Drawing, scenes: int, overwrite: bool, inputs: tuple[Path, ...] = ()
) -> Iterator[Painter | None]:
    """`painter`, or None where nothing is to be drawn."""
    with painter(out, drawing, scenes, overwrite, inputs) if out else nullcontext() as paint:
        yield paint


def _spread(row: list[images.U8], count: int) -> list[images.U8]:
    """At most `count` of a row, evenly."""
    if len(row) <= count:
        return row
    return [row[round(i * (len(row) - 1) / (count - 1))] for i in range(count)]
