"""What the browser draws itself, and turns at once: splats of 3D Gaussians, meshes of fields, frusta of photographs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from g3d.cameras import Cameras
from g3d.drawing.camera_path import quaternions
from g3d.drawing.surfaces import surface_mesh
from g3d.export.mesh_formats import glb
from g3d.images import resized
from g3d.render.gaussians import GaussianSettings, shown
from g3d.render.splat.harmonics import sh_colour
from g3d.render.splat.turn import rotations
from g3d.scenes.scene import Field, Gaussians, MlpField
from g3d.viewing.poses import fov_rad
from g3d.viewing.subject import Photographs

MESH_CELLS = 96
THUMB_PX = 96


def add_splats(space: Any, scene: Gaussians, settings: GaussianSettings, camera: Cameras) -> Any:
    """Splats in the colours that `camera` sees: the browser knows no spherical harmonics."""
    part = shown(scene, settings)
    means, axes = part.means[0], rotations(part.quats[0])
    scales = part.log_scales[0].clamp(max=10).exp() * settings.scale_modifier
    half = axes * scales[:, None]
    rgb = (sh_colour(part.sh[0], means - camera.c2w[0, :3, 3]) + 0.5).clamp(0, 1)
    arrays = (means, half @ half.transpose(1, 2), rgb, part.opacity_logits[0].sigmoid()[:, None])
    return space.add_gaussian_splats("/splats", *(np.ascontiguousarray(t.numpy(), np.float32) for t in arrays))


def add_mesh(space: Any, scene: Field) -> Any:
    """The surface of a field by marching cubes, in its own colours; a solid, which has none, in the browser's light."""
    mesh = surface_mesh(scene, MESH_CELLS, None, torch.device("cpu"))
    solid = isinstance(scene, MlpField) and scene.signal == "occupancy"
    return space.add_glb("/mesh", glb(mesh.vertices, mesh.faces, mesh.colours, unlit=not solid))


def add_frusta(space: Any, shots: Photographs) -> list[Any]:
    """A frustum with a thumbnail for each photograph; a click on one is the caller's to heed."""
    eyes = shots.cameras.c2w[:, :3, 3]
    reach = float((eyes - eyes.mean(dim=0)).norm(dim=1).max()) or 1.0
    handles = []
    for i, picture in enumerate(shots.pictures):
        camera = shots.cameras[i]
        scale = THUMB_PX / max(picture.shape[:2])
        small = resized(picture, max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        handles.append(
            space.add_camera_frustum(
                f"/cameras/{i:06d}",
                fov_rad(camera),
                camera.width / camera.height,
                scale=0.12 * reach,
                image=small,
                wxyz=_wxyz(camera),
                position=tuple(camera.c2w[0, :3, 3].tolist()),
            )
        )
    return handles


def hide_near(frusta: Sequence[Any], eye_world: Any) -> None:
    """Hide those that the browser's camera stands in: their thumbnails would cover the picture itself."""
    for handle in frusta:
        seen = bool(np.linalg.norm(np.subtract(handle.position, eye_world)) > handle.scale)
        if handle.visible != seen:
            handle.visible = seen


def _wxyz(camera: Cameras) -> tuple[float, ...]:
    return tuple(quaternions(camera.c2w[:1, :3, :3].double())[0].tolist())
