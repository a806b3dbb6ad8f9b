"""A scene of coloured spheres in closed form, and writers of its pictures in each dialect of posed pictures.

A point's colour depends on its place alone, so it is the same in every view; the scene is like none of its mirror images.
Our world is y-up; the dialects' is z-up, except for EG3D's.

Letters: V views, H rows, W columns.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from g3d import images
from numpy.typing import NDArray

F64 = NDArray[np.float64]
SPHERES = (((0.0, 0.0, 0.0), 0.5), ((0.55, 0.35, 0.1), 0.25), ((-0.2, -0.45, 0.5), 0.2))
FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # (x, y, z) => (x, -z, y): z up


@dataclass(frozen=True)
class Scene:
    """What was drawn, in our world."""

    c2w: F64  # [V, 4, 4]
    k: F64  # [V, 4] fx fy cx cy, pixels
    rgb: NDArray[np.uint8]  # [V, H, W, 3] over white
    alpha: NDArray[np.uint8]  # [V, H, W]
    depth_world: F64  # [V, H, W], 0 where nothing is hit

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.shape[2], self.rgb.shape[1]

    def rgba(self, view: int) -> NDArray[np.uint8]:
        """Colour that is not laid over anything, and coverage."""
        plain = np.where(self.alpha[view][..., None] > 0, self.rgb[view], 0)
        return np.concatenate([plain, self.alpha[view][..., None]], -1).astype(np.uint8)


def colour_of(points: F64) -> F64:
    """[..., 3] in [0, 1]: it changes slowly, and differs between the ends of each axis."""
    return 0.5 + 0.4 * np.sin(np.array([2.1, 1.7, 2.4]) * points + np.array([0.3, -0.4, 0.8]))


def look_from(azimuth_deg: float, elevation_deg: float, radius: float, target: Any = (0, 0, 0)) -> F64:
    """c2w [4, 4], written out by hand: OpenCV axes, y up."""
    a, e = math.radians(azimuth_deg), math.radians(elevation_deg)
    away = np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
    forward = -away
    right = np.array([math.cos(a), 0, -math.sin(a)])
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([right, np.cross(forward, right), forward], -1)
    c2w[:3, 3] = np.asarray(target) + radius * away
    return c2w


def cameras(count: int, radius: float = 3.0) -> F64:
    """[V, 4, 4] all around, at heights from -10 to 50 degrees."""
    return np.stack([look_from(20 + 360 * i / count, -10 + 60 * i / max(count - 1, 1), radius) for i in range(count)])


def trace(c2w: F64, x: F64, y: F64) -> tuple[F64, F64]:
    """Camera z of the first hit (inf: none) and its place in the world, of rays through x y (in focal lengths)."""
    local = np.stack([x, y, np.ones_like(x)], -1)
    way = local @ c2w[:3, :3].T
    nearest = np.full(x.shape, np.inf)
    for centre, radius in SPHERES:
        out = c2w[:3, 3] - np.asarray(centre)
        a, b, c = (way * way).sum(-1), (way * out).sum(-1), out @ out - radius**2
        root = b * b - a * c
        z = np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        nearest = np.where((z > 0) & (z < nearest), z, nearest)
    return nearest, c2w[:3, 3] + np.where(np.isfinite(nearest), nearest, 0)[..., None] * way


def draw(c2w: F64, k: F64, width: int, height: int) -> tuple[Any, Any, Any]:
    """Picture over white, coverage, depth: one sample a pixel, at its centre."""
    fx, fy, cx, cy = k
    x, y = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
    z, points = trace(c2w, x, y)
    hit = np.isfinite(z)
    rgb = np.where(hit[..., None], colour_of(points), 1.0)
    return np.rint(rgb * 255).astype(np.uint8), (hit * 255).astype(np.uint8), np.where(hit, z, 0)


def scene(count: int = 5, width: int = 48, height: int = 48, radius: float = 3.0, c2w: F64 | None = None) -> Scene:
    """The spheres from `count` cameras; each has intrinsics of its own, off the middle."""
    c2w = cameras(count, radius) if c2w is None else c2w
    focal = 1.2 * min(width, height)
    k = np.array([[focal + v, focal + v, width / 2 + 0.25 * v, height / 2 - 0.5] for v in range(len(c2w))])
    drawn = [draw(pose, row, width, height) for pose, row in zip(c2w, k, strict=True)]
    return Scene(c2w, k, *(np.stack(part) for part in zip(*drawn, strict=True)))


def alike(made: Scene) -> Scene:
    """The scene with the same intrinsics for all views, the principal point in the middle, square pixels."""
    width, height = made.size
    k = np.tile([made.k[0, 0], made.k[0, 0], width / 2, height / 2], (len(made.k), 1))
    drawn = [draw(pose, row, width, height) for pose, row in zip(made.c2w, k, strict=True)]
    return Scene(made.c2w, k, *(np.stack(part) for part in zip(*drawn, strict=True)))


def opengl(c2w: F64) -> list[list[float]]:
    """Our pose => that of a transforms.json in a z-up world."""
    turned = FROM_Y_UP @ c2w
    turned[:, 1:3] *= -1
    return [[float(v) for v in row] for row in turned]


def write_eg3d(folder: Path, made: Scene, names: list[str] | None = None, white: bool = True) -> Path:
    """Pictures with dataset.json; EG3D's world is y-up."""
    width, height = made.size
    names = names or [f"00000/img{i:08d}.png" for i in range(len(made.c2w))]
    labels = []
    for i, name in enumerate(names):
        images.write_image(folder / name, made.rgb[i] if white else made.rgba(i))
        fx, fy, cx, cy = made.k[i] / [width, height, width, height]
        labels.append([name, [*made.c2w[i].reshape(-1), fx, 0, cx, 0, fy, cy, 0, 0, 1]])
    (folder / "dataset.json").write_text(json.dumps({"labels": [[n, [float(v) for v in row]] for n, row in labels]}))
    return folder


def write_srn(folder: Path, made: Scene, intrinsics: bool = True, each: bool = False) -> Path:
    """One SRN object; the shared intrinsics are those of the first view."""
    width, height = made.size
    for i, pose in enumerate(FROM_Y_UP @ made.c2w):
        images.write_image(folder / "rgb" / f"{i:06d}.png", made.rgb[i])
        (folder / "pose").mkdir(exist_ok=True)
        (folder / "pose" / f"{i:06d}.txt").write_text(" ".join(repr(float(v)) for v in pose.reshape(-1)))
        if each:
            (folder / "intrinsics").mkdir(exist_ok=True)
            fx, fy, cx, cy = made.k[i]
            rows = f"{fx} 0 {cx} 0\n0 {fy} {cy} 0\n0 0 1 0\n0 0 0 1\n" if i % 2 else f"{fx} 0 {cx} 0 {fy} {cy} 0 0 1"
            (folder / "intrinsics" / f"{i:06d}.txt").write_text(rows)
    if intrinsics:
        fx, _, cx, cy = made.k[0]
        (folder / "intrinsics.txt").write_text(f"{fx} {cx} {cy} 0.\n0. 0. 0.\n1.\n{height} {width}\n")
    return folder


def write_nerf_synthetic(folder: Path, made: Scene, test_from: int) -> Path:
    """RGBA without suffix, camera_angle_x alone, splits in files."""
    width, _ = made.size
    angle = 2 * math.atan(width / 2 / made.k[0, 0])
    for split, views in (("train", range(test_from)), ("test", range(test_from, len(made.c2w)))):
        frames = []
        for i in views:
            images.write_image(folder / split / f"r_{i}.png", made.rgba(i))
            frames.append({"file_path": f"./{split}/r_{i}", "rotation": 0.01, "transform_matrix": opengl(made.c2w[i])})
        (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return folder


def write_ngp(folder: Path, made: Scene, **more: Any) -> Path:
    """instant-ngp: shared fl_x .. and lens, `sharpness` a frame."""
    width, height = made.size
    fx, fy, cx, cy = (float(v) for v in made.k[0])
    frames = []
    for i, pose in enumerate(made.c2w):
        images.write_image(folder / "images" / f"{i:04d}.png", made.rgb[i])
        frames.append({"file_path": f"images/{i:04d}.png", "sharpness": 50.0, "transform_matrix": opengl(pose)})
    head = {
        "camera_angle_x": 2 * math.atan(width / 2 / fx), "camera_angle_y": 2 * math.atan(height / 2 / fy),
        "fl_x": fx, "fl_y": fy, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "is_fisheye": False, "cx": cx, "cy": cy,
        "w": float(width), "h": float(height), "aabb_scale": 16, "frames": frames, **more,
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(head))
    return folder


def write_nerfstudio(folder: Path, made: Scene, units: float = 1e-3, **more: Any) -> Path:
    """nerfstudio: intrinsics, mask and 16-bit depth a frame."""
    width, height = made.size
    frames = []
    for i, pose in enumerate(made.c2w):
        images.write_image(folder / "images" / f"frame_{i + 1:05d}.png", made.rgb[i])
        images.write_image(folder / "masks" / f"frame_{i + 1:05d}.png", made.alpha[i])
        images.write_image(
            folder / "depths" / f"frame_{i + 1:05d}.png", np.rint(made.depth_world[i] / units).astype(np.uint16)
        )
        fx, fy, cx, cy = (float(v) for v in made.k[i])
        frames.append({
            "file_path": f"images/frame_{i + 1:05d}.png", "mask_path": f"masks/frame_{i + 1:05d}.png",
            "depth_file_path": f"depths/frame_{i + 1:05d}.png", "transform_matrix": opengl(pose),
            "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height, "colmap_im_id": i,
        })  # fmt: skip
    head = {
        "camera_model": "OPENCV", "frames": frames,
        "applied_transform": [[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]], **more,
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(head))
    return folder


def project(c2w: F64, k: F64, point: F64) -> tuple[float, float, float]:
    """Column, row (pixel centres at +0.5) and camera z of a world point."""
    x, y, z = (point - c2w[:3, 3]) @ c2w[:3, :3]
    return k[0] * x / z + k[2], k[1] * y / z + k[3], float(z)


def check_points(pictures: Any, c2w: F64, k: F64, margin_px: float = 1.0, border_px: float = 0.0) -> None:
    """Points of the scene, projected into the pictures by these cameras, lie on their own colour in every view that sees them,
    but for a margin at edges, and the border of the picture."""
    steps = margin_px * np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    draws = np.random.default_rng(0).normal(size=(300, 3))
    sphere = np.arange(300) % len(SPHERES)
    centres, radii = (np.array([SPHERES[s][i] for s in sphere], float) for i in (0, 1))
    seen_twice = 0
    for point in centres + radii[:, None] * draws / np.linalg.norm(draws, axis=1, keepdims=True):
        seen = 0
        for picture, pose, row in zip(pictures, c2w, k, strict=True):
            u, v, z = project(pose, row, point)
            depth, _ = trace(pose, *((np.array([u, v]) + steps - row[2:]) / row[:2]).T)
            height, width = picture.shape[:2]
            inside = min(u, v, width - u, height - v) > border_px
            if abs(depth[0] - z) > 1e-4 or np.abs(depth - z).max() > 0.1 * margin_px or not inside:
                continue  # hidden, near an edge, or outside
            shown = picture[int(v), int(u)].astype(float) / 255
            assert np.abs(shown - colour_of(point)).max() < 0.06, (point, u, v, shown, colour_of(point))
            seen += 1
        seen_twice += seen >= 2
    assert seen_twice >= 40, seen_twice
