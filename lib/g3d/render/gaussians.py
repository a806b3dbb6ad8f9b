"""What of a scene of 3D Gaussians is drawn, and in what form: levels, backdrop, opacity, points.

Letters: N Gaussians.
"""

import math
from dataclasses import dataclass, replace

import torch

from g3d.config import setting
from g3d.errors import G3dError
from g3d.render.background import background_setting
from g3d.scenes.scene import Gaussians, tensors_of, with_tensors
from g3d.seeds import parse_seeds


@dataclass(frozen=True)
class GaussianSettings:
    """3D Gaussians."""

    scale_modifier: float = setting(1.0, "factor on every Gaussian's scale", low=0)
    background: tuple[float, ...] = background_setting()
    antialiased: bool = setting(False, "Gaussians smaller than a pixel keep their weight (Mip-Splatting)")
    levels: str = setting("all", "which levels of a hierarchy are drawn, e.g. 0,2-4")
    backdrop: bool = setting(True, "whether Gaussians that belong to the background are drawn")
    opacity_one: bool = setting(
        False, "every Gaussian's opacity is sigmoid(1), as for anchors, which have none of their own"
    )
    point_radius: float = setting(
        0.0, "draw Gaussians as opaque balls of this radius, world units; 0: as they are", low=0
    )


def shown(scene: Gaussians, settings: GaussianSettings) -> Gaussians:
    """The part of the scene that is to be drawn, in the form that is wanted."""
    keep = torch.ones(scene.means.shape[1], dtype=torch.bool, device=scene.means.device)
    if scene.background is not None and not settings.backdrop:
        keep &= scene.background[0] == 0
    if settings.levels != "all":
        if scene.level is None:
            raise G3dError("the scene records no levels, so levels cannot be chosen; leave levels out")
        wanted = _levels(settings.levels, int(scene.level.max()) + 1)
        level = scene.level[0].long()
        chosen = torch.isin(level, torch.tensor(wanted, device=level.device))
        keep &= chosen if scene.background is None else chosen | (scene.background[0] == 1)
    if not keep.all():
        kept = with_tensors(scene, {name: value[:, keep] for name, value in tensors_of(scene).items()})
        assert isinstance(kept, Gaussians)
        scene = kept
    if settings.opacity_one:
        scene = replace(scene, opacity_logits=torch.ones_like(scene.opacity_logits))
    if settings.point_radius > 0:
        # Half of the largest opacity lies at sqrt(2 ln 2) deviations.
        log_scale = math.log(settings.point_radius / math.sqrt(2 * math.log(2)))
        opaque = torch.full_like(scene.opacity_logits, 10.0)
        scene = replace(scene, log_scales=torch.full_like(scene.log_scales, log_scale), opacity_logits=opaque)
    return scene


def _levels(words: str, count: int) -> list[int]:
    try:
        wanted = parse_seeds(words)
    except ValueError as error:
        raise G3dError(str(error).replace("seeds", "levels")) from error
    if max(wanted) >= count:
        raise G3dError(f"levels is {words}, but the scene has the levels 0 to {count - 1}; choose among them")
    return wanted
