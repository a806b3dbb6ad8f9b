"""Draws scene after scene into a folder of pictures: what `render` does, and `sample` and `decode` with `--render`.

One scene goes into the folder itself, several with several views into a folder each, each with its `transforms.json`;
several scenes of one view each lie side by side under the scene's name, with one `transforms.json` for all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g3d import config, distributed, images
from g3d.cameras import Cameras, to_transforms, write_transforms
from g3d.drawing.camera_plan import CameraPlan, inputs_of
from g3d.errors import G3dError
from g3d.export.video import write_video
from g3d.render import (
    Disparity,
    ImageSettings,
    Rendering,
    RenderSettings,
    check_background,
    check_depth_kind,
    check_disparity,
    default_settings,
    empty_space,
    render_image_field,
    render_scene,
    render_with_disparity,
)
from g3d.scenes.scene import Gaussians, MlpField, Scene, tensors_of
from g3d.storage import artifacts, files

# A contact sheet shows so many scenes and views of each at most; of scenes with one view, a square of this side.
SHEET_SCENES, SHEET_VIEWS, SHEET_SIDE = 25, 12, 16
_DEPTHS_AT_ONCE = 1 << 24  # of Gaussians times views: 200 MB
_DEPTHS = {
    "expected": "expected camera z",
    "max_weight": "max_weight camera z (of the middle of the heaviest interval)",
}


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
    backend: str = "auto"  # of 3D Gaussians
    depth_kind: str = "expected"  # or max_weight
    disparity: bool = False


def settings_of(scene: Scene, drawing: Drawing) -> RenderSettings:
    """What `--set` gives on top of the scene's own settings; what the kind of scene does not take is refused."""
    defaults = default_settings(scene)
    if isinstance(defaults, ImageSettings):
        given = {
            "--cameras": drawing.cameras != "default", "--depth": drawing.depth, "--alpha": drawing.masks,
            "--disparity": drawing.disparity,
        }  # fmt: skip
        for option, used in given.items():
            if used:
                raise G3dError(f"an image field takes no cameras, depth or coverage; leave {option} out")
        if drawing.settings:
            raise G3dError(f"an image field has no settings to change; leave '{drawing.settings[0]}' out")
    check_depth_kind(scene, drawing.depth_kind)
    if drawing.disparity:
        check_disparity(scene)
    settings = config.override(defaults, drawing.settings, f"a scene of {type(scene).__name__}")
    check_background(settings)
    return settings


class Painter:
    """Draws scene after scene into a folder. Several processes may share the folder, each with scenes of its own."""

    def __init__(self, folder: Path, out: Path, drawing: Drawing, scenes: int):
        self.folder, self.out, self.drawing, self.scenes = folder, out, drawing, scenes
        self.plan = CameraPlan(drawing.cameras, drawing.seed, drawing.size)
        self.written = [str(out)]
        self.views_drawn = 0
        self._kept: dict[str, list[str]] = {}  # number of a scene of the sheet => its pictures
        self._flat: dict[str, Any] = {}  # number of a scene with one view => its transforms.json
        self._flat_depth: dict[str, float] = {}  # picture => its scale

    def add(self, number: int, name: str, scene: Scene, item: str | None = None) -> None:
        """Draw scene `number` of all (a batch of one); `name` is its file's, a number where it has one."""
        index = int(name) if name.isdecimal() else number
        odd = artifacts.not_finite(tensors_of(scene))
        if odd:
            raise _overflown(name, f"its tensor '{odd}' holds NaN or infinity")
        settings = settings_of(scene, self.drawing)
        if isinstance(settings, ImageSettings):
            assert isinstance(scene, MlpField)
            self._add_image_field(number, name, scene)
            return
        cameras = self.plan.for_scene(scene, index, item)
        seen = scene.world.seen_by(cameras)  # what pictures show, and files say of them
        device = next(iter(tensors_of(scene).values())).device
        flat = self.scenes > 1 and len(cameras) == 1 and self.plan.one_view(item)
        folder = self.folder if self.scenes == 1 or flat else self.folder / name
        names = [name] if flat else [f"{view:06d}" for view in range(len(cameras))]
        depth_scale = _farthest_world(scene, seen) / 65535
        grid = empty_space(scene, cameras.to(device), settings)
        for view, file_name in enumerate(names):
            camera, kind = cameras[view].to(device), self.drawing.depth_kind
            sums = None
            try:
                if self.drawing.disparity:
                    drawn, sums = render_with_disparity(scene, camera, settings, grid, kind, True)
                else:
                    drawn = render_scene(scene, camera, settings, grid, self.drawing.backend, kind, True)
                _check_finite(drawn, view)
            except G3dError as error:
                raise _overflown(name, str(error)) from error
            if sums is not None:
                _write_disparity(folder / "disparity" / f"{file_name}.safetensors", drawn, sums, scene)
            self._write(folder, file_name, drawn, depth_scale)
        scales = {f"{n}.png": depth_scale for n in names}
        if flat:
            self._flat[f"{number:09d}"] = to_transforms(seen, [f"{name}.png"])
            self._flat_depth |= scales
        else:
            alone = item if self.scenes == 1 else None  # no folder tells its number
            write_transforms(folder / "transforms.json", seen, list(scales), alone)
            self._describe_depth(folder, scales)
        self._keep(number, [str((folder / f"{n}.png").relative_to(self.folder)) for n in names])

    def _add_image_field(self, number: int, name: str, scene: MlpField) -> None:
        width, height = scene.world.image_size or (64, 64)
        if self.drawing.size:
            width, height = self.drawing.size, max(1, round(self.drawing.size * height / width))
        field = render_image_field(scene, width, height)
        if not bool(field.isfinite().all()):
            raise _overflown(name, "its picture is not finite: its weights are damaged, or overflow")
        picture = images.to_u8(field.cpu().numpy())
        images.write_image(self.folder / f"{name}.png", picture)
        self._keep(number, [f"{name}.png"])

    def _keep(self, number: int, pictures: list[str]) -> None:
        self.views_drawn += len(pictures)
        if number < (SHEET_SCENES if len(pictures) > 1 else SHEET_SIDE**2):
            self._kept[f"{number:09d}"] = pictures

    def _write(self, folder: Path, name: str, drawn: Rendering, depth_scale: float) -> None:
        """One view as PNG, with its mask and depth where they are wanted."""
        picture = images.to_u8(drawn.rgb[0].cpu().numpy())
        images.write_image(folder / f"{name}.png", picture)
        if self.drawing.masks:
            images.write_image(folder / "masks" / f"{name}.png", images.to_u8(drawn.alpha[0].cpu().numpy()))
        if self.drawing.depth:
            z = drawn.depth[0].cpu().numpy()
            steps = (z / depth_scale + 0.5).clip(0, 65535).astype(np.uint16)
            images.write_image(folder / "depth" / f"{name}.png", steps)

    def _describe_depth(self, folder: Path, scales: Mapping[str, float]) -> None:
        """depth.json: one `depth_scale`, or `depth_scales` by picture where scenes of several share the folder."""
        if self.drawing.depth and scales:
            one = len(set(scales.values())) == 1
            about = {"depth_scale": next(iter(scales.values()))} if one else {"depth_scales": dict(scales)}
            kind = _DEPTHS[self.drawing.depth_kind]
            what = f"{kind}, world units = value * {'depth_scale' if one else 'its own scale'}, 0: nothing"
            files.write_json(folder / "depth" / "depth.json", {**about, "what": what})

    def finish(self) -> None:
        """Cameras of flat folders, the sheet and the video: of the scenes of all processes, written by the first."""
        self.views_drawn, parts = self._gathered()
        if distributed.rank():
            return
        flat, depth, kept = ({k: v for part in parts for k, v in part[i].items()} for i in range(3))
        if flat:
            files.write_json(self.folder / "transforms.json", _joined_transforms([flat[k] for k in sorted(flat)]))
            self._describe_depth(self.folder, {k: depth[k] for k in sorted(depth)})
        shown = [kept[k] for k in sorted(kept)]
        if any(len(row) > 1 for row in shown):
            shown = [kept[k] for k in sorted(kept) if int(k) < SHEET_SCENES]
        if self.drawing.sheet:
            rows = [[self._picture(name) for name in _spread(row, SHEET_VIEWS)] for row in shown]
            if max(len(row) for row in rows) == 1:  # one view each: lay the scenes out in a square
                columns = int(np.ceil(len(rows) ** 0.5))
                rows = [[r[0] for r in rows[i : i + columns]] for i in range(0, len(rows), columns)]
            images.write_image(self.folder / ".sheet.png", images.sheet(rows))
        if self.drawing.video:
            write_video(self.folder / ".video.mp4", self._frames(shown), self.drawing.fps)
        for made, place in ((".sheet.png", self.drawing.sheet), (".video.mp4", self.drawing.video)):
            if (
                place is not None
            ):  # when both are made, so that a kill leaves all of the outputs or none, but for a moment
                files.put(self.folder / made, place)
                self.written.append(str(place))

    def _gathered(self) -> tuple[int, list[list[dict[str, Any]]]]:
        """How many views all processes drew, and what each of them knows; they tell each other by files in the folder."""
        mine = [self._flat, self._flat_depth, self._kept]
        if distributed.world() == 1:
            return self.views_drawn, [mine]
        places = [self.folder / f".part-{rank}.json" for rank in range(distributed.world())]
        files.write_json(places[distributed.rank()], {"views": self.views_drawn, "parts": mine})
        distributed.barrier()
        found = [files.read_json(place, "a process's part") for place in places]
        distributed.barrier()
        places[distributed.rank()].unlink()
        return sum(part["views"] for part in found), [part["parts"] for part in found]

    def _picture(self, name: str) -> images.U8:
        return images.read_image(self.folder / name)

    def _frames(self, shown: Sequence[Sequence[str]]) -> Iterator[images.U8]:
        """Frame v shows view v of every scene, in a square."""
        columns = int(np.ceil(len(shown) ** 0.5))
        for view in range(min(len(row) for row in shown)):
            cells = [self._picture(row[view]) for row in shown]
            page = images.sheet(
                [cells[i : i + columns] for i in range(0, len(cells), columns)], 2 if len(cells) > 1 else 0
            )
            yield images.enlarge(page, max(1, 256 // max(page.shape[:2])))


def _overflown(name: str, why: str) -> G3dError:
    return G3dError(f"the scene '{name}' cannot be drawn: {why}; nothing was written")


def _check_finite(drawn: Rendering, view: int) -> None:
    """Refuse a picture with NaN or infinity, which bytes would hide."""
    for word, values in (("colour", drawn.rgb), ("coverage", drawn.alpha), ("depth", drawn.depth)):
        if not bool(values.isfinite().all()):
            raise G3dError(f"the {word} of view {view} is not finite: its weights are damaged, or overflow")


def _write_disparity(path: Path, drawn: Rendering, sums: Disparity, scene: Scene) -> None:
    """Of one view, beside its picture."""
    maps = {"first": sums.first[0], "second": sums.second[0], "weight": drawn.alpha[0]}
    ends = {"near_world": scene.world.near_world, "far_world": scene.world.far_world}
    artifacts.write(path, "disparity", maps, ends)


def _farthest_world(scene: Scene, cameras: Cameras) -> float:
    """The largest depth that a picture of the scene can hold, so that 65535 steps reach it."""
    if not isinstance(scene, Gaussians):
        return scene.world.far_world  # where rays end
    c2w = cameras.c2w.to(scene.means)  # Gaussians are drawn wherever they lie; expected depth is a mean of theirs
    if not (len(c2w) and scene.means.numel()):
        return scene.world.far_world
    few = c2w.split(max(1, _DEPTHS_AT_ONCE // scene.means.shape[1]))
    z = [torch.einsum("vnc,vc->vn", scene.means[0] - part[:, None, :3, 3], part[:, :3, 2]).max() for part in few]
    return max(*(float(most) for most in z), scene.world.near_world, 1e-6)


def _joined_transforms(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One `transforms.json` of one view of each scene; where their sizes differ, each frame has its own `w` and `h`."""
    first, frames = dict(tables[0]), [table["frames"][0] for table in tables]
    if len({(table["w"], table["h"]) for table in tables}) > 1:
        frames = [{**frame, "w": table["w"], "h": table["h"]} for frame, table in zip(frames, tables, strict=True)]
        for key in ("w", "h", "camera_angle_x"):
            del first[key]
    return {**first, "frames_show": "objects", "frames": frames}  # so that nobody takes them for views of one scene


def check_targets(out: Path, drawing: Drawing, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse places that pictures, sheet or video cannot go to."""
    inputs = (*inputs, *inputs_of(drawing.cameras))
    for extra in (drawing.sheet, drawing.video):
        if extra is not None:
            files.refuse_existing(extra, overwrite, inputs)
            if files.real(out) in files.real(extra).parents:
                raise G3dError(
                    f"'{extra}' lies inside the image folder '{out}' and would be counted as a view; put it beside"
                )
    if drawing.sheet is not None:
        images.check_png(drawing.sheet, "the sheet")
    if drawing.video is not None and (drawing.video.suffix != ".mp4" or drawing.video.is_dir()):
        raise G3dError(f"the video '{drawing.video}' must be a file that ends in .mp4; rename it")
    files.refuse_existing(out, overwrite, inputs)


@contextmanager
def painter(
    out: Path, drawing: Drawing, scenes: int, overwrite: bool, inputs: tuple[Path, ...] = ()
) -> Iterator[Painter]:
    """A painter whose folder appears under the name `out` when all is drawn."""
    check_targets(out, drawing, overwrite, inputs)
    with distributed.shared_folder(out, overwrite, inputs) as folder:
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


def _spread(row: Sequence[str], count: int) -> Sequence[str]:
    """At most `count` of a row, evenly."""
    if len(row) <= count:
        return row
    return [row[round(i * (len(row) - 1) / (count - 1))] for i in range(count)]
