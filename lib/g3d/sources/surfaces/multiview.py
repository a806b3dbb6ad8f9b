"""The cameras around one object in the unit sphere, and what a dataset of such objects says of the whole.

Views of an object: first the training views (drawn on the hemisphere or the sphere), then the test views (a spiral); or the
cameras of a file, all of them for training.

Letters: O objects, V views of an object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g3d.data.writer import VIEWS_MOST
from g3d.errors import G3dError, closest
from g3d.sources import Summary
from g3d.sources.posed import prior_of, stamp
from g3d.sources.surfaces.drawing import Photos, Stage
from g3d.sources.surfaces.surface import F32

if TYPE_CHECKING:
    from g3d.cameras import CameraPrior

RADIUS_WORLD = 2.6
FOV_DEG = 45.5  # the unit sphere just fits: 2 asin(1 / 2.6) = 45.2
BACKGROUND = (1.0, 1.0, 1.0)
SHAPE_BOUNDS = [[-1.0] * 3, [1.0] * 3]
VIEWS, TEST_VIEWS, SIZE = 16, 8, 64
ELEVATIONS_DEG = {"hemisphere": (0.0, 90.0), "sphere": (-90.0, 90.0)}
_BOX_MARGIN = 0.03  # of each side's length
_MARGIN_LEAST_WORLD = 1e-3  # so that flat objects have a box, too


@dataclass(frozen=True)
class Layout:
    """How many pictures of an object, of what size, and from where."""

    cameras: str  # a word of ELEVATIONS_DEG, or file:JSON
    views: int
    test_views: int
    width: int
    height: int
    normals: bool
    depth_scale: float  # world units of a step of the 16-bit depth; the last step is the unit sphere's farthest point
    c2w: F32 | None = None  # [V, 4, 4] of the file
    intrinsics: F32 | None = None  # [V, 4] pixels

    @property
    def settings(self) -> dict[str, Any]:
        """What the provenance records."""
        found = {
            "views": self.views, "test_views": self.test_views, "size": self.width, "cameras": self.cameras,
            "normals": self.normals,
        }  # fmt: skip
        return found if self.c2w is None else {**found, "camera_digest": stamp(self.c2w, self.intrinsics)}


def layout(cameras: str, views: int | None, test_views: int | None, size: int | None, normals: bool) -> Layout:
    """What the options mean; None is the default."""
    if cameras.startswith("file:"):
        for word, value in (("views", views), ("test-views", test_views)):
            if value is not None:
                raise G3dError(f"--cameras {cameras} already says how many views there are; leave out --{word} {value}")
        return _of_file(cameras, size, normals)
    if cameras not in ELEVATIONS_DEG:
        known = [*ELEVATIONS_DEG, "file:transforms.json"]
        raise G3dError(
            f"--cameras is '{cameras}'{closest(cameras, known)}; it is hemisphere, sphere or file:transforms.json"
        )
    size = SIZE if size is None else size
    return Layout(
        cameras, VIEWS if views is None else views, TEST_VIEWS if test_views is None else test_views, size, size, normals,
        (RADIUS_WORLD + 1) / 65535,
    )  # fmt: skip


def _of_file(cameras: str, size: int | None, normals: bool) -> Layout:
    from g3d.cameras import read_transforms

    path = Path(cameras.removeprefix("file:"))
    found = read_transforms(path)
    if size is not None:
        found = found.resized(size, max(1, round(size * found.height / found.width)))
    c2w, intrinsics = found.c2w.numpy(), found.intrinsics.numpy()
    farthest_world = float(np.linalg.norm(c2w[:, :3, 3].astype(np.float64), axis=1).max()) + 1
    return Layout(
        f"file:{path.name}", len(found), 0, found.width, found.height, normals, farthest_world / 65535, c2w, intrinsics
    )  # fmt: skip


def check_pictures(pictures: int, objects: int) -> None:
    """Refuse more than a dataset holds before any camera is drawn."""
    if pictures > VIEWS_MOST:
        raise G3dError(f"{objects} objects are {pictures} pictures; a dataset holds at most {VIEWS_MOST}: take fewer objects or "
                       "views")  # fmt: skip


def camera_prior(plan: Layout) -> "CameraPrior":
    """Cameras on the hemisphere or the sphere from which the unit sphere just fits in the picture."""
    from g3d.cameras import CameraPrior

    elevation_deg = ELEVATIONS_DEG[plan.cameras]
    return CameraPrior(RADIUS_WORLD, FOV_DEG, plan.width, plan.height, elevation_deg=elevation_deg)


def stages(plan: Layout, seed: int, count: int, photos: Photos | None = None) -> Iterator[Stage]:
    """From where each of `count` objects is seen; the cameras of object i depend on (seed, i) alone."""
    splits: NDArray[np.uint8] = (np.arange(plan.views + plan.test_views) >= plan.views).astype(np.uint8)
    if plan.c2w is not None and plan.intrinsics is not None:
        stage = Stage(
            plan.c2w,
            plan.intrinsics,
            splits,
            plan.width,
            plan.height,
            plan.depth_scale,
            BACKGROUND,
            plan.normals,
            photos,
        )
        for i in range(count):
            yield replace(stage, number=i)
        return
    prior = camera_prior(plan)
    drawn, spiral = prior.sample(seed, range(count * plan.views)), prior.spiral(plan.test_views)
    k = spiral.intrinsics[:1].numpy() if plan.test_views else drawn.intrinsics[:1].numpy()
    intrinsics = k.repeat(len(splits), axis=0)
    seen, still = drawn.c2w.numpy().reshape(count, plan.views, 4, 4), spiral.c2w.numpy()
    for i in range(count):
        yield Stage(
            np.concatenate([seen[i], still]), intrinsics, splits, plan.width, plan.height, plan.depth_scale, BACKGROUND,
            plan.normals, photos, i,
        )  # fmt: skip


def describe(plan: Layout, rotation: NDArray[np.float64] | None, summary: Summary) -> Mapping[str, Any]:
    """What dataset.json says of the whole. `rotation` turned the source's axes into ours, where any did."""
    return {
        **around(summary), "camera_prior": _prior_json(plan), "depth_scale": plan.depth_scale, **normalisation(rotation),
    }  # fmt: skip


def around(summary: Summary) -> dict[str, Any]:
    """The box around all objects, with a margin, and that of their grids of occupancy."""
    margin = np.maximum(_BOX_MARGIN * (summary.high - summary.low), _MARGIN_LEAST_WORLD)
    low, high = (summary.low - margin).tolist(), (summary.high + margin).tolist()
    return {"bounds": [low, high], "shape_bounds": SHAPE_BOUNDS}


def normalisation(rotation: NDArray[np.float64] | None) -> dict[str, Any]:
    """How objects were moved, with the centre and the scale of each."""
    if rotation is None:
        return {"normalisation": "normalised = (source - centre) * scale"}
    return {
        "normalisation": "normalised = (source_to_world @ source - centre) * scale",
        "world": {"source_to_world": rotation.tolist(), "world_to_source": rotation.T.tolist()},
    }


def _prior_json(plan: Layout) -> dict[str, Any]:
    if plan.c2w is None or plan.intrinsics is None:
        return camera_prior(plan).as_json()
    return prior_of(plan.c2w.astype(np.float64), plan.intrinsics.astype(np.float64), plan.width, plan.height)
