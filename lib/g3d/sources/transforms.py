"""`prepare-data transforms FILE|FOLDER`: `transforms.json` as NeRF-synthetic, instant-ngp, nerfstudio and our own `render`
write it.

FILE is one scene; FOLDER holds `transforms.json` or `transforms_{train,val,test}.json`, or a folder of that kind an object.

Letters: V views.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d import images
from g3d.errors import G3dError
from g3d.sources import Collection, Item, Made, Request, needs_input, posed
from g3d.sources.posed import shots, split_names
from g3d.sources.posed.undistort import lens_of
from g3d.sources.writing.licence import licence_of
from g3d.sources.writing.mirror import with_mirrored
from g3d.storage import files, foreign, leaving_out, named
from g3d.storage.leaving_out import LeftOut

F64 = NDArray[np.float64]
GROUPS = ("auto", "file", "none")
_OWN_UP = "z"  # of NeRF-synthetic, instant-ngp and nerfstudio
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG")  # where a file_path has none
_MILLIMETRES = 1e-3  # nerfstudio's depth where it does not say


@dataclass(frozen=True)
class Options:
    """Options of the source `transforms`."""

    size: int | None = None
    background: str = "white"
    group: str = "auto"  # "file": one object; "none": each picture is an object; "auto": as the file says, else one
    up: str = "auto"
    box: float | None = None
    mirror: bool = False


@dataclass(frozen=True)
class _Scene:
    """One object: its name, what makes it change, and its pictures in their own world; or what is wrong with it."""

    name: str
    mark: str
    views: tuple[shots.Shot, ...] = ()
    entry: Mapping[str, Any] | None = None
    up: str | None = None  # the axis that is up, where its file says so
    apart: bool = False  # its file says that each frame shows an object of its own
    fault: str | None = None
    left_out: LeftOut = field(default_factory=dict)


def collect(request: Request) -> Collection:
    """Every scene under `input`, in the order of their names."""
    options: Options = request.options
    root = needs_input(request, "transforms", "the transforms.json or its folder", "my/lego")
    if options.group not in GROUPS:
        raise G3dError(f"--group is '{options.group}'; it is one of {', '.join(GROUPS)}")
    found, notes = _scenes(root, request.skip_bad)
    left_out = leaving_out.merged(s.left_out for s in found)
    if options.group != "file":
        everyone = options.group == "none"
        found = [single for s in found for single in (_singles(s) if everyone or s.apart else [s])]
    usable = [s for s in found if s.fault is None]
    if not usable:
        raise G3dError(str(found[0].fault))
    scales = {shot.depth_scale for s in usable for shot in s.views if shot.depth is not None}
    world = _world(usable, options.up)
    target = shots.target_of(
        (shot.picture for s in usable for shot in s.views), options.size, options.background,
        masks=any(shot.mask is not None or shot.lens is not None for s in usable for shot in s.views),
        depth_scale=max(scales, default=None), splits=any(shot.test for s in usable for shot in s.views),
        skip_bad=request.skip_bad,
    )  # fmt: skip
    items = [_item(s, world.matrix, target) for s in found]
    if options.mirror:
        items = with_mirrored(items, target.width, target.height)
    settings = {
        "input": root.resolve().name, "size": options.size, "background": options.background, "group": options.group,
        "up": options.up, "box": options.box, "mirror": options.mirror,
    }  # fmt: skip
    extra = {} if target.depth_scale is None else {"depth_scale": target.depth_scale}
    folder = root if root.is_dir() else root.parent
    return Collection(
        folder.resolve().name, items, licence_of(folder), settings, target.width, target.height,
        shots.BACKGROUNDS[options.background], partial(posed.describe, world, options.box, extra), inputs=(folder,),
        pictures=sum(len(s.views) for s in found) * (2 if options.mirror else 1), notes=tuple(notes), left_out=left_out,
    )  # fmt: skip


def make(scene: _Scene, source_to_world: F64, target: shots.Target) -> Made:
    """One object: its pictures, in our world."""
    turned = [replace(shot, c2w=source_to_world @ shot.c2w) for shot in scene.views]
    if target.depth_scale is not None and not all(shot.depth for shot in turned):
        raise G3dError(f"'{scene.name}' has no depth, other scenes have it; a dataset has it for all or for none")
    return shots.made(turned, target, dict(scene.entry or {}))


def _item(scene: _Scene, source_to_world: F64, target: shots.Target) -> Item:
    work = partial(make, scene, source_to_world, target) if scene.fault is None else partial(posed.bad, scene.fault)
    return Item(scene.name, work, scene.mark)


def _world(scenes: Sequence[_Scene], up: str) -> posed.World:
    """One turn for all scenes: as --up says, as the files say, or as their cameras show."""
    said = {s.up for s in scenes}
    if up == "auto" and len(said) == 1 and None not in said:
        word = str(said.pop())
        return replace(posed.find_world(np.zeros((0, 4, 4)), "auto", word), found="said by the files")
    return posed.find_world(np.stack([shot.c2w for s in scenes for shot in s.views]), up, _OWN_UP)


def _scenes(root: Path, skip_bad: bool) -> tuple[list[_Scene], list[str]]:
    """The scenes of a file, a folder, or a folder of folders; and what is to be said of them."""
    if root.is_file():
        return [_strict(_scene(root.resolve().parent.name, root.parent, {"": root}, skip_bad))], []
    tables, notes = _tables(root)
    if tables:
        return [_strict(_scene(root.resolve().name, root, tables, skip_bad))], notes
    found = []
    for folder in (p for p in foreign.inside(root) if p.is_dir()):
        tables, more = _tables(folder)
        if tables:
            found.append(_scene(folder.name, folder, tables, skip_bad))
            notes += more
    if not found:
        raise G3dError(
            f"'{root}' holds no transforms.json or transforms_train.json, nor does a folder in it; give another one"
        )
    return found, notes


def _tables(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Split => file, of what the folder holds."""
    parts = {s: p for s in ("train", "val", "test") if (p := folder / f"transforms_{s}.json").is_file()}
    whole = folder / "transforms.json"
    if "train" not in parts:
        return ({"": whole}, []) if whole.is_file() else (parts, [])
    notes = [f"'{whole}' is not read, since transforms_train.json lies beside it"] if whole.is_file() else []
    if "val" in parts:
        val = parts.pop("val")
        if "test" in parts:
            notes.append(f"'{val}' is left out, since there is a transforms_test.json")
        else:
            parts["test"] = val
            notes.append(f"'{val}' is the split test, since there is no transforms_test.json")
    return parts, notes


def _strict(scene: _Scene) -> _Scene:
    """The only scene: what is wrong with it is said at once."""
    if scene.fault is not None:
        raise G3dError(scene.fault)
    return scene


def _scene(name: str, folder: Path, tables: Mapping[str, Path], skip_bad: bool) -> _Scene:
    """The scene of one or more files; a fault in one of them is kept, so that it can be skipped."""
    mark = posed.stamp(*(files.file_digest(p) for p in tables.values()), posed.changed(folder))
    try:
        found: list[shots.Shot] = []
        entry: dict[str, Any] = {"file": ", ".join(p.name for p in tables.values())}
        ups, apart, left_out = set(), False, []
        for split, path in tables.items():
            data = files.read_json(path, "the cameras")
            more, without = _shots(data, path, split in ("test", "val"), skip_bad)
            found += more
            left_out.append(without)
            entry |= {key: data[key] for key in ("applied_transform", "applied_scale") if key in data}
            ups.add(data.get("world_up"))
            apart |= data.get("frames_show") == "objects"  # what our own render says of scenes side by side
        _check_alike(found, name)
        up = ups.pop() if len(ups) == 1 else None
        if up is not None and up not in posed.UPS[1:]:
            raise G3dError(f"'{folder}' gives the world_up {up!r}; it is one of {', '.join(posed.UPS[1:])}")
    except G3dError as error:
        return _Scene(name, mark, fault=str(error))
    return _Scene(name, mark, tuple(found), entry, up, apart, left_out=leaving_out.merged(left_out))


def _singles(scene: _Scene) -> Iterator[_Scene]:
    """Each picture of a scene as an object of its own."""
    if scene.fault is not None:
        yield scene
    for shot in scene.views:
        stem = PurePosixPath(shot.picture.name).stem
        entry = {**(scene.entry or {}), "split": "test"} if shot.test else dict(scene.entry or {})
        yield replace(scene, name=f"{scene.name}/{stem}", views=(replace(shot, test=False),), entry=entry, left_out={})


def _shots(data: Mapping[str, Any], path: Path, test: bool, skip_bad: bool) -> tuple[list[shots.Shot], LeftOut]:
    """The frames of one file: OpenGL axes => OpenCV axes, still in their own world; and those that are left out."""
    from g3d.cameras import reading_transforms

    left_out: dict[str, list[str]] = {}
    with reading_transforms(str(path)):
        frames = data["frames"]
        if not isinstance(frames, list) or not frames:
            raise G3dError(f"'{path}' has no frames; add them")
        listed = [str(f["file_path"]) for f in frames]
        beside, found = _Beside(data, path.parent), []
        size: list[tuple[int, int]] = []
        for i, (frame, share) in enumerate(zip(frames, split_names.shares(listed, data, str(path)), strict=True)):
            name = _picture(path.parent, listed[i])
            reason = leaving_out.MISSING if name is None else share
            if name is None or share not in (split_names.TRAIN, split_names.TEST):
                left_out.setdefault(reason, []).append(f"{path.parent.name}/{listed[i]}")
                continue
            try:
                shot = _shot({**data, **frame}, shots.Place(path.parent, name), f"frame {i} of '{path}'", beside, size)
            except G3dError as error:
                if not skip_bad:
                    raise
                left_out.setdefault(leaving_out.FAULTY, []).append(str(error))
                continue
            found.append(replace(shot, test=test or share == split_names.TEST))
    if not found:
        raise G3dError(f"none of the {len(frames)} frames of '{path}' can be used ({leaving_out.note(left_out)}); put the "
                       "pictures where file_path says, or correct it")  # fmt: skip
    return found, left_out


def _shot(frame: Mapping[str, Any], picture: shots.Place, where: str, beside: "_Beside", size: list[tuple[int, int]]
          ) -> shots.Shot:  # fmt: skip
    """One frame; `frame` also holds what its file says of all frames, `size` that of a first picture once one was read."""
    from g3d.cameras import frame_intrinsics_px

    c2w = posed.matrix_of(frame["transform_matrix"], (4,), where).copy()
    posed.check_poses(c2w[None], lambda _: where)
    c2w[:, 1:3] *= -1
    width, height = int(frame.get("w", 0)), int(frame.get("h", 0))
    if width < 1 or height < 1:  # NeRF-synthetic: that of the pictures
        size[:] = size or [shots.form_of(picture)[:2]]
        width, height = size[0]
    k = np.array(frame_intrinsics_px(frame, width, height, where), np.float64)
    mask, depth, scale = beside.of(frame, picture.name)
    return shots.Shot(picture, c2w, k, width, height, False, lens_of(frame, where), mask, depth, scale)


def _picture(folder: Path, file_path: str) -> str | None:
    """The picture of a frame, None where it is not there; NeRF-synthetic leaves the suffix out, others write it in another
    case than the file has."""
    plain = file_path.replace("\\", "/")
    if plain.lower().endswith(images.SUFFIXES):
        path = PurePosixPath(plain)
        names = [plain, *(path.with_suffix(s).as_posix() for s in (path.suffix.lower(), path.suffix.upper()))]
    else:
        names = [plain + s for s in _SUFFIXES]
    return next((name for name in names if named.inside(folder, name, "a frame").is_file()), None)


def _place(folder: Path, name: str) -> shots.Place:
    named.inside(folder, name, "a frame")
    return shots.Place(folder, name)


class _Beside:
    """Masks and depth of frames: named by them (nerfstudio), or in folders beside the pictures (our own render)."""

    def __init__(self, data: Mapping[str, Any], folder: Path):
        self.folder = folder
        self.scales: Mapping[str, Any] = {}
        self.scale: Any = None
        about = folder / "depth" / "depth.json"
        self.ours = "world_up" in data
        if self.ours and about.is_file():
            table = files.read_json(about, "the scale of the depth")
            self.scale, self.scales = table.get("depth_scale"), table.get("depth_scales", {})

    def of(self, frame: Mapping[str, Any], picture: str) -> tuple[shots.Place | None, shots.Place | None, float]:
        """Mask, depth and the world units of a step of it."""
        mask, depth = (
            _place(self.folder, str(frame[key])) if frame.get(key) else None for key in ("mask_path", "depth_file_path")
        )
        scale = frame.get("depth_unit_scale_factor", _MILLIMETRES)
        if self.ours and mask is None and (self.folder / "masks" / picture).is_file():
            mask = shots.Place(self.folder, f"masks/{picture}")
        if self.ours and depth is None and (own := self.scales.get(picture, self.scale)) is not None:
            depth, scale = shots.Place(self.folder, f"depth/{picture}"), own
        if depth is not None and not 0 < float(scale) < float("inf"):
            raise G3dError(f"the depth '{depth}' has the scale {scale}; it is the world units of a step, above 0")
        return mask, depth, float(scale)


def _check_alike(found: Sequence[shots.Shot], name: str) -> None:
    """Masks and depth are there for all frames of a scene or for none."""
    for what in ("mask", "depth"):
        without = [s for s in found if getattr(s, what) is None]
        if without and len(without) < len(found):
            raise G3dError(f"the picture '{without[0].picture}' has no {what}, other pictures of '{name}' have one; a dataset "
                           "has it for all or for none")  # fmt: skip
