"""Toy heads: spheres whose skin belongs to the subject and whose dark mouth grows with the expression, with landmarks, masks,
depth and labels, so that what learns faces can be tested without a face model."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from g3d import images
from g3d.cameras import CameraPrior
from g3d.progress import SILENT
from g3d.sources import Collection, Item, Made, View
from g3d.sources.writing.collection import Plan, write
from numpy.typing import NDArray
from posed_scene import look_from

DISTANCE, RADIUS, SCALE = 4.0, 1.0, 1e-3
SKIN = np.array([[0.9, 0.7, 0.6], [0.5, 0.35, 0.3], [0.75, 0.55, 0.3], [0.6, 0.6, 0.7]])
EXPRESSIONS = ("neutral", "open", "wide")


@dataclass(frozen=True)
class Head:
    """One subject with one expression."""

    subject: int
    expression: int
    size: int
    train_views: int
    split: str


def landmarks() -> NDArray[np.float64]:
    """[68, 3] on the front of the sphere, spread over angles."""
    i = np.arange(68)
    yaw, pitch = np.radians(70 * np.sin(2.4 * i)), np.radians(50 * np.cos(1.7 * i + 0.3))
    return RADIUS * np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)


def poses(views: int) -> NDArray[np.float64]:
    """[V, 4, 4] around the front of the face."""
    return np.stack([look_from(-60 + 120 * v / max(views - 1, 1), 10 * (-1) ** v, DISTANCE) for v in range(views)])


def draw(head: Head, c2w: NDArray[np.float64], k: NDArray[np.float64]) -> View:
    """The sphere over black."""
    v, u = np.mgrid[: head.size, : head.size] + 0.5
    way = np.stack([(u - k[2]) / k[0], (v - k[3]) / k[1], np.ones_like(u)], -1) @ c2w[:3, :3].T
    eye = c2w[:3, 3]
    a, b, c = (way * way).sum(-1), way @ eye, eye @ eye - RADIUS**2
    root = b * b - a * c
    hit = root > 0
    z = np.where(hit, (-b - np.sqrt(np.maximum(root, 0))) / a, 0)
    point = eye + way * z[..., None]
    mouth = (point[..., 2] > 0) & (np.hypot(point[..., 0], point[..., 1] + 0.4) < 0.15 + 0.15 * head.expression)
    colour = np.where(mouth[..., None], [0.3, 0.0, 0.0], SKIN[head.subject])
    rgb = np.where(hit[..., None], colour, 0.0)
    return View(
        images.encode(np.rint(rgb * 255).astype(np.uint8)), images.encode((hit * 255).astype(np.uint8)),
        images.encode(np.rint(z / SCALE).astype(np.uint16)),
    )  # fmt: skip


def make(head: Head, views: int, marked: bool) -> Made:
    """All views of a head."""
    c2w = poses(views)
    k = np.tile([1.6 * head.size] * 2 + [head.size / 2] * 2, (views, 1))
    marks = landmarks()
    shown, seen = [], []
    for pose in c2w:
        local = (marks - pose[:3, 3]) @ pose[:3, :3]
        shown.append(local[:, :2] / local[:, 2:] * k[0, 0] + k[0, 2])
        seen.append(((pose[:3, 3] - marks) * marks).sum(1) > 0)
    columns: dict[str, NDArray[Any]] = {
        "c2w": c2w, "intrinsics": k, "split": np.arange(views) >= head.train_views,
        "subject": np.full(views, head.subject), "expression": np.full(views, head.expression),
    }  # fmt: skip
    if marked:
        columns |= {"landmarks": np.stack(shown), "landmarks_visible": np.stack(seen)}
    drawn = [draw(head, pose, row) for pose, row in zip(c2w, k, strict=True)]
    box = ([-RADIUS] * 3, [RADIUS] * 3)
    return Made(drawn, columns, entry={"subject": head.subject, "split": head.split}, box=box)


def write_dataset(out: Path, size: int = 16, views: int = 3, test_views: int = 1, marked: bool = True) -> Path:
    """Three trained subjects and a held-out one, three expressions each; subject 1 is never trained with the last one."""
    items = []
    for subject in range(4):
        for expression, name in enumerate(EXPRESSIONS):
            split = "test" if subject == 3 else "pairs" if (subject, expression) == (1, 2) else "train"
            head = Head(subject, expression, size, views, split)
            items.append(Item(f"s{subject}/{name}", partial(make, head, views + test_views, marked)))
    prior = CameraPrior(DISTANCE, 35.0, size, size, (-30.0, 30.0), (-10.0, 10.0), "uniform", (0.0, 0.0, 0.0), 0.0, 0.0)
    about = {
        "bounds": [[-1.05] * 3, [1.05] * 3], "camera_prior": prior.as_json(), "depth_scale": SCALE, "near_world": 2.0,
        "far_world": 6.0,
    }  # fmt: skip
    names = {"expression": EXPRESSIONS, "subject": [f"s{i}" for i in range(4)]}
    whole = Collection("toy faces", items, "none", {}, size, size, (0.0, 0.0, 0.0), lambda _: about, names)
    write(out, whole, Plan("faces", 0, None, 0, False, False, 1), SILENT)
    return out
