"""A FaceScape folder made by hand: a ball of known colours, photographed through known lenses, in a world of millimetres."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BALL_PX, LENS = 96, (-0.22, 0.05, 0.004, -0.003, 0.01)  # k1 k2 p1 p2 k3
CENTRE_MM, RADIUS_MM = np.array([40.0, -25.0, 900.0]), 95.0


def ball_colour(normal: Any) -> Any:
    """A colour for each side of the ball, smooth."""
    return 0.5 + 0.45 * np.stack([np.sin(2 * normal[..., 0]), np.sin(3 * normal[..., 1]), normal[..., 2]], axis=-1)


def recording_cameras() -> list[Any]:
    """World => camera [3, 4]: around the ball's front, which looks to -z of a world where up is -y (as OpenCV's cameras)."""
    found = []
    for yaw in (-50, -20, 0, 25, 55, 10):
        a = math.radians(yaw)
        eye = CENTRE_MM + 700 * np.array([math.sin(a) * 0.97, -0.243, -math.cos(a) * 0.97])
        forward = (CENTRE_MM - eye) / 700
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        found.append(np.concatenate([rotation, -rotation @ eye[:, None]], axis=1))
    return found


def photograph(world_to_camera: Any, k: Any, terms: Any, width: int, height: int) -> Any:
    """The ball through a distorting lens: each pixel's ideal place by fixed-point iteration."""
    y, x = np.mgrid[:height, :width] + 0.5
    bent = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1]], axis=-1)
    k1, k2, p1, p2, k3 = terms
    ideal = bent.copy()
    for _ in range(30):
        u, v = ideal[..., 0], ideal[..., 1]
        r2 = u * u + v * v
        d = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        push = np.stack([2 * p1 * u * v + p2 * (r2 + 2 * u * u), p1 * (r2 + 2 * v * v) + 2 * p2 * u * v], axis=-1)
        ideal = (bent - push) / d[..., None]
    rays = np.concatenate([ideal, np.ones((height, width, 1))], axis=-1) @ world_to_camera[:, :3]
    eye = -world_to_camera[:, :3].T @ world_to_camera[:, 3]
    return ball_seen(eye, rays, CENTRE_MM, RADIUS_MM, np.eye(3))


def ball_seen(eye: Any, rays: Any, centre: Any, radius: float, to_ball: Any) -> Any:
    """[H, W, 3] 0..255: the ball's colours along rays [H, W, 3], black beside it."""
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    along = rays @ (centre - eye)
    inside = radius**2 - (np.square(eye - centre).sum() - along**2)
    t = along - np.sqrt(np.maximum(inside, 0))
    normal = (eye + t[..., None] * rays - centre) / radius
    return np.where(inside[..., None] > 0, ball_colour(normal @ to_ball.T), 0) * 255


def write_facescape(root: Path, subjects: tuple[str, ...] = ("2", "10")) -> Path:
    """Subjects, each with 1_neutral and 4_anger of six views: one bent, one invalid, one upright of another size."""
    for subject in subjects:
        for name in ("1_neutral", "4_anger"):
            place = root / subject / name
            place.mkdir(parents=True)
            params: dict[str, Any] = {}
            for view, rt in enumerate(recording_cameras()):
                width, height = (BALL_PX, 128) if view == 1 else (128, BALL_PX)
                k = np.array([[250.0, 0, width / 2 + 3], [0, 250, height / 2 - 2], [0, 0, 1]])
                terms = LENS if view == 3 else (0.0,) * 5
                params |= {
                    f"{view}_K": k.tolist(), f"{view}_Rt": rt.tolist(), f"{view}_distortion": list(terms),
                    f"{view}_width": width, f"{view}_height": height, f"{view}_valid": view != 5, f"{view}_sn": "x",
                }  # fmt: skip
                picture = photograph(rt, k, terms, width, height)
                Image.fromarray(np.rint(picture).astype(np.uint8)).save(place / f"{view}.png")
            (place / "params.json").write_text(json.dumps(params))
    return root


def ball_mesh(path: Path, rings: int = 60) -> None:
    """A PLY of the ball, its corners a little outside so that its sides' middles lie on it."""
    v, u = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings + 1), indexing="ij")
    points = CENTRE_MM + RADIUS_MM * np.stack([np.sin(v) * np.cos(u), np.cos(v), np.sin(v) * np.sin(u)], -1)
    corner = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    faces = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], -1).reshape(-1, 4)
    head = ["ply", "format ascii 1.0", f"element vertex {points.size // 3}", *(f"property float {a}" for a in "xyz")]
    head += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    rows = [" ".join(map(str, row)) for row in points.reshape(-1, 3)] + [" ".join(map(str, (4, *f))) for f in faces]
    path.write_text("\n".join([*head, *rows]) + "\n")
