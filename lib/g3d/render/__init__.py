"""Rendering: a scene and cameras => colour, alpha, depth. Knows scenes, never methods.

`render_scene` matches on the closed set of scene kinds; `RenderSettings` is what `--set` may change.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.config import setting
from g3d.errors import G3dError, closest
from g3d.render import empty, occupancy, rays, volume
from g3d.render.background import background_setting as _background
from g3d.render.gaussians import GaussianSettings, shown
from g3d.render.splat import rasterize
from g3d.scenes import mlp
from g3d.scenes.planes import channels_last
from g3d.scenes.scene import (
    Field,
    Gaussians,
    MlpField,
    Scene,
    Triplane,
    query,
    query_density,
    query_output,
    query_proposal,
    unbounded,
)

POINTS_PER_CHUNK = 8192  # 4k-16k points a chunk stay in cache (measured); a GPU takes more
POINTS_PER_CHUNK_GPU = 1 << 20
SPARSER = 4  # so many times more samples at once where empty ones are not asked
WORTH_A_GRID = 4  # samples a cell of the grid from which on it is worth its cost (on cars)
DEPTH_KINDS = ("expected", "max_weight")
FULL = 0.8  # share of occupied cells from which on looking them up costs more than it saves


class Rendering(NamedTuple):
    """V views: `rgb` [V, H, W, 3] over the background, `alpha` [V, H, W], `depth` [V, H, W] camera z (0: nothing)."""

    rgb: Tensor
    alpha: Tensor
    depth: Tensor


class Disparity(NamedTuple):
    """Of the samples along each pixel's ray, weights W and inverse depth D, 1 at the scene's near and 0 at its far plane: the
    sums `first` of W D and `second` of W D^2, [V, H, W]. The sum of W is a rendering's alpha."""

    first: Tensor
    second: Tensor


# What --set may change, a class a kind of scene: a setting that a scene would not use is unknown there. Defaults come
# from the scene.
@dataclass(frozen=True)
class FieldSettings:
    """Radiance fields that are MLPs."""

    samples: int = setting(64, "samples a ray", low=1, high=4096)
    opaque_end: bool = setting(False, "the last interval is infinitely long")
    background: tuple[float, ...] = _background()
    skip_empty: Literal["auto", "on", "off"] = setting(
        "auto", "ask the field only where a 64^3 grid finds something; auto: where several views make it worth the grid"
    )


@dataclass(frozen=True)
class TriplaneSettings:
    """Triplanes, with or without a proposal network."""

    samples: int = setting(64, "samples a ray", low=1, high=4096)
    proposal_samples: int = setting(0, "samples a ray of the proposal round (0: none)", low=0, high=4096)
    opaque_end: bool = setting(False, "the last interval is opaque whatever its density, so that weights sum to one")
    background: tuple[float, ...] = _background()


@dataclass(frozen=True)
class OccupancySettings:
    """Occupancy fields."""

    background: tuple[float, ...] = _background()


@dataclass(frozen=True)
class ImageSettings:
    """Image fields: nothing can be changed."""


RenderSettings = FieldSettings | TriplaneSettings | OccupancySettings | GaussianSettings | ImageSettings


def default_settings(scene: Scene) -> RenderSettings:
    """The settings with which the scene was meant to be drawn."""
    world = scene.world
    match scene:
        case Gaussians():
            return GaussianSettings(background=world.background)
        case MlpField(signal="occupancy"):
            return OccupancySettings(world.background)
        case MlpField(signal="image"):
            return ImageSettings()
        case MlpField():
            return FieldSettings(world.samples, world.opaque_end, world.background)
        case Triplane():
            proposal_samples = world.proposal_samples if scene.proposal else 0
            return TriplaneSettings(world.samples, proposal_samples, world.opaque_end, world.background)


def check_background(settings: RenderSettings) -> None:
    """Refuse a background that is no colour."""
    if not isinstance(settings, ImageSettings) and len(settings.background) != 3:
        raise G3dError(
            f"the background has {len(settings.background)} numbers; wanted are 3, e.g. --set background=1,1,1"
        )


def check_depth_kind(scene: Scene, kind: str) -> None:
    """Refuse a kind of depth that is unknown, or means nothing to the scene."""
    if kind not in DEPTH_KINDS:
        raise G3dError(
            f"the depth kind '{kind}' is unknown{closest(kind, DEPTH_KINDS)}; kinds: {', '.join(DEPTH_KINDS)}"
        )
    match scene:
        case Gaussians():
            drawn = "3D Gaussians are drawn without any"
        case MlpField(signal="occupancy"):
            drawn = "an occupancy field is drawn by its first hit"
        case _:
            return
    if kind == "max_weight":
        raise G3dError(f"the depth kind max_weight is of a ray's intervals, and {drawn}; use expected")


def check_disparity(scene: Scene) -> None:
    """Refuse a scene whose rays have no weights, or whose near plane is no unit of inverse depth."""
    if not isinstance(scene, MlpField | Triplane) or (isinstance(scene, MlpField) and scene.signal != "radiance"):
        kind = f"{type(scene).__name__} of signal {scene.signal}" if isinstance(scene, MlpField) else "Gaussians"
        raise G3dError(
            f"disparity is summed over the samples of a radiance field's rays, and this scene is {kind}; leave --disparity out"
        )
    if not 0 < scene.world.near_world < scene.world.far_world:
        raise G3dError(
            f"disparity is 1 at the scene's near plane, which lies at {scene.world.near_world:g}; it must be above 0"
        )


@torch.no_grad()
def render_scene(
    scene: Scene,
    cameras: Cameras,
    settings: RenderSettings | None = None,
    grid: empty.Grid | None = None,
    backend: str = "auto",
    depth_kind: str = "expected",
    finite: bool = False,
) -> Rendering:
    """Draw one scene (a batch of one) from each camera. Raises `G3dError` for a scene that takes no cameras.

    Who draws the views of a field one by one gives the `grid` that `empty_space` makes for all of them. `backend` names the
    rasteriser of 3D Gaussians; the other kinds have one way to be drawn. `depth_kind` is one of DEPTH_KINDS: the mean of
    the weights' places, or the middle of the heaviest interval. `finite` refuses a field that is infinite or no number
    somewhere, also where the picture does not show it."""
    assert len(scene) == 1, "render_scene draws one scene"
    check_depth_kind(scene, depth_kind)
    settings = default_settings(scene) if settings is None else settings
    check_background(settings)
    match scene:
        case Gaussians():
            assert isinstance(settings, GaussianSettings)
            drawn = rasterize(
                shown(scene, settings), scene.world.seen_by(cameras),
               background=settings.background, scale_modifier=settings.scale_modifier,
                antialiased=settings.antialiased, backend=backend,
            )  # fmt: skip
            assert drawn.depth is not None
            return Rendering(drawn.rgb[0].clamp(0, 1), drawn.alpha[0], drawn.depth[0])
        case MlpField(signal="image"):
            raise G3dError("an image field takes no cameras; draw it without --cameras")
        case MlpField(signal="occupancy"):
            assert isinstance(settings, OccupancySettings)
            return Rendering(*occupancy.first_hit(scene, cameras, settings.background))
        case MlpField() | Triplane():
            assert isinstance(settings, FieldSettings | TriplaneSettings)
            return Rendering(*_render_views(scene, cameras, settings, grid, depth_kind, finite=finite))


@torch.no_grad()
def render_with_disparity(
    scene: Scene,
    cameras: Cameras,
    settings: RenderSettings | None = None,
    grid: empty.Grid | None = None,
    depth_kind: str = "expected",
    finite: bool = False,
) -> tuple[Rendering, Disparity]:
    """As `render_scene`, to the bit, with the sums of inverse depth; of a radiance field (`check_disparity`)."""
    assert len(scene) == 1, "render_with_disparity draws one scene"
    check_depth_kind(scene, depth_kind)
    check_disparity(scene)
    settings = default_settings(scene) if settings is None else settings
    check_background(settings)
    assert isinstance(scene, MlpField | Triplane) and isinstance(settings, FieldSettings | TriplaneSettings)
    parts = _render_views(scene, cameras, settings, grid, depth_kind, True, finite)
    return Rendering(*parts[:3]), Disparity(*parts[3:])


@torch.no_grad()
def empty_space(scene: Scene, cameras: Cameras, settings: RenderSettings) -> empty.Grid | None:
    """Where the scene has something, for drawing it from `cameras`; None where asking everywhere is wanted, or cheaper.

    The choice depends on the scene, the settings and the cameras alone, never on what else is drawn."""
    if not isinstance(scene, MlpField) or not isinstance(settings, FieldSettings) or settings.skip_empty == "off":
        return None
    always = settings.skip_empty == "on"
    why_not = None
    if settings.opaque_end:  # the last sample, however thin, covers all that is left
        why_not = "with opaque_end nothing is empty at the end of a ray"
    elif unbounded(scene):
        why_not = "the scene goes on outside its bounds"
    elif mlp.reads(scene.network, "density", "direction"):  # what is empty from one side may not be from another
        why_not = "the scene's density depends on the direction"
    if why_not:
        if always:
            raise G3dError(f"skip_empty is on, but {why_not}; set skip_empty to auto or off")
        return None
    samples = len(cameras) * cameras.width * cameras.height * settings.samples
    if not always and (len(cameras) == 1 or samples < WORTH_A_GRID * empty.CELLS**3):
        return None
    device = cameras.c2w.device
    low, high = (torch.tensor(c, device=device) for c in scene.world.bounds)
    buffers = mlp.Buffers()

    def density(points: Tensor) -> Tensor:
        return query_density(scene, points, buffers)

    grid = empty.find(density, low, high, _chunk(device))
    return grid if always or grid.share() < FULL else None


@torch.no_grad()
def render_image_field(scene: MlpField, width: int, height: int) -> Tensor:
    """An image field at any resolution, [H, W, 3]; coordinates are pixel centres in [-1, 1], x right, y down."""
    device = next(iter(scene.weights.values()))[0].device
    x = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
    y = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
    points = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(1, -1, 2)
    buffers = mlp.Buffers()
    chunks = [query_output(scene, part, "rgb", buffers)[0] for part in points.split(_chunk(device), dim=1)]
    return torch.cat(chunks).reshape(height, width, 3)


def _render_views(
    scene: Field,
    cameras: Cameras,
    settings: FieldSettings | TriplaneSettings,
    grid: empty.Grid | None,
    depth_kind: str,
    disparity: bool = False,
    finite: bool = False,
) -> list[Tensor]:
    """What `_render_field` returns, stacked over the views."""
    if isinstance(scene, Triplane):  # once, not for every chunk of points
        scene = replace(scene, planes=channels_last(scene.planes))
    grid = empty_space(scene, cameras, settings) if grid is None else grid
    views = [
        _render_field(scene, cameras[v], settings, grid, depth_kind, disparity, finite) for v in range(len(cameras))
    ]
    return [torch.stack(parts) for parts in zip(*views, strict=True)]


def _render_field(
    scene: Field,
    camera: Cameras,
    settings: FieldSettings | TriplaneSettings,
    grid: empty.Grid | None,
    depth_kind: str,
    disparity: bool,
    finite: bool,
) -> tuple[Tensor, ...]:
    """One view: rays that miss the bounds cost nothing, the rest go in chunks of points. rgb, alpha, depth; with `disparity`
    its two sums, too."""
    world, shape = scene.world, (camera.height, camera.width)
    origin, directions = rays.camera_rays(camera)  # [3], [HW, 3]
    low, high = (torch.tensor(c, device=origin.device) for c in world.bounds)
    near, far = rays.clip_to_box(origin, directions, low, high, world.near_world, world.far_world, unbounded(scene))
    background = torch.tensor(settings.background, device=origin.device)
    hit = (far > near).nonzero().squeeze(1)
    rgb = background.repeat(shape[0] * shape[1], 1)
    alpha, depth = torch.zeros_like(near), torch.zeros_like(near)
    sums = (torch.zeros_like(near), torch.zeros_like(near)) if disparity else ()
    uses_direction = isinstance(scene, MlpField) and "direction" in scene.network.encodings

    buffers = mlp.Buffers()

    densest = [torch.zeros((), device=origin.device)]

    def ask(points: Tensor, seen_along: Tensor) -> tuple[Tensor, Tensor]:
        found = query(scene, points, seen_along if uses_direction else None, buffers)
        if finite and found.density.numel():
            densest.append(found.density.amax())
        return found

    def propose(points: Tensor) -> Tensor:
        assert isinstance(scene, Triplane)
        return query_proposal(scene, points)

    rounds = settings.proposal_samples if isinstance(settings, TriplaneSettings) else 0
    if rounds and not (isinstance(scene, Triplane) and scene.proposal):
        raise G3dError(f"proposal_samples is {rounds}, but the scene has no proposal network; set it to 0")
    asked = ask if grid is None else empty.skipping(ask, grid, uses_direction)
    points = _chunk(origin.device) * (1 if grid is None else SPARSER)
    # Imported weights of an MLP were fitted with an endless interval, in which a density of 0 still shows the background.
    open_end: volume.End = "opaque" if isinstance(scene, Triplane) else "infinite"
    sampling = volume.Sampling(settings.samples, rounds, world.spacing, open_end if settings.opaque_end else "finite")
    for part in hit.split(max(1, points // settings.samples)):
        found = volume.render_rays(
            asked, origin.expand(1, len(part), 3), directions[part][None], near[part][None], far[part][None],
            sampling, background, proposal=propose if rounds else None,
        )  # fmt: skip
        rgb[part], alpha[part] = found.rgb[0], found.alpha[0]
        depth[part] = (found.depth if depth_kind == "expected" else volume.heaviest(found))[0]
        if sums:
            for whole, some in zip(sums, volume.disparity_sums(found, world.near_world, world.far_world), strict=True):
                whole[part] = some[0]
        del found  # its samples, before the next ones
    if not torch.isfinite(torch.stack(densest)).all():
        raise G3dError("its density is not finite somewhere: its weights are damaged, or overflow")
    return rgb.reshape(*shape, 3), *(values.reshape(shape) for values in (alpha, depth, *sums))


def _chunk(device: torch.device) -> int:
    return POINTS_PER_CHUNK if device.type == "cpu" else POINTS_PER_CHUNK_GPU
