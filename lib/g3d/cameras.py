"""Cameras, in the one convention of this project, and where they stand: orbits, spirals, grids, priors.

OpenCV axes (x right, y down, z forward), `c2w` 4x4 row-major camera-to-world, world y-up, intrinsics `fx fy cx cy` in
**pixels** with pixel centres at +0.5. Other conventions are converted at the border: OpenGL `transforms.json` here, since
both reading and writing need it; the rest in their source.

Letters: V views.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from g3d.errors import G3dError
from g3d.seeds import rng
from g3d.storage import files

DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")  # names of OpenCV's lens distortion
OPENGL_FLIP = torch.tensor([1.0, -1.0, -1.0, 1.0])  # OpenCV axes <=> OpenGL axes: y and z change sign


@dataclass(frozen=True)
class Cameras:
    """V pinhole cameras of one image size."""

    c2w: Tensor  # [V, 4, 4] camera => world
    intrinsics: Tensor  # [V, 4] fx fy cx cy, pixels
    width: int
    height: int

    def __len__(self) -> int:
        return int(self.c2w.shape[0])

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> "Cameras":
        """A selection of the views; an int gives one view, still with its leading axis."""
        picked: Any = [index] if isinstance(index, int) else index
        return replace(self, c2w=self.c2w[picked], intrinsics=self.intrinsics[picked])

    def to(self, device: str | torch.device) -> "Cameras":
        """The same cameras on `device`."""
        return replace(self, c2w=self.c2w.to(device), intrinsics=self.intrinsics.to(device))

    def resized(self, width: int, height: int) -> "Cameras":
        """The same views as images of another size."""
        sx, sy = width / self.width, height / self.height
        scale = torch.tensor([sx, sy, sx, sy], dtype=self.intrinsics.dtype, device=self.intrinsics.device)
        return replace(self, intrinsics=self.intrinsics * scale, width=width, height=height)


SIDE_MOST = 8192  # pixels of a picture that is drawn


@dataclass(frozen=True)
class CameraPrior:
    """Where a model's training cameras stood, and the default camera: on a sphere, aimed at `target`.

    Recorded by the model, copied into every scene that it makes. `azimuth_deg` turns around +y, 0 looks from +z;
    `elevation_deg` is above the horizon. `area` draws uniformly on the sphere's surface, `uniform` in both angles,
    `normal` takes the ranges as mean +- one standard deviation, `azimuth_normal` that of the azimuth alone.
    """

    radius_world: float
    fov_deg: float
    width: int
    height: int
    azimuth_deg: tuple[float, float] = (0.0, 360.0)
    elevation_deg: tuple[float, float] = (0.0, 90.0)
    distribution: Literal["area", "uniform", "normal", "azimuth_normal"] = "area"
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    default_azimuth_deg: float = 35.0
    default_elevation_deg: float = 20.0

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(data: Mapping[str, Any], where: str) -> "CameraPrior":
        """From JSON values; `where` names the file in messages."""
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            prior = CameraPrior(**values)
            sane = prior.radius_world > 0 and 0 < prior.fov_deg < 180
            sane = sane and all(type(n) is int and 1 <= n <= SIDE_MOST for n in (prior.width, prior.height))
            sane = sane and prior.distribution in ("area", "uniform", "normal", "azimuth_normal")
            sane = sane and [len(prior.azimuth_deg), len(prior.elevation_deg), len(prior.target)] == [2, 2, 3]
            angles = (*prior.azimuth_deg, *prior.elevation_deg, prior.default_azimuth_deg, prior.default_elevation_deg)
            sane = sane and all(math.isfinite(v) for v in (*angles, *prior.target, prior.radius_world))
        except (TypeError, AttributeError, ArithmeticError) as error:
            raise G3dError(f"the camera prior of {where} cannot be read ({error}); write it again") from error
        if not sane:
            raise G3dError(f"the camera prior of {where} is not sane ({prior}); write it again")
        return prior

    def default(self) -> Cameras:
        """The default camera, one view."""
        return self.at(torch.tensor([self.default_azimuth_deg]), torch.tensor([self.default_elevation_deg]))

    def sample(self, seed: int, indices: Sequence[int], stream: str = "camera") -> Cameras:
        """One camera for each index; camera i depends on (seed, i) alone.

        `stream` keeps draws of one seed for two purposes apart, e.g. the training views of a dataset and new ones."""
        u = torch.stack([torch.rand(2, generator=rng(seed, i, stream), dtype=torch.float64) for i in indices])
        (a0, a1), (e0, e1) = self.azimuth_deg, self.elevation_deg
        azimuth = a0 + (a1 - a0) * u[:, 0]
        elevation = e0 + (e1 - e0) * u[:, 1]
        z = torch.erfinv((2 * u - 1).clamp(-0.999999, 0.999999)) * math.sqrt(2)
        if self.distribution in ("normal", "azimuth_normal"):
            azimuth = (a0 + a1) / 2 + (a1 - a0) / 2 * z[:, 0]
        if self.distribution == "normal":
            elevation = (e0 + e1) / 2 + (e1 - e0) / 2 * z[:, 1]
        if self.distribution == "area":  # equal areas between equal heights (Archimedes)
            low, high = math.sin(math.radians(e0)), math.sin(math.radians(e1))
            elevation = torch.rad2deg(torch.asin(low + (high - low) * u[:, 1]))
        return self.at(azimuth, elevation)

    def orbit(self, count: int, elevation_deg: float | None = None) -> Cameras:
        """`count` views once around at one elevation, starting at the default azimuth."""
        azimuth = self.default_azimuth_deg + torch.arange(count, dtype=torch.float64) * 360.0 / count
        elevation = self.default_elevation_deg if elevation_deg is None else elevation_deg
        return self.at(azimuth, torch.full_like(azimuth, elevation))

    def spiral(self, count: int) -> Cameras:
        """`count` fixed views that wind from the lowest elevation of the prior to 5 degrees under its highest.

        Equal steps in height, so the views cover the band evenly (the test views of SRN cars do the same)."""
        t = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        low, high = self.elevation_deg[0], max(self.elevation_deg[0], self.elevation_deg[1] - 5.0)
        heights = math.sin(math.radians(low)) + t * (math.sin(math.radians(high)) - math.sin(math.radians(low)))
        golden_deg = 360.0 * (3 - math.sqrt(5)) / 2
        return self.at(
            torch.arange(count, dtype=torch.float64) * golden_deg % 360.0, torch.rad2deg(torch.asin(heights))
        )

    def grid(self, rows: int, columns: int) -> Cameras:
        """Row by row: elevations from high to low, azimuths around the default one."""
        low, high = self.elevation_deg
        elevation = torch.linspace(high - 5 if high > 80 else high, low, rows, dtype=torch.float64)
        full = self.azimuth_deg[1] - self.azimuth_deg[0] >= 359
        if full:
            azimuth = self.default_azimuth_deg + torch.arange(columns, dtype=torch.float64) * 360.0 / columns
        else:
            azimuth = torch.linspace(*self.azimuth_deg, columns, dtype=torch.float64)
        return self.at(azimuth.repeat(rows), elevation.repeat_interleave(columns))

    def disc(self, radius_world: float, count: int, seed: int, index: int) -> Cameras:
        """`count` views of scene `index`, uniform in the area of a disc around the default camera that touches its sphere there;
        aimed at the target. View k depends on (seed, index, k) alone."""
        stream = rng(seed, index, "disc camera")
        u = torch.stack([torch.rand(2, generator=stream, dtype=torch.float64) for _ in range(count)])
        return self._on_tangent(radius_world * u[:, 0].sqrt(), 2 * math.pi * u[:, 1])

    def ring(self, radius_world: float, count: int) -> Cameras:
        """`count` views evenly on the rim of that disc, from the right of the default camera upward."""
        angle = torch.arange(count, dtype=torch.float64) * 2 * math.pi / count
        return self._on_tangent(torch.full_like(angle, radius_world), angle)

    def _on_tangent(self, radius_world: Tensor, angle: Tensor) -> Cameras:
        """Views from the plane through the default camera, perpendicular to its direction: so far [V] from it, at this angle
        [V] from its right toward its up."""
        default = self.default()
        c2w = default.c2w[0].double()
        right, down, eye = c2w[:3, 0], c2w[:3, 1], c2w[:3, 3]
        aside = radius_world[:, None] * (angle.cos()[:, None] * right - angle.sin()[:, None] * down)
        poses = look_at(eye + aside, torch.tensor(self.target, dtype=torch.float64)).float()
        return replace(default, c2w=poses, intrinsics=default.intrinsics.expand(len(angle), -1).clone())

    def at(self, azimuth_deg: Tensor, elevation_deg: Tensor) -> Cameras:
        """Views from these angles [V]; differentiable in them."""
        a, e = torch.deg2rad(azimuth_deg.double()), torch.deg2rad(elevation_deg.double())
        target = torch.tensor(self.target, dtype=torch.float64, device=a.device)
        eye = target + self.radius_world * torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], dim=-1)
        focal_px = focal_from_fov(self.fov_deg, self.width)
        k = torch.tensor([focal_px, focal_px, self.width / 2, self.height / 2], device=a.device)
        return Cameras(look_at(eye, target).float(), k.repeat(len(eye), 1), self.width, self.height)


def camera_conditioning(cameras: Cameras) -> Tensor:
    """EG3D's 25 numbers of each camera, [V, 25]: camera to world row by row, then intrinsics (3x3) over the picture's size."""
    size = torch.tensor([cameras.width, cameras.height] * 2, dtype=torch.float32, device=cameras.intrinsics.device)
    fx, fy, cx, cy = (cameras.intrinsics.float() / size).unbind(1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    k = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], dim=1)
    return torch.cat([cameras.c2w.float().flatten(1), k], dim=1)


def focal_from_fov(fov_deg: float, width: int) -> float:
    """Focal length in pixels of a horizontal field of view."""
    return 0.5 * width / math.tan(math.radians(fov_deg) / 2)


def look_at(eye: Tensor, target: Tensor, up: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Tensor:
    """c2w [V, 4, 4] of cameras at `eye` [V, 3] that look at `target` [3], with `up` upward in the picture."""
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    upward = torch.tensor(up, dtype=eye.dtype, device=eye.device).expand_as(forward)
    right = torch.linalg.cross(forward, upward)
    degenerate = right.norm(dim=-1, keepdim=True) < 1e-6  # straight up or down: any right will do, the same each time
    right = torch.where(
        degenerate, torch.tensor([1.0, 0.0, 0.0], dtype=eye.dtype, device=eye.device).expand_as(right), right
    )
    right = torch.nn.functional.normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    c2w = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(len(eye), 1, 1)
    c2w[:, :3, :3] = torch.stack([right, down, forward], dim=-1)
    c2w[:, :3, 3] = eye
    return c2w


def to_transforms(cameras: Cameras, file_names: Sequence[str]) -> dict[str, Any]:
    """Our cameras => the `transforms.json` of the field (OpenGL axes: y up, z backward), intrinsics per frame.

    `world_up` says that our world is y-up; files of other tools are z-up and do not say it."""
    frames: list[dict[str, Any]] = []
    for name, c2w, k in zip(file_names, cameras.c2w.double(), cameras.intrinsics.double(), strict=True):
        fx, fy, cx, cy = (float(v) for v in k)
        matrix = (c2w * OPENGL_FLIP.double()).tolist()
        frames.append({"file_path": name, "transform_matrix": matrix, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy})
    angle = 2 * math.atan(0.5 * cameras.width / frames[0]["fl_x"]) if frames else 0.0
    return {"camera_angle_x": angle, "w": cameras.width, "h": cameras.height, "world_up": "y", "frames": frames}


def from_transforms(data: Mapping[str, Any], where: str) -> Cameras:
    """`transforms.json` => our cameras. Intrinsics per frame or shared, or from `camera_angle_x` with `w` and `h`."""
    with reading_transforms(where):
        frames = data["frames"]
        width, height = int(data.get("w", frames[0].get("w", 0))), int(data.get("h", frames[0].get("h", 0)))
        if not frames or width < 1 or height < 1:
            raise G3dError(f"'{where}' lacks frames, or the image size 'w' and 'h'; add them")
        matrices, intrinsics = [], []
        for i, frame in enumerate(frames):
            matrices.append(_checked_pose(torch.tensor(frame["transform_matrix"], dtype=torch.float64), where, i))
            both = {**data, **frame}
            _check_frame(both, width, height, where, i)
            intrinsics.append(frame_intrinsics_px(both, width, height, f"frame {i} of '{where}'"))
        c2w = torch.stack(matrices) * OPENGL_FLIP.double()  # OpenGL => OpenCV
    return Cameras(c2w.float(), torch.tensor(intrinsics, dtype=torch.float64).float(), width, height)


@contextmanager
def reading_transforms(where: str) -> Iterator[None]:
    """What a `transforms.json` of the wrong form raises while it is read => one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise G3dError(f"'{where}' is not a transforms.json that can be read ({type(error).__name__}: {error}); "
                       "it needs 'frames' with 'transform_matrix', and fl_x or camera_angle_x") from error  # fmt: skip


def frame_intrinsics_px(frame: Mapping[str, Any], width: int, height: int, where: str) -> list[float]:
    """fx fy cx cy of the frame `where`, pixels; `frame` also holds what its file says of all frames."""
    fx = frame.get("fl_x")
    if fx is None:
        fx = focal_from_fov(math.degrees(frame["camera_angle_x"]), width)
    fy = frame.get("fl_y", fx)
    if "fl_y" not in frame and "camera_angle_y" in frame:
        fy = focal_from_fov(math.degrees(frame["camera_angle_y"]), height)
    k = [fx, fy, frame.get("cx", width / 2), frame.get("cy", height / 2)]
    if not all(math.isfinite(v) for v in k) or min(k[:2]) <= 0:
        raise G3dError(f"{where} has the intrinsics {k} (fx fy cx cy, pixels); focal lengths "
                       "are finite and above 0")  # fmt: skip
    return k


def bent_by(frame: Mapping[str, Any]) -> list[str]:
    """The names of the terms of lens distortion that a frame has."""
    listed = [name for name in frame if "distort" in name.lower() and torch.tensor(frame[name]).any()]
    model = str(frame.get("camera_model", "")).lower()
    bowl = ["fisheye"] if frame.get("is_fisheye") or "fisheye" in model else []
    return [name for name in DISTORTION if float(frame.get(name, 0)) != 0] + listed + bowl


def _check_frame(frame: Mapping[str, Any], width: int, height: int, where: str, number: int) -> None:
    """Refuse what these cameras cannot express, rather than read it wrong: lens distortion, frames of several sizes."""
    bent = bent_by(frame)
    if bent:
        raise G3dError(f"frame {number} of '{where}' has lens distortion ({', '.join(bent)}); undistort the pictures first, e.g. "
                       "with prepare-data transforms")  # fmt: skip
    size = (int(frame.get("w", width)), int(frame.get("h", height)))
    if size != (width, height):
        raise G3dError(
            f"frame {number} of '{where}' has the size {size}, the first one {(width, height)}; use one size a file"
        )


def _checked_pose(matrix: Tensor, where: str, frame: int) -> Tensor:
    if matrix.shape != (4, 4):
        raise G3dError(f"frame {frame} of '{where}' has a pose of shape {list(matrix.shape)}; wanted is [4, 4]")
    rotation = matrix[:3, :3]
    skew = (rotation @ rotation.T - torch.eye(3, dtype=matrix.dtype)).abs().max()  # a shear has determinant 1 too
    if not torch.isfinite(matrix).all() or skew > 1e-2 or torch.linalg.det(rotation) < 0:
        raise G3dError(f"frame {frame} of '{where}' has a pose that is not a rotation and a translation; correct it")
    return matrix


def read_transforms(path: Path) -> Cameras:
    """Cameras from a `transforms.json`."""
    return from_transforms(files.read_json(path, "the cameras"), str(path))


def write_transforms(path: Path, cameras: Cameras, file_names: Sequence[str], item: str | None = None) -> None:
    """Write a `transforms.json` beside pictures, so that other tools open the folder; `item`: the name of what they all show."""
    about = {**to_transforms(cameras, file_names), **({} if item is None else {"item": item})}
    with files.atomic(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
